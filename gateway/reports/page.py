"""An interview's report as one HTML page for the candidate.

The page is complete: it needs no script, no network and no other file, and contains the recordings
that it is given. Spoken and typed words are text in it, never markup, and its content security
policy allows only this style, by its hash, and embedded sound. The layout is in `templates/`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any

from gateway.reports.charts import TEMPLATES, bars, latency, ring, speaking
from gateway.templates import content_hash
from stages.interview.cue_lists import CUES
from stages.interview.feedback import LABELS
from stages.interview.markdown import delivery_facts, summary_line
from stages.interview.report import Report


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


def page(report: Report, sound: ReportSound | None = None) -> str:
    """The page, with the recordings of `sound`."""
    players = {} if sound is None else sound.players
    about = (
        report.candidate or "",
        _day(report.created or ""),
        f"Session {report.session_id}" if report.session_id else "",
    )
    notes = [report.method, *report.notes]
    if sound is not None:
        notes.append(recording_note(sound))
    return TEMPLATES.render(
        "report.html",
        style=STYLE,
        style_hash=content_hash(STYLE),
        report=report,
        about=[part for part in about if part],
        summary=summary_line(report),
        players=players,
        notes=notes,
        labels=LABELS,
        facts=delivery_facts,
        ring=ring,
        duration=_duration,
        **_charts(report),
    )


def _charts(report: Report) -> dict[str, Any]:
    """The charts and the numbers in their captions; "" for a chart without data."""
    skills = [(LABELS[skill.criterion], skill.value) for skill in report.skills]
    scores = [(f"Question {item.number}", item.evaluation.overall) for item in report.items]
    deliveries = [
        (item.number, item.evaluation.delivery)
        for item in report.items
        if item.evaluation.delivery is not None
    ]
    waits = [(item.number, item.latency_ms) for item in report.items if item.latency_ms is not None]
    return {
        "skills": bars("Skills", skills) if skills else "",
        "questions": bars("Questions", scores) if scores else "",
        "all_scored": all(value is not None for _, value in scores),
        "speaking": speaking(deliveries, CUES[report.language].comfortable_wpm),
        "spoken_ms": sum(delivery.duration_ms or 0 for _, delivery in deliveries),
        "waits": latency(waits),
        "typical_wait_s": median(value for _, value in waits) / 1000 if waits else 0.0,
    }


def _day(created: str) -> str:
    """A time for people, "21 November 2026, 15:57 UTC"; other text is returned unchanged."""
    try:
        moment = datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return created
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def recording_note(sound: ReportSound) -> str:
    """A sentence about the consent to recording."""
    if sound.withdrawn is None:
        return f"Consent to recording spoken answers was noted {sound.at}: {sound.by}."
    return (
        f"Consent to recording spoken answers was noted {sound.at} ({sound.by}) and taken back "
        f"{sound.withdrawn}: the recordings were erased."
    )


def _duration(milliseconds: int) -> str:
    seconds = round(milliseconds / 1000)
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min {seconds % 60} s"
