import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reports.charts import bars, latency, ring, speaking
from gateway.reports.page import Player, ReportSound, page
from stages.interview import AnswerSpeech, Report, evaluate, make_report
from stages.interview.answers import InterviewAnswer
from stages.interview.delivery import Delivery
from tests.support.conversation import DEMO, GOOD, WHISPER, good, interview, spoken_answer
from tests.support.examples import examples

HOSTILE = '</style><script>alert(1)</script><img src=//e onerror=x> " onload="y'

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Outline(HTMLParser):
    """The page as a browser parses it. Fails on a tag that closes no open one."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += f" {' '.join(data.split())}"


def outline(html: str) -> Outline:
    found = Outline()
    found.feed(html)
    found.close()
    assert found.open == []
    return found


def report(*answers: InterviewAnswer, **about: Any) -> Report:
    session = interview(["I fixed a race condition in Python."])
    return make_report(session, answers, evaluate("Software Engineer", answers), **about)


def test_the_page_tells_the_whole_report() -> None:
    answers = (replace(spoken_answer(), latency_ms=400), spoken_answer())
    made = report(*answers, candidate="Ada", created="2026-03-02")
    html = page(made)
    found = outline(html)
    assert "<h1" in html
    for text in (
        "Software Engineer",
        "Ada",
        "2026-03-02",
        str(made.overall),
        GOOD,
        made.feedback.next_step,
        made.items[0].feedback.strengths[0],
        "Parts found: situation, task, action, result.",
        "spoken, recognised by whisper, 90% sure",
        "150 words a minute",
        "I fixed a race condition in Python.",
        "Source: heuristic.",
        made.method,
    ):
        assert text in found.text, text
    assert html.count("<svg") == 6  # with the one of the brand


def test_a_page_that_is_served_leads_back_to_where_interviews_are_held() -> None:
    assert outline(page(report(good()), home="/")).attributes.count(("a", "href", "/")) == 1


@pytest.mark.parametrize(
    ("created", "shown"),
    [("2026-11-21T15:57:18Z", "21 November 2026, 15:57 UTC"), ("last week", "last week")],
)
def test_the_day_is_written_for_people(created: str, shown: str) -> None:
    assert shown in page(report(good(), created=created))


def test_a_german_interview_has_a_german_page() -> None:
    made = report(
        good(latency_ms=400), spoken_answer(), candidate="Ada", created="2026-03-02T09:00:00Z"
    )
    html = page(replace(made, language="de"), ReportSound("Ada", "2026-03-02"))
    found = outline(html)
    assert '<html lang="de">' in html
    for text in (
        "Interviewbericht",
        "2. März 2026, 09:00 UTC",
        "Fragen beantwortet.",
        "Quelle: heuristic.",
        "Fähigkeiten",
        "Frage 2",
        "Nächster Schritt",
        "gesprochen, erkannt von whisper, zu 90 % sicher",
        "150 Wörter je Minute",
        "Mitschrift",
        "So ist das zu lesen",
        "Die Einwilligung in die Aufnahme gesprochener Antworten wurde 2026-03-02 vermerkt: Ada.",
    ):
        assert text in found.text, text
    labels = " ".join(value for _, name, value in found.attributes if name == "aria-label")
    for text in (
        "Gesamtwertung",
        "Sprechtempo und Pausen im Verlauf: Frage 2 150 Wörter je Minute",
    ):
        assert text in labels
    english = re.findall(r"\b(Source|Skills|Transcript|typed|Overall|Session)\b", found.text)
    assert english == []


def test_the_page_needs_nothing_from_anywhere() -> None:
    html = page(report(good(latency_ms=400), spoken_answer()))
    found = outline(html)
    assert not found.tags & {"script", "img", "link", "iframe", "object", "a", "form", "base"}
    assert [a for a in found.attributes if a[1] in ("href", "src", "style", "xlink:href")] == []
    assert [a for a in found.attributes if a[1].startswith("on")] == []
    assert re.findall(r"url\(|@import|https?:", html) == []


def test_the_policy_admits_this_style_and_nothing_else() -> None:
    html = page(report(good()))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', html)
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def hostile() -> Report:
    answer = good(question=HOSTILE, text=f"I said {HOSTILE} in 2 years.")
    made = report(answer, candidate=HOSTILE, session_id=HOSTILE, created=HOSTILE, notes=[HOSTILE])
    recognised = replace(made.items[0], recognition=replace(WHISPER, provider=HOSTILE))
    told = replace(made.feedback, strengths=(HOSTILE,), next_step=HOSTILE, source=HOSTILE)
    return replace(made, role=HOSTILE, model=HOSTILE, items=(recognised,), feedback=told)


def test_hostile_words_stay_words() -> None:
    found = outline(page(hostile()))
    assert not found.tags & {"script", "img"}
    assert [a for a in found.attributes if a[1].startswith("on")] == []
    assert "<script>alert(1)</script>" in found.text


def test_no_control_character_is_on_the_page() -> None:
    words = "one\x1b[2J\u202etwo\x00\x85three"
    answer = good(question=words, text=words)
    made = replace(report(answer, candidate=words, session_id=words, notes=[words]), role=words)
    html = page(made, ReportSound(words, words))
    assert [c for c in html if c != "\n" and not c.isprintable()] == []
    assert html.count("one [2J two  three") >= 6


def test_recognition_of_demo_quality_is_marked_and_not_scored() -> None:
    html = page(report(spoken_answer(recognition=DEMO)))
    text = outline(html).text
    assert "spoken, pocketsphinx: demo quality, may not be what was said" in text
    assert "Not scored: recognised with demo quality (pocketsphinx)" in text
    assert "not scored" in text
    assert 'class="marks"' not in html


def test_an_interview_without_answers_has_a_page() -> None:
    html = page(report())
    assert "No question was answered" in outline(html).text
    assert html.count("<svg") == 2


@examples(40)
@given(st.text(max_size=200), st.floats(), st.floats())
def test_any_words_and_times_make_a_whole_page(text: str, duration: float, wait: float) -> None:
    speech = AnswerSpeech(WHISPER, spoken_answer().speech.words[:5], duration, wait)  # type: ignore[union-attr]
    html = page(report(good(text=text, question=text, speech=speech, latency_ms=wait)))
    outline(html)
    html.encode()
    assert not re.search(r'="[^"]*\b(nan|inf)\b', html)


def test_only_replies_to_speech_have_a_pace() -> None:
    heard = replace(spoken_answer(), latency_ms=640)
    html = page(report(good(latency_ms=3), heard))
    assert "0.6 s is typical here" in html
    assert re.findall(r">(\d\.\d)</text>", html) == ["0.6"]
    assert "is typical here" not in page(report(good(latency_ms=3)))


def test_a_wait_that_nobody_notices_is_no_tall_bar() -> None:
    heights = [
        float(h) for h in re.findall(r'class="wait".*?height="([\d.]+)"', latency([(1, 100)]))
    ]
    assert heights == [9.6]


def test_each_pace_has_a_place_of_its_own_on_the_scale() -> None:
    rates = (233, 248, 337)
    answers = [(i, Delivery(WHISPER, 30, 9_000, w)) for i, w in enumerate(rates, 1)]
    drawn = speaking(answers, (110, 160))
    lines = re.findall(r'class="pace"[^>]*points="[\d.]+,([\d.]+) ', drawn)
    assert len({*lines}) == 3
    assert all(6 < float(y) < 126 for y in lines), "below the upper end, which is written"
    assert re.findall(r'text-anchor="end">(\d+)</text>', drawn) == ["0", "110", "160", "350"]


@pytest.mark.parametrize(("value", "shown"), [(None, "–"), (0, "0"), (100, "100")])
def test_a_ring_shows_its_score(value: int | None, shown: str) -> None:
    assert f">{shown}</text>" in ring(value)
    outline(ring(value))


def test_charts_without_numbers_are_left_out() -> None:
    assert latency([]) == ""
    assert speaking([], (110, 170)) == ""
    assert speaking([(1, Delivery(WHISPER, 0, duration_ms=1_000))], (110, 170)) == ""
    outline(bars("Skills", [("Content", None), ("Detail", 0)]))


def test_a_pace_without_word_times_is_a_level_line() -> None:
    chart = speaking(
        [(1, Delivery(WHISPER, 10, duration_ms=5_000, words_per_minute=120))], (110, 170)
    )
    (points,) = re.findall(r'points="([^"]+)"', chart)
    assert len({point.split(",")[1] for point in points.split()}) == 1
    assert 'aria-label="Speaking rate and pauses over time: question 1 120 words' in chart


def test_bars_are_as_long_as_their_scores() -> None:
    chart = bars("Skills", [("A", 50), ("B", 100)])
    fifty, hundred = re.findall(r'class="(?:fair|good)"[^>]* width="([0-9.]+)"', chart)
    assert float(hundred) == 2 * float(fifty)


def test_recorded_answers_are_played_where_they_were_given() -> None:
    players = {
        1: [Player("data:audio/flac;base64,AAAA", 61_000)],
        2: [
            Player("data:audio/flac;base64,BBBB", 3_000),
            Player('http://h/1?"<', 4_000, embedded=False),
        ],
    }
    html = page(report(good(), spoken_answer()), ReportSound(HOSTILE, "2026-03-02", None, players))
    found = outline(html)
    sources = [value for tag, name, value in found.attributes if (tag, name) == ("audio", "src")]
    assert sources == ["data:audio/flac;base64,AAAA", "data:audio/flac;base64,BBBB"]
    labels = [
        value for tag, name, value in found.attributes if (tag, name) == ("audio", "aria-label")
    ]
    assert labels[0] == "Your answer to question 1, as it was spoken, 1 min 1 s"
    assert ("a", "href", 'http://h/1?"<') in found.attributes
    assert "Your answer to question 2, part 2, as it was spoken (4 s)" in found.text
    assert "script" not in found.tags
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', html)
    assert "media-src data:;" in policy


def test_withdrawn_consent_is_shown() -> None:
    html = page(report(good()), ReportSound("Ada", "2026-03-02", "2026-03-03"))
    assert "noted 2026-03-02 (Ada) and taken back 2026-03-03" in outline(html).text
    assert "media-src" not in html
