"""One worker process seen from its parent. See `stages._worker`."""

import asyncio
import contextlib
import logging
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import cast

from pipeline.errors import Phase
from stages import _worker_main, _worker_shared
from stages._heartbeat import Heartbeat
from stages._worker_job import Spec, WorkerJob
from stages._worker_main import Header, WorkerPacket, WorkerUnpacker, pack
from stages._worker_shared import SharedChild

log = logging.getLogger("stages.worker")

_STDERR_LINES_PER_BEAT = 20
_STDERR_BEAT_S = 1.0
_STDERR_LINE_BYTES = 400
_LAST_LINES = 5
"""Lines of a dead process's stderr that are logged as a warning: the end of a traceback."""

_DIED = "the worker process died"
_EXIT_STEP_S = 1.0
"""How long `end` waits after closing the pipe, again after SIGTERM, and again after SIGKILL."""

_DRAIN_S = 0.1
"""How long the last output of a dead process may take to arrive."""


class Process(asyncio.SubprocessProtocol):
    """One process, from its start to its end, with its jobs.

    `on_end` is called once, when the process takes no more jobs; `reaped` is set when it is gone.
    """

    def __init__(self, spec: Spec, on_end: Callable[["Process"], None]) -> None:
        self.spec = spec
        self.jobs: dict[int, WorkerJob] = {}
        self.report: Header | None = None
        self.ready_at: float | None = None
        self.ended: tuple[Phase, str] | None = None  # why it takes no more jobs
        self.settled = asyncio.Event()  # ready, or ended
        self.reaped = asyncio.Event()
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.SubprocessTransport | None = None
        hello = {
            "target": spec.target,
            "options": spec.options,
            "path": sys.path,
            "max_pending_bytes": spec.max_pending_bytes,
            # For a host of shared workers; the worker itself has no use for them.
            "stage": spec.stage,
            "provider": spec.provider,
            "start_timeout_s": spec.start_timeout_s,
            "heartbeat_s": spec.heartbeat_s,
            "stall_s": spec.stall_s,
        }
        self._outbox = [pack(0, "load", hello)]  # messages sent before the process runs
        self._unpacker = WorkerUnpacker()
        self._ended_pipes: set[int] = set()
        self._exited = False
        self._stderr = b""
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._stderr_left = _STDERR_LINES_PER_BEAT
        self._stderr_until = 0.0
        self._heart: Heartbeat | None = None  # once it is ready
        self._started_at = self._loop.time()
        # One timer: heartbeats while the process lives, then its end.
        self._timer: asyncio.Handle = self._loop.call_later(spec.heartbeat_s, self._on_beat)
        # When that is due, by its heart: uvloop's timers that are due already cannot tell.
        self._beat_at = 0.0
        self._starting = self._loop.create_task(self._start(), name=f"start {spec.name}")

    @property
    def pid(self) -> int | None:
        return None if self._transport is None else self._transport.get_pid()

    @property
    def pending_bytes(self) -> int:
        """Bytes that have been sent and wait for the pipe."""
        pipe = self._stdin()
        buffered = 0 if pipe is None else pipe.get_write_buffer_size()
        return buffered + sum(map(len, self._outbox))

    def send(self, data: bytes) -> bool:
        """Write, unless too many bytes would wait; returns whether it did."""
        if self.pending_bytes + len(data) > self.spec.max_pending_bytes:
            return False
        self._write(data)
        return True

    def forget(self, number: int, *, tell: bool) -> None:
        """Remove a job that is over. `tell` the process if it does not know, even if the pipe is
        full."""
        if self.jobs.pop(number, None) is not None and tell:
            self._write(pack(number, "cancel"))

    async def end(self) -> None:
        """Close the pipe, then SIGTERM, then SIGKILL; return when the process is gone."""
        await asyncio.wait((self._starting,))
        self._lose("stream", "the worker was closed")
        if (transport := self._transport) is None:
            return
        try:
            for step in (self._close_stdin, transport.terminate, transport.kill):
                with contextlib.suppress(ProcessLookupError, TimeoutError):
                    step()
                    async with asyncio.timeout(_EXIT_STEP_S):
                        await self.reaped.wait()
                        break
        finally:
            transport.close()

    # --- what asyncio calls ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            self._log_stderr(data)
            return
        if self._heart is not None:
            self._heart.heard(self._loop.time())
            self._watch(self._heart)
        try:
            packets = self._unpacker.feed(data)
        except ValueError as error:
            self._lose("protocol", f"the worker sent nonsense: {error}")
            self._kill()
            return
        for packet in packets:
            if packet.job == 0:
                self._on_news(packet)
            elif (job := self.jobs.get(packet.job)) is not None:
                job.receive(packet)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._ended_pipes.add(fd)
        if fd == 1:
            self._lose(self._phase(), _DIED)
        if self._exited and self._silent:
            self._close()

    def process_exited(self) -> None:
        self._exited = True
        transport = cast("asyncio.SubprocessTransport", self._transport)
        code = transport.get_returncode()
        log.info("%s: process %d ended with code %s", self.spec.name, transport.get_pid(), code)
        self._timer.cancel()
        if self._silent:
            self._close()
        else:  # its last output is still in the pipe
            self._timer = self._loop.call_later(_DRAIN_S, self._close)

    def left(self) -> None:
        """The host of a shared process has ended it, or this process has left it."""
        self._exited = True
        self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self.reaped.set()

    # --- inside ------------------------------------------------------------------------------

    async def _start(self) -> None:
        program = (sys.executable, "-P", _worker_main.__file__, self.spec.name)
        host = None if self.spec.private else _worker_shared.host()
        try:
            if host is None:
                await self._loop.subprocess_exec(lambda: self, *program)
            else:
                await self._loop.create_unix_connection(lambda: SharedChild(self), str(host))
        except OSError as error:
            self._lose("connect", f"no process could be started: {error}")
            self._timer.cancel()
            self.reaped.set()
            return
        waiting, self._outbox = self._outbox, []
        for data in waiting:
            self._write(data)

    def _on_news(self, packet: WorkerPacket) -> None:
        if packet.kind == "ready":
            self.report = packet.header
            now = self.ready_at = self._loop.time()
            spec = self.spec
            self._heart = Heartbeat(now, every_s=spec.heartbeat_s, stall_s=spec.stall_s)
            self._watch(self._heart)
            self.settled.set()
        elif packet.kind == "failed":
            self._lose("connect", packet.header["text"])

    def _on_beat(self) -> None:
        spec, now, heart = self.spec, self._loop.time(), self._heart
        self._beat_at = 0.0
        if now >= self._stderr_until:
            if self._stderr_left < 0:
                log.info("%s: %d lines of stderr left out", spec.name, -self._stderr_left)
            self._stderr_left = _STDERR_LINES_PER_BEAT
            self._stderr_until = now + _STDERR_BEAT_S
        if heart is None:
            self._timer = self._loop.call_later(spec.heartbeat_s, self._on_beat)
            if now - self._started_at > spec.start_timeout_s:
                self._lose("connect", f"not ready after {spec.start_timeout_s:g} s")
                self._kill()
            return
        verdict = heart.expire(now, self._is_stopped)
        if verdict == "dead" and heart.asked_at is not None:
            silent_s = now - heart.asked_at
            self._lose("stream", f"the worker process did not answer for {silent_s:.1f} s")
            self._kill()
            return
        if verdict == "ping":
            self._write(pack(0, "ping"))
        self._watch(heart)

    def _watch(self, heart: Heartbeat) -> None:
        if self.ended is None and self._beat_at != heart.deadline:
            self._timer.cancel()
            self._beat_at = heart.deadline
            self._timer = self._loop.call_at(heart.deadline, self._on_beat)

    def _is_stopped(self) -> bool:
        """Whether somebody has stopped the process (SIGSTOP, a debugger); Linux only."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] in ("T", "t")

    def _lose(self, phase: Phase, reason: str) -> None:
        """Give this process no more jobs, fail the ones that it has, and end it."""
        if self.ended is not None:
            return
        self.ended = (phase, reason)
        self._timer.cancel()
        self._timer = self._loop.call_later(_EXIT_STEP_S, self._kill)
        self._outbox.clear()
        for job in tuple(self.jobs.values()):
            job.lose(self.spec.failed(phase, reason))
        self._on_end(self)
        self.settled.set()

    def _kill(self) -> None:
        if self._transport is not None:
            with contextlib.suppress(ProcessLookupError):
                self._transport.kill()

    @property
    def _silent(self) -> bool:
        """Whether its stdout and its stderr have ended."""
        return {1, 2} <= self._ended_pipes

    def _close(self) -> None:
        """Release the pipes of a process that is gone; log its last lines if nobody ended it."""
        self._timer.cancel()
        self._lose(self._phase(), _DIED)
        if self.ended == (self._phase(), _DIED) and self._last_lines:
            log.warning("%s: its last lines: %s", self.spec.name, " | ".join(self._last_lines))
            self._last_lines.clear()
        cast("asyncio.SubprocessTransport", self._transport).close()

    def _phase(self) -> Phase:
        return "connect" if self.ready_at is None else "stream"

    def _stdin(self) -> asyncio.WriteTransport | None:
        pipe = None if self._transport is None else self._transport.get_pipe_transport(0)
        return cast("asyncio.WriteTransport | None", pipe)

    def _write(self, data: bytes) -> None:
        if self.ended is None:
            pipe = self._stdin()
            if pipe is None or self._outbox:
                self._outbox.append(data)
            else:
                pipe.write(data)

    def _close_stdin(self) -> None:
        self._timer.cancel()
        pipe = self._stdin()
        if pipe is not None and not pipe.is_closing():
            pipe.abort()

    def _log_stderr(self, data: bytes) -> None:
        *lines, rest = (self._stderr + data).split(b"\n")
        self._stderr = rest[:_STDERR_LINE_BYTES]
        for line in lines:
            self._stderr_left -= 1
            text = line[:_STDERR_LINE_BYTES].decode(errors="replace")
            self._last_lines.append(text)
            if self._stderr_left >= 0:
                log.info("%s: %s", self.spec.name, text)
