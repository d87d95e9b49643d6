"""Services behind the gateway, for tests: one that works, and ones that misbehave byte by byte."""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
import yaml
from starlette.types import Receive, Scope, Send

from tests.support.paths import ROOT
from tests.support.served import free_port

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Answer = Callable[["Seen", Receive, Send], Awaitable[None]]


def services_file(folder: Path, *services: Mapping[str, Any]) -> Path:
    """A file of services; each has fields of its own, beside what tests want of all."""
    quick = {"host": "127.0.0.1", "health_endpoint": None, "slow_start": 0, "timeout": 20}
    path = folder / "services.yaml"
    path.write_text(yaml.safe_dump({"services": [{**quick, **service} for service in services]}))
    return path


@dataclass
class Seen:
    """A request as the service got it."""

    method: str
    target: str
    headers: list[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


@dataclass
class StubService:
    """An application under uvicorn, which answers each path by `answers`, or says what it got."""

    name: str = "stub"
    port: int = field(default_factory=free_port)
    answers: dict[str, Answer] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"]
        target = (scope["raw_path"] + (b"?" + query if query else b"")).decode()
        headers = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]
        seen = Seen(scope["method"], target, headers)
        self.seen.append(seen)
        answer = self.answers.get(scope["path"], self._echo)
        await answer(seen, receive, send)

    async def _echo(self, seen: Seen, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        told = {
            "from": self.name,
            "method": seen.method,
            "target": seen.target,
            "headers": seen.headers,
            "body": body.decode("latin-1"),
        }
        await reply(send, 200, json.dumps(told).encode(), ("content-type", "application/json"))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["StubService"]:
        config = uvicorn.Config(
            self, host="127.0.0.1", port=self.port, lifespan="off", log_config=None, http="h11"
        )
        server = uvicorn.Server(config)
        # uvicorn would take the signals of the process under test.
        server.capture_signals = contextlib.nullcontext  # type: ignore[assignment,method-assign]
        serving = asyncio.create_task(server.serve())
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(0.005)
        try:
            yield self
        finally:
            server.should_exit = server.force_exit = True
            await serving


async def reply(send: Send, status: int, body: bytes = b"", *headers: tuple[str, str]) -> None:
    """A whole answer."""
    lines = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    if not any(name == "content-length" for name, _ in headers) and status not in (204, 304):
        lines.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})


def always(status: int, body: bytes = b"", *headers: tuple[str, str]) -> Answer:
    """Read nothing, and answer so."""

    async def answer(seen: Seen, receive: Receive, send: Send) -> None:
        await reply(send, status, body, *headers)

    return answer


@contextlib.asynccontextmanager
async def raw_service(serve: Serve, port: int = 0) -> AsyncIterator[int]:
    """A server of bytes, at the port that is returned. What it serves ends with it."""
    tasks: set[asyncio.Task[None]] = set()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in [*tasks]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def says(data: bytes, *, reset: bool = False) -> Serve:
    """Read one request's head, answer with these bytes, and close or reset the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        if reset:
            writer.transport.abort()

    return serve


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read everything, and answer nothing."""
    while await reader.read(65_536):
        pass


# --- a service in a process of its own -----------------------------------------------------------

PIECE = bytes(range(256)) * 256


async def big(seen: Seen, receive: Receive, send: Send) -> None:
    """Ten megabytes, or as many as the query says, in pieces."""
    megabytes = int(seen.target.partition("?")[2] or "10")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(megabytes * 1_000_000 // len(PIECE)):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def counted(seen: Seen, receive: Receive, send: Send) -> None:
    """How many bytes the request has."""
    length, more = 0, True
    while more:
        message = await receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    await reply(send, 200, str(length).encode())


@contextlib.contextmanager
def stub_process(port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A `StubService` with /big and /counted, which answers when the block begins."""
    command = [sys.executable, "-m", "tests.support.stub_services", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
                break
            assert process.poll() is None
            time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    stub = StubService(name=sys.argv[1], port=int(sys.argv[1]))
    stub.answers = {"/big": big, "/counted": counted}
    uvicorn.run(stub, host="127.0.0.1", port=stub.port, lifespan="off", log_config=None)
