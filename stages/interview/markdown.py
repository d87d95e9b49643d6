"""A report as Markdown (CommonMark with tables). Pure.

People's words are escaped: they can be no heading, link, image, table or HTML.
"""

import re
from collections.abc import Iterable, Sequence

from stages.interview.delivery import Delivery
from stages.interview.feedback import LABELS, Feedback
from stages.interview.report import Item, Report

_MARKUP = re.compile(r"([\\`*_\[\]<>&~|$@])")
_AT_START = re.compile(r"^([#+\-=:])|^(\d{1,9})([.)])")
_LINKS = re.compile(r"(:)(?=//)|(?<=www)(\.)", re.IGNORECASE)


def plain(text: str) -> str:
    """Text as one line of Markdown in which nothing is markup."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    line = _MARKUP.sub(r"\\\1", line)
    line = _LINKS.sub(lambda m: f"\\{m[0]}", line)
    return _AT_START.sub(lambda m: f"\\{m[1]}" if m[1] else f"{m[2]}\\{m[3]}", line)


def markdown(report: Report) -> str:
    """The report."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterable[str]:
    yield f"# Interview report: {plain(report.role)}"
    yield ""
    about = [
        f"for {plain(report.candidate)}" if report.candidate else "",
        plain(report.created or ""),
        f"session {plain(report.session_id)}" if report.session_id else "",
    ]
    if any(about):
        yield ", ".join(part for part in about if part)
        yield ""
    score = "Not scored" if report.overall is None else f"{report.overall} of 100"
    yield f"**{score}.** {plain(report.feedback.headline)}. {summary_line(report)}"
    yield ""
    if report.skills:
        rows = [
            (LABELS[s.criterion], "–" if s.value is None else str(s.value), s.reason, s.source)
            for s in report.skills
        ]
        yield from _table(("Skill", "Score", "Of what", "Source"), rows)
    yield from _feedback(report.feedback)
    for item in report.items:
        yield from _item(item)
    yield "## Transcript"
    yield ""
    for line in report.transcript:
        who = "Interviewer" if line.speaker == "interviewer" else "Candidate"
        how = ""
        if line.recognition is not None:
            how = f" *({plain(heard_by(line.recognition.provider, line.recognition.quality))})*"
        cut = " *(interrupted here)*" if line.interrupted else ""
        yield f"**{who}:** {plain(line.text)}{cut}{how}"
        yield ""
    yield "## How to read this"
    yield ""
    for note in (report.method, *report.notes):
        yield plain(note)
        yield ""


def summary_line(report: Report) -> str:
    """How far the interview went, in a sentence."""
    answered = f"{report.answered} of {report.questions} questions answered"
    if report.scored == report.answered:
        return f"{answered}."
    return f"{answered}, {report.scored} of them scored."


def heard_by(provider: str, quality: str) -> str:
    """The recogniser of some words, as a phrase."""
    demo = ", demo quality: may not be what was said" if quality == "demo" else ""
    return f"recognised by {provider}{demo}"


def delivery_facts(delivery: Delivery) -> tuple[tuple[str, str], ...]:
    """The known facts of a delivery: names and values."""
    facts = []
    if delivery.words_per_minute is not None:
        facts.append(("Pace", f"{delivery.words_per_minute} words a minute"))
    if delivery.time_to_first_word_ms is not None:
        facts.append(("First word after", _seconds(delivery.time_to_first_word_ms)))
    if delivery.pause_count is not None:
        longest = delivery.pause_longest_ms or 0
        told = f"{delivery.pause_count}, the longest {_seconds(longest)}"
        facts.append(("Pauses", told if delivery.pause_count else "none over half a second"))
    if delivery.fillers is not None:
        count = sum(filler.count for filler in delivery.fillers)
        names = ", ".join(f"“{filler.text}”" for filler in delivery.fillers[:3])
        facts.append(("Fillers", f"{count} ({names})" if count else "none heard"))
    if delivery.talk_ratio is not None:
        facts.append(("Time spent talking", f"{delivery.talk_ratio:.0%}"))
    return tuple(facts)


def _item(item: Item) -> Iterable[str]:
    yield f"## {item.number}. {plain(item.question)}"
    yield ""
    yield f"> {plain(item.answer) or '(no words)'}"
    yield ""
    if item.recognition is not None:
        yield f"*{plain(heard_by(item.recognition.provider, item.recognition.quality))}*"
        yield ""
    found = item.evaluation
    if found.unscored is not None:
        yield f"*{plain(found.unscored)}*"
        yield ""
    else:
        yield f"**{found.overall} of 100** ({plain(found.source)})"
        yield ""
        rows = [
            (LABELS[s.criterion], "–" if s.value is None else str(s.value), s.reason, s.source)
            for s in found.scores
        ]
        yield from _table(("Criterion", "Score", "Why", "Source"), rows)
    if found.delivery is not None and (facts := delivery_facts(found.delivery)):
        yield f"Delivery: {plain('; '.join(f'{name}: {value}' for name, value in facts))}."
        yield ""
    yield from _feedback(item.feedback)


def _feedback(feedback: Feedback) -> Iterable[str]:
    for name, lines in (
        ("What went well", feedback.strengths),
        ("What to work on", feedback.improvements),
        ("Next step", (feedback.next_step,) if feedback.next_step else ()),
    ):
        if lines:
            yield f"**{name}**"
            yield ""
            yield from (f"- {plain(line)}" for line in lines)
            yield ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(map(plain, row))} |"
    yield ""


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s"
