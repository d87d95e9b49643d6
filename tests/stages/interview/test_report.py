import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stage import Message
from stages.interview import InterviewConfig, InterviewSession, evaluate, heard, make_report, start
from stages.interview.answers import InterviewAnswer, answers_of
from stages.interview.errors import InvalidReport
from stages.interview.markdown import markdown, plain
from stages.interview.report import Report, ReportLine, transcript_of
from tests.support.conversation import (
    DEMO,
    GOOD,
    PERFORMANCE,
    WHISPER,
    good,
    interview,
    spoken_answer,
)
from tests.support.examples import examples

GOLDEN = Path(__file__).parent / "golden"

HOSTILE = "</style><script>alert(1)</script> [x](http://evil.example) ![i](//e) | # *b* `c` <img>"


def small() -> Report:
    """A finished interview of two questions: one typed answer, one that was heard badly."""
    lines = (
        Message("system", "You are Parley."),
        Message("user", "Please start the interview."),
        Message("assistant", f"Hello. Question 1: {PERFORMANCE}"),
        Message("user", GOOD),
        Message("assistant", "Thank you. How do you deci"),
        Message("user", "it waist two slow"),
        Message("assistant", "Thank you for your time."),
    )
    config = InterviewConfig("Software Engineer", "auto", 2)
    session = InterviewSession(config, lines, 2, True, ("performance", "testing"))
    answers = [
        good(latency_ms=412.4),
        spoken_answer("it waist two slow but we made it fast", DEMO),
    ]
    return make_report(
        session,
        answers,
        evaluate("Software Engineer", answers),
        candidate="  Ada\nLovelace ",
        session_id="a1",
        created="2026-03-02 14:05 UTC",
    )


@pytest.mark.parametrize("name", ["report.json", "report.md"])
def test_the_report_is_the_golden_one(name: str) -> None:
    report = small()
    text = markdown(report)
    if name.endswith("json"):
        text = json.dumps(report.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    assert text == (GOLDEN / name).read_text("utf-8")


def test_json_and_back_is_the_same_report() -> None:
    report = small()
    assert Report.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_json_has_the_names_that_clients_expect() -> None:
    obj = small().to_json()
    assert obj["sessionId"] == "a1"
    assert (obj["questions"], obj["answered"], obj["scored"]) == (2, 2, 1)
    assert obj["candidate"] == "Ada Lovelace"
    [first, second] = obj["items"]
    assert first["latencyMs"] == 412
    assert {score["source"] for score in first["evaluation"]["scores"]} == {"heuristic"}
    assert second["recognition"] == {
        "provider": "pocketsphinx",
        "quality": "demo",
        "confidence": None,
        "language": None,
    }
    assert second["evaluation"]["scores"] == []
    assert second["evaluation"]["delivery"]["wordsPerMinute"] == 150


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda o: [], "report"),
        (lambda o: o | {"items": [7]}, "items.0"),
        (lambda o: o | {"overall": "many"}, "overall"),
        (lambda o: {k: v for k, v in o.items() if k != "role"}, "role"),
        (lambda o: o | {"skills": json.loads("[" * 400 + "]" * 400)}, "skills.0"),
    ],
)
def test_what_is_no_report_is_refused(change: Any, where: str) -> None:
    with pytest.raises(InvalidReport) as caught:
        Report.from_json(change(small().to_json()))
    assert caught.value.where == where
    assert caught.value.code == "invalid_report"


def test_the_transcript_is_what_was_heard_and_by_whom() -> None:
    session = interview(["I fixed a race condition in Python."], total=3)
    session = heard(session, "Thank you for bringing up Py")
    [answer] = answers_of(session)
    lines = transcript_of(
        session, [InterviewAnswer("?", answer.text, speech=spoken_answer().speech)]
    )
    assert [(line.speaker, line.interrupted) for line in lines] == [
        ("interviewer", False),
        ("candidate", False),
        ("interviewer", True),
    ]
    assert lines[1].recognition == WHISPER
    assert lines[2].text == "Thank you for bringing up Py"


def test_an_interview_without_answers_has_a_report() -> None:
    session = start(InterviewConfig("Data Analyst", "auto", 5)).session
    report = make_report(session, (), evaluate("Data Analyst", ()))
    assert (report.overall, report.answered, report.complete) == (None, 0, False)
    assert "**Not scored.** No question was answered. 0 of 5 questions answered." in (
        markdown(report)
    )


def test_a_callers_transcript_and_notes_come_first() -> None:
    session = interview(["I fixed a race condition in Python."])
    answers = answers_of(session)
    line = ReportLine("candidate", "hello", WHISPER)
    report = make_report(
        session, answers, evaluate("Software Engineer", answers), transcript=[line], notes=["A."]
    )
    assert report.transcript == (line,)
    assert report.notes[0] == "A."


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("# no heading", r"\# no heading"),
        ("12. no list", r"12\. no list"),
        ("- no list", r"\- no list"),
        ("a\n\n> b", r"a \> b"),
        ("[x](javascript:y)", r"\[x\](javascript:y)"),
        ("see http://evil.example", r"see http\://evil.example"),
        ("www.evil.example a@b.c", r"www\.evil.example a\@b.c"),
        ("<img src=x>", r"\<img src=x\>"),
        ("a | b `c` *d* _e_ ~f~ &lt;", r"a \| b \`c\` \*d\* \_e\_ \~f\~ \&lt;"),
        ("\x1b[31m\u202eabc\ud800", "\\[31m abc"),
        ("It was 1.4 s, I'm sure (really)!", "It was 1.4 s, I'm sure (really)!"),
    ],
)
def test_nothing_that_was_said_is_markup(text: str, escaped: str) -> None:
    assert plain(text) == escaped


def test_hostile_words_stay_words_in_markdown() -> None:
    session = interview([f"I said {HOSTILE} in 2 years."], total=1)
    answers = answers_of(session)
    evaluation = evaluate("Software Engineer", answers)
    report = make_report(session, answers, evaluation, candidate=HOSTILE, session_id=HOSTILE)
    text = markdown(report)
    assert "<" not in text.replace("\\<", "")
    assert "](" not in text.replace("\\](", "")
    assert "http://" not in text


@examples(40)
@given(st.text(max_size=300), st.text(max_size=50), st.floats())
def test_any_words_make_a_report_that_comes_back(text: str, name: str, latency: float) -> None:
    session = interview(["I fixed a race condition in Python."], total=1)
    answers = [good(text=text, question=name, latency_ms=latency)]
    evaluation = evaluate("Software Engineer", answers)
    report = make_report(session, answers, evaluation, candidate=name, session_id=name)
    assert Report.from_json(report.to_json()) == report
    assert "NaN" not in json.dumps(report.to_json()) or "NaN" in text + name
    assert report.items[0].latency_ms is None or math.isfinite(report.items[0].latency_ms)
    assert "\n# " not in markdown(report)[1:]
