"""An interview's report as one HTML page for the candidate. Pure.

It needs nothing else: no script, no network, no other file; recordings are inside it as far as it
is given them. What was said is text to it and never markup, and a content security policy admits
this style by its hash, sound that is inside, and nothing from anywhere.
"""

import base64
import hashlib
import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median

from gateway.printable import printable
from gateway.reports.charts import bars, latency, ring, speaking, tone
from stages.interview.answers import RecognitionSource
from stages.interview.feedback import LABELS, Feedback
from stages.interview.markdown import delivery_facts, summary_line
from stages.interview.report import Item, Report, ReportLine


@dataclass(frozen=True, slots=True)
class Player:
    """A recorded answer: a data: URI where it is `embedded`, else where it can be fetched."""

    source: str
    duration_ms: int
    embedded: bool = True


@dataclass(frozen=True, slots=True)
class ReportSound:
    """Who consented to recording and when, when that was taken back, and what can be played.

    `players` are by the number of the report's question.
    """

    by: str
    at: str
    withdrawn: str | None = None
    players: Mapping[int, Sequence[Player]] = field(default_factory=dict)


def page(report: Report, sound: ReportSound | None = None) -> str:
    """The page, with what `sound` has embedded."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    players = {} if sound is None else sound.players
    media = "media-src data:; " if players else ""
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; {media}"
        "base-uri 'none'; form-action 'none'"
    )
    title = f"Interview report: {report.role}"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{_text(title)}</title><style>{STYLE}</style></head><body>",
            *_head(report),
            "<main>",
            *_overview(report),
            *_charts(report),
            *(part for item in report.items for part in _item(item, players.get(item.number, ()))),
            *_transcript(report.transcript),
            *_reading(report, sound),
            "</main>",
            "</body></html>",
            "",
        ]
    )


def _day(created: str) -> str:
    """A moment as people write it, "21 November 2026, 15:57 UTC"; what is none stays as it is."""
    try:
        moment = datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return created
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _head(report: Report) -> Iterable[str]:
    yield '<header><p class="kicker">Interview report</p>'
    yield f'<h1 dir="auto">{_text(report.role)}</h1>'
    about = [
        f'<span dir="auto">{_text(part)}</span>'
        for part in (
            report.candidate or "",
            _day(report.created or ""),
            f"Session {report.session_id}" if report.session_id else "",
        )
        if part
    ]
    if about:
        yield f'<p class="about">{" · ".join(about)}</p>'
    yield "</header>"


def _overview(report: Report) -> Iterable[str]:
    told = report.feedback
    yield '<section class="card hero" aria-label="Overall">'
    yield f'<div class="score">{ring(report.overall)}</div><div class="told">'
    yield f"<h2>{_text(told.headline)}</h2>"
    yield f'<p class="soft">{_text(summary_line(report))} {_source(told.source)}</p>'
    yield from _lists(told)
    yield "</div></section>"


def _charts(report: Report) -> Iterable[str]:
    deliveries = [
        (item.number, item.evaluation.delivery)
        for item in report.items
        if item.evaluation.delivery is not None
    ]
    waits = [(item.number, item.latency_ms) for item in report.items if item.latency_ms is not None]
    yield '<div class="grid2">'
    if report.skills:
        rows = [(LABELS[skill.criterion], skill.value) for skill in report.skills]
        sources = _source(report.source)
        yield from _figure("Skills", bars("Skills", rows), f"Means over scored answers. {sources}")
    if report.items:
        scores = [(f"Question {item.number}", item.evaluation.overall) for item in report.items]
        caption = "– stands for an answer that was not scored."
        if all(value is not None for _, value in scores):
            caption = "Each answer’s score, of 100."
        yield from _figure("Questions", bars("Questions", scores), caption)
    if chart := speaking(deliveries):
        seconds = round(sum(d.duration_ms or 0 for _, d in deliveries) / 1000)
        caption = (
            f"{_lasting(seconds)} of answers. "
            '<span class="key pace-key"></span>words a minute, easy to follow inside the band; '
            '<span class="key pause-key"></span>pauses over half a second, the taller the longer'
        )
        yield from _figure("How you spoke", chart, caption)
    if waits:
        typical = median(value for _, value in waits) / 1000
        caption = f"Seconds until the interviewer replied; {typical:.1f} s is typical here."
        yield from _figure("The conversation’s pace", latency(waits), caption)
    yield "</div>"


def _figure(title: str, chart: str, caption: str) -> Iterable[str]:
    """`caption` is markup."""
    yield f'<section class="card"><h2>{_text(title)}</h2><figure>{chart}'
    yield f"<figcaption>{caption}</figcaption></figure></section>"


def _item(item: Item, players: Sequence[Player]) -> Iterable[str]:
    found = item.evaluation
    yield '<article class="card">'
    kind = "Follow-up" if item.follow_up else item.topic
    about = f" · {_text(kind)}" if kind else ""
    yield f'<p class="kicker">Question {item.number}{about}</p>'
    score = "not scored" if found.overall is None else f"{found.overall}<small>/100</small>"
    yield (
        f'<div class="ask"><h2 dir="auto">{_text(item.question)}</h2>'
        f'<p class="badge {tone(found.overall)}">{score}</p></div>'
    )
    yield f'<blockquote dir="auto">{_text(item.answer) or "<i>no words</i>"}</blockquote>'
    for at, player in enumerate(players, start=1):
        yield _player(player, f"Your answer to question {item.number}", at if at > 1 else 0)
    yield f'<p class="chips">{_how(item.recognition)}'
    if found.delivery is not None:
        yield from (
            f'<span class="chip"><b>{_text(name)}</b> {_text(value)}</span>'
            for name, value in delivery_facts(found.delivery)
        )
    yield "</p>"
    if found.unscored is not None:
        yield f'<p class="notice">{_text(found.unscored)}</p>'
    else:
        yield '<table class="marks"><tbody>'
        for mark in found.scores:
            shown = "–" if mark.value is None else str(mark.value)
            yield (
                f'<tr><th scope="row">{LABELS[mark.criterion]}</th>'
                f'<td class="number"><span class="pip {tone(mark.value)}"></span>{shown}</td>'
                f'<td dir="auto">{_text(mark.reason)}</td></tr>'
            )
        yield f'</tbody></table><p class="from">{_source(found.source)}</p>'
    yield from _lists(item.feedback)
    if item.feedback.source != found.source:
        yield f'<p class="from">Feedback: {_source(item.feedback.source)}</p>'
    yield "</article>"


def _player(player: Player, what: str, part: int) -> str:
    name = f"{what}, part {part}" if part else what
    lasts = _lasting(round(player.duration_ms / 1000))
    if not player.embedded:
        return (
            f'<p class="play"><a href="{_text(player.source)}">{_text(name)}, as it was spoken '
            f"({lasts})</a></p>"
        )
    return (
        f'<p class="play"><audio controls preload="metadata" src="{player.source}" '
        f'aria-label="{_text(name)}, as it was spoken, {lasts}"></audio></p>'
    )


def _lists(told: Feedback) -> Iterable[str]:
    columns = [
        (name, kind, lines)
        for name, kind, lines in (
            ("What went well", "plus", told.strengths),
            ("What to work on", "work", told.improvements),
        )
        if lines
    ]
    if columns:
        yield '<div class="lists">'
        for name, kind, lines in columns:
            points = "".join(f'<li dir="auto">{_text(line)}</li>' for line in lines)
            yield f'<div><h3>{name}</h3><ul class="{kind}">{points}</ul></div>'
        yield "</div>"
    if told.next_step:
        yield f'<p class="next" dir="auto"><b>Next step</b> {_text(told.next_step)}</p>'


def _transcript(lines: Sequence[ReportLine]) -> Iterable[str]:
    if not lines:
        return
    yield '<section class="card transcript"><h2>Transcript</h2>'
    yield '<p class="soft">The conversation as it was heard.</p><div class="talk">'
    for line in lines:
        who = "Interviewer" if line.speaker == "interviewer" else "You"
        notes = [] if line.recognition is None else [_how(line.recognition)]
        if line.interrupted:
            notes.append('<span class="chip">interrupted here</span>')
        yield (
            f'<div class="line {line.speaker}"><p class="who">{who}</p>'
            f'<p dir="auto">{_text(line.text)}</p>{"".join(notes)}</div>'
        )
    yield "</div></section>"


def _reading(report: Report, sound: ReportSound | None) -> Iterable[str]:
    yield '<section class="card reading"><h2>How to read this</h2>'
    notes = [report.method, *report.notes]
    if sound is not None:
        notes.append(recording_note(sound))
    yield from (f"<p>{_text(note)}</p>" for note in notes)
    yield "</section>"


def recording_note(sound: ReportSound) -> str:
    """That there was consent to recording, in a sentence."""
    if sound.withdrawn is None:
        return f"Consent to recording spoken answers was noted {sound.at}: {sound.by}."
    return (
        f"Consent to recording spoken answers was noted {sound.at} ({sound.by}) and taken back "
        f"{sound.withdrawn}: the recordings were erased."
    )


def _how(recognition: RecognitionSource | None) -> str:
    """How an answer reached us, as a chip."""
    if recognition is None:
        return '<span class="chip">typed</span>'
    if recognition.quality == "demo":
        return (
            f'<span class="chip warn">spoken, {_text(recognition.provider)}: demo quality, may '
            "not be what was said</span>"
        )
    sure = "" if recognition.confidence is None else f", {recognition.confidence:.0%} sure"
    return f'<span class="chip">spoken, recognised by {_text(recognition.provider)}{sure}</span>'


def _lasting(seconds: int) -> str:
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min {seconds % 60} s"


def _source(source: str) -> str:
    return f'<span class="source">Source: {_text(source)}.</span>'


def _text(text: str) -> str:
    return html.escape(printable(text))


STYLE = """
:root { color-scheme: light dark; --paper: #f3f5f8; --card: #fff; --ink: #1d2530; --soft: #5c6876;
  --rule: #dfe4ea; --track: #e8ecf1; --accent: #2f5fd0; --tint: #eaf0fd; --good: #1f8a57;
  --fair: #b7791f; --low: #c2504a; --band: #1f8a5722; --pause: #8b98a8; --warn: #fdf1dc;
  --warn-ink: #7a4f0b; --shadow: 0 1px 2px #1d25300f, 0 6px 24px #1d25300d; }
@media (prefers-color-scheme: dark) { :root { --paper: #12161b; --card: #1b2027; --ink: #e6eaef;
  --soft: #9ba6b3; --rule: #2e3640; --track: #2b323b; --accent: #86aaf7; --tint: #222c40;
  --good: #4dc48c; --fair: #e0ac55; --low: #ec837d; --band: #4dc48c22; --pause: #6d7986;
  --warn: #3a2f1a; --warn-ink: #f2cf90; --shadow: none; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
header, main { max-width: 60rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.5rem; padding-bottom: 1.25rem; }
main { padding-bottom: 3rem; }
h1 { font-size: 2.1rem; line-height: 1.15; letter-spacing: -.02em; margin: .1rem 0 .35rem; }
h2 { font-size: 1.15rem; line-height: 1.35; margin: 0 0 .5rem; }
h3 { font-size: .8rem; margin: 0 0 .35rem; color: var(--soft); font-weight: 600; }
p { margin: 0 0 .75rem; }
.kicker { margin: 0 0 .25rem; color: var(--accent); font-size: .8rem; font-weight: 650;
  letter-spacing: .02em; }
.about, .soft, figcaption, .from { color: var(--soft); }
.about { margin: 0; }
.source { font-size: .8rem; }
.from { margin: .35rem 0 1rem; }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 14px;
  padding: 1.35rem 1.5rem; margin: 0 0 1.1rem; box-shadow: var(--shadow); }
.hero { display: flex; gap: 1.75rem; align-items: flex-start; }
.hero h2 { font-size: 1.5rem; margin: .3rem 0 .25rem; letter-spacing: -.01em; }
.score { flex: none; width: 9.5rem; }
.told { flex: 1; min-width: 0; }
.grid2 { display: grid; grid-template-columns: 1fr 1fr; gap: 1.1rem; margin-bottom: 1.1rem; }
.grid2 .card { margin: 0; }
figure { margin: 0; } figcaption { font-size: .82rem; margin-top: .6rem; }
svg { display: block; width: 100%; max-width: 33rem; height: auto; }
svg text { font-size: 12px; fill: var(--ink); }
svg .soft { fill: var(--soft); font-size: 11px; }
svg .big { font-size: 38px; font-weight: 700; letter-spacing: -.03em; }
svg .value { font-weight: 600; font-size: 12px; }
.track { fill: var(--track); } .ring .track { fill: none; stroke: var(--track); }
svg .good { fill: var(--good); } svg .fair { fill: var(--fair); } svg .low { fill: var(--low); }
.ring .good { fill: none; stroke: var(--good); } .ring .fair { fill: none; stroke: var(--fair); }
.ring .low { fill: none; stroke: var(--low); }
.band { fill: var(--band); } .grid { stroke: var(--rule); }
.pace { stroke: var(--accent); stroke-width: 2; fill: none; } .dot { fill: var(--accent); }
.pause { fill: var(--pause); } .wait { fill: var(--accent); opacity: .8; }
.key { display: inline-block; width: .8rem; height: .5rem; border-radius: 2px;
  margin: 0 .35rem 0 .15rem; }
.pace-key { background: var(--accent); } .pause-key { background: var(--pause); }
.ask { display: flex; gap: 1rem; justify-content: space-between; align-items: flex-start; }
.ask h2 { margin: 0 0 .75rem; }
.badge { flex: none; margin: 0; padding: .1rem .7rem; border-radius: 99px; font-weight: 700;
  border: 1.5px solid var(--rule); color: var(--soft); }
.badge small { font-weight: 500; opacity: .75; }
.badge.good { color: var(--good); border-color: var(--good); }
.badge.fair { color: var(--fair); border-color: var(--fair); }
.badge.low { color: var(--low); border-color: var(--low); }
.badge.none { font-weight: 500; font-size: .85rem; }
blockquote { margin: 0 0 .75rem; padding: .1rem 0 .1rem 1rem; border-left: 3px solid var(--rule); }
.play { margin: 0 0 .75rem; } .play audio { display: block; width: 100%; max-width: 30rem; }
.play a { color: var(--accent); }
.chips { display: flex; flex-wrap: wrap; gap: .4rem; }
.chip { display: inline-block; font-size: .78rem; line-height: 1.35; color: var(--soft);
  background: var(--track); border-radius: 7px; padding: .18rem .55rem; }
.chip b { font-weight: 600; color: var(--ink); }
.warn, .notice { background: var(--warn); color: var(--warn-ink); }
.notice { border-radius: 9px; padding: .6rem .9rem; }
.marks { border-collapse: collapse; width: 100%; font-size: .9rem; }
.marks th { text-align: left; font-weight: 600; width: 6.5rem;
  overflow-wrap: normal; }
.marks th, .marks td { padding: .35rem .75rem .35rem 0; border-top: 1px solid var(--rule);
  vertical-align: top; }
.number { width: 4rem; font-variant-numeric: tabular-nums; font-weight: 600; white-space: nowrap; }
.pip { display: inline-block; width: .6rem; height: .6rem; border-radius: 50%; margin-right: .45rem;
  background: var(--rule); }
.pip.good { background: var(--good); } .pip.fair { background: var(--fair); }
.pip.low { background: var(--low); }
.lists { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr));
  gap: .75rem 1.75rem; margin: .5rem 0 .75rem; }
ul { margin: 0; padding: 0; list-style: none; }
li { position: relative; padding-left: 1.4rem; margin-bottom: .35rem; }
li::before { position: absolute; left: 0; font-weight: 700; }
.plus li::before { content: "+"; color: var(--good); }
.work li::before { content: "→"; color: var(--fair); }
.next { background: var(--tint); border-radius: 9px; padding: .7rem .95rem; margin: 0; }
.next b { color: var(--accent); margin-right: .4rem; }
.talk { display: flex; flex-direction: column; gap: .7rem; }
.line { max-width: 88%; padding: .6rem .9rem; border-radius: 12px; background: var(--track); }
.line p { margin: 0; } .line .chip { margin: .4rem .4rem 0 0; background: var(--card); }
.line .chip.warn { background: var(--warn); }
.line.candidate { align-self: flex-end; background: var(--tint); }
.who { font-size: .75rem; font-weight: 650; color: var(--soft); }
.reading p { font-size: .9rem; color: var(--soft); } .reading p:last-child { margin: 0; }
@media (max-width: 42rem) {
  header { padding-top: 1.5rem; } h1 { font-size: 1.7rem; }
  header, main { padding-left: .9rem; padding-right: .9rem; }
  .card { padding: 1.1rem 1.05rem; } .grid2 { grid-template-columns: 1fr; }
  .hero { flex-direction: column; align-items: stretch; gap: .75rem; }
  .score { width: 8.5rem; margin: 0 auto; } .hero h2 { font-size: 1.3rem; }
  .marks th { width: 5.6rem; } .marks th, .marks td { padding-right: .5rem; }
  .number { width: 3.5rem; } .line { max-width: 95%; }
}
@media print {
  :root { color-scheme: light; --paper: #fff; --card: #fff; --ink: #000; --soft: #444;
    --rule: #c9c9c9; --track: #e9e9e9; --accent: #2f5fd0; --tint: #f2f5fc; --good: #1f8a57;
    --fair: #9a6413; --low: #b23f39; --band: #1f8a5722; --pause: #8b98a8; --warn: #fff;
    --warn-ink: #000; --shadow: none; }
  @page { margin: 14mm; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  :root { font-size: 11.5px; } header { padding-top: 0; padding-bottom: .75rem; }
  header, main { max-width: none; padding-left: 0; padding-right: 0; }
  .card { border-radius: 8px; padding: 1rem 1.2rem; margin-bottom: .9rem; }
  .grid2 { gap: .9rem; margin-bottom: .9rem; }
  .card, .line, .marks tr, .next, li { break-inside: avoid; }
  .transcript { break-inside: auto; }
  h2, h3, .kicker, .who { break-after: avoid; }
  .notice { border: 1px solid var(--rule); }
  .play { display: none; }
}
"""
