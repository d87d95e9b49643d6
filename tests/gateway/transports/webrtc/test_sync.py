"""Lips and voice through a real receiver, and how soon the mouth of who is interrupted closes.

Viewers run beside the gateway, in processes of their own: see `viewer` and `clapper`.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.transports.webrtc.sending import Transmission
from tests.gateway.transports.webrtc.clapper import Theatre
from tests.gateway.transports.webrtc.conftest import said
from tests.gateway.transports.webrtc.held import Held, enough
from tests.gateway.transports.webrtc.viewer import Apart, Closing, Pair, Task

SECONDS = 60.0
FURTHEST_APART_MS = 40.0
FEWEST = 20
"""Beeps that must have been measured, of some 110; 5 % of loss costs aiortc half of them."""

LONGEST_CLOSING_MS = 80.0
INTERRUPTIONS = 10
"""By each of two viewers."""


async def watched(theatre: Theatre, task: Task) -> Any:
    """What a viewer reports."""
    return await said("viewer", theatre.url, json.dumps(asdict(task)))


def measured(name: str, one: Apart, held: Held) -> tuple[str, list[float]]:
    """A summary for people, and by how many ms flashes come after beeps, by the sender's clock,
    while the machine was not busy with others.
    """
    fair = [pair for pair in one.pairs if not held.at(pair.at_s)]
    shown = [
        f"{name}: {len(fair)} beeps; not counted: {len(one.pairs) - len(fair)} while the machine"
        f" was busy, {one.missed} without a flash or a beginning"
    ]
    for way, pairs in (("", fair), (", all", one.pairs)):
        for clock in ("reports", "arrival"):
            values = [getattr(pair, f"by_{clock}_ms") for pair in pairs]
            if values:
                shown.append(
                    f"  flash after beep by {clock}{way}: median {np.median(values):+.1f},"
                    f" from {min(values):+.1f} to {max(values):+.1f},"
                    f" 99 % within {np.percentile(np.abs(values), 99):.1f} ms"
                )
    return "\n".join(shown), [pair.by_reports_ms for pair in fair]


def watch_and_listen(
    folder: Path, seconds: float, capsys: pytest.CaptureFixture[str], words: int = 30
) -> None:
    """Two viewers at once, one of them over a bad network; fails where lips and voice part."""
    theatre = Theatre(folder, words)
    found: dict[float, Apart] = {}
    held = Held()

    async def watch(task: Task) -> None:
        answer = await watched(theatre, task)
        pairs = [Pair(**pair) for pair in answer["pairs"]]
        found[task.loss] = Apart(pairs, answer["missed"])

    async def story() -> None:
        theatre.steady()
        async with held:
            await asyncio.gather(
                watch(Task("whole", "video/H264", 0.0, seconds)),
                watch(Task("lossy", "video/VP8", 0.05, seconds)),
            )

    theatre.run(story)
    with capsys.disabled():
        for loss, one in found.items():
            sys.stdout.write(f"\n{measured(f'{loss:.0%} lost', one, held)[0]}\n")
    for one in found.values():
        fair = measured("", one, held)[1]
        enough(len(fair), FEWEST)
        assert np.percentile(np.abs(fair), 99) <= FURTHEST_APART_MS


def test_lips_and_voice_are_together_also_when_packets_are_lost(
    tmp_path: Path, patience: None, capsys: pytest.CaptureFixture[str]
) -> None:
    watch_and_listen(tmp_path, SECONDS, capsys)


def test_the_mouth_of_who_is_interrupted_is_closed_at_once(
    tmp_path: Path,
    patience: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    theatre = Theatre(tmp_path, words=3, beep_ms=4_000)
    flushed: dict[str, list[float]] = {}
    flush = Transmission.flush
    held = Held()

    def noted(transmission: Transmission) -> None:
        flush(transmission)
        for live, _ in theatre.peers()._live.values():
            if live._transport.transmission is transmission:
                flushed.setdefault(live.session_id, []).append(time.time())

    monkeypatch.setattr(Transmission, "flush", noted)
    closings: dict[str, list[Closing]] = {}

    async def watch(codec: str) -> None:
        task = Task(codec, f"video/{codec}", interruptions=INTERRUPTIONS)
        closings[codec] = [Closing(**one) for one in await watched(theatre, task)]

    async def story() -> None:
        theatre.steady()
        async with held:
            await asyncio.gather(*(watch(codec) for codec in ("VP8", "H264")))

    theatre.run(story)
    from_clear: list[float] = []
    from_said: list[float] = []
    for session, of_session in closings.items():
        for clear_s, one in zip(flushed[session], of_session, strict=True):
            if held.at(clear_s):
                continue
            before = [openness for at_s, openness in one.looks if at_s < clear_s]
            assert before[-1] == 1, "it was open"
            shut_s = min(at_s for at_s, openness in one.looks if at_s >= clear_s and not openness)
            from_clear.append((shut_s - clear_s) * 1000)
            from_said.append((shut_s - one.said_s) * 1000)
    enough(len(from_clear), INTERRUPTIONS)
    with capsys.disabled():
        for name, values in (("clear was sent", from_clear), ("the client said so", from_said)):
            sys.stdout.write(
                f"\nmouth closed after {name}: median {np.median(values):.0f},"
                f" at most {max(values):.0f} ms ({len(values)} of {2 * INTERRUPTIONS} counted)"
            )
        sys.stdout.write("\n")
    assert max(from_clear) <= LONGEST_CLOSING_MS
