"""Clients that misbehave and providers that flap, for a while: `make soak`, which is no part of
`make test`. Each round is a line of JSON with what the process holds after it.

`SOAK_MINUTES` is how long, 10 where nothing is said. With 1 it is a check of two minutes or so.
"""

import os
import random
import sys
import time
from pathlib import Path

import pytest

from tests.support.in_use import Use
from tests.support.misbehaving import FlappingGateway, crowd, settled, told

SECONDS = float(os.environ.get("SOAK_MINUTES", "10")) * 60
CROWD = max(20, min(60, round(SECONDS / 10)))
"""Fewer where the time is short, so that there are rounds after `WARM`."""

WARM = 2
"""Rounds after which all that is made once has been made."""


@pytest.mark.timeout(SECONDS + 600)
def test_what_clients_do_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.support.gateway.PATIENCE_S", SECONDS + 300)
    gateway = FlappingGateway(tmp_path)
    chance = random.Random()
    curve: list[Use] = []

    async def story() -> None:
        begun = time.monotonic()
        while time.monotonic() - begun < SECONDS or len(curve) <= WARM:
            left = await crowd(gateway, CROWD, len(curve) * CROWD, chance)
            curve.append(await settled(curve[WARM - 1] if len(curve) >= WARM else None))
            with capsys.disabled():
                sys.stdout.write(f"\n{told(len(curve), left, curve[-1])}")

    gateway.run(story)
    assert curve[-1].within(curve[WARM - 1])
