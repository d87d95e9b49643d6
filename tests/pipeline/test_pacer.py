"""One clock for all sessions: in time, in order, and no session's fault stops it."""

import asyncio
from collections.abc import Callable

from pipeline.pacer import Pacer
from pipeline.testing import run_virtual


class Ticker:
    """A pump that wants to be called every `every` seconds, `times` times."""

    def __init__(self, every: float, times: int) -> None:
        self.every = every
        self.left = times
        self.called: list[float] = []

    def __call__(self, now: float) -> float | None:
        self.called.append(round(now, 6))
        self.left -= 1
        return now + self.every if self.left else None


def pace(story: Callable[[Pacer], None], seconds: float) -> Pacer:
    async def run() -> Pacer:
        pacer = Pacer()
        story(pacer)
        await asyncio.sleep(seconds)
        return pacer

    return run_virtual(run())


def test_pumps_are_called_when_they_are_due() -> None:
    fast, slow = Ticker(0.02, 4), Ticker(0.05, 2)

    def story(pacer: Pacer) -> None:
        pacer.schedule(slow, 0.05)
        pacer.schedule(fast, 0.02)

    pacer = pace(story, 1.0)
    assert fast.called == [0.02, 0.04, 0.06, 0.08]
    assert slow.called == [0.05, 0.1]
    assert len(pacer) == 0


def test_what_is_due_within_the_clocks_resolution_is_called_as_if_on_time() -> None:
    early = Ticker(1.0, 1)
    later = Ticker(1.0, 1)

    def story(pacer: Pacer) -> None:
        pacer.schedule(early, 0.1)
        pacer.schedule(later, 0.1008)

    pace(story, 1.0)
    assert (early.called, later.called) == ([0.1], [0.1008])


def test_a_later_wish_replaces_the_earlier_one() -> None:
    ticker = Ticker(1.0, 1)

    def story(pacer: Pacer) -> None:
        pacer.schedule(ticker, 0.1)
        pacer.schedule(ticker, 0.3)
        assert len(pacer) == 1

    pace(story, 1.0)
    assert ticker.called == [0.3]


def test_a_cancelled_pump_is_not_called() -> None:
    cancelled, other = Ticker(1.0, 1), Ticker(1.0, 1)

    def story(pacer: Pacer) -> None:
        pacer.schedule(cancelled, 0.1)
        pacer.schedule(other, 0.2)
        pacer.cancel(cancelled)
        pacer.cancel(cancelled)

    pace(story, 1.0)
    assert (cancelled.called, other.called) == ([], [0.2])


def test_a_pump_that_fails_does_not_silence_the_others() -> None:
    reported: list[str] = []
    other = Ticker(0.02, 3)

    def broken(now: float) -> float | None:
        raise RuntimeError("my session is broken")

    def story(pacer: Pacer) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(str(context["exception"])))
        pacer.schedule(broken, 0.01)
        pacer.schedule(other, 0.01)

    pace(story, 1.0)
    assert reported == ["my session is broken"]
    assert other.called == [0.01, 0.03, 0.05]


def test_stale_entries_do_not_pile_up() -> None:
    tickers = [Ticker(1.0, 1) for _ in range(10)]

    def story(pacer: Pacer) -> None:
        for ticker in tickers:
            pacer.schedule(ticker, 0.5)
            pacer.cancel(ticker)
        pacer.schedule(Ticker(1.0, 1), 0.1)

    pacer = pace(story, 0.2)
    assert pacer._heap == []
