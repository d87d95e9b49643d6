"""`@openai/agents-realtime` on Node: a process that takes commands and prints what happens."""

import asyncio
import base64
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.support.gateway import PATIENCE_S
from tests.support.realtime import RATE_HZ, pcm

HERE = Path(__file__).parent
NODE = shutil.which("node")
MISSING = ["node"] if NODE is None else []
if not (HERE / "node_modules").is_dir():
    MISSING.append("its packages: npm ci --prefix tests/support/agents")

IN_CI = os.environ.get("CI") == "true"
"""What CI installs must be complete: there, what is missing fails the tests instead."""

LONGEST_LINE = 16 * 1024 * 1024

Line = dict[str, Any]


class Agent:
    """One session of the stock JavaScript client: `client.mjs` says which lines it prints."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.lines: list[Line] = []
        self._process = process
        self._more = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.lines.append(json.loads(line))
            self._more.set()
        self._more.set()

    async def tell(self, **command: Any) -> None:
        """A command, as `client.mjs` lists them."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()

    async def speak(self, ms: int = 400, silence_ms: int = 800, audio: bytes | None = None) -> None:
        """Speech and silence, or this `audio`, at the pace of a microphone."""
        audio, piece = audio or pcm(ms, silence_ms), RATE_HZ // 10
        for at in range(0, len(audio), piece):
            await self.tell(audio=base64.b64encode(audio[at : at + piece]).decode())
            await asyncio.sleep(piece / 2 / RATE_HZ)

    async def until(self, kind: str, holds: Callable[[Line], bool] = lambda line: True) -> Line:
        """The first line of a type for which this holds, once it is there."""
        seen = 0
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for line in self.lines[seen:]:
                    if line["type"] == kind and holds(line):
                        return line
                seen = len(self.lines)
                assert not self._reader.done(), (kind, self.lines[-3:])
                self._more.clear()
                await self._more.wait()

    async def event(self, kind: str) -> Line:
        """The first event of the server's of a type."""
        line = await self.until("event", lambda line: line["event"]["type"] == kind)
        event: Line = line["event"]
        return event

    async def history(self, holds: Callable[[list[tuple[str, str]]], bool]) -> None:
        """Return when the client's history holds: pairs of role and text, or of type and name."""
        await self.until("history", lambda line: holds([_told(item) for item in line["history"]]))

    async def ended(self) -> int:
        """The exit status, once the process has ended."""
        async with asyncio.timeout(PATIENCE_S):
            await self._reader
            return await self._process.wait()


def _told(item: Line) -> tuple[str, str]:
    if item["type"] != "message":
        return item["type"], item["name"]
    parts = (part.get("transcript") or part.get("text") or "" for part in item["content"])
    return item["role"], " ".join(parts)


@asynccontextmanager
async def agent(
    port: int, key: str = "any", model: str = "test", **query: str
) -> AsyncIterator[Agent]:
    """A client that connects at once, with these parameters. It ends with the block."""
    assert NODE is not None
    parameters = urlencode({"model": model, **query})
    process = await asyncio.create_subprocess_exec(
        *(NODE, "client.mjs", f"ws://127.0.0.1:{port}/v1/realtime?{parameters}", key),
        cwd=HERE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE,
    )
    client = Agent(process)
    try:
        yield client
        if process.returncode is None:
            await client.tell(close=True)
            assert await client.ended() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await client.ended()
