"""A worker's program, and one piece of work for it, seen from the parent. See `stages._worker`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipeline.errors import Phase, StageBusy, StageError, StageFailed
from stages._work_replies import WorkReplies
from stages._worker_main import Header, WorkerPacket, pack

_MAX_REPLIES = 1024
"""Unread replies that a job may have; a job with more fails."""


@dataclass(frozen=True, slots=True)
class Spec:
    """The program and its limits. `target` is "module:factory", `options` are JSON."""

    target: str
    options: Header
    stage: str
    provider: str
    start_timeout_s: float
    heartbeat_s: float
    stall_s: float
    max_pending_bytes: int
    private: bool = False
    """No other process uses the worker, although others are shared."""

    @property
    def name(self) -> str:
        return f"{self.stage}-{self.provider}"

    def failed(self, phase: Phase, detail: str) -> StageFailed:
        return StageFailed(self.stage, self.provider, phase, detail)

    def busy(self, detail: str) -> StageBusy:
        return StageBusy(self.stage, self.provider, detail, retry_after_s=1.0)


class JobHolder(Protocol):
    """The process that holds a job."""

    @property
    def pending_bytes(self) -> int:
        """Bytes that have been sent and wait for the pipe."""

    def send(self, data: bytes) -> bool:
        """Write, unless too many bytes would wait; returns whether it did."""

    def forget(self, number: int, *, tell: bool) -> None:
        """Remove a job that is over; `tell` the process if it does not know."""


class WorkerJob(WorkReplies[WorkerPacket]):
    """One piece of work in the worker. Iterate to get its replies, including the last one.

    Awaiting a reply raises errors, sending a message never does: StageFailed ("connect": no process
    could be started; "stream": the process died, or the work failed) and StageBusy (more bytes wait
    than the worker may hold). Cancelling the await cancels the job.
    """

    def __init__(
        self,
        spec: Spec,
        process: JobHolder | None,
        number: int,
        on_reply: Callable[[WorkerPacket], None] | None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(on_reply, on_lost)
        self._spec = spec
        self._process = process
        self._number = number
        self.refused = process is None
        """No process could be started for it."""

    def send(self, kind: str, header: Header | None = None, payload: bytes = b"") -> None:
        """Give the worker a message. A plain call: never blocks, never raises."""
        if self._over or self._process is None:
            return
        if not self._process.send(pack(self._number, kind, header, payload)):
            self.fail(self._spec.busy(f"{self._process.pending_bytes} bytes wait for the worker"))

    def receive(self, packet: WorkerPacket) -> None:
        """Take a reply from the process."""
        if packet.kind == "failed":
            self.fail(self._spec.failed("stream", packet.header["text"]))
        elif packet.kind == "busy":
            self.fail(self._spec.busy(packet.header["text"]))
        elif packet.last:
            self._replies.append(packet)
            self._end(tell=False)
        elif self._on_reply is not None:
            self._report(self._on_reply, packet)
        elif len(self._replies) < _MAX_REPLIES:
            self._replies.append(packet)
            self._wake()
        else:
            self.fail(self._spec.failed("stream", "nobody reads the job's replies"))

    def fail(self, error: StageError) -> None:
        """End the job with an error."""
        self._error = error
        self._end()

    def _end(self, *, tell: bool = True) -> None:
        self._over = True
        if self._process is not None:
            self._process.forget(self._number, tell=tell)
        self._wake()

    def _no_reply(self) -> StageFailed:
        return self._spec.failed("stream", "the job was cancelled")
