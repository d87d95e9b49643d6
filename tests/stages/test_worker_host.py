"""Workers that several processes share; here all of them are in one process, over a real socket."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StageFailed
from stages import _worker
from stages._worker import Worker, WorkerPacket
from stages._worker_host import WorkerHost
from stages._worker_shared import share

HANDLERS = "tests.support.worker_handlers"

Scene = Callable[[WorkerHost, Worker, Worker], Awaitable[None]]


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:  # a short name: a socket's path has 107 bytes
        share(Path(folder) / "models")
        yield Path(folder) / "models"
        share(None)


def worker(factory: str = "obedient", **options: Any) -> Worker:
    wanted = {"load": "all", **options}
    return Worker(f"{HANDLERS}:{factory}", wanted, stage="stt", provider="x")


def play(path: Path, scene: Scene, **options: Any) -> None:
    async def main() -> None:
        async with asyncio.timeout(30), WorkerHost(path) as host:
            one, other = worker(**options), worker(**options)
            try:
                await scene(host, one, other)
            finally:
                await one.aclose()
                await other.aclose()

    asyncio.run(main())


async def ask(one: Worker, kind: str, header: dict[str, Any], payload: bytes = b"") -> WorkerPacket:
    job = one.open_job()
    job.send(kind, header, payload)
    return await job.result()


def shared_pid(host: WorkerHost) -> int:
    (only,) = host._workers.values()
    pid = only.stats().pid
    assert pid is not None
    return pid


def test_two_have_one_process_and_each_gets_its_own_replies(path: Path) -> None:
    async def scene(host: WorkerHost, one: Worker, other: Worker) -> None:
        assert await one.start() == await other.start() == {"loaded": "all"}
        replies = await asyncio.gather(
            *(
                ask(each, "echo", {"number": number}, bytes(number))
                for number in range(20)
                for each in (one, other)
            )
        )
        expected = [(n, n) for n in range(20) for _ in range(2)]
        assert [(each.header["number"], len(each.payload)) for each in replies] == expected
        assert [each.stats().starts for each in host._workers.values()] == [1]
        assert (one.stats().ready, one.stats().jobs, one.stats().pid) == (True, 0, None)

    play(path, scene)


def test_other_options_are_another_process(path: Path) -> None:
    async def scene(host: WorkerHost, one: Worker, other: Worker) -> None:
        third = worker(load="less")
        try:
            assert await third.start() == {"loaded": "less"}
            await one.start()
            assert len(host._workers) == 2
        finally:
            await third.aclose()

    play(path, scene)


def test_all_replies_of_a_job_come_in_their_order(path: Path) -> None:
    async def scene(host: WorkerHost, one: Worker, other: Worker) -> None:
        job = one.open_job()
        job.send("count", {"to": 200})
        kinds = [(reply.kind, reply.header.get("number")) async for reply in job]
        assert kinds == [*(("number", number) for number in range(200)), ("counted", None)]

    play(path, scene)


def test_one_that_cancels_lets_the_other_ones_job_go_on(path: Path) -> None:
    async def scene(host: WorkerHost, one: Worker, other: Worker) -> None:
        waiting = one.open_job()
        waiting.send("wait")
        assert (await anext(waiting)).kind == "waiting"
        behind = asyncio.create_task(ask(other, "echo", {"number": 1}))
        waiting.cancel()
        assert (await behind).header == {"number": 1}

    play(path, scene)


def test_one_that_ends_leaves_its_jobs_to_nobody(path: Path) -> None:
    async def scene(host: WorkerHost, one: Worker, other: Worker) -> None:
        waiting = one.open_job()
        waiting.send("wait")
        assert (await anext(waiting)).kind == "waiting"
        await one.aclose()
        assert (await ask(other, "echo", {"number": 1})).header == {"number": 1}

    play(path, scene)


def test_a_failed_job_says_why(path: Path) -> None:
    async def scene(host: WorkerHost, one: Worker, other: Worker) -> None:
        with pytest.raises(StageFailed, match="no such luck"):
            await ask(one, "raise", {})
        assert (await ask(one, "echo", {"number": 1})).header == {"number": 1}

    play(path, scene)


def test_a_model_that_cannot_be_loaded_says_why_to_all(path: Path) -> None:
    async def scene(host: WorkerHost, one: Worker, other: Worker) -> None:
        for each in (one, other):
            with pytest.raises(StageFailed) as failed:
                await each.start()
            assert failed.value.phase == "connect"

    play(path, scene, factory="nobody_knows_this")


def test_the_death_of_the_process_is_told_to_all_and_another_takes_its_place(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_worker, "_FIRST_DELAY_S", 0.0)

    async def scene(host: WorkerHost, one: Worker, other: Worker) -> None:
        jobs = [each.open_job() for each in (one, other)]
        for job in jobs:
            job.send("labour", {"slices": 10**9})
            assert (await anext(job)).kind == "labouring"
        os.kill(shared_pid(host), signal.SIGKILL)
        for job in jobs:
            with pytest.raises(StageFailed):
                await job.result()
            assert job.lost
        for each in (one, other):
            assert (await ask(each, "echo", {"number": 2})).header == {"number": 2}

    play(path, scene)


def test_without_a_host_nothing_can_be_started(path: Path) -> None:
    async def main() -> None:
        alone = worker()
        try:
            async with asyncio.timeout(30):
                with pytest.raises(StageFailed, match="no process could be started"):
                    await alone.start()
        finally:
            await alone.aclose()

    asyncio.run(main())


def test_a_private_worker_is_a_child_of_its_own(path: Path) -> None:
    async def scene(host: WorkerHost, one: Worker, other: Worker) -> None:
        own = Worker(f"{HANDLERS}:obedient", {}, stage="decode", provider="x", private=True)
        try:
            await own.start()
            assert own.stats().pid is not None
            assert host._workers == {}
        finally:
            await own.aclose()

    play(path, scene)
