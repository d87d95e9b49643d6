import asyncio
import socket

import pytest

from pipeline.testing import Deadlock, ManualClock, VirtualLoop, run_virtual


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

    with pytest.raises(Deadlock, match="nobody will do"):
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
