"""Worker processes that several processes share: a model is loaded once on a machine.

One process has a `WorkerHost`; the others call `share` with the path of its socket, and from then
on their `stages._worker.Worker`s have no processes of their own but use the host's. A host has one
process for each target with its options. It uses the messages of `stages._worker_main`, passes on
jobs and replies, and answers the pings of the other processes itself: only the host ends a worker
process that does not answer.
"""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any, cast

from pipeline.errors import StageBusy, StageFailed
from stages._worker import Worker
from stages._worker_job import WorkerJob
from stages._worker_main import Header, WorkerPacket, WorkerUnpacker, pack

logger = logging.getLogger("stages.worker")

MOST_WORKERS = 64
MOST_UNSENT = 64 * 1024 * 1024
"""Bytes that may wait for a process that does not read; with more it is given up."""

REMEMBERED = 1024
"""How many finished jobs are remembered: later messages about them are ignored."""


class WorkerHost:
    """The processes, and a socket at `path`. An async context manager; leaving it ends them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._workers: dict[str, Worker] = {}
        self._clients: set[_Client] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "WorkerHost":
        loop = asyncio.get_running_loop()
        self._path.unlink(missing_ok=True)
        self._server = await loop.create_unix_server(
            lambda: _Client(self._worker, self._clients), str(self._path)
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for client in tuple(self._clients):
            client.give_up()
        await asyncio.gather(*(worker.aclose() for worker in self._workers.values()))

    def _worker(self, hello: Header) -> Worker | None:
        """The worker that a process asks for; None if there are too many."""
        key = json.dumps([hello["target"], hello["options"], hello["stage"]], sort_keys=True)
        if key not in self._workers:
            if len(self._workers) >= MOST_WORKERS:
                return None
            self._workers[key] = Worker(
                hello["target"],
                hello["options"],
                stage=hello["stage"],
                provider=hello["provider"],
                start_timeout_s=hello["start_timeout_s"],
                heartbeat_s=hello["heartbeat_s"],
                stall_s=hello["stall_s"],
                max_pending_bytes=hello["max_pending_bytes"],
                private=True,
            )
        return self._workers[key]


class _Client(asyncio.Protocol):
    """One process's use of one worker."""

    def __init__(self, worker_of: Any, clients: "set[_Client]") -> None:
        self._worker_of = worker_of
        self._clients = clients
        self._unpacker = WorkerUnpacker()
        self._worker: Worker | None = None
        self._jobs: dict[int, WorkerJob] = {}
        self._over: dict[int, None] = {}  # the oldest first
        self._tasks: set[asyncio.Task[None]] = set()  # one for each job, and the start
        self._transport: asyncio.Transport | None = None

    def give_up(self) -> None:
        """End this use, as if the worker process had died."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._clients.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._clients.discard(self)
        for job in tuple(self._jobs.values()):
            job.cancel()
        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            for packet in self._unpacker.feed(data):
                self._take(packet)
        except (ValueError, KeyError) as error:
            logger.warning("a process that shares this one's workers sent nonsense: %r", error)
            self.give_up()

    def _take(self, packet: WorkerPacket) -> None:
        number = packet.job
        if number == 0:
            if packet.kind == "load":
                self._load(packet.header)
            elif packet.kind == "ping":
                self._send(pack(0, "pong"))
        elif packet.kind == "cancel":
            if (job := self._jobs.pop(number, None)) is not None:
                job.cancel()
        elif self._worker is not None and number not in self._over:
            job = self._jobs.get(number) or self._begin(number, self._worker)
            job.send(packet.kind, packet.header, packet.payload)

    def _load(self, hello: Header) -> None:
        self._worker = self._worker_of(hello)
        if self._worker is None:
            self._send(pack(0, "failed", {"text": f"{MOST_WORKERS} workers are shared already"}))
        else:
            self._run(self._start(self._worker))

    async def _start(self, worker: Worker) -> None:
        try:
            self._send(pack(0, "ready", await worker.start()))
        except StageFailed as error:
            self._send(pack(0, "failed", {"text": error.detail}))

    def _begin(self, number: int, worker: Worker) -> WorkerJob:
        job = self._jobs[number] = worker.open_job(on_lost=self.give_up)
        self._run(self._pass_on(number, job))
        return job

    async def _pass_on(self, number: int, job: WorkerJob) -> None:
        """The replies of a job."""
        try:
            async for reply in job:
                self._send(pack(number, reply.kind, reply.header, reply.payload, reply.last))
        except StageBusy as error:
            self._send(pack(number, "busy", {"text": error.detail}, last=True))
        except StageFailed as error:
            if job.refused:  # no process was running: a job that is sent again gets the next one
                self.give_up()
            elif not job.lost:  # then the connection ends as well
                self._send(pack(number, "failed", {"text": error.detail}, last=True))
        finally:
            self._jobs.pop(number, None)
            self._over[number] = None
            if len(self._over) > REMEMBERED:
                del self._over[next(iter(self._over))]

    def _run(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _send(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > MOST_UNSENT:
            logger.error("a process that shares this one's workers does not read: it is given up")
            transport.abort()
            return
        transport.write(data)
