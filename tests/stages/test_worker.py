"""Worker processes: real ones, with handlers from tests/support/worker_handlers.py."""

import asyncio
import itertools
import logging
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest
import uvloop

from pipeline.errors import StageBusy, StageFailed
from stages import _worker, _worker_process
from stages._heartbeat import Heartbeat
from stages._worker import Worker, WorkerPacket
from stages._worker_main import WorkerUnpacker, _Link, pack

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that died young may be started again without a delay."""
    monkeypatch.setattr(_worker, "_FIRST_DELAY_S", 0.0)


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    return partial(play, runner=request.param)


def play(scene: Coroutine[Any, Any, None], runner: Callable[..., None] = asyncio.run) -> None:
    async def main() -> None:
        try:
            async with asyncio.timeout(20):
                await scene
        finally:
            while OPENED:
                await OPENED.pop().aclose()

    runner(main())


HANDLERS = "tests.support.worker_handlers"
OPENED: list[Worker] = []


def worker(factory: str = "obedient", **limits: Any) -> Worker:
    target = f"{HANDLERS}:{factory}"
    OPENED.append(Worker(target, {"load": "all"}, stage="stt", provider="x", **limits))
    return OPENED[-1]


async def ask(one: Worker, kind: str, header: dict[str, Any], payload: bytes = b"") -> WorkerPacket:
    job = one.open_job()
    job.send(kind, header, payload)
    return await job.result()


async def until(condition: Callable[[], bool]) -> None:
    for _ in itertools.count():
        if condition():
            return
        await asyncio.sleep(0)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_messages_survive_being_cut_anywhere() -> None:
    stream = pack(1, "audio", {"n": 1}, b"\x00\x01\x02") + pack(2, "end", last=True)
    unpacker = WorkerUnpacker()
    packets = [p for index in range(len(stream)) for p in unpacker.feed(stream[index : index + 1])]
    assert [
        WorkerPacket(1, "audio", {"n": 1}, b"\x00\x01\x02", False),
        WorkerPacket(2, "end", {}, b"", True),
    ] == packets


def test_a_message_of_impossible_length_is_refused() -> None:
    with pytest.raises(ValueError, match="impossible length"):
        WorkerUnpacker().feed(b"\xff" * 8)


def test_the_first_job_starts_the_process_and_gets_its_bytes_back(run: Run) -> None:
    async def scene() -> None:
        one = worker()
        assert one.stats().pid is None
        packet = await ask(one, "echo", {"word": "höre"}, bytes(range(256)) * 1000)
        assert ({"word": "höre"}, bytes(range(256)) * 1000) == (packet.header, packet.payload)
        assert (one.stats().starts, one.stats().jobs, one.stats().ready) == (1, 0, True)

    run(scene())


def test_start_gives_the_handlers_report() -> None:
    async def scene() -> None:
        one = worker()
        assert await one.start() == {"loaded": "all"}

    play(scene())


def test_many_jobs_share_the_process_without_mixing() -> None:
    async def scene() -> None:
        one = worker()
        jobs = [one.open_job() for _ in range(20)]
        for number, job in enumerate(jobs):
            job.send("count", {"to": number})
        numbers = [[p.header.get("number") async for p in job] for job in jobs]
        assert [[*range(number), None] for number in range(20)] == numbers

    play(scene())


def test_replies_before_the_last_go_to_the_callback_in_order() -> None:
    async def scene() -> None:
        one = worker()
        heard: list[int] = []
        job = one.open_job(lambda packet: heard.append(packet.header["number"]))
        job.send("count", {"to": 5})
        assert (await job.result()).kind == "counted"
        assert heard == [0, 1, 2, 3, 4]

    play(scene())


def test_a_cancelled_job_hears_nothing_more() -> None:
    async def scene() -> None:
        one = worker()
        job = one.open_job()
        job.send("count", {"to": 5})
        await anext(job)
        job.cancel()
        job.cancel()
        assert [packet async for packet in job] == []
        with pytest.raises(StageFailed, match="was cancelled"):
            await job.result()

    play(scene())


def test_cancel_overtakes_the_jobs_queued_messages() -> None:
    async def scene() -> None:
        one = worker()
        busy, other = one.open_job(), one.open_job()  # jobs 1 and 2
        busy.send("wait")
        assert (await anext(busy)).kind == "waiting"
        for _ in range(3):
            other.send("audio", payload=b"\x00" * 1000)
        other.cancel()
        busy.cancel()
        seen = (await ask(one, "seen", {})).header["seen"]
        assert sorted(seen) == [[1, "cancel"], [1, "wait"], [2, "cancel"], [3, "seen"]]

    play(scene())


def test_cancelling_the_await_cancels_the_job() -> None:
    async def scene() -> None:
        one = worker()
        job = one.open_job()
        job.send("wait")
        await anext(job)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await job.result()
        assert one.stats().jobs == 0
        assert (await ask(one, "echo", {})).kind == "echoed"  # the main thread is free again

    play(scene())


def test_messages_are_handled_between_two_slices_of_work() -> None:
    async def scene() -> None:
        one = worker()
        job = one.open_job()
        job.send("labour", {"slices": 10_000_000})  # much longer than the test may last
        await anext(job)
        assert (await ask(one, "echo", {})).kind == "echoed"

    play(scene())


def test_an_error_of_the_handler_fails_its_job_only() -> None:
    async def scene() -> None:
        one = worker()
        bad = one.open_job()
        bad.send("raise")
        bad.send("echo")  # never answered: the job is over
        with pytest.raises(StageFailed, match="RuntimeError: no such luck") as caught:
            await bad.result()
        assert (
            caught.value.stage,
            caught.value.provider,
            caught.value.phase,
        ) == ("stt", "x", "stream")
        seen = (await ask(one, "seen", {})).header["seen"]
        assert seen == [[1, "raise"], [1, "cancel"], [2, "seen"]]

    play(scene())


def test_a_death_in_mid_job_fails_every_job_and_the_next_use_starts_again(
    run: Run, at_once: None
) -> None:
    async def scene() -> None:
        one = worker()
        bystander, culprit = one.open_job(), one.open_job()
        culprit.send("die")
        for job in (bystander, culprit):
            with pytest.raises(StageFailed, match="process died") as caught:
                await job.result()
            assert caught.value.phase == "stream"
        assert one.stats().pid is None
        assert (await ask(one, "echo", {})).kind == "echoed"
        assert one.stats().starts == 2

    run(scene())


def test_the_last_lines_of_a_crashed_process_are_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene() -> None:
        one = worker()
        job = one.open_job()
        job.send("crash")
        with pytest.raises(StageFailed, match="process died"):
            await job.result()
        await one.aclose()

    play(scene())
    [told] = [
        record.getMessage()
        for record in caplog.records
        if record.levelname == "WARNING" and "its last lines" in record.getMessage()
    ]
    assert told.endswith("line 98 | line 99 | MemoryError: no room for the model")


def test_after_a_quick_death_uses_are_refused_for_a_while() -> None:
    async def scene() -> None:
        one = worker()
        job = one.open_job()
        job.send("die")
        with pytest.raises(StageFailed):
            await job.result()
        late = one.open_job()
        late.send("echo")
        with pytest.raises(
            StageFailed, match=r"process died \(next start in 0\.\d\d s\)"
        ) as caught:
            await late.result()
        assert (caught.value.phase, one.stats().starts) == ("connect", 1)

    play(scene())


def test_the_delay_after_quick_deaths_grows_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_worker, "_FIRST_DELAY_S", 1e-9)
    monkeypatch.setattr(_worker, "_MAX_DELAY_S", 1000.0)

    async def scene() -> None:
        one = worker("broken")
        refused = 0
        for _ in range(30):  # doubling: a nanosecond becomes more than this test may last
            with pytest.raises(StageFailed):
                await one.start()
            refused = one.stats().starts
        assert refused < 30
        with pytest.raises(StageFailed, match="KeyError: 'model'"):
            await one.start()

    play(scene())


def test_a_frozen_process_is_killed_by_its_missing_heartbeat() -> None:
    async def scene() -> None:
        one = worker(heartbeat_s=0.05, stall_s=0.3)
        await one.start()
        pid = one.stats().pid
        assert pid is not None
        job = one.open_job()
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(StageFailed, match=r"did not answer for 0\.3 s") as caught:
            await job.result()
        assert caught.value.phase == "stream"
        await one.aclose()
        assert gone(pid)

    play(scene())


def test_a_busy_process_answers_heartbeats() -> None:
    async def scene() -> None:
        one = worker(heartbeat_s=0.01, stall_s=5.0)
        job = one.open_job()
        job.send("wait")
        await anext(job)
        process = one._process
        assert process is not None
        heart = process._heart
        assert heart is not None
        for _ in range(5):  # each beat gets its answer although the main thread is busy
            await until(lambda: heart.asked_at is not None)
            await until(lambda: heart.asked_at is None)
        assert one.stats().ready

    play(scene())


def test_more_than_the_pipe_may_hold_is_busy(run: Run) -> None:
    async def scene() -> None:
        one = worker(max_pending_bytes=200_000)
        await one.start()
        pid = one.stats().pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # nobody reads the pipe
        job = one.open_job()
        for _ in range(20):
            job.send("audio", payload=b"\x00" * 50_000)
        assert one.stats().pending_bytes <= 200_100  # the cancellation goes on top
        with pytest.raises(StageBusy, match="bytes wait for the worker") as caught:
            await job.result()
        assert caught.value.retry_after_s == 1.0
        os.kill(pid, signal.SIGCONT)
        await until(lambda: not one.stats().pending_bytes)
        assert (await ask(one, "echo", {})).kind == "echoed"

    run(scene())


def test_more_than_the_process_may_hold_is_busy() -> None:
    async def scene() -> None:
        one = worker(max_pending_bytes=100_000)
        busy, flood = one.open_job(), one.open_job()
        busy.send("wait")
        await anext(busy)
        for _ in range(20):  # read at once by the process, but not handled
            flood.send("audio", payload=b"\x00" * 50_000)
            await until(lambda: not one.stats().pending_bytes)
        with pytest.raises(StageBusy, match="more than 100000 bytes wait in the worker"):
            await flood.result()
        busy.cancel()
        seen = (await ask(one, "seen", {})).header["seen"]
        assert [2, "audio"] not in seen

    play(scene())


def test_unread_replies_fail_the_job() -> None:
    async def scene() -> None:
        one = worker()
        job = one.open_job()
        job.send("count", {"to": 3000})
        await ask(one, "echo", {})  # answered after the 3000
        with pytest.raises(StageFailed, match="nobody reads"):
            await job.result()

    play(scene())


def test_what_the_process_prints_is_logged_within_bounds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "stages.worker")

    async def scene() -> None:
        one = worker()
        assert (await ask(one, "chatter", {})).kind == "chattered"
        assert (await ask(one, "echo", {})).kind == "echoed"

    play(scene())
    printed = [text for text in caplog.messages if "ended with" not in text]
    assert {"stt-x: chatter from Python", "stt-x: chatter from C"} <= set(printed)
    assert len(printed) <= 20
    assert max(map(len, printed)) <= len("stt-x: ") + 400


def test_nonsense_from_the_process_ends_it() -> None:
    async def scene() -> None:
        one = worker()
        job = one.open_job()
        job.send("nonsense")
        with pytest.raises(StageFailed, match="sent nonsense") as caught:
            await job.result()
        assert caught.value.phase == "protocol"

    play(scene())


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        ("unwilling", "the model is on holiday"),
        ("broken", "KeyError: 'model'"),
        ("missing", f"AttributeError: module '{HANDLERS}' has no attribute 'missing'"),
    ],
)
def test_a_failed_start_says_why(factory: str, reason: str) -> None:
    async def scene() -> None:
        one = worker(factory)
        with pytest.raises(StageFailed) as caught:
            await one.start()
        assert (caught.value.phase, caught.value.detail) == ("connect", reason)

    play(scene())


def test_a_start_that_never_ends_is_given_up() -> None:
    async def scene() -> None:
        one = worker("endless", heartbeat_s=0.05, start_timeout_s=0.3)
        job = one.open_job()
        with pytest.raises(StageFailed, match=r"not ready after 0\.3 s") as caught:
            await job.result()
        assert caught.value.phase == "connect"

    play(scene())


def test_a_missing_interpreter_is_a_failed_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    async def scene() -> None:
        one = worker()
        with pytest.raises(StageFailed, match="no process could be started"):
            await one.start()

    play(scene())


def test_aclose_ends_the_process_and_fails_its_jobs(run: Run) -> None:
    async def scene() -> None:
        one = worker()
        await one.start()
        pid = one.stats().pid
        assert pid is not None
        job = one.open_job()
        await one.aclose()
        assert gone(pid)
        with pytest.raises(StageFailed, match="was closed"):
            await job.result()
        for attempt in (one.start(), one.open_job().result()):
            with pytest.raises(StageFailed, match="is closed"):
                await attempt
        await one.aclose()

    run(scene())


def test_aclose_before_the_process_is_up_leaves_nothing() -> None:
    async def scene() -> None:
        one = worker()
        job = one.open_job()
        await one.aclose()
        with pytest.raises(StageFailed, match="was closed"):
            await job.result()
        assert one.stats().starts == 1

    play(scene())


def test_aclose_kills_a_process_that_does_not_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_worker_process, "_EXIT_STEP_S", 0.05)

    async def scene() -> None:
        one = worker()
        job = one.open_job()
        job.send("stubborn")
        await anext(job)
        pid = one.stats().pid
        assert pid is not None
        await one.aclose()
        assert gone(pid)

    play(scene())


PARENT = """
import asyncio, os, sys
sys.path[:] = {path!r}
from stages._worker import Worker

async def main():
    worker = Worker("tests.support.worker_handlers:obedient", {{}}, stage="stt", provider="x")
    await worker.start()
    print(worker.stats().pid, flush=True)
    sys.stdin.readline()
    os._exit(0)  # without a farewell

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
def test_the_process_does_not_outlive_its_parent() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT.format(path=sys.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        try:
            assert select.select([child], [], [], 0)[0] == []
            parent.stdin.write("go\n")
            parent.stdin.flush()
            assert [child] == select.select([child], [], [], 10)[0]
        finally:
            os.close(child)


def test_a_job_cancelled_while_the_process_starts_does_not_come_before_the_load_message() -> None:
    link = _Link(0, 1)
    arrived = [(0, "load"), (1, "audio"), (1, "cancel"), (2, "audio"), (2, "cancel")]
    for job, kind in arrived:
        link._arrived(WorkerPacket(job, kind, {}, b"", False))
    read = [link.next(wait=False) for _ in range(4)]
    assert [packet and packet.kind for packet in read] == ["load", "cancel", "cancel", None]


def test_a_beat_that_is_due_already_is_timed_again(run: Run) -> None:
    """uvloop's timers that are due at once are not asked when they are."""

    async def scene() -> None:
        one = worker()
        await one.start()
        process = one._process
        assert process is not None
        heart = process._heart
        assert heart is not None
        now = asyncio.get_running_loop().time()
        for late_s in (0.0, 0.0001, 1.0):
            late = Heartbeat(now, every_s=1.0, stall_s=1.0)
            late.deadline = now - late_s
            process._watch(late)
        assert (await ask(one, "echo", {"number": 1})).header == {"number": 1}
        assert process._beat_at == heart.deadline

    run(scene())
