import json
from typing import Any

import pytest

from pipeline.stage import Message
from stages.interview.errors import InterviewError, InvalidCount, InvalidSession, UnknownRole
from stages.interview.model import InterviewConfig, InterviewSession

QUESTION = "Give me an example of something slow that you made fast."


def contract(**changes: Any) -> dict[str, Any]:
    return {
        "config": {"role": "Software Engineer", "model": "llama3.2:1b", "totalQuestions": 5},
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Please start the interview."},
            {"role": "assistant", "content": f"Hello. Question 1: {QUESTION}"},
        ],
        "currentQuestion": 1,
        "isComplete": False,
    } | changes


def config(**changes: Any) -> dict[str, Any]:
    return {"config": contract()["config"] | changes}


def test_a_session_is_written_exactly_as_the_contract_has_it() -> None:
    session = InterviewSession(
        InterviewConfig("Software Engineer", "llama3.2:1b", 5),
        (
            Message("system", "Be kind."),
            Message("user", "Please start the interview."),
            Message("assistant", f"Hello. Question 1: {QUESTION}"),
        ),
        asked=("performance",),
    )
    assert session.to_contract() == contract()
    assert InterviewSession.from_contract(contract()) == session


def test_a_record_keeps_what_was_asked_even_if_it_was_worded_otherwise() -> None:
    worded = [{"role": "assistant", "content": "What did you speed up?"}]
    session = InterviewSession.from_record(contract(messages=worded) | {"asked": ["performance"]})
    assert session.asked == ("performance",)
    assert InterviewSession.from_record(json.loads(json.dumps(session.to_record()))) == session
    assert session.to_contract() == contract(messages=worded)
    stored = session.to_record()
    assert stored["config"].pop("language") == "en"
    assert stored == contract(messages=worded) | {"asked": ["performance"]}
    assert InterviewSession.from_contract(session.to_contract()).asked == ()


def test_what_the_candidate_says_was_not_asked() -> None:
    messages = [{"role": "user", "content": QUESTION}]
    assert InterviewSession.from_contract(contract(messages=messages)).asked == ()


def test_no_more_prompts_count_as_asked_than_questions_were() -> None:
    earlier = {"role": "assistant", "content": "How do you estimate work when you have never done "
               "anything like it before?"}  # fmt: skip
    session = InterviewSession.from_contract(
        contract(messages=[earlier, *contract()["messages"]], currentQuestion=1)
    )
    assert session.asked == ("performance",)


def test_keys_that_the_contract_lacks_are_ignored() -> None:
    assert InterviewSession.from_contract(contract(id=7)).to_contract() == contract()


def test_state_says_how_far_the_interview_is() -> None:
    session = InterviewSession.from_contract(contract(currentQuestion=3))
    assert session.state() == {"currentQuestion": 3, "totalQuestions": 5, "isComplete": False}


def test_a_role_is_kept_as_the_bank_writes_it() -> None:
    assert InterviewConfig(" data ANALYST", "m") == InterviewConfig("Data Analyst", "m", 5)


@pytest.mark.parametrize("count", [0, -1, 16, True, 5.0, "5", None])
def test_the_number_of_questions_is_from_1_to_15(count: Any) -> None:
    with pytest.raises(InvalidCount) as caught:
        InterviewConfig("Data Analyst", "m", count)
    assert caught.value.code == "invalid_count"
    assert str(caught.value) == (
        f"the number of questions must be a whole number from 1 to 15, not {count!r}"
    )
    with pytest.raises(InvalidCount):
        InterviewSession.from_contract(contract(**config(totalQuestions=count)))


@pytest.mark.parametrize("count", [1, 15])
def test_the_limits_are_allowed(count: int) -> None:
    assert InterviewConfig("Data Analyst", "m", count).total_questions == count


def test_a_session_for_an_unknown_role_is_refused() -> None:
    with pytest.raises(UnknownRole):
        InterviewSession.from_contract(contract(**config(role="Pilot")))


@pytest.mark.parametrize(
    ("obj", "error"),
    [
        (None, "session: must be an object, but is missing"),
        ([], "session: must be an object, not a list"),
        (contract(config="x"), "config: must be an object, not text"),
        (contract(**config(role=None)), "config.role: must be text, but is missing"),
        (contract(**config(model={})), "config.model: must be text, not an object"),
        (contract(messages=3), "messages: must be a list, not a number"),
        (contract(messages=[7]), "messages[0]: must be an object, not a number"),
        (
            contract(messages=[{"role": "bot", "content": ""}]),
            "messages[0].role: must be one of system, user, assistant",
        ),
        (
            contract(messages=[{"role": "user", "content": True}]),
            "messages[0].content: must be text, not true or false",
        ),
        (
            contract(currentQuestion=True),
            "currentQuestion: must be a whole number, not true or false",
        ),
        (contract(currentQuestion="1"), "currentQuestion: must be a whole number, not text"),
        (contract(currentQuestion=0), "currentQuestion: must be from 1 to 5, not 0"),
        (contract(currentQuestion=6), "currentQuestion: must be from 1 to 5, not 6"),
        (contract(isComplete=0), "isComplete: must be true or false, not a number"),
    ],
)
def test_a_session_of_another_shape_is_refused_with_the_place_and_the_reason(
    obj: object, error: str
) -> None:
    with pytest.raises(InvalidSession) as caught:
        InterviewSession.from_contract(obj)
    assert str(caught.value) == error
    assert caught.value.code == "invalid_session"
    assert isinstance(caught.value, InterviewError)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (None, "asked: must be a list, but is missing"),
        ([1], "asked[0]: must be text, not a number"),
        (["outage", "proud"], "asked: has more entries than questions were asked"),
    ],
)
def test_a_record_with_wrong_bookkeeping_is_refused(asked: object, error: str) -> None:
    with pytest.raises(InvalidSession) as caught:
        InterviewSession.from_record(contract() | {"asked": asked})
    assert str(caught.value) == error
