"""The short form of `make soak`."""

import random
from pathlib import Path

import pytest

from tests.support.in_use import Use
from tests.support.misbehaving import FlappingGateway, crowd, settled

CROWD = 24


@pytest.mark.slow
def test_what_clients_do_leaves_nothing_behind(tmp_path: Path) -> None:
    gateway = FlappingGateway(tmp_path)
    chance = random.Random(6455)
    curve: list[Use] = []

    async def story() -> None:
        for number in range(3):
            await crowd(gateway, CROWD, number * CROWD, chance)
            curve.append(await settled(curve[0] if curve else None))

    gateway.run(story)
    assert curve[-1].within(curve[0]), curve
