"""How late the event loop is."""

import asyncio

from gateway.observe.loop_lag import EVERY_S, LoopLag
from pipeline.testing import run_virtual


def test_the_loop_is_sampled_until_it_is_told_to_stop() -> None:
    samples: list[float] = []

    async def story() -> None:
        lag = LoopLag(samples.append)
        lag.start()
        await asyncio.sleep(10.5 * EVERY_S)
        lag.stop()
        lag.stop()
        await asyncio.sleep(10 * EVERY_S)

    run_virtual(story())
    assert samples == [0.0] * 10


def test_a_loop_that_was_busy_is_late() -> None:
    samples: list[float] = []
    now = [0.0]

    class Loop(asyncio.SelectorEventLoop):
        def time(self) -> float:
            return now[0]

    loop = Loop()
    try:
        lag = LoopLag(samples.append)

        async def begin() -> None:
            lag.start()

        loop.run_until_complete(begin())
        now[0] = EVERY_S + 0.25
        loop.run_until_complete(asyncio.sleep(0))
        lag.stop()
    finally:
        loop.close()
    assert [round(late, 6) for late in samples] == [0.25]
