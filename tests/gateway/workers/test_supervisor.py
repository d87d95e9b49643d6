"""The parent of a gateway's processes, with small processes in place of gateways."""

import asyncio
import errno
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.workers import supervisor as module
from gateway.workers.board import LoadBoard
from gateway.workers.supervisor import StartFailed, Supervisor
from tests.support.paths import ROOT
from tests.support.supervised import Steps

LIMIT_S = 60.0

Orders = dict[int, list[tuple[str, ...]]]
"""By process: the steps of its first start, of its second, and so on; the last one repeats."""


class Family:
    def __init__(self, folder: Path, orders: Orders) -> None:
        self.folder = folder
        self.starts: Counter[int] = Counter()
        self.board = LoadBoard.create(folder / "board", len(orders))
        self.told: list[str] = []

        def order(index: int) -> Steps:
            steps = orders[index][min(self.starts[index], len(orders[index]) - 1)]
            self.starts[index] += 1
            return Steps(steps, folder / f"heard-{index}")

        self.supervisor = Supervisor(
            "tests.support.supervised",
            order,
            self.board,
            folder,
            inherited=(),
            grace_s=1.0,
            ending=lambda: self.told.append("ending"),
        )

    def heard(self, index: int) -> list[str]:
        with suppress(FileNotFoundError):
            return (self.folder / f"heard-{index}").read_text().splitlines()
        return []

    def pid(self, index: int) -> int:
        return self.supervisor._running[index].child.pid

    def serves(self, index: int) -> bool:
        running = self.supervisor._running.get(index)
        return running is not None and running.serves

    async def until(self, so: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not so():
                await asyncio.sleep(0.01)


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Callable[[Orders], Family]]:
    made: list[Family] = []

    def one(orders: Orders) -> Family:
        made.append(Family(tmp_path, orders))
        return made[-1]

    yield one
    for each in made:
        each.board.close()


def run(parent: Family, story: Coroutine[Any, Any, None]) -> None:
    """Have the processes while the story is told, then end them by a signal."""

    async def both() -> None:
        running = asyncio.create_task(parent.supervisor.run())
        try:
            async with asyncio.timeout(LIMIT_S):
                await story
                if not parent.supervisor.signals:
                    os.kill(os.getpid(), signal.SIGTERM)
                await running
        finally:
            running.cancel()
            await asyncio.wait([running])

    asyncio.run(both())


def test_one_that_fails_to_start_ends_the_others_and_says_which(
    family: Callable[[Orders], Family],
) -> None:
    parent = family({0: [("ready a", "wait")], 1: [("exit 3",)]})
    with pytest.raises(StartFailed) as failed:
        asyncio.run(parent.supervisor.run())
    assert str(failed.value) == (
        "process 2 of 2 ended before it served (exit code 3); what it said is above"
    )
    assert parent.starts == {0: 1, 1: 1}


def test_what_one_tells_the_others_hear(family: Callable[[Orders], Family]) -> None:
    parent = family(
        {
            0: [("ready a", "hear", "hear", "wait")],
            1: [("until second", "ready b", "until third", "tell {}", "wait")],
        }
    )

    async def story() -> None:
        await parent.until(lambda: parent.serves(0))
        (parent.folder / "second").touch()
        await parent.until(lambda: parent.heard(0) == ["there 1"])
        (parent.folder / "third").touch()
        await parent.until(lambda: parent.heard(0) == ["there 1", "from 1 {}"])

    run(parent, story())
    assert parent.heard(1) == []


def test_one_that_was_killed_is_started_again_and_the_others_hear_whose_sessions_are_free(
    family: Callable[[Orders], Family],
) -> None:
    parent = family(
        {
            0: [("ready a", *["hear"] * 9)],
            1: [("ready b", "wait"), ("ready c", "hear", "wait")],
        }
    )

    async def story() -> None:
        await parent.until(lambda: parent.serves(0))
        await parent.until(lambda: parent.serves(1))
        parent.board.note(1, 5, accepting=True)
        os.kill(parent.pid(1), signal.SIGKILL)
        await parent.until(lambda: "gone 1 b" in parent.heard(0))
        await parent.until(lambda: parent.heard(0)[-1:] == ["there 1"])
        assert parent.board.load(1) == 0
        # The one that follows is told as well: the others may all be dead.
        await parent.until(lambda: parent.heard(1) == ["gone 1 b"])

    run(parent, story())
    assert parent.starts == {0: 1, 1: 2}


def test_what_a_dead_one_counted_is_kept(family: Callable[[Orders], Family]) -> None:
    parent = family({0: [("ready a", "wait")], 1: [("ready b", "wait"), ("ready c", "wait")]})
    page = "# HELP turns_total Turns\n# TYPE turns_total counter\nturns_total 3.0\n"

    async def story() -> None:
        for turn in range(2):
            await parent.until(lambda: parent.serves(1))
            (parent.folder / "metrics-1").write_text(page)
            os.kill(parent.pid(1), signal.SIGKILL)
            starts = turn + 2
            await parent.until(lambda starts=starts: parent.starts[1] == starts)

    run(parent, story())
    assert "turns_total 6.0" in (parent.folder / "metrics-ended").read_text()


def test_a_gateway_whose_only_process_cannot_start_again_ends(
    family: Callable[[Orders], Family], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.workers.restarts.FIRST_WAIT_S", 0.01)
    monkeypatch.setattr("gateway.workers.restarts.LONGEST_WAIT_S", 0.01)
    parent = family({0: [("ready a", "exit 1"), ("exit 4",)]})
    with pytest.raises(StartFailed, match=r"process 1 of 1 ended .* \(exit code 4\)"):
        asyncio.run(parent.supervisor.run())
    assert parent.starts[0] == 6


def test_a_signal_ends_all_and_the_person_is_told_once(family: Callable[[Orders], Family]) -> None:
    parent = family({0: [("ready a", "wait")], 1: [("ready b", "wait")]})

    async def story() -> None:
        await parent.until(lambda: parent.serves(0) and parent.serves(1))

    run(parent, story())
    assert parent.supervisor.signals == [signal.SIGTERM]
    assert parent.told == ["ending"]
    assert parent.starts == {0: 1, 1: 1}


def test_one_that_does_not_end_is_killed_after_a_second_signal(
    family: Callable[[Orders], Family], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FORCED_S", 0.1)
    parent = family({0: [("deaf", "ready a", "wait")]})

    async def story() -> None:
        await parent.until(lambda: parent.serves(0))
        os.kill(os.getpid(), signal.SIGTERM)
        await parent.until(lambda: len(parent.supervisor.signals) == 1)
        os.kill(os.getpid(), signal.SIGTERM)

    run(parent, story())
    assert len(parent.supervisor.signals) == 2


def test_one_that_is_silent_is_killed_and_started_again(
    family: Callable[[Orders], Family], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENT_S", 0.5)
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.05)
    parent = family({0: [("ready a", "wait"), ("ready b", "wait")]})

    async def story() -> None:
        await parent.until(lambda: parent.starts[0] >= 2)

    run(parent, story())


def test_one_that_cannot_be_started_for_a_while_leaves_the_others_alone(
    family: Callable[[Orders], Family], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.workers.restarts.FIRST_WAIT_S", 0.01)
    parent = family({0: [("ready a", "wait")], 1: [("ready b", "wait"), ("ready c", "wait")]})
    start = asyncio.create_subprocess_exec
    refused = 0

    async def short_of_memory(*program: str, **about: Any) -> asyncio.subprocess.Process:
        nonlocal refused
        if parent.starts[1] == 1 and refused < 3:
            refused += 1
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return await start(*program, **about)

    async def story() -> None:
        await parent.until(lambda: parent.serves(0) and parent.serves(1))
        monkeypatch.setattr(asyncio, "create_subprocess_exec", short_of_memory)
        os.kill(parent.pid(1), signal.SIGKILL)
        await parent.until(lambda: parent.starts[1] == 2 and parent.serves(1))

    run(parent, story())
    assert refused == 3
    assert parent.starts == {0: 1, 1: 2}


def test_a_process_imports_nothing_from_the_folder_where_the_gateway_was_started(
    family: Callable[[Orders], Family], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    parent = family({0: [("ready a", "wait")]})

    async def story() -> None:
        await parent.until(lambda: parent.serves(0))

    run(parent, story())
    assert parent.starts == {0: 1}
