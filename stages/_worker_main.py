"""The child side of `stages._worker`: the program that a worker process runs.

The parent starts this file as a script (nothing of the project is imported before the parent has
said where it lies) and talks to it in messages over stdin and stdout. A message is two big-endian
32-bit lengths, a JSON array `[job, kind, header, last]` and raw bytes. The process's own stdout is
turned into stderr first, so that native libraries may print what they like.

One thread reads messages and answers pings; it never waits. Messages wait for the handler in a
queue of up to `max_pending_bytes`; a job beyond that is refused. Only the main thread runs the
handler. The process ends when its stdin does, so it cannot outlive its parent.
"""

import contextlib
import importlib
import json
import os
import signal
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

_LENGTHS = struct.Struct("!II")
_MAX_HEADER_BYTES = 1 << 20
_MAX_PAYLOAD_BYTES = 1 << 26
_READ_BYTES = 1 << 18
_EXIT_GRACE_S = 5.0
"""How long a handler may still run after the parent's end; then the process exits."""

Header: TypeAlias = Mapping[str, Any]
"""A message's small facts, as JSON."""


class LoadError(Exception):
    """Raised by a factory: a sentence for the operator, passed on as it is."""


class WorkerPacket(NamedTuple):
    """One message. Job 0 is the process itself; `last` ends the job's replies."""

    job: int
    kind: str
    header: Header
    payload: bytes
    last: bool


def pack(
    job: int, kind: str, header: Header | None = None, payload: bytes = b"", last: bool = False
) -> bytes:
    """One message as bytes."""
    head = json.dumps([job, kind, header or {}, last], separators=(",", ":")).encode()
    return b"".join((_LENGTHS.pack(len(head), len(payload)), head, payload))


class WorkerUnpacker:
    """Turns a stream of bytes, cut anywhere, back into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[WorkerPacket]:
        """The messages that `data` completes. Raises ValueError for a malformed message."""
        buffer = self._buffer
        buffer += data
        packets = []
        start = 0
        while len(buffer) - start >= _LENGTHS.size:
            head, payload = _LENGTHS.unpack_from(buffer, start)
            if head > _MAX_HEADER_BYTES or payload > _MAX_PAYLOAD_BYTES:
                raise ValueError("a message of impossible length")
            body = start + _LENGTHS.size
            if len(buffer) < body + head + payload:
                break
            job, kind, header, last = json.loads(buffer[body : body + head])
            start = body + head + payload
            packets.append(
                WorkerPacket(job, kind, header, bytes(buffer[body + head : start]), last)
            )
        del buffer[:start]
        return packets


class WorkerReply:
    """How a handler answers one job."""

    __slots__ = ("_job", "_link")

    def __init__(self, link: "_Link", job: int) -> None:
        self._link = link
        self._job = job

    @property
    def cancelled(self) -> bool:
        """Whether the parent has cancelled the job; true as soon as its message arrives."""
        return self._job in self._link.dropped

    def __call__(
        self, kind: str, header: Header | None = None, payload: bytes = b"", *, last: bool = False
    ) -> None:
        """Send one message; `last` says that it ends the job."""
        if not self.cancelled:
            self._link.send(self._job, kind, header, payload, last)


class Handler(Protocol):
    """The object that a worker's factory returns. All methods run on the process's main thread.

    `handle` should be quick (store the audio); `work` does the work in slices of some 10 ms. All
    messages that have arrived are handled between two slices, so that a job's last message or its
    cancellation never waits for another job's work. An exception from `handle` fails the job, one
    from `work` ends the process.
    """

    report: Header
    """Describes what was loaded; sent to the parent when the worker is ready."""

    def handle(
        self, job: int, kind: str, header: Header, payload: bytes, reply: WorkerReply
    ) -> None: ...

    def cancel(self, job: int) -> None:
        """Forget the job. Also called for jobs that are unknown or already over."""

    def work(self) -> bool:
        """Do one slice of work; false when nothing is left to do."""


class _Link:
    """The child's end of the connection, and the queue between its two threads."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._writing = threading.Lock()
        self._news = threading.Condition()
        self._queue: deque[WorkerPacket] = deque()
        self._queued_bytes = 0
        self._ended = False
        self.max_queued_bytes = 1 << 20
        # Jobs whose messages are skipped, until the parent has confirmed their end by a "cancel".
        self.dropped: set[int] = set()

    def send(
        self,
        job: int,
        kind: str,
        header: Header | None = None,
        payload: bytes = b"",
        last: bool = False,
    ) -> None:
        data = memoryview(pack(job, kind, header, payload, last))
        with self._writing, contextlib.suppress(BrokenPipeError):  # the reader sees the end too
            while data:
                data = data[os.write(self._write_fd, data) :]

    def refuse(self, job: int, kind: str, text: str) -> None:
        """End a job from this side; its messages are skipped until the parent knows."""
        with self._news:
            self.dropped.add(job)
            self._purge(job)
        self.send(job, kind, {"text": text}, last=True)

    def next(self, *, wait: bool) -> WorkerPacket | None:
        """The next message; None when there is none (`wait` false) or the parent is gone."""
        with self._news:
            while wait and not self._queue and not self._ended:
                self._news.wait()
            if self._ended or not self._queue:
                return None
            packet = self._queue.popleft()
            self._queued_bytes -= len(packet.payload)
            return packet

    @property
    def ended(self) -> bool:
        return self._ended

    def read(self) -> None:
        """The reading thread: put messages into the queue until stdin ends."""
        unpacker = WorkerUnpacker()
        while data := os.read(self._read_fd, _READ_BYTES):
            for packet in unpacker.feed(data):
                self._arrived(packet)
        with self._news:
            self._ended = True
            self._news.notify()
        # A handler deep in native code must not keep an orphan alive.
        time.sleep(_EXIT_GRACE_S)
        os._exit(1)

    def _arrived(self, packet: WorkerPacket) -> None:
        job = packet.job
        if packet.kind == "ping":
            self.send(0, "pong")
            return
        full = False
        with self._news:
            if packet.kind == "cancel":
                self.dropped.add(job)
                self._purge(job)
                # Before all other work, but not before the first message, which says what to load.
                self._queue.insert(1 if self._queue and self._queue[0].job == 0 else 0, packet)
            elif job not in self.dropped:
                self._queued_bytes += len(packet.payload)
                self._queue.append(packet)
                full = self._queued_bytes > self.max_queued_bytes
            self._news.notify()
        if full:
            self.refuse(job, "busy", f"more than {self.max_queued_bytes} bytes wait in the worker")

    def _purge(self, job: int) -> None:
        kept = [packet for packet in self._queue if packet.job != job]
        self._queue = deque(kept)
        self._queued_bytes = sum(len(packet.payload) for packet in kept)


def serve(link: _Link, handler: Handler) -> None:
    """Run the handler until the parent is gone."""
    more = False
    while not link.ended:
        packet = link.next(wait=not more)
        if packet is None:
            more = more and handler.work()
        elif packet.kind == "cancel":
            handler.cancel(packet.job)
            link.dropped.discard(packet.job)
        elif packet.job not in link.dropped:
            more = True
            try:
                handler.handle(*packet[:4], WorkerReply(link, packet.job))
            except Exception as error:  # the parent gets it: one bad job must not end the others
                link.refuse(packet.job, "failed", _describe(error))


def _describe(error: BaseException) -> str:
    if isinstance(error, LoadError):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _resolve(target: str) -> Callable[[Header], Handler]:
    module, _, name = target.partition(":")
    factory: Callable[[Header], Handler] = getattr(importlib.import_module(module), name)
    return factory


def main(name: str) -> None:
    """Take over stdin and stdout, load what the first message names, and serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    read_fd, write_fd = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    comm = Path("/proc/self/comm")
    if comm.exists():  # what `ps -o comm` and `top` show; 15 bytes on Linux
        comm.write_text(name[:15])
    link = _Link(read_fd, write_fd)
    threading.Thread(target=link.read, name="messages", daemon=True).start()
    first = link.next(wait=True)
    if first is None:
        return
    link.max_queued_bytes = first.header["max_pending_bytes"]
    sys.path[:] = first.header["path"]
    # numpy's library for matrices waits busily for its threads, also where a product is small.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Handlers import this file by its name: give them this module, not a second copy.
    sys.modules["stages._worker_main"] = sys.modules[__name__]
    try:
        handler = _resolve(first.header["target"])(first.header["options"])
    except Exception as error:  # the parent raises it
        link.send(0, "failed", {"text": _describe(error)})
        return
    link.send(0, "ready", handler.report)
    serve(link, handler)


if __name__ == "__main__":
    main(sys.argv[1])
