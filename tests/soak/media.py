"""What only shows after a while: `make soak`, which is no part of `make test`.

`SOAK_MINUTES` is how long lips and voice are watched, 10 where nothing is said; half as long
clients connect, talk and vanish, and what the process holds is printed.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from gateway.transports.webrtc import peer
from stages.fakes import FakeSynthesizer
from tests.support.crowd import crowd
from tests.support.in_use import Use, in_use
from tests.support.sync import watch_and_listen
from tests.support.webrtc import Doorway

SECONDS = float(os.environ.get("SOAK_MINUTES", "10")) * 60
TURNS = 14
WORD_S = 0.5
FEWEST_A_SECOND = 1 / 3
"""Beeps that must have been measured, of nearly two; loss costs a half of them."""

CROWD = max(9, min(30, round(SECONDS / 20)))
"""Fewer where the time is short."""

WARM = 3
"""Crowds after which all that is made once has been made."""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.gateway.PATIENCE_S", SECONDS + 120)


@pytest.mark.timeout(2 * SECONDS + 300)
def test_lips_and_voice_stay_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = max(20, round(SECONDS / TURNS / WORD_S))
    watch_and_listen(tmp_path, SECONDS, round(SECONDS * FEWEST_A_SECOND), capsys, words)


@pytest.mark.timeout(2 * SECONDS + 300)
def test_who_comes_and_goes_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peer, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(peer, "GONE_S", 2.0)
    monkeypatch.setattr(peer, "CONNECT_S", 6.0)
    doorway = Doorway(tmp_path)
    doorway.synthesizer = FakeSynthesizer(ms_per_word=400)
    curve: list[Use] = []

    async def story() -> None:
        begun = time.monotonic()
        while time.monotonic() - begun < SECONDS / 2 or len(curve) < 2 * WARM:
            await crowd(doorway, CROWD)
            await asyncio.sleep(0.5)
            curve.append(now := in_use())
            with capsys.disabled():
                sys.stdout.write(
                    f"\n{time.monotonic() - begun:5.0f} s {CROWD * len(curve):5} clients:"
                    f" {now.descriptors} descriptors, {now.tasks} tasks, {now.threads} threads,"
                    f" {now.objects} objects, {now.memory_mb:.1f} MB"
                )

    doorway.run(story)
    assert curve[-1].within(curve[WARM - 1])
