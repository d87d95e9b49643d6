"""Lips and voice through a real receiver, and how soon the mouth of who is interrupted closes.

Viewers run beside the gateway, in processes of their own: see `viewer` and `clapper`.
"""

import asyncio
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gateway.transports.webrtc.sending import Transmission
from tests.support.clapper import Theatre
from tests.support.held import Held, enough
from tests.support.sync import watch_and_listen, watched
from tests.support.viewer import Closing, Task

pytestmark = pytest.mark.realtime

SECONDS = 15.0
"""`make soak` watches for ten minutes."""

FEWEST = 6
"""Beeps that must have been measured."""

LONGEST_CLOSING_MS = 80.0
INTERRUPTIONS = 10
"""By each of two viewers."""

FEWEST_CLOSINGS = 5
"""Of these that must have been measured: a busy machine hides many in a row."""


def test_lips_and_voice_are_together_also_when_packets_are_lost(
    tmp_path: Path, patience: None, capsys: pytest.CaptureFixture[str]
) -> None:
    watch_and_listen(tmp_path, SECONDS, FEWEST, capsys)


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
    enough(len(from_clear), FEWEST_CLOSINGS)
    with capsys.disabled():
        for name, values in (("clear was sent", from_clear), ("the client said so", from_said)):
            sys.stdout.write(
                f"\nmouth closed after {name}: median {np.median(values):.0f},"
                f" at most {max(values):.0f} ms ({len(values)} of {2 * INTERRUPTIONS} counted)"
            )
        sys.stdout.write("\n")
    assert max(from_clear) <= LONGEST_CLOSING_MS
