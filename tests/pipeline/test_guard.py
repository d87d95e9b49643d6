import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from pipeline.breaker import Breaker, BreakerPolicy, BreakerState, Mode, Outcome, Permit
from pipeline.errors import (
    BudgetExceeded,
    CallerError,
    PipelineError,
    StageBusy,
    StageError,
    StageFailed,
    StageTimeout,
    StageUnavailable,
)
from pipeline.guard import Candidate, Guard, Limits, Stream, Trouble, first_due
from pipeline.testing import run_virtual

SUCCESS, SLOW, FAILURE, NEUTRAL = Outcome.SUCCESS, Outcome.SLOW, Outcome.FAILURE, Outcome.NEUTRAL


class Recorder(Breaker):
    """A breaker that records the calls to it."""

    def __init__(self, policy: BreakerPolicy | None = None, mode: Mode = Mode.NORMAL) -> None:
        super().__init__(policy, mode=mode)
        self.settled: list[Outcome] = []
        self.acquired = 0

    def try_acquire(self, now: float, *, probe: bool = True) -> Permit | None:
        permit = super().try_acquire(now, probe=probe)
        self.acquired += permit is not None
        return permit

    def settle(
        self, permit: Permit, outcome: Outcome, now: float, *, retry_after_s: float = 0.0
    ) -> None:
        self.settled.append(outcome)
        super().settle(permit, outcome, now, retry_after_s=retry_after_s)


Script = Sequence[float | str | BaseException]
"""Delays before items ("x"), texts (items at once) and errors, in order."""


@dataclass
class Player:
    """A provider that plays a script: each number is a delay followed by the item "x"."""

    script: Script
    closed_at: list[float] = field(default_factory=list)

    async def play(self) -> AsyncIterator[str]:
        try:
            for step in self.script:
                if isinstance(step, BaseException):
                    raise step
                if isinstance(step, str):
                    yield step
                else:
                    await asyncio.sleep(step)
                    yield "x"
        finally:
            self.closed_at.append(asyncio.get_running_loop().time())


Start = Callable[[], AsyncIterator[str]]


def candidate(
    play: Start, provider: str = "one", breaker: Breaker | None = None, limits: Limits | None = None
) -> Candidate[Start]:
    return Candidate(provider, play, breaker or Recorder(), limits or Limits())


@dataclass
class Result:
    """The items that the consumer got, its error, and when it ended."""

    items: list[str] = field(default_factory=list)
    error: BaseException | None = None
    at: float = 0.0
    outcomes: list[Outcome] = field(default_factory=list)
    degraded: list[tuple[str, str, str]] = field(default_factory=list)
    provider: str = ""


def consume(
    *candidates: Candidate[Start],
    eats_s: float = 0.0,
    stop_after: int | None = None,
    cancel_at: float | None = None,
    useful: Callable[[str], bool] = bool,
    **options: Any,
) -> Result:
    """Run one stream through a guard in virtual time.

    The consumer takes `eats_s` for each item, stops by itself after `stop_after` items, or is
    cancelled at `cancel_at`.
    """
    result = Result()

    async def eat(stream: Stream[str]) -> None:
        async with stream as items:
            async for item in items:
                result.items.append(item)
                if eats_s:
                    await asyncio.sleep(eats_s)
                if len(result.items) == stop_after:
                    break

    async def main() -> None:
        loop = asyncio.get_running_loop()
        guard: Guard[Start] = Guard("llm", candidates)
        stream = guard.stream(
            lambda play: play(),
            useful=useful,
            on_degraded=lambda *what: result.degraded.append(what),
            **options,
        )
        task = asyncio.create_task(eat(stream))
        if cancel_at is not None:
            loop.call_at(cancel_at, task.cancel)
        await asyncio.wait([task])
        result.at = loop.time()
        result.provider = stream.provider
        result.error = asyncio.CancelledError() if task.cancelled() else task.exception()
        assert all(task is asyncio.current_task() for task in asyncio.all_tasks())

    run_virtual(main())
    for one in candidates:
        assert isinstance(one.breaker, Recorder)
        result.outcomes += one.breaker.settled
    return result


def cause(error: BaseException | None) -> StageError:
    """The one error of the only candidate."""
    assert isinstance(error, StageUnavailable)
    assert len(error.causes) == 1
    return error.causes[0]


# --- how a stream ends, and what the breaker hears -------------------------------------------


@pytest.mark.parametrize(
    ("script", "outcome", "items"),
    [
        ([0.2, 0.1, 0.1], SUCCESS, 3),
        ([1.0, 0.1], SUCCESS, 2),
        ([1.5, 0.1], SLOW, 2),
        ([0.9, 0.9, 0.9], SUCCESS, 3),
    ],
)
def test_a_stream_that_ends_tells_whether_it_began_in_time(
    script: Script, outcome: Outcome, items: int
) -> None:
    result = consume(candidate(Player(script).play))
    assert (result.error, result.items) == (None, ["x"] * items)
    assert result.outcomes == [outcome]


def test_no_first_item_in_time_is_a_failure() -> None:
    result = consume(candidate(Player([9.0]).play))
    error = cause(result.error)
    assert isinstance(error, StageTimeout)
    assert (error.stage, error.provider, error.phase) == ("llm", "one", "first")
    assert (result.at, result.outcomes) == (2.0, [FAILURE])


def test_keep_alives_do_not_delay_the_first_item_limit() -> None:
    keep_alive = Player(["", 0.5] * 10)
    result = consume(candidate(keep_alive.play), useful=lambda item: item == "useful")
    assert cause(result.error).phase == "first"
    assert (result.at, result.outcomes) == (2.0, [FAILURE])


def test_a_stall_is_a_failure_after_which_nothing_is_repeated() -> None:
    spare = candidate(Player([0.1]).play, "two")
    result = consume(candidate(Player([0.2, 0.1, 5.0]).play), spare)
    assert isinstance(result.error, StageTimeout)
    assert result.error.phase == "stall"
    assert (result.items, result.outcomes) == (["x", "x"], [FAILURE])
    assert result.at == pytest.approx(1.3)


def test_keep_alives_do_not_hide_a_stall() -> None:
    async def dribble() -> AsyncIterator[str]:
        yield "useful"
        while True:
            await asyncio.sleep(0.3)
            yield "keep-alive"

    result = consume(candidate(dribble), useful=lambda item: item == "useful")
    assert isinstance(result.error, StageTimeout)
    assert (result.error.phase, result.at) == ("stall", 1.0)
    assert result.items == ["useful"] + ["keep-alive"] * 3


def test_a_slow_consumer_is_no_stall() -> None:
    result = consume(candidate(Player([0.2, 0.1, 0.1]).play), eats_s=4.0)
    assert (result.error, result.items) == (None, ["x"] * 3)
    assert result.outcomes == [SUCCESS]


def test_a_stream_that_goes_on_for_too_long_is_a_failure() -> None:
    result = consume(candidate(Player([0.5] * 100).play))
    assert isinstance(result.error, StageTimeout)
    assert result.error.phase == "total"
    assert (len(result.items), result.at, result.outcomes) == (59, 30.0, [FAILURE])


def test_a_reset_after_the_first_item_is_partial() -> None:
    result = consume(candidate(Player([0.2, ConnectionResetError("reset by peer")]).play))
    assert isinstance(result.error, StageFailed)
    assert result.error.partial
    assert str(result.error) == ("llm provider 'one': stream: ConnectionResetError: reset by peer")
    assert isinstance(result.error.__cause__, ConnectionResetError)
    assert (result.items, result.outcomes) == (["x"], [FAILURE])


def test_a_reset_before_the_first_item_is_not_partial() -> None:
    result = consume(candidate(Player([ConnectionResetError()]).play))
    error = cause(result.error)
    assert isinstance(error, StageFailed)
    assert (error.phase, error.partial) == ("stream", False)
    assert result.outcomes == [FAILURE]


@pytest.mark.parametrize("script", [[], ["", ""]])
def test_a_stream_without_a_useful_item_is_a_failure(script: Script) -> None:
    result = consume(candidate(Player(script).play))
    assert cause(result.error).phase == "empty"
    assert result.outcomes == [FAILURE]


def test_a_request_that_is_our_fault_says_nothing_about_the_provider() -> None:
    refused = CallerError("llm", "one", "protocol", "400")
    result = consume(candidate(Player([refused]).play))
    assert cause(result.error) is refused
    assert result.outcomes == [NEUTRAL]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (CallerError("llm", "one", "stream", "content filter"), NEUTRAL),
        (StageBusy("llm", "one"), FAILURE),
        (StageFailed("llm", "one", "protocol", "not JSON"), FAILURE),
    ],
)
def test_a_provider_s_own_error_after_the_first_item_comes_through(
    error: StageError, outcome: Outcome
) -> None:
    result = consume(candidate(Player([0.1, error]).play))
    assert result.error is error
    assert getattr(error, "partial", True)
    assert result.outcomes == [outcome]


def test_a_provider_s_own_timeout_is_an_error_of_its_stream() -> None:
    result = consume(candidate(Player([TimeoutError("socket")]).play))
    error = cause(result.error)
    assert type(error) is StageFailed
    assert error.detail == "TimeoutError: socket"


def test_a_provider_that_cannot_even_begin_has_failed() -> None:
    def refuse() -> AsyncIterator[str]:
        raise OSError("no route to host")

    result = consume(candidate(refuse))
    assert cause(result.error).detail == "OSError: no route to host"
    assert result.outcomes == [FAILURE]


def test_a_busy_provider_is_left_alone_for_as_long_as_it_asked() -> None:
    breaker = Recorder(BreakerPolicy(consecutive_failures=1, open_s=5))
    busy = StageBusy("llm", "one", retry_after_s=40)
    result = consume(candidate(Player([busy]).play, breaker=breaker))
    assert cause(result.error) is busy
    assert breaker.retry_after(0.0) == 40.0


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ([0.9, 0.4, 0.4], SUCCESS),  # 0.8 s after the first item, for 1.5 s of media
        ([0.1, 0.9, 0.9], SLOW),
    ],
)
def test_media_that_is_produced_slower_than_real_time_is_slow(
    script: Script, outcome: Outcome
) -> None:
    result = consume(candidate(Player(script).play), media_s=lambda _: 0.5)
    assert result.outcomes == [outcome]


def test_media_of_a_candidate_that_failed_does_not_count_for_the_next() -> None:
    result = consume(
        candidate(Player(["", ""]).play, "one"),
        candidate(Player([0.1, 0.9, 0.9]).play, "two"),
        media_s=lambda _: 0.5,
    )
    assert result.outcomes == [FAILURE, SLOW]


def test_a_stream_that_is_over_stays_over() -> None:
    async def main() -> None:
        guard = Guard("llm", [candidate(Player([0.1]).play)])
        async with guard.stream(lambda play: play(), useful=bool) as items:
            assert [item async for item in items] == ["x"]
            assert [item async for item in items] == []

    run_virtual(main())


@pytest.mark.parametrize(
    ("script", "budget_s"), [([OSError()], math.inf), ([0.1, OSError()], math.inf), ([9.0], 0.5)]
)
def test_a_stream_that_failed_is_over(script: Script, budget_s: float) -> None:
    async def main() -> None:
        guard = Guard("llm", [candidate(Player(script).play)])
        async with guard.stream(lambda play: play(), useful=bool, budget_s=budget_s) as items:
            with pytest.raises(PipelineError):
                [item async for item in items]
            assert [item async for item in items] == []

    run_virtual(main())


def test_a_stream_ends_with_its_context() -> None:
    async def main() -> list[str]:
        guard = Guard("llm", [candidate(Player([0.1, 0.1]).play)])
        async with guard.stream(lambda play: play(), useful=bool) as items:
            assert await anext(items) == "x"
        return [item async for item in items]

    assert run_virtual(main()) == []


# --- stopping early --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "cancel_at", "outcome", "items"),
    [
        ([0.9], 0.3, NEUTRAL, 0),
        ([1.9], 1.0, NEUTRAL, 0),
        ([1.9], 1.5, SLOW, 0),
        ([0.2, 0.1, 0.9], 0.5, SUCCESS, 2),
        ([1.2, 0.1, 0.9], 1.5, SLOW, 2),
    ],
)
def test_an_interruption_counts_by_what_was_there(
    script: Script, cancel_at: float, outcome: Outcome, items: int
) -> None:
    spare = candidate(Player([0.1]).play, "two")
    result = consume(candidate(Player(script).play), spare, cancel_at=cancel_at)
    assert isinstance(result.error, asyncio.CancelledError)
    assert len(result.items) == items
    assert (result.at, result.outcomes) == (cancel_at, [outcome])


def test_a_cancellation_comes_through_as_it_was_made() -> None:
    async def main() -> tuple[str, ...]:
        guard = Guard("llm", [candidate(Player([9.0]).play)])

        async def eat() -> tuple[str, ...]:
            try:
                async with guard.stream(lambda play: play(), useful=bool) as items:
                    return tuple([item async for item in items])
            except asyncio.CancelledError as error:
                return error.args

        task = asyncio.create_task(eat())
        asyncio.get_running_loop().call_later(0.5, task.cancel, "barge-in")
        return await task

    assert run_virtual(main()) == ("barge-in",)


def test_a_consumer_that_stops_early_closes_the_provider_s_stream() -> None:
    player = Player([0.2, 0.1, 0.1])
    result = consume(candidate(player.play), stop_after=1)
    assert (result.error, result.items) == (None, ["x"])
    assert (player.closed_at, result.outcomes) == ([0.2], [SUCCESS])


def test_a_consumer_that_never_begins_uses_nothing() -> None:
    async def main() -> None:
        breaker = Recorder()
        guard = Guard("llm", [candidate(Player([0.1]).play, breaker=breaker)])
        async with guard.stream(lambda play: play(), useful=bool) as stream:
            assert stream.provider == "one"
        assert (breaker.acquired, breaker.settled) == (0, [])

    run_virtual(main())


def test_an_error_of_the_consumer_is_not_the_provider_s() -> None:
    async def main() -> None:
        breaker = Recorder()
        guard = Guard("llm", [candidate(Player([0.2, 0.1]).play, breaker=breaker)])

        async def choke() -> None:
            async with guard.stream(lambda play: play(), useful=bool) as items:
                async for _ in items:
                    raise LookupError

        with pytest.raises(LookupError):
            await choke()
        assert breaker.settled == [SUCCESS]

    run_virtual(main())


def test_a_provider_that_makes_an_error_of_a_cancellation_has_not_failed() -> None:
    async def twists() -> AsyncIterator[str]:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            raise OSError("interrupted") from None
        yield "never"

    result = consume(candidate(twists), candidate(Player([0.1]).play, "two"), cancel_at=0.5)
    assert isinstance(result.error, asyncio.CancelledError)
    assert (result.items, result.outcomes) == ([], [NEUTRAL])


def test_a_provider_that_swallows_a_cancellation_does_not_go_on() -> None:
    result = consume(candidate(swallows(1)), cancel_at=0.5)
    assert isinstance(result.error, asyncio.CancelledError)
    assert (result.items, result.at, result.outcomes) == ([], 0.5, [NEUTRAL])


def test_a_provider_that_swallows_a_timeout_has_still_timed_out() -> None:
    result = consume(candidate(swallows(1)))
    assert cause(result.error).phase == "first"
    assert (result.items, result.outcomes) == ([], [FAILURE])


def test_a_cancellation_on_the_provider_s_side_is_its_failure() -> None:
    async def worker_dies() -> AsyncIterator[str]:
        answer = asyncio.get_running_loop().create_future()
        answer.cancel()
        yield await answer

    result = consume(candidate(worker_dies), candidate(Player([0.1]).play, "two"))
    assert (result.error, result.items, result.provider) == (None, ["x"], "two")
    assert result.outcomes == [FAILURE, SUCCESS]


def swallows(times: int) -> Start:
    """A provider that ignores a number of cancellations, then yields."""

    async def play() -> AsyncIterator[str]:
        for _ in range(times):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
        yield "late"

    return play


def test_an_outer_timeout_is_not_the_provider_s() -> None:
    async def main() -> None:
        breaker = Recorder()
        guard = Guard("llm", [candidate(Player([1.9]).play, breaker=breaker)])

        async def eat() -> list[str]:
            async with guard.stream(lambda play: play(), useful=bool) as items:
                return [item async for item in items]

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(eat(), 0.5)
        assert breaker.settled == [NEUTRAL]

    run_virtual(main())


# --- closing ---------------------------------------------------------------------------------


class Clinging:
    """An iterator with one item whose `aclose` is the given coroutine function."""

    def __init__(self, aclose: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.aclose = aclose
        self._given = False

    def __aiter__(self) -> "Clinging":
        return self

    async def __anext__(self) -> str:
        if self._given:
            await asyncio.sleep(math.inf)
        self._given = True
        return "x"


def leave(source: AsyncIterator[str]) -> float:
    """Stop after the first item; returns how long leaving took."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        guard: Guard[AsyncIterator[str]] = Guard("tts", [Candidate("one", source, Recorder())])
        async with guard.stream(lambda stage: stage, useful=bool) as items:
            assert await anext(items) == "x"
            left_at = loop.time()
        took = loop.time() - left_at
        await asyncio.sleep(60)
        return took

    return run_virtual(main())


def test_leaving_waits_for_the_provider_to_close() -> None:
    async def close() -> None:
        await asyncio.sleep(0.125)

    assert leave(Clinging(close)) == 0.125


def test_a_provider_that_does_not_close_holds_nobody_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def close() -> None:
        await asyncio.sleep(math.inf)

    assert leave(Clinging(close)) == 0.25
    assert [record.getMessage() for record in caplog.records] == [
        "provider 'one' did not close its stream: TimeoutError()"
    ]


def test_a_provider_that_ignores_cancellation_holds_nobody_up() -> None:
    async def close() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(5)

    assert leave(Clinging(close)) == 0.25


def test_an_error_while_closing_is_logged_and_does_not_hide_the_result(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def close() -> None:
        raise OSError("socket is gone")

    assert leave(Clinging(close)) == 0.0
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "provider 'one' did not close its stream: OSError('socket is gone')")
    ]


def test_an_iterator_without_aclose_is_just_left() -> None:
    source = Clinging(close_nothing)
    del source.aclose
    assert leave(source) == 0.0


async def close_nothing() -> None: ...


def test_a_stream_that_ended_is_not_closed_again() -> None:
    closed: list[str] = []

    class Ended(Clinging):
        async def __anext__(self) -> str:
            raise StopAsyncIteration

    async def close() -> None:
        closed.append("again")

    consume(candidate(lambda: Ended(close)))
    assert closed == []


def test_a_second_cancellation_does_not_wait_for_the_provider_and_still_closes_it() -> None:
    closed: list[float] = []

    async def close() -> None:
        await asyncio.sleep(0.2)
        closed.append(asyncio.get_running_loop().time())

    async def main() -> float:
        loop = asyncio.get_running_loop()
        guard: Guard[AsyncIterator[str]] = Guard(
            "tts", [Candidate("one", Clinging(close), Recorder())]
        )

        async def eat() -> None:
            async with guard.stream(lambda stage: stage, useful=bool) as items:
                async for _ in items:
                    pass

        task = asyncio.create_task(eat())
        loop.call_at(0.5, task.cancel)
        loop.call_at(0.6, task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()
        left_at = loop.time()
        await asyncio.sleep(1)
        return left_at

    assert run_virtual(main()) == 0.6
    assert closed == [0.7]


def test_the_next_candidate_does_not_wait_for_the_last_one_to_close() -> None:
    async def close() -> None:
        await asyncio.sleep(0.2)

    stuck = Clinging(close)
    stuck._given = True
    result = consume(candidate(lambda: stuck), candidate(Player([0.5]).play, "two"))
    assert (result.items, result.at) == (["x"], 2.5)


# --- candidates ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ([9.0], "too slow to begin"),
        ([OSError()], "broke off"),
        ([], "empty answer"),
        ([StageBusy("llm", "one")], "at capacity"),
        ([CallerError("llm", "one", "protocol")], "refused the request"),
        ([StageFailed("llm", "one", "connect")], "no connection"),
        ([StageFailed("llm", "one", "protocol")], "malformed answer"),
    ],
)
def test_a_candidate_that_fails_before_its_first_item_gives_way(first: Script, reason: str) -> None:
    result = consume(candidate(Player(first).play, "one"), candidate(Player([0.1]).play, "two"))
    assert (result.error, result.items, result.provider) == (None, ["x"], "two")
    assert result.degraded == [("one", "two", reason)]
    assert result.outcomes[1:] == [SUCCESS]


def test_every_candidate_has_its_own_limits() -> None:
    result = consume(
        candidate(Player([9.0]).play, "one", limits=Limits(first_s=0.5)),
        candidate(Player([2.5]).play, "two", limits=Limits(first_s=3.0, slow_first_s=2.75)),
    )
    assert (result.items, result.at, result.outcomes) == (["x"], 3.0, [FAILURE, SUCCESS])


def test_when_every_candidate_failed_the_causes_are_told_in_order() -> None:
    result = consume(
        candidate(Player([]).play, "one"), candidate(Player([OSError("gone")]).play, "two")
    )
    assert isinstance(result.error, StageUnavailable)
    assert str(result.error) == (
        "llm provider 'one': empty; llm provider 'two': stream: OSError: gone"
    )
    assert result.error.__cause__ is result.error.causes[-1]
    assert result.degraded == [("one", "two", "empty answer")]
    assert result.provider == "two"


def opened() -> Recorder:
    return Recorder(mode=Mode.FORCED_OPEN)


def test_candidates_with_an_open_breaker_are_passed_over_and_told_of_once() -> None:
    untouched = Player([0.1])
    result = consume(
        candidate(untouched.play, "one", opened()),
        candidate(untouched.play, "two", opened()),
        candidate(Player([0.1]).play, "three"),
    )
    assert (result.items, result.provider) == (["x"], "three")
    assert result.degraded == [("one", "three", "circuit open")]
    assert untouched.closed_at == []


@pytest.mark.parametrize(
    "error",
    [
        StageBusy("llm", "one", "HTTP 429", retry_after_s=30.0),
        StageFailed("llm", "one", "connect", "HTTP 500", retry_after_s=30.0),
    ],
)
def test_a_server_that_said_when_to_come_back_is_not_asked_before(error: StageError) -> None:
    one = candidate(Player([error]).play, "one")
    two = candidate(Player([0.1]).play, "two")
    assert consume(one, two).provider == "two"
    again = consume(one, two)
    assert (again.items, again.degraded) == (["x"], [("one", "two", "at capacity")])
    assert isinstance(one.breaker, Recorder)
    assert one.breaker.acquired == 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            StageFailed("llm", "one", "connect", "HTTP 500: Jane", reason="fault (HTTP 500: Jane)"),
            "fault (HTTP 500)",
        ),
        (StageFailed("llm", "one", "connect", "ConnectError"), "no connection"),
        (CallerError("llm", "one", "connect", "HTTP 400: Jane"), "refused the request (HTTP 400)"),
    ],
)
def test_the_client_is_told_in_words_why_a_candidate_gave_way(
    error: StageError, words: str
) -> None:
    two = candidate(Player([0.1]).play, "two")
    assert consume(candidate(Player([error]).play), two).degraded == [("one", "two", words)]


def test_a_failure_is_reported_rather_than_the_open_breaker_after_it() -> None:
    result = consume(
        candidate(Player([]).play, "one"),
        candidate(Player([0.1]).play, "two", opened()),
        candidate(Player([0.1]).play, "three"),
    )
    assert result.degraded == [("one", "three", "empty answer")]


def test_when_every_breaker_is_open_nothing_is_called() -> None:
    result = consume(candidate(Player([0.1]).play, "one", opened()))
    assert isinstance(result.error, StageUnavailable)
    assert result.error.causes == ()
    assert (result.provider, result.at) == ("one", 0.0)


def test_a_speculative_stream_leaves_the_half_open_probe_to_others() -> None:
    breaker = Recorder(BreakerPolicy(consecutive_failures=1, open_s=1))

    async def main() -> None:
        failing = Guard("llm", [candidate(Player([OSError()]).play, breaker=breaker)])
        working = Guard("llm", [candidate(Player([0.1]).play, breaker=breaker)])

        async def run(guard: Guard[Start], *, probe: bool) -> list[str]:
            async with guard.stream(lambda play: play(), useful=bool, probe=probe) as items:
                return [item async for item in items]

        with pytest.raises(StageUnavailable):
            await run(failing, probe=True)
        await asyncio.sleep(2)
        with pytest.raises(StageUnavailable):
            await run(working, probe=False)
        assert breaker.state is BreakerState.HALF_OPEN
        assert await run(working, probe=True) == ["x"]

    run_virtual(main())
    assert breaker.state is BreakerState.CLOSED


def test_the_guard_s_own_listener_hears_what_the_stream_s_does_not() -> None:
    heard: list[tuple[str, str, str]] = []

    async def main() -> None:
        guard = Guard(
            "llm",
            [candidate(Player([]).play, "one"), candidate(Player([0.1]).play, "two")],
            lambda *what: heard.append(what),
        )
        async with guard.stream(lambda play: play(), useful=bool) as items:
            assert [item async for item in items] == ["x"]

    run_virtual(main())
    assert heard == [("one", "two", "empty answer")]


def test_a_guard_needs_no_listener() -> None:
    async def main() -> list[str]:
        guard = Guard(
            "llm", [candidate(Player([]).play, "one"), candidate(Player([0.1]).play, "two")]
        )
        async with guard.stream(lambda play: play(), useful=bool) as items:
            return [item async for item in items]

    assert run_virtual(main()) == ["x"]


def test_a_guard_needs_a_candidate() -> None:
    with pytest.raises(ValueError, match="llm: a guard needs"):
        Guard("llm", [])


# --- the turn's budget -----------------------------------------------------------------------


def test_a_budget_that_runs_out_early_is_not_the_provider_s_fault() -> None:
    result = consume(candidate(Player([0.6]).play), budget_s=0.1)
    assert isinstance(result.error, BudgetExceeded)
    assert (result.error.stage, result.error.left_s) == ("llm", 0.0)
    assert (result.at, result.outcomes) == (0.1, [NEUTRAL])


def test_a_budget_that_runs_out_late_says_that_the_provider_is_slow() -> None:
    result = consume(candidate(Player([9.0]).play), budget_s=1.5)
    assert isinstance(result.error, BudgetExceeded)
    assert (result.at, result.outcomes) == (1.5, [SLOW])


def test_a_limit_that_ends_with_the_budget_is_the_provider_s() -> None:
    result = consume(candidate(Player([9.0]).play), budget_s=2.0)
    assert cause(result.error).phase == "first"
    assert result.outcomes == [FAILURE]


def test_the_budget_is_for_all_candidates_together() -> None:
    spare = candidate(Player([1.5]).play, "two")
    result = consume(candidate(Player([9.0]).play, "one"), spare, budget_s=2.5)
    assert isinstance(result.error, BudgetExceeded)
    assert (result.at, result.outcomes) == (2.5, [FAILURE, NEUTRAL])


@pytest.mark.parametrize(
    ("budget_s", "gives_way_at", "outcome"),
    [
        (9.0, 2.0, FAILURE),  # its own limit
        (2.5, 1.5, FAILURE),  # longer than what counts as slow
        (1.75, 0.875, NEUTRAL),  # an earlier stage left it too little to be judged by
        (1.0, 0.5, NEUTRAL),
    ],
)
def test_a_candidate_leaves_the_next_one_a_second_or_half_of_the_budget(
    budget_s: float, gives_way_at: float, outcome: Outcome
) -> None:
    spare = candidate(Player([0.25]).play, "two")
    result = consume(candidate(Player([9.0]).play, "one"), spare, budget_s=budget_s)
    assert (result.items, result.at) == (["x"], gives_way_at + 0.25)
    assert result.degraded == [("one", "two", "too slow to begin")]
    assert result.outcomes == [outcome, SUCCESS]


def test_nothing_is_left_to_a_candidate_that_would_not_be_asked() -> None:
    spare = candidate(Player([0.1]).play, "two", opened())
    result = consume(candidate(Player([1.9]).play, "one"), spare, budget_s=2.0)
    assert (result.items, result.at, result.outcomes) == (["x"], 1.9, [SLOW])


def test_a_provider_may_know_when_its_first_item_is_due() -> None:
    due: list[float] = []

    async def play() -> AsyncIterator[str]:
        due.append(first_due.get())
        await asyncio.sleep(0.5)
        yield "x"
        due.append(first_due.get())
        yield "x"

    result = consume(candidate(play), candidate(Player([]).play, "two"), budget_s=2.5)
    assert (result.items, due) == (["x", "x"], [1.5, math.inf])
    assert first_due.get() == math.inf


def test_no_candidate_is_started_with_too_little_of_the_budget() -> None:
    slow = candidate(Player([9.0]).play, "one", limits=Limits(first_s=0.5))
    spare = candidate(Player([0.1]).play, "two")
    result = consume(slow, spare, budget_s=0.75, min_first_s=0.5)
    assert isinstance(result.error, BudgetExceeded)
    assert (result.error.left_s, result.at, result.outcomes) == (0.25, 0.5, [FAILURE])
    assert isinstance(result.error.__cause__, StageTimeout)


def test_without_a_budget_nothing_is_started() -> None:
    result = consume(candidate(Player(["x"]).play), budget_s=0.0)
    assert isinstance(result.error, BudgetExceeded)
    assert (result.items, result.outcomes) == ([], [])


def test_the_budget_ends_with_the_first_useful_item() -> None:
    result = consume(candidate(Player([0.5, 0.5, 0.5]).play), budget_s=0.75)
    assert (result.error, result.items, result.outcomes) == (None, ["x"] * 3, [SUCCESS])


# --- once ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script", [[0.2, 0.1], [9.0], [0.2, 5.0], [0.2, OSError()], [], [OSError()], [0.4, 0.4, 0.4]]
)
@pytest.mark.parametrize("cancel_at", [None, 0.1, 0.3, 1.1])
@pytest.mark.parametrize("stop_after", [None, 1])
@pytest.mark.parametrize("budget_s", [math.inf, 0.15])
def test_whatever_happens_every_permit_is_settled_once(
    script: Script, cancel_at: float | None, stop_after: int | None, budget_s: float
) -> None:
    breakers = [Recorder(), Recorder()]
    result = consume(
        candidate(Player(script).play, "one", breakers[0]),
        candidate(Player(script).play, "two", breakers[1]),
        cancel_at=cancel_at,
        stop_after=stop_after,
        budget_s=budget_s,
    )
    assert isinstance(result.error, (PipelineError, asyncio.CancelledError, type(None)))
    assert breakers[0].acquired == 1
    for breaker in breakers:
        assert len(breaker.settled) == breaker.acquired


# --- a consumer that has not begun -----------------------------------------------------------


class Collects:
    """A consumer that uses the items only from the second one on."""

    def __init__(self) -> None:
        self.restarts = 0
        self.kept: list[str] = []

    def options(self) -> dict[str, Any]:
        return {"begun": lambda: len(self.kept) > 1, "restart": self.restart, "useful": self.take}

    def take(self, item: str) -> bool:
        self.kept.append(item)
        return True

    def restart(self) -> None:
        self.restarts += 1
        self.kept.clear()


def test_what_nobody_has_used_yet_can_be_dropped_for_the_next_candidate() -> None:
    eater = Collects()
    one, two = candidate(Player([0.2, 5.0]).play), candidate(Player(["a", "b"]).play, "two")
    result = consume(one, two, **eater.options())
    assert (result.error, eater.kept, eater.restarts) == (None, ["a", "b"], 1)
    assert result.degraded == [("one", "two", "stalled")]
    assert result.outcomes == [FAILURE, SUCCESS]


def test_what_somebody_has_used_cannot_be_dropped() -> None:
    eater = Collects()
    spare = candidate(Player(["a"]).play, "two")
    result = consume(candidate(Player(["a", "b", OSError("gone")]).play), spare, **eater.options())
    assert isinstance(result.error, StageFailed)
    assert (result.error.partial, eater.restarts, result.degraded) == (True, 0, [])


def test_a_share_of_the_budget_holds_until_the_consumer_begins() -> None:
    eater = Collects()
    slow = candidate(Player([0.5, 60.0]).play, limits=Limits(stall_s=60.0))
    result = consume(slow, candidate(Player(["a"]).play, "two"), budget_s=4.0, **eater.options())
    assert (result.at, result.items) == (3.0, ["x", "a"])
    assert result.degraded == [("one", "two", "took too long")]
    assert result.outcomes == [FAILURE, SUCCESS]


def test_media_that_fall_too_far_behind_have_stalled() -> None:
    trickle = candidate(Player([0.5] * 20).play)
    result = consume(trickle, media_s=lambda item: 0.1, lag_s=1.0)
    assert isinstance(result.error, StageTimeout)
    assert result.error.phase == "stall"
    assert result.at == pytest.approx(1.8)  # 0.5 to the first item, then 0.3 s of media in 1.3 s
    assert result.outcomes == [FAILURE]


@pytest.mark.parametrize(
    ("script", "outcome"), [([0.2, 0.5, 9.0], SUCCESS), ([0.2, 0.9, 9.0], FAILURE)]
)
def test_a_consumer_that_waits_no_longer_blames_who_kept_it_waiting(
    script: Script, outcome: Outcome
) -> None:
    one = candidate(Player(script).play)

    async def main() -> None:
        stream = Guard("llm", [one]).stream(lambda play: play(), useful=bool)
        async with stream as items:
            await anext(items)
            await anext(items)
            stream.give_up()

    run_virtual(main())
    assert isinstance(one.breaker, Recorder)
    assert one.breaker.settled == [outcome]


# --- trouble ---------------------------------------------------------------------------------


def test_a_failure_is_remembered_until_a_call_succeeds() -> None:
    one = candidate(Player([StageBusy("llm", "one", "HTTP 429")]).play)
    two = candidate(Player([0.1]).play, "two")
    consume(one, two)
    assert one.trouble == Trouble(0.0, "at capacity (HTTP 429)", 1)
    assert two.trouble is None
    one.stage = Player([0.1]).play
    consume(one, two)
    assert one.trouble is None


def test_a_provider_that_was_left_because_it_did_not_begin_is_in_trouble() -> None:
    one = candidate(Player([9.0]).play)
    consume(one, cancel_at=1.5)
    assert one.trouble == Trouble(1.5, "too slow to begin", 1)


def test_an_early_interruption_is_no_trouble() -> None:
    one = candidate(Player([9.0]).play)
    consume(one, cancel_at=0.5)
    assert one.trouble is None


def test_a_refusal_is_trouble_only_where_it_may_meet_others_too() -> None:
    foreign = CallerError("llm", "one", "connect", "no German")
    one = candidate(Player([foreign]).play)
    two = candidate(Player([CallerError("llm", "two", "connect", trouble=True)]).play, "two")
    consume(one, two)
    assert one.trouble is None
    assert two.trouble == Trouble(0.0, "refused the request", 1)


def test_what_a_server_says_is_logged_and_in_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "pipeline.guard")
    said = "HTTP 500: upstream http://10.0.3.7 (Jane Doe)"
    one = candidate(Player([StageFailed("llm", "one", "connect", said, reason="broke")]).play)
    consume(one)
    assert one.trouble == Trouble(0.0, "broke (HTTP 500)", 1)
    assert caplog.messages == [f"llm provider 'one': connect: {said}"]


# --- calls that are worth waiting for --------------------------------------------------------

LONG = Limits(first_s=60.0, slow_first_s=20.0, total_s=60.0)
PATIENT = Limits(first_s=60.0, slow_first_s=20.0, total_s=60.0, patient=True)


def test_the_last_candidate_may_be_later_than_wanted() -> None:
    result = consume(candidate(Player([18.0]).play, limits=LONG), budget_s=24.0, share_s=4.0)
    assert (result.items, result.at, result.outcomes) == (["x"], 18.0, [SUCCESS])


def test_a_candidate_with_another_behind_it_gives_way_before_the_answer_is_late() -> None:
    first = candidate(Player([60.0]).play, limits=LONG)
    second = candidate(Player([12.0]).play, "two", limits=LONG)
    result = consume(first, second, budget_s=24.0, share_s=4.0)
    assert (result.items, result.at) == (["x"], 3.0 + 12.0)
    assert result.degraded == [("one", "two", "too slow to begin")]


def test_a_patient_candidate_goes_on_until_the_next_one_needs_its_time() -> None:
    late = candidate(Player([15.0]).play, limits=PATIENT)
    assert consume(late, candidate(Player([0.1]).play, "two"), budget_s=24.0, share_s=4.0).at == 15
    hangs = candidate(Player([60.0]).play, limits=PATIENT)
    result = consume(
        *(hangs, candidate(Player([0.1]).play, "two")), budget_s=24.0, share_s=4.0, size_s=16.0
    )
    assert (result.items, result.at) == (["x"], 24.0 - 16.0 / 2 + 0.1)


def test_what_a_candidate_needs_is_measured() -> None:
    two = candidate(Player([2.0]).play, "two", limits=LONG)
    assert two.needs_s(20.0) == 10.0  # assumed
    consume(two, size_s=20.0)
    assert two.needs_s(20.0) == pytest.approx(2.0)
    consume(two, size_s=40.0)
    assert two.needs_s(20.0) == pytest.approx(2.0 - 0.3 * 1.0)
    consume(two, size_s=0.5)  # too little to tell
    assert two.needs_s(20.0) == pytest.approx(1.7)


def test_a_patient_candidate_is_told_when_its_item_is_wanted() -> None:
    due: list[float] = []

    async def play() -> AsyncIterator[str]:
        due.append(first_due.get())
        yield "x"

    two = candidate(Player([0.1]).play, "two")
    consume(candidate(play, limits=PATIENT), two, budget_s=24.0, share_s=4.0)
    assert due == [3.0]
