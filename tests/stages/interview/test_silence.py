"""Into a silence the interviewer says a line; what the candidate says to that is understood."""

import pytest

from pipeline.stage import Message
from stages.interview import InterviewConfig, InterviewSession, silence
from stages.interview.answers import answers_of
from stages.interview.bank import bank_for
from stages.interview.lines import lines_for
from stages.interview.transitions import (
    Step,
    expire,
    heard,
    prompt,
    prompted,
    respond,
    resume,
    start,
)

BANK = bank_for("Software Engineer")
LINES = lines_for("en")
ANSWER = "i would begin with the logs and then try to reproduce it on my machine"


def opened(total: int = 5) -> InterviewSession:
    return start(InterviewConfig("Software Engineer", "m", total)).session


def after(session: InterviewSession, times: int) -> InterviewSession:
    """The session of a candidate who answers the line that was said for the `times`-th time."""
    return prompted(session, prompt(session, times))


def test_a_silent_candidate_is_encouraged_then_offered_the_next_question_then_left_alone() -> None:
    session = opened()
    assert prompt(session, 1) in LINES.patient
    assert [prompt(session, times) for times in (2, 3, 4)] == [LINES.offer, "", ""]


def test_the_encouragement_varies_in_the_course_of_an_interview() -> None:
    session = opened(6)
    lines = set()
    for _ in range(5):
        lines.add(prompt(session, 1))
        session = respond(session, ANSWER).session
    assert lines == set(LINES.patient)


def test_at_the_last_question_no_further_one_is_offered() -> None:
    session = respond(opened(2), ANSWER).session
    assert prompt(session, 2) == LINES.offer_to_end
    step = respond(after(session, 2), "yes please")
    assert (step.intent, step.session.is_complete) == ("close", True)


def test_a_complete_interview_has_nothing_to_say() -> None:
    done = respond(opened(1), ANSWER).session
    assert [prompt(done, 1), prompt(done, 2)] == ["", ""]


def test_an_unheard_question_is_followed_by_are_you_there() -> None:
    session = heard(respond(opened(), ANSWER).session, "Thank")
    assert [prompt(session, times) for times in (1, 2)] == ["Are you still there?", ""]
    step = respond(after(session, 1), "yes")
    assert step.intent == "repeat"
    assert step.say[1] == BANK.texts[session.asked[-1]]


@pytest.mark.parametrize("text", ["yes", "Okay, let's do that.", "please do", "skip it"])
def test_taking_up_the_offer_skips_the_question(text: str) -> None:
    session = opened()
    step = respond(after(session, 2), text)
    assert step.intent == "skip"
    assert step.session.current_question == 2
    assert step.say[1] == BANK.texts[step.session.asked[1]]


@pytest.mark.parametrize("text", ["no", "not yet", "just a moment", "no I am still thinking"])
def test_a_refused_offer_gives_time_to_think(text: str) -> None:
    session = opened()
    step = respond(after(session, 2), text)
    assert step.intent == "wait"
    assert step.say[0].endswith("take your time.")
    assert len(step.say) == 1
    assert step.session.state() == session.state()
    assert step.session.asked == session.asked


def test_anything_else_answers_the_question() -> None:
    step = respond(after(opened(), 2), ANSWER)
    assert (step.intent, step.session.current_question) == ("ask", 2)


def test_the_question_can_be_heard_again_after_an_offer() -> None:
    session = opened()
    step = respond(after(session, 2), "sorry, what was the question?")
    assert (step.intent, step.say[1]) == ("repeat", BANK.texts[session.asked[0]])


@pytest.mark.parametrize("text", ["yes", "no", "not yet", "thank you"])
def test_without_a_line_in_the_silence_the_same_words_are_an_answer(text: str) -> None:
    assert respond(opened(), text).session.current_question == 2


@pytest.mark.parametrize(
    ("text", "intent"),
    [("thank you", "wait"), ("Okay.", "wait"), ("I need a minute", "wait"), ("yes", "follow_up")],
)
def test_after_an_encouragement_only_thanks_and_requests_for_time_are_no_answer(
    text: str, intent: str
) -> None:
    assert respond(after(opened(), 1), text).intent == intent


@pytest.mark.parametrize("cut", ["", "Of", "No", "Sure", "whole"])
def test_an_answer_that_interrupts_the_reply_to_not_yet_is_an_answer(cut: str) -> None:
    step = respond(after(opened(), 2), "not yet")
    session = step.session if cut == "whole" else heard(step.session, cut)
    assert respond(session, ANSWER).session.current_question == 2
    assert prompt(session, 2) == LINES.offer
    assert respond(after(session, 2), "yes").intent == "skip"


def test_the_line_is_remembered_with_what_was_said_before_it() -> None:
    session = opened()
    messages = after(session, 2).messages
    assert messages[:-1] == session.messages[:-1]
    assert messages[-1].content == f"{session.messages[-1].content} {LINES.offer}"
    assert silence.without_line(messages[-1].content) == session.messages[-1].content
    assert silence.without_line("And why?") == "And why?"


def test_an_offer_without_an_understood_reply_still_stands() -> None:
    session = after(opened(), 2)
    assert respond(session, "...").intent == "repeat"
    assert respond(session, "yes").intent == "skip"


def test_a_question_that_somebody_else_worded_is_repeated_without_the_offer() -> None:
    config = InterviewConfig("Software Engineer", "m", 5)
    session = InterviewSession(config, (Message("assistant", "And why?"),))
    assert respond(after(session, 2), "pardon").say[1] == "And why?"


def test_an_interview_read_again_has_the_same_answers() -> None:
    session = opened(3)
    for times, text in ((2, "not yet"), (2, "yes"), (1, "thank you"), (0, ANSWER), (0, ANSWER)):
        session = respond(after(session, times) if times else session, text).session
    assert session.is_complete
    found = answers_of(InterviewSession.from_contract(session.to_contract()))
    assert [(a.prompt_id, a.text, a.declined) for a in found] == [
        (session.asked[0], "yes", True),
        (session.asked[1], ANSWER, False),
        (session.asked[2], ANSWER, False),
    ]


# --- when the time is up -----------------------------------------------------------------------


def late(session: InterviewSession, text: str) -> Step:
    return respond(session, text, time_is_up=True)


def test_when_the_time_is_up_the_next_answer_is_the_last() -> None:
    session = respond(opened(), ANSWER).session
    step = late(session, ANSWER)
    assert step.intent == "close"
    assert step.say[1] == "That is all the time we have today. Thank you for talking with me."
    assert step.session.state() == {"currentQuestion": 2, "totalQuestions": 5, "isComplete": True}
    assert "time" in step.instructions
    assert late(step.session, "bye").intent == "closed"


def test_when_the_time_is_up_a_skipped_question_is_the_last() -> None:
    step = late(opened(), "skip")
    assert (step.intent, step.session.is_complete) == ("close", True)
    assert step.instructions.startswith("The candidate would rather not answer.")


@pytest.mark.parametrize("text", ["could you repeat that", "", "not yet"])
def test_what_is_no_answer_closes_nothing(text: str) -> None:
    assert not late(after(opened(), 2), text).session.is_complete


def test_a_return_after_the_time_is_up_gets_a_farewell() -> None:
    step = resume(opened(), time_is_up=True)
    assert step.intent == "close"
    assert step.say == ("Our time is up. Thank you for talking with me today.",)
    assert step == expire(opened())
    assert resume(step.session, time_is_up=True).intent == "closed"


def test_what_is_said_after_an_early_end_is_no_answer() -> None:
    done = late(respond(opened(), ANSWER).session, ANSWER).session
    assert len(answers_of(respond(done, "goodbye then").session)) == 2
    expired = expire(respond(opened(), ANSWER).session).session
    assert len(answers_of(respond(expired, "goodbye then").session)) == 1


def test_an_interview_that_ended_early_is_stored_and_read_as_it_is() -> None:
    done = late(opened(), ANSWER).session
    assert InterviewSession.from_record(done.to_record()) == done
