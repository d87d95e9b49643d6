"""Worker processes, for native code that holds the GIL, may crash, or runs long.

A `Worker` is one child process with an interpreter of its own (spawned, never forked) that runs a
handler (see `stages._worker_main`) for many jobs at once. Messages to it are plain, non-blocking
writes; replies are awaited. The process starts on first use. Its death is noticed at once (its pipe
ends), a stopped process after 2 s by missed heartbeats (`stages._heartbeat`). Every job of a dead
process fails. The next use starts a new process, after a growing delay if processes keep dying soon
after their start.

All methods belong to the event loop on which the worker was first used.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from pipeline.errors import StageFailed
from stages._worker_job import Spec, WorkerJob
from stages._worker_main import Header, WorkerPacket
from stages._worker_process import Process

__all__ = ["Header", "Worker", "WorkerJob", "WorkerPacket", "WorkerStats"]

log = logging.getLogger("stages.worker")

_YOUNG_S = 10.0
"""A process that dies younger than this makes the next start wait."""

_FIRST_DELAY_S = 0.25
_MAX_DELAY_S = 8.0


@dataclass(frozen=True, slots=True)
class WorkerStats:
    """The worker at one moment. `pid` is None while no process runs; `starts` counts all starts."""

    pid: int | None
    ready: bool
    starts: int
    jobs: int
    pending_bytes: int


class Worker:
    """One worker process at a time, shared by all sessions.

    `target` is "module:factory"; in the child the factory is called with `options` (JSON) and
    returns a `stages._worker_main.Handler`. `stage` and `provider` name the worker in errors, logs
    and `ps`. A process that is not ready after `start_timeout_s`, or does not answer a ping for
    `stall_s`, or was stopped, is killed. At most `max_pending_bytes` wait in the pipe, and as much
    in the process. A `private` worker is this process's own, also where others are shared
    (`stages._worker_shared`).
    """

    def __init__(
        self,
        target: str,
        options: Header,
        *,
        stage: str,
        provider: str,
        start_timeout_s: float = 30.0,
        heartbeat_s: float = 0.5,
        stall_s: float = 10.0,
        max_pending_bytes: int = 8 << 20,
        private: bool = False,
    ) -> None:
        self._spec = Spec(
            target,
            dict(options),
            stage,
            provider,
            start_timeout_s,
            heartbeat_s,
            stall_s,
            max_pending_bytes,
            private,
        )
        self._process: Process | None = None
        self._unreaped: set[Process] = set()
        self._closed = False
        self._jobs = 0
        self._starts = 0
        self._delay_s = 0.0
        self._not_before = 0.0

    async def start(self) -> Header:
        """Start the process and wait until it is ready; returns what its handler has loaded.

        Raises StageFailed ("connect") with the reason if it cannot start. Cancelling the wait
        leaves the process starting.
        """
        process = self._current()
        if process is not None:
            await process.settled.wait()
            if process.ended is None:
                return cast("Header", process.report)
            if not self._closed:
                raise self._spec.failed("connect", _reason(process))
        raise self._refusal()

    def open_job(
        self,
        on_reply: Callable[[WorkerPacket], None] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> WorkerJob:
        """A new job; starts the process if need be. A plain call that never raises.

        `on_reply`, if given, is called on the event loop with every reply but the last; awaiting
        the job then yields the last reply only. `on_lost` is called once where the process that has
        the job ends before it; another job may be opened in it.
        """
        process = self._current()
        self._jobs += 1
        job = WorkerJob(self._spec, process, self._jobs, on_reply, on_lost)
        if process is None:
            job.fail(self._refusal())
        else:
            process.jobs[self._jobs] = job
        return job

    def stats(self) -> WorkerStats:
        """The worker's present state."""
        process = self._process
        if process is None or process.ended is not None:
            return WorkerStats(None, False, self._starts, 0, 0)
        return WorkerStats(
            pid=process.pid,
            ready=process.ready_at is not None,
            starts=self._starts,
            jobs=len(process.jobs),
            pending_bytes=process.pending_bytes,
        )

    async def aclose(self) -> None:
        """Fail all jobs and end the process: at once if it is idle, within 3 s at worst."""
        self._closed = True
        await asyncio.gather(*(process.end() for process in self._unreaped))

    def _current(self) -> Process | None:
        """The process to use; None if the worker is closed or the next start must wait."""
        process = self._process
        if process is not None and process.ended is None:
            return process
        if self._closed or asyncio.get_running_loop().time() < self._not_before:
            return None
        self._starts += 1
        self._process = Process(self._spec, self._on_end)
        self._unreaped = {old for old in self._unreaped if not old.reaped.is_set()}
        self._unreaped.add(self._process)
        return self._process

    def _on_end(self, process: Process) -> None:
        if self._closed:
            return
        now = asyncio.get_running_loop().time()
        if process.ready_at is not None and now - process.ready_at >= _YOUNG_S:
            self._delay_s = 0.0
        else:
            self._delay_s = min(max(2 * self._delay_s, _FIRST_DELAY_S), _MAX_DELAY_S)
        self._not_before = now + self._delay_s
        log.warning("%s: %s", self._spec.name, _reason(process))

    def _refusal(self) -> StageFailed:
        if self._closed or self._process is None:
            return self._spec.failed("connect", "the worker is closed")
        wait_s = max(0.0, self._not_before - asyncio.get_running_loop().time())
        detail = f"{_reason(self._process)} (next start in {wait_s:.2f} s)"
        return self._spec.failed("connect", detail)


def _reason(process: Process) -> str:
    return process.ended[1] if process.ended is not None else ""
