import pytest

from gateway.rest.stateless.proposals import (
    MAX_SAID,
    StatelessTurn,
    Unusable,
    asks,
    by_model,
    by_service,
    cleaned,
    closes,
)
from pipeline.stage import Message
from stages.interview import (
    InterviewConfig,
    InterviewSession,
    Step,
    bank_for,
    respond,
    roles,
    start,
)

ANSWER = "I traced it to a lock in the database and moved the slow query out of the transaction."
FALLBACK = "Thank you for your answer. Moving to next question."


def opened(total: int = 3) -> InterviewSession:
    return start(InterviewConfig("Software Engineer", "granite", total)).session


def turn(session: InterviewSession, text: str = ANSWER) -> StatelessTurn:
    return StatelessTurn(respond(session, text), session, text)


def last(session: InterviewSession) -> str:
    return session.messages[-1].content


def finished(total: int = 1) -> StatelessTurn:
    session = opened(total)
    while session.current_question < total:
        session = respond(session, ANSWER).session
    return turn(session)


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("Thank you, that concludes our interview.", True),
        ("We have come to the end of the interview.", True),
        ("This is the end of interview. Goodbye.", True),
        ("Thank you very much for your time today!", True),
        ("Thank you. What would you do differently?", False),
        ("Thank you. Tell me about your team.", False),
        ("Thank you for that, now describe your last project.", False),
        ("Before we conclude, could you name one risk", False),
        ("Thank you. Question 3: your biggest mistake.", False),
        ("Thank you, I would like you to explain a deadlock.", False),
        (FALLBACK, False),
        ("I see.", False),
    ],
)
def test_only_a_closing_phrase_that_asks_nothing_more_ends_an_interview(
    text: str, ends: bool
) -> None:
    assert closes(text) == ends


def test_every_question_of_the_banks_is_heard_as_one() -> None:
    for role in roles():
        assert [text for text in bank_for(role).texts.values() if not asks(text)] == []
        assert [text for text in bank_for(role).closings if not closes(text)] == []


def test_a_services_question_is_taken_over_word_for_word() -> None:
    question = "Thanks. How large was that database?"
    after = by_service(turn(opened()), question)
    assert (question, 2, False) == (last(after), after.current_question, after.is_complete)
    assert Message("user", ANSWER) == after.messages[-2]


def test_a_services_closing_ends_the_interview_where_it_stands() -> None:
    after = by_service(turn(opened()), "Thank you, that concludes our interview.")
    assert (after.current_question, after.is_complete) == (1, True)


def test_the_contracts_fallback_line_is_followed_by_a_question() -> None:
    now = turn(opened())
    after = by_service(now, FALLBACK)
    assert (f"{FALLBACK} {now.step.say[-1]}", 2, False) == (
        last(after),
        after.current_question,
        after.is_complete,
    )


def test_a_service_that_asks_nothing_leaves_the_candidate_not_without_a_question() -> None:
    now = turn(opened())
    assert f"I see. {now.step.say[-1]}" == last(by_service(now, "I see."))


def test_nothing_is_asked_after_the_last_answer() -> None:
    now = finished()
    after = by_service(now, "Great. And what is your favourite language?")
    assert (last(now.step.session), True) == (last(after), after.is_complete)
    after = by_service(now, "That was all. Goodbye.")
    assert (last(after), after.is_complete) == ("That was all. Goodbye.", True)


def test_a_repetition_does_not_end_an_interview() -> None:
    now = turn(opened(), "Could you repeat the question?")
    after = by_service(now, "Thank you for asking.")
    assert (after.current_question, after.is_complete) == (1, False)
    assert last(after) == f"Thank you for asking. {now.step.say[-1]}"


def test_a_model_that_asks_word_for_word_is_taken_over() -> None:
    now = turn(opened())
    text = f"A lock, how nasty. {now.step.say[-1]}"
    assert text == last(by_model(now, text))


def test_a_model_that_paraphrases_keeps_its_lead_and_the_question_is_ours() -> None:
    now = turn(opened())
    after = by_model(now, "A lock, how nasty. So, what else did you learn at work lately?")
    assert f"A lock, how nasty. {now.step.say[-1]}" == last(after)


def test_a_model_without_a_lead_gets_the_scripted_one() -> None:
    now = turn(opened())
    assert last(now.step.session) == last(by_model(now, "What else did you learn lately?"))


def test_a_model_cannot_go_on_after_the_last_answer() -> None:
    now = finished()
    assert now.step.session == by_model(now, "Good. Tell me more?")
    assert last(by_model(now, "All the best.")) == "All the best."


def test_a_model_that_is_to_wait_does_not_ask() -> None:
    session = opened()
    asked = f"{last(session)} Take your time."
    session = InterviewSession(
        session.config, (*session.messages[:-1], Message("assistant", asked)), asked=session.asked
    )
    now = turn(session, "I need a moment to think")
    assert now.step.intent == "wait"
    assert last(by_model(now, "Sure.")) == "Sure."
    assert last(by_service(now, "Sure.")) == "Sure."
    assert last(now.step.session) == last(by_model(now, "Sure. What is a lock?"))


def test_what_is_said_is_cleaned() -> None:
    dirty = "Thanks!\x00\x1b[31m  \r\n\n\n Next\ud800:  why\u202e?"
    assert cleaned(dirty) == "Thanks! [31m\nNext : why ?"


@pytest.mark.parametrize("text", ["", "  \n", "…!?", "\x00", "a" * (MAX_SAID + 1), "a" * 10**6])
def test_what_is_no_turn_is_refused(text: str) -> None:
    with pytest.raises(Unusable):
        cleaned(text)
    step: Step = start(InterviewConfig("Data Analyst", "m", 2))
    for worded in (by_service, by_model):
        with pytest.raises(Unusable):
            worded(StatelessTurn(step), text)
