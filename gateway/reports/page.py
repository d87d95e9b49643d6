"""An interview's report as one HTML page for the candidate.

The page is complete: it needs no script, no network and no other file, and contains the recordings
that it is given. Spoken and typed words are text in it, never markup, and its content security
policy allows only this style, by its hash, and embedded sound. The layout is in `templates/`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from statistics import median
from typing import Any

from gateway.reports.charts import TEMPLATES, bars, latency, ring, speaking
from gateway.templates import content_hash
from stages.interview.cue_lists import CUES
from stages.interview.feedback_lines import feedback_lines
from stages.interview.markdown import delivery_facts, summary_line
from stages.interview.report import Report
from stages.interview.report_words import Words, report_words


@dataclass(frozen=True, slots=True)
class Player:
    """A recorded answer: its source is a data: URI if it is `embedded`, else the address."""

    source: str
    duration_ms: int
    embedded: bool = True


@dataclass(frozen=True, slots=True)
class ReportSound:
    """The consent to recording: by whom, when, and when it was withdrawn; and the recordings.

    `players` are by the number of the report's question.
    """

    by: str
    at: str
    withdrawn: str | None = None
    players: Mapping[int, Sequence[Player]] = field(default_factory=dict)


STYLE = TEMPLATES.file("report.css")


def page(report: Report, sound: ReportSound | None = None, *, home: str | None = None) -> str:
    """The page, with the recordings of `sound`, and a link to `home`, where interviews are held."""
    words = report_words(report.language)
    players = {} if sound is None else sound.players
    about = (
        report.candidate or "",
        _day(report.created or "", words),
        words("Session {0}", report.session_id) if report.session_id else "",
    )
    notes = [report.method, *report.notes]
    if sound is not None:
        notes.append(recording_note(sound, words))
    return TEMPLATES.render(
        "report.html",
        words=words,
        style=STYLE,
        style_hash=content_hash(STYLE),
        report=report,
        home=home,
        about=[part for part in about if part],
        summary=summary_line(report),
        players=players,
        notes=notes,
        labels=feedback_lines(report.language).labels,
        facts=partial(delivery_facts, words=words),
        ring=partial(ring, words=words),
        duration=_duration,
        **_charts(report, words),
    )


def _charts(report: Report, words: Words) -> dict[str, Any]:
    """The charts and the numbers in their captions; "" for a chart without data."""
    labels = feedback_lines(report.language).labels
    skills = [(labels[skill.criterion], skill.value) for skill in report.skills]
    scores = [
        (words("Question {0}", item.number), item.evaluation.overall) for item in report.items
    ]
    deliveries = [
        (item.number, item.evaluation.delivery)
        for item in report.items
        if item.evaluation.delivery is not None
    ]
    # Replies to typed answers begin at once: only after speech is there an end to be found.
    waits = [
        (item.number, item.latency_ms)
        for item in report.items
        if item.latency_ms is not None and item.recognition is not None
    ]
    return {
        "skills": bars(words("Skills"), skills, words) if skills else "",
        "questions": bars(words("Questions"), scores, words) if scores else "",
        "all_scored": all(value is not None for _, value in scores),
        "speaking": speaking(deliveries, CUES[report.language].comfortable_wpm, words),
        "spoken_ms": sum(delivery.duration_ms or 0 for _, delivery in deliveries),
        "waits": latency(waits, words),
        "typical_wait_s": median(value for _, value in waits) / 1000 if waits else 0.0,
    }


def _day(created: str, words: Words) -> str:
    """A time for people, "21 November 2026, 15:57 UTC"; other text is returned unchanged."""
    try:
        moment = datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return created
    month = words(f"{moment:%B}")
    return words("{0} {1} {2} UTC", moment.day, month, f"{moment:%Y, %H:%M}")


def recording_note(sound: ReportSound, words: Words) -> str:
    """A sentence about the consent to recording."""
    if sound.withdrawn is None:
        noted = "Consent to recording spoken answers was noted {0}: {1}."
        return words(noted, sound.at, sound.by)
    return words(
        "Consent to recording spoken answers was noted {0} ({1}) and taken back {2}: the "
        "recordings were erased.",
        sound.at,
        sound.by,
        sound.withdrawn,
    )


def _duration(milliseconds: int) -> str:
    seconds = round(milliseconds / 1000)
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min {seconds % 60} s"
