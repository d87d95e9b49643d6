import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.frames import Word
from pipeline.stage import Message
from stages.interview import InterviewConfig, InterviewSession, bank_for, heard, respond, start
from stages.interview.answers import (
    MAX_ANSWER,
    AnswerSpeech,
    InterviewAnswer,
    RecognitionSource,
    answers_of,
)
from tests.support.conversation import DEMO, WHISPER, interview


def texts(session: InterviewSession) -> list[str]:
    return [answer.text for answer in answers_of(session)]


def test_each_answer_goes_with_its_question() -> None:
    session = interview(["I fixed a race condition in Python.", "I look at the logs first."])
    bank = bank_for("Software Engineer")
    found = answers_of(session)
    assert [a.text for a in found] == [
        "I fixed a race condition in Python.",
        "I look at the logs first.",
    ]
    assert [a.prompt_id for a in found] == list(session.asked[:2])
    assert [a.question for a in found] == [bank.texts[i] for i in session.asked[:2]]


def test_the_opening_and_requests_to_repeat_are_no_answers() -> None:
    session = interview(["Could you repeat the question?", "I use a debugger for that every day."])
    assert texts(session) == ["I use a debugger for that every day."]


def test_a_skipped_question_is_an_answer_that_declines() -> None:
    found = answers_of(interview(["I would rather not answer that.", "I test the risky parts."]))
    assert [a.declined for a in found] == [True, False]


def test_words_said_before_the_next_question_was_heard_belong_to_the_answer_before() -> None:
    session = start(InterviewConfig("Software Engineer", "auto", 3)).session
    step = respond(session, "We had an outage last year and the database was down.")
    session = heard(step.session, step.say[0])  # only the acknowledgement was heard
    session = respond(session, "And I restored it from a backup.").session
    assert texts(session) == [
        "We had an outage last year and the database was down. And I restored it from a backup."
    ]


def test_nothing_after_the_last_answer_counts() -> None:
    session = interview(["One answer is here.", "Is it over?"], total=1)
    assert texts(session) == ["One answer is here."]


def test_an_interview_in_other_words_has_its_answers_too() -> None:
    config = InterviewConfig("Data Analyst", "granite", 3)
    lines = (
        Message("system", "You interview."),
        Message("user", "Please start the interview."),
        Message("assistant", "Hello. Question 1: Why data?"),
        Message("user", "I like to find things out with numbers."),
        Message("assistant", "Thank you for your answer. Moving to next question."),
        Message("user", "I would like to learn more statistics."),
    )
    found = answers_of(InterviewSession(config, lines, 2))
    assert [(a.question, a.text, a.prompt_id) for a in found] == [
        ("Why data?", "I like to find things out with numbers.", None),
        (
            "Thank you for your answer. Moving to next question.",
            "I would like to learn more statistics.",
            None,
        ),
    ]


def test_speech_and_latency_come_from_the_message_they_belong_to() -> None:
    session = interview(["I fixed a race condition in Python.", "I look at the logs first."])
    at = [n for n, m in enumerate(session.messages) if m.role == "user"][1:]
    found = answers_of(session, {at[1]: AnswerSpeech(WHISPER)}, {at[0]: 350.0})
    assert [a.recognition for a in found] == [None, WHISPER]
    assert [a.latency_ms for a in found] == [350.0, None]


def test_speech_in_two_parts_is_one_with_the_worse_recognition() -> None:
    first = AnswerSpeech(WHISPER, (Word("one", 100, 400),), 1_000, wait_ms=300)
    both = first.then(AnswerSpeech(DEMO, (Word("two", 50, 300),), 500))
    assert both == AnswerSpeech(
        DEMO, (Word("one", 100, 400), Word("two", 1_050, 1_300)), 1_500, 300
    )


def test_a_demo_recogniser_keeps_its_quality() -> None:
    assert RecognitionSource("pocketsphinx", "full").quality == "demo"
    assert RecognitionSource("whisper", "full").quality == "full"


@pytest.mark.parametrize(
    ("confidence", "kept", "unsure"),
    [(0.3, 0.3, True), (0.4, 0.4, False), (math.nan, None, False), (7.0, None, False)],
)
def test_a_confidence_that_cannot_be_is_not_known(
    confidence: float, kept: float | None, unsure: bool
) -> None:
    recognition = RecognitionSource("whisper", confidence=confidence)
    assert (recognition.confidence, recognition.unsure) == (kept, unsure)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1, 0])
def test_a_duration_that_cannot_be_is_not_known(value: float) -> None:
    assert AnswerSpeech(WHISPER, duration_ms=value).duration_ms is None


@given(
    st.lists(st.tuples(st.floats() | st.integers(), st.floats() | st.integers()), max_size=20),
    st.floats(),
)
def test_whatever_times_a_recogniser_gives_the_kept_ones_can_be(
    times: list[tuple[Any, Any]], duration: float
) -> None:
    speech = AnswerSpeech(WHISPER, tuple(Word("a", *pair) for pair in times), duration, duration)
    assert all(0 <= w.start_ms <= w.end_ms < math.inf for w in speech.words)
    assert [w.start_ms for w in speech.words] == sorted(w.start_ms for w in speech.words)
    assert speech.duration_ms is None or 0 < speech.duration_ms < math.inf


def test_an_endless_answer_is_cut() -> None:
    assert len(InterviewAnswer("Why?", "word " * 100_000).text) <= MAX_ANSWER
