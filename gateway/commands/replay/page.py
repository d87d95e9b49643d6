"""A session's timeline as one HTML page. It needs no network, and no other file but the person's
audio, if that was kept.

The recording is data to the page, never markup: text is escaped, the lanes are JSON without any
`<`, the script writes only text nodes, and a content security policy admits only this script and
this style, by their hashes, and media of the page's own place. The layout is in `templates/`.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from markupsafe import Markup

from gateway.commands.replay.timeline import JournalTimeline, describe
from gateway.templates import Templates, content_hash
from pipeline.replay import Replayed

DIFFERENCES = 20
EVENTS = 2_000
"""At most this many differences and events are listed; the lanes show all."""

TEMPLATES = Templates(Path(__file__).parent / "templates")
STYLE = TEMPLATES.file("timeline.css")
SCRIPT = TEMPLATES.file("timeline.js")


def page(
    replayed: Replayed,
    lanes: JournalTimeline,
    *,
    audio: str = "",
    spoken: Sequence[tuple[int, float]] = (),
) -> str:
    """The page. `audio` is the relative URL of the person's audio, "" if there is none, and
    `spoken` has the turns with the seconds at which each begins in the audio."""
    return TEMPLATES.render(
        "timeline.html",
        style=STYLE,
        style_hash=content_hash(STYLE),
        script=SCRIPT,
        script_hash=content_hash(SCRIPT),
        session_id=replayed.session_id,
        decisions=len(replayed.decisions),
        different=len(replayed.differences),
        cut=replayed.cut,
        masked=not replayed.texts,
        audio=audio,
        spoken=[(turn, _seconds(at_s * 1000)) for turn, at_s in spoken[:EVENTS]],
        differences=_differences(replayed),
        ticks=len(lanes.ticks),
        events=[(_seconds(tick.at_ms), tick.kind, tick.detail) for tick in lanes.ticks[:EVENTS]],
        lanes=_data(replayed, lanes),
    )


def _differences(replayed: Replayed) -> list[tuple[str, ...]]:
    return [
        (
            str(difference.decision.line),
            _seconds(difference.decision.at_ms),
            describe(difference.decision.cause),
            ", ".join(map(describe, difference.recorded)) or "nothing",
            ", ".join(map(describe, difference.decision.actions)) or "nothing",
        )
        for difference in replayed.differences[:DIFFERENCES]
    ]


def _seconds(at_ms: float) -> str:
    return f"{at_ms / 1000:.3f}"


def _data(replayed: Replayed, lanes: JournalTimeline) -> Markup:
    """The script's data, as JSON that may be put into a `script` element."""
    policy = replayed.policy
    data = {
        "end": lanes.end,
        "start": policy.threshold,
        "stop": policy.threshold - policy.hysteresis,
        "levels": _pairs(lanes.levels),
        "speech": _pairs(lanes.speech),
        "bands": [(band.start, band.end, band.state.value, band.turn) for band in lanes.bands],
        "bars": [
            (bar.start, bar.first, bar.end, bar.stage, bar.provider, bar.turn) for bar in lanes.bars
        ],
        "ticks": [(tick.at_ms, tick.label, tick.detail, tick.kind) for tick in lanes.ticks],
        "queues": [(name, _pairs(ages)) for name, ages in lanes.queue_ages.items()],
    }
    text = json.dumps(data, separators=(",", ":"))  # ASCII: no line separators either
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _pairs(values: Iterable[tuple[float, float]]) -> list[float]:
    return [round(number, 3) for pair in values for number in pair]
