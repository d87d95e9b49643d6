"""A report as Markdown (CommonMark with tables). Pure.

People's words are escaped: they can be no heading, link, image, table or HTML.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from stages.interview.delivery import Delivery
from stages.interview.feedback import Feedback
from stages.interview.feedback_lines import feedback_lines
from stages.interview.report import Item, Report
from stages.interview.report_words import Words, report_words

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
    words = report_words(report.language)
    labels = feedback_lines(report.language).labels
    yield f"# {words('Interview report: {0}', plain(report.role))}"
    yield ""
    about = [
        words("for {0}", plain(report.candidate)) if report.candidate else "",
        plain(report.created or ""),
        words("session {0}", plain(report.session_id)) if report.session_id else "",
    ]
    if any(about):
        yield ", ".join(part for part in about if part)
        yield ""
    score = words("Not scored")
    if report.overall is not None:
        score = words("{0} of 100", report.overall)
    yield f"**{score}.** {plain(report.feedback.headline)}. {summary_line(report)}"
    yield ""
    if report.skills:
        rows = [
            (labels[s.criterion], "–" if s.value is None else str(s.value), s.reason, s.source)
            for s in report.skills
        ]
        yield from _table(map(words, ("Skill", "Score", "Of what", "Source")), rows)
    yield from _feedback(report.feedback, words)
    for item in report.items:
        yield from _item(item, labels, words)
    yield f"## {words('Transcript')}"
    yield ""
    for line in report.transcript:
        who = "Parley" if line.speaker == "interviewer" else words("Candidate")
        how = ""
        if line.recognition is not None:
            by = heard_by(line.recognition.provider, line.recognition.quality, words)
            how = f" *({plain(by)})*"
        cut = f" *({words('interrupted here')})*" if line.interrupted else ""
        yield f"**{who}:** {plain(line.text)}{cut}{how}"
        yield ""
    yield f"## {words('How to read this')}"
    yield ""
    for note in (report.method, *report.notes):
        yield plain(note)
        yield ""


def summary_line(report: Report) -> str:
    """How far the interview went, in a sentence."""
    words = report_words(report.language)
    answered = words("{0} of {1} questions answered", report.answered, report.questions)
    if report.scored == report.answered:
        return f"{answered}."
    return words("{0}, {1} of them scored.", answered, report.scored)


def heard_by(provider: str, quality: str, words: Words) -> str:
    """The recogniser of some words, as a phrase."""
    by = words("recognised by {0}", provider)
    return words("{0}, demo quality: may not be what was said", by) if quality == "demo" else by


def delivery_facts(delivery: Delivery, words: Words) -> tuple[tuple[str, str], ...]:
    """The known facts of a delivery: names and values."""
    facts = []
    if delivery.words_per_minute is not None:
        facts.append(("Pace", words("{0} words a minute", delivery.words_per_minute)))
    if delivery.time_to_first_word_ms is not None:
        facts.append(("First word after", _seconds(delivery.time_to_first_word_ms)))
    if delivery.pause_count is not None:
        longest = delivery.pause_longest_ms or 0
        told = words("{0}, the longest {1}", delivery.pause_count, _seconds(longest))
        facts.append(("Pauses", told if delivery.pause_count else words("none over half a second")))
    if delivery.fillers is not None:
        count = sum(filler.count for filler in delivery.fillers)
        names = ", ".join(f"“{filler.text}”" for filler in delivery.fillers[:3])
        facts.append(("Fillers", f"{count} ({names})" if count else words("none heard")))
    if delivery.talk_ratio is not None:
        facts.append(("Time spent talking", f"{delivery.talk_ratio:.0%}"))
    return tuple((words(name), value) for name, value in facts)


def _item(item: Item, labels: Mapping[str, str], words: Words) -> Iterable[str]:
    yield f"## {item.number}. {plain(item.question)}"
    yield ""
    nothing = f"({words('no words')})"
    yield f"> {plain(item.answer) or nothing}"
    yield ""
    if item.recognition is not None:
        by = heard_by(item.recognition.provider, item.recognition.quality, words)
        yield f"*{plain(by)}*"
        yield ""
    found = item.evaluation
    if found.unscored is not None:
        yield f"*{plain(found.unscored)}*"
        yield ""
    else:
        yield f"**{words('{0} of 100', found.overall)}** ({plain(found.source)})"
        yield ""
        rows = [
            (labels[s.criterion], "–" if s.value is None else str(s.value), s.reason, s.source)
            for s in found.scores
        ]
        yield from _table(map(words, ("Criterion", "Score", "Why", "Source")), rows)
    if found.delivery is not None and (facts := delivery_facts(found.delivery, words)):
        told = plain("; ".join(f"{name}: {value}" for name, value in facts))
        yield f"{words('Delivery')}: {told}."
        yield ""
    yield from _feedback(item.feedback, words)


def _feedback(feedback: Feedback, words: Words) -> Iterable[str]:
    for name, lines in (
        ("What went well", feedback.strengths),
        ("What to work on", feedback.improvements),
        ("Next step", (feedback.next_step,) if feedback.next_step else ()),
    ):
        if lines:
            yield f"**{words(name)}**"
            yield ""
            yield from (f"- {plain(line)}" for line in lines)
            yield ""


def _table(names: Iterable[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    heads = [*names]
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(map(plain, row))} |"
    yield ""


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s"
