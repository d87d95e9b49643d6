"""Beginnings of sessions are spread."""

import asyncio

from gateway.live.starts import EVERY_S, SpacedStarts
from pipeline.testing import run_virtual


def test_those_who_come_at_once_begin_one_after_the_other_in_their_order() -> None:
    async def story() -> list[tuple[int, float]]:
        starts, began = SpacedStarts(), asyncio.get_running_loop().time()
        turns: list[tuple[int, float]] = []

        async def begin(number: int) -> None:
            await starts.turn()
            turns.append((number, round(asyncio.get_running_loop().time() - began, 6)))

        await asyncio.gather(*map(begin, range(4)))
        await asyncio.sleep(1.0)
        await begin(4)
        return turns

    late = 3 * EVERY_S + 1.0
    assert run_virtual(story()) == [
        (0, 0.0),
        (1, EVERY_S),
        (2, 2 * EVERY_S),
        (3, 3 * EVERY_S),
        (4, late),
    ]


def test_who_leaves_meanwhile_does_not_stop_the_next_one() -> None:
    async def story() -> float:
        starts, began = SpacedStarts(), asyncio.get_running_loop().time()
        await starts.turn()
        leaves = asyncio.create_task(starts.turn())
        stays = asyncio.create_task(starts.turn())
        await asyncio.sleep(0)
        leaves.cancel()
        await stays
        return round(asyncio.get_running_loop().time() - began, 6)

    assert run_virtual(story()) == EVERY_S
