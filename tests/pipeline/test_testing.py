import asyncio
import socket

import pytest

from pipeline.testing import (
    Deadlock,
    ManualClock,
    Script,
    Uncancelled,
    VirtualLoop,
    cancel_at,
    play,
    run_virtual,
)


def test_an_hour_of_sleep_is_an_hour_of_virtual_time() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 3600.0


def test_time_starts_at_zero() -> None:
    loop = VirtualLoop()
    try:
        assert loop.time() == 0.0
    finally:
        loop.close()


def test_sleepers_wake_in_the_order_of_their_timers() -> None:
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append((name, asyncio.get_running_loop().time()))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(sleeper("late", 5))
            group.create_task(sleeper("early", 2))

    run_virtual(main())
    assert woken == [("early", 2.0), ("late", 5.0)]


def test_a_timeout_fires_at_its_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.sleep(60)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 30.0


def test_runnable_tasks_run_before_time_moves() -> None:
    async def main() -> float:
        for _ in range(100):
            await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 0.0


def test_a_hang_is_a_deadlock() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock, match="no timer or socket can wake one"):
        run_virtual(main())


def test_bytes_that_are_there_are_read_before_time_moves() -> None:
    async def main() -> tuple[bytes, float]:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            loop.call_later(1, theirs.send, b"hello")
            async with asyncio.timeout(5):
                data = await loop.sock_recv(ours, 16)
        return data, loop.time()

    assert run_virtual(main()) == (b"hello", 1.0)


def test_an_error_of_the_coroutine_is_raised() -> None:
    async def main() -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        run_virtual(main())


def test_tasks_left_behind_are_cancelled() -> None:
    ended: list[str] = []

    async def forgotten() -> None:
        try:
            await asyncio.sleep(1e6)
        finally:
            ended.append("cancelled")

    async def main() -> asyncio.Task[None]:
        task = asyncio.create_task(forgotten())
        await asyncio.sleep(0)
        return task

    assert run_virtual(main()).cancelled()
    assert ended == ["cancelled"]


def test_a_manual_clock_moves_only_by_hand() -> None:
    clock = ManualClock(10.0)
    assert clock() == 10.0
    clock.advance(2.5)
    assert clock() == 12.5


def test_a_manual_clock_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="does not go back"):
        ManualClock().advance(-1)


async def played(script: Script) -> list[tuple[str, float]]:
    """Each item with the time at which it came."""
    loop = asyncio.get_running_loop()
    return [(item, loop.time()) async for item in play(["a", "b", "c"], script)]


@pytest.mark.parametrize(
    ("script", "items"),
    [
        (Script(), [("a", 0.0), ("b", 0.0), ("c", 0.0)]),
        (Script(first_s=2, gap_s=1), [("a", 2.0), ("b", 3.0), ("c", 4.0)]),
        (Script(end=True), []),
        (Script(end=True, after=2), [("a", 0.0), ("b", 0.0)]),
    ],
)
def test_a_stream_follows_its_script(script: Script, items: list[tuple[str, float]]) -> None:
    assert items == run_virtual(played(script))


@pytest.mark.parametrize("after", [0, 2, 3])
def test_a_scripted_error_comes_after_so_many_items(after: int) -> None:
    heard: list[str] = []

    async def main() -> None:
        script = Script(after=after, error=OSError("gone"))
        async for item in play(["a", "b", "c"], script):
            heard.append(item)  # noqa: PERF401  the error comes in the middle

    with pytest.raises(OSError, match="gone"):
        run_virtual(main())
    assert ["a", "b", "c"][:after] == heard


def test_a_scripted_stall_lasts_until_somebody_gives_up() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await played(Script(after=1, stall=True))
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 60.0


def test_a_coroutine_is_cancelled_at_each_of_its_awaits() -> None:
    done: list[str] = []

    async def work() -> None:
        for name in ("connect", "send", "receive"):
            await asyncio.sleep(0 if name == "send" else 1)
            done.append(name)

    async def main() -> list[list[str]]:
        reached = []
        nth = 1
        while await cancel_at(nth, work()):
            reached.append(list(done))
            done.clear()
            nth += 1
        return reached

    assert run_virtual(main()) == [[], ["connect"], ["connect", "send"]]
    assert done == ["connect", "send", "receive"]


def test_a_coroutine_may_clean_up_while_it_is_cancelled() -> None:
    closed: list[float] = []

    async def work() -> None:
        try:
            await asyncio.sleep(1)
        finally:
            await asyncio.sleep(2)
            closed.append(asyncio.get_running_loop().time())

    assert run_virtual(cancel_at(1, work())) is True
    assert closed == [2.0]


def test_an_error_before_the_cancellation_is_raised() -> None:
    async def work() -> None:
        await asyncio.sleep(1)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        run_virtual(cancel_at(2, work()))


def test_a_coroutine_that_ignores_cancellation_is_reported() -> None:
    async def swallows() -> None:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            return

    async def replaces() -> None:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            raise OSError("reset") from None

    with pytest.raises(Uncancelled, match=r"returned although it was cancelled at its await no. 1"):
        run_virtual(cancel_at(1, swallows()))
    with pytest.raises(Uncancelled, match=r"await no. 1 it raised OSError: reset") as caught:
        run_virtual(cancel_at(1, replaces()))
    assert isinstance(caught.value.__cause__, OSError)


def test_cancelling_the_trial_cancels_the_coroutine() -> None:
    ended: list[float] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(asyncio.get_running_loop().time())

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await cancel_at(2, work())
        await asyncio.sleep(0)

    run_virtual(main())
    assert ended == [5.0]
