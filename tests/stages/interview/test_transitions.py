import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stage import Message
from stages.interview.bank import bank_for, is_follow_up
from stages.interview.hearing import spoken
from stages.interview.model import InterviewConfig, InterviewSession
from stages.interview.transitions import Step, heard, respond, start

LONG = "well i looked at it for a while and then i found out what it really was"
POSTGRES = "we kept all of it in post gres because that is what everybody here knew"


def opened(total: int = 5, role: str = "Software Engineer") -> Step:
    return start(InterviewConfig(role, "llama3.2:1b", total))


def at(question: str, total: int = 6, current: int = 1) -> InterviewSession:
    """An interview that has just put this question of the software engineers' bank."""
    bank = bank_for("Software Engineer")
    others = [q.id for q in bank.questions if q.id != question][: current - 1]
    return InterviewSession(
        InterviewConfig("Software Engineer", "m", total),
        (Message("assistant", bank.texts[question]),),
        current_question=current,
        asked=(*others, question),
    )


def test_the_opening_has_the_shape_of_the_contract() -> None:
    step = opened()
    question = bank_for("Software Engineer").texts[step.session.asked[0]]
    greeting = (
        "Hello, I'm Parley, and I will be your interviewer today for the software engineer role."
    )
    assert step.intent == "open"
    assert step.say == (greeting, f"Question 1: {question}")
    system, user, assistant = step.session.messages
    assert (system.role, user, assistant) == (
        "system",
        Message("user", "Please start the interview."),
        Message("assistant", f"{greeting} Question 1: {question}"),
    )
    assert "role of Software Engineer" in system.content
    assert "5 questions" in system.content
    assert step.session.state() == {
        "currentQuestion": 1,
        "totalQuestions": 5,
        "isComplete": False,
    }
    assert question in step.instructions


def test_an_answer_is_acknowledged_and_the_next_question_put() -> None:
    before = opened().session
    step = respond(before, LONG)
    bank = bank_for("Software Engineer")
    assert step.intent == "ask"
    assert step.say[0] in bank.acknowledgements
    assert step.say[1] == bank.texts[step.session.asked[1]]
    assert step.session.messages == (
        *before.messages,
        Message("user", LONG),
        Message("assistant", " ".join(step.say)),
    )
    assert step.session.current_question == 2
    assert step.say[1] in step.instructions


def test_the_same_interview_always_goes_the_same_way() -> None:
    assert respond(opened().session, LONG) == respond(opened().session, LONG)


def test_interviews_with_other_settings_start_elsewhere() -> None:
    models = [f"model-{n}" for n in range(20)]
    firsts = {start(InterviewConfig("Data Analyst", model)).say for model in models}
    assert len(firsts) > 5


def test_acknowledgements_vary() -> None:
    session = opened(15).session
    said = []
    for _ in range(10):
        step = respond(session, LONG)
        session = step.session
        said.append(step.say[0])
    assert [a for a, b in itertools.pairwise(said) if a == b] == []


def test_a_term_of_the_answer_is_taken_up_once() -> None:
    first = respond(at("estimate", total=1), POSTGRES)
    assert "Postgres" in first.say[0]
    again = respond(at("estimate", total=2), POSTGRES).session
    assert "Postgres" not in respond(again, POSTGRES).say[0]


def test_what_is_mentioned_belongs_to_the_follow_up() -> None:
    step = respond(at("estimate"), "python mostly and then we kept the rest of it in post gres")
    assert step.session.asked == ("estimate", "any/database")
    assert "Postgres" in step.say[0]


@pytest.mark.parametrize(
    ("question", "answer", "follow_up"),
    [
        ("outage", "our monitoring was silent so we noticed only after an hour", "outage/alerts"),
        ("outage", "then we rolled back to the version from the day before", "outage/rollback"),
        ("estimate", POSTGRES, "any/database"),
        ("estimate", "it had to scale to a lot more people than we knew", "any/scale"),
        ("data-model", "we migrated to it over night without trouble", "data-model/migration"),
    ],
)
def test_a_hook_in_the_answer_brings_its_follow_up(
    question: str, answer: str, follow_up: str
) -> None:
    step = respond(at(question), answer)
    assert step.intent == "follow_up"
    assert step.session.asked[-1] == follow_up
    assert step.say[1] == bank_for("Software Engineer").texts[follow_up]
    assert step.session.current_question == 2


def test_a_very_short_answer_is_asked_to_be_elaborated() -> None:
    step = respond(at("estimate"), "it depends i suppose")
    assert step.intent == "follow_up"
    assert step.session.asked[-1].startswith("elaborate/")
    assert respond(at("estimate"), "it depends on what it is").intent == "ask"


def test_follow_ups_are_never_two_in_a_row() -> None:
    first = respond(at("estimate", total=15), "hm")
    second = respond(first.session, "hm")
    third = respond(second.session, "hm")
    assert [first.intent, second.intent, third.intent] == ["follow_up", "ask", "follow_up"]


@pytest.mark.parametrize(("total", "most"), [(1, 0), (2, 0), (3, 1), (5, 1), (6, 2), (15, 5)])
def test_at_most_a_third_of_the_questions_are_follow_ups(total: int, most: int) -> None:
    session = opened(total).session
    while not session.is_complete:
        session = respond(session, "hm").session
    assert sum(map(is_follow_up, session.asked)) == most
    assert len(session.asked) == total


def test_a_question_that_somebody_else_worded_has_no_follow_up() -> None:
    session = replace(at("estimate", current=2), asked=("estimate",))
    assert respond(session, POSTGRES).intent == "ask"


def test_a_request_to_repeat_repeats_the_question_and_does_not_count() -> None:
    before = respond(opened().session, LONG).session
    step = respond(before, "Sorry, could you repeat that?")
    assert step.intent == "repeat"
    assert step.say[1] == bank_for("Software Engineer").texts[before.asked[-1]]
    assert step.session.state() == before.state()
    assert step.session.asked == before.asked
    assert len(step.session.messages) == len(before.messages) + 2
    assert respond(step.session, LONG).session.current_question == 3


def test_a_question_that_somebody_else_worded_is_repeated_as_it_was_said() -> None:
    session = replace(at("estimate"), messages=(Message("assistant", "And why?"),), asked=())
    assert respond(session, "pardon").say[1] == "And why?"


def test_a_prompt_that_the_bank_no_longer_has_is_repeated_as_it_was_said() -> None:
    session = replace(at("estimate"), messages=(Message("assistant", "And why?"),), asked=("old",))
    assert respond(session, "pardon").say[1] == "And why?"


def test_an_answer_about_repeating_is_an_answer() -> None:
    step = respond(opened().session, "i had to repeat the experiment three times and then it went")
    assert step.session.current_question == 2


@pytest.mark.parametrize("text", ["", " \n", "...", "?!"])
def test_nothing_understood_does_not_count_and_leaves_no_message(text: str) -> None:
    before = opened().session
    step = respond(before, text)
    assert step.intent == "repeat"
    assert step.session.messages == (*before.messages, Message("assistant", " ".join(step.say)))
    assert step.session.state() == before.state()


def test_skipping_counts_and_is_taken_well() -> None:
    step = respond(at("outage"), "can we skip this question please")
    assert step.intent == "skip"
    assert step.say[0] in {
        "No problem, let us move on.",
        "That is fine, we can skip that one.",
    }
    assert step.session.current_question == 2
    assert not is_follow_up(step.session.asked[-1])
    assert step.say[1] in step.instructions


def test_skipping_the_last_question_closes() -> None:
    step = respond(at("outage", total=1), "skip")
    assert step.intent == "close"
    assert step.session.is_complete
    assert step.say[1] in bank_for("Software Engineer").closings


def test_the_last_answer_closes_the_interview() -> None:
    step = respond(at("outage", total=2, current=2), LONG)
    assert step.intent == "close"
    assert step.session.state() == {"currentQuestion": 2, "totalQuestions": 2, "isComplete": True}
    assert step.say[1] in bank_for("Software Engineer").closings


def test_the_last_answer_is_acknowledged_as_a_whole() -> None:
    step = respond(at("outage", total=3, current=3), "our monitoring in docker was silent")
    assert step.intent == "close"
    assert "Docker" in step.say[0]


def test_after_the_end_only_the_messages_grow() -> None:
    done = respond(at("outage", total=1), LONG).session
    step = respond(done, "could you repeat that")
    assert step.intent == "closed"
    assert replace(step.session, messages=done.messages) == done
    assert [message.role for message in step.session.messages[-2:]] == ["user", "assistant"]
    assert len(step.say) == 1


def test_after_a_barge_in_only_what_was_heard_is_remembered() -> None:
    step = respond(at("estimate"), LONG)
    part = f"{step.say[0]} Walk me through"
    session = heard(step.session, f" {part}\n")
    assert session.messages == (*step.session.messages[:-1], Message("assistant", part))
    assert replace(session, messages=step.session.messages) == step.session
    assert heard(session, part) == session


def test_a_reply_of_which_nothing_was_heard_is_dropped() -> None:
    step = respond(at("estimate"), LONG)
    session = heard(step.session, " …")
    assert session.messages == step.session.messages[:-1]
    assert heard(session, "Thank you.").messages[-1] == Message("assistant", "Thank you.")


@pytest.mark.parametrize("cut", ["", "Thank", "Thank you.", "I heard you men", "Of course."])
def test_words_before_the_question_was_heard_do_not_answer_it(cut: str) -> None:
    asked = respond(at("estimate"), LONG).session
    step = respond(heard(asked, cut), "and it was all done by friday in the end")
    assert step.intent == "repeat"
    assert step.say[1] == bank_for("Software Engineer").texts[asked.asked[-1]]
    assert step.session.state() == asked.state()
    assert respond(step.session, LONG).session.current_question == asked.current_question + 1


def test_an_opening_that_was_talked_over_is_followed_by_the_first_question() -> None:
    step = opened()
    question = bank_for("Software Engineer").texts[step.session.asked[0]]
    assert respond(heard(step.session, "Hello, I'm Parley"), "hello there").say[1] == question


def test_a_question_that_was_heard_in_part_can_be_answered() -> None:
    step = respond(at("estimate"), LONG)
    session = heard(step.session, f"{step.say[0]} {step.say[1][:12]}")
    assert respond(session, LONG).session.current_question == 3


def test_a_session_without_messages_is_asked_a_question() -> None:
    step = respond(InterviewSession(InterviewConfig("Data Analyst", "m"), ()), LONG)
    assert step.intent == "repeat"
    assert step.say[1] == bank_for("Data Analyst").texts[step.session.asked[0]]
    assert step.session.current_question == 1


answers = st.sampled_from(
    [LONG, POSTGRES, "hm", "skip", "could you repeat that", "", "python and a dashboard in tableau",
     "the stakeholders wanted more", "we launched it and watched the metrics for a month"]
) | st.text(max_size=60)  # fmt: skip
roles = st.sampled_from(["Software Engineer", "Product Manager", "Data Analyst"])


@given(roles, st.integers(1, 15), st.lists(answers, max_size=40), st.text(max_size=8))
def test_n_accepted_answers_complete_an_interview_of_n_questions(
    role: str, total: int, said: list[str], model: str
) -> None:
    step = start(InterviewConfig(role, model, total))
    accepted = 0
    for text in said:
        before = step.session
        step = respond(before, text)
        session = step.session
        accepted += step.intent in ("ask", "follow_up", "skip", "close")
        assert session.current_question == min(accepted + 1, total)
        assert session.is_complete == (accepted == total)
        assert (step.intent == "closed") == before.is_complete
        assert step.intent not in ("follow_up", "ask", "skip") or step.say[1] not in str(before)
    asked = step.session.asked
    assert len(set(asked)) == len(asked) == step.session.current_question
    assert not is_follow_up(asked[0])
    assert not any(is_follow_up(a) and is_follow_up(b) for a, b in itertools.pairwise(asked))
    assert sum(map(is_follow_up, asked)) <= (total // 3 if total >= 3 else 0)


@given(roles, st.integers(1, 15), st.lists(answers, max_size=20))
def test_the_round_trip_through_the_contract_loses_nothing(
    role: str, total: int, said: list[str]
) -> None:
    step = start(InterviewConfig(role, "m", total))
    for text in said:
        step = respond(InterviewSession.from_contract(step.session.to_contract()), text)
    assert InterviewSession.from_contract(step.session.to_contract()) == step.session
    assert InterviewSession.from_record(step.session.to_record()) == step.session


@given(roles, st.lists(st.tuples(answers, st.integers(0, 300)), max_size=20))
def test_interruptions_never_ask_a_question_again_nor_lose_one(
    role: str, said: list[tuple[str, int]]
) -> None:
    session = start(InterviewConfig(role, "m", 15)).session
    for text, reached in said:
        step = respond(session, text)
        session = heard(step.session, " ".join(step.say)[:reached])
        assert session.is_complete or len(session.asked) == session.current_question
        if reached >= len(" ".join(step.say)):
            assert session == step.session
    assert len(set(session.asked)) == len(session.asked)


@given(roles, st.lists(answers, max_size=20))
def test_every_line_is_a_short_plain_sentence(role: str, said: list[str]) -> None:
    step = start(InterviewConfig(role, "m", 9))
    for text in said:
        step = respond(step.session, text)
        assert all(0 < len(line) <= 180 and line.endswith((".", "?")) for line in step.say)
        assert spoken(" ".join(step.say))
        assert step.instructions
