"""A small HTTP server for tests that speaks the desktop contract, or something else."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Raw:
    """An answer byte by byte; `pause_s` between its parts, and a reset at its end if wanted."""

    parts: tuple[bytes, ...] = (b"",)
    status: int = 200
    kind: str = "application/json"
    pause_s: float = 0.0
    reset: bool = False
    length: int | None = None


HANG = object()
"""The request is read and never answered."""


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class ServicePeer:
    """Answers each path with what `answers` makes of the request's body, or has for it."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def at(self, path: str) -> list[Asked]:
        """What was asked of a path."""
        return [asked for asked in self.asked if asked.path == path]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["ServicePeer"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            while await self._one(reader, writer):
                pass
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        pairs = (line.partition(": ") for line in head[1:] if line)
        headers = {name.lower(): value for name, _, value in pairs}
        content = await reader.readexactly(int(headers.get("content-length", "0")))
        body = json.loads(content) if content else None
        self.asked.append(Asked(method, path, headers, body))
        answer = self.answers.get(path, Raw((b'{"detail": "Not Found"}',), 404))
        if callable(answer):
            answer = answer(body)
        if answer is HANG:
            await reader.read()
            return False
        raw = answer if isinstance(answer, Raw) else Raw((json.dumps(answer).encode(),))
        length = sum(map(len, raw.parts)) if raw.length is None else raw.length
        writer.write(
            f"HTTP/1.1 {raw.status} X\r\ncontent-type: {raw.kind}\r\n"
            f"content-length: {length}\r\n\r\n".encode()
        )
        for part in raw.parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(raw.pause_s)
        if raw.reset:
            writer.transport.abort()
        return not raw.reset


async def nobody() -> str:
    """A URL without a server."""
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"http://127.0.0.1:{port}"
