"""Clients of several gateways that hold interviews and go on at another one when theirs is gone."""

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import soundfile
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.support.paths import AUDIO

SILENCE = bytes(640)
ANSWER_S = 2.0
PAUSE_S = 1.4
THINKING_S = 6.0
"""Between the end of a reply and the answer, so that no interview ends before its test does."""

AGAIN_S = 0.1
"""Between two attempts to connect."""


def clip() -> list[bytes]:
    """Two seconds of an answer and the silence behind it, in frames of 20 ms."""
    speech, _ = soundfile.read(AUDIO / "data-analyst-3.wav", dtype="int16")
    spoken = speech[16_000 : 16_000 + int(ANSWER_S * 16_000)]
    frames = [spoken[at : at + 320].tobytes() for at in range(0, len(spoken), 320)]
    return frames + [SILENCE] * int(PAUSE_S * 50)


@dataclass
class Visitor:
    """One client: types its answers, or `speaks` them. `ports` are those of the gateways."""

    name: str
    ports: list[int]
    at: int
    speaks: bool = False
    accepted: list[str] = field(default_factory=list)
    """The answers of which the client was told that they are stored."""
    gaps_s: list[float] = field(default_factory=list)
    """From the end of a line to the next `ready`, where one was lost."""
    reconnects_s: list[float] = field(default_factory=list)
    """From the attempt that succeeded to its `ready`."""
    ended: str = ""
    """Why the conversation cannot go on; "" while it can."""
    socket: ClientConnection | None = None
    _resume: dict[str, Any] | None = None
    _lost_at: float | None = None
    _pending: str | None = None
    _number: int = 0
    _talking: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Go on until cancelled, or until the conversation has `ended`."""
        try:
            while not self.ended:
                began = time.perf_counter()
                with suppress(OSError, InvalidHandshake, ConnectionClosed, TimeoutError):
                    async with connect(
                        f"ws://127.0.0.1:{self.ports[self.at]}/ws/{self.name}",
                        compression=None,
                        open_timeout=3,
                        close_timeout=0.2,
                        ping_interval=None,
                    ) as socket:
                        self.socket = socket
                        await self._converse(socket, began)
                self.socket = None
                self._hush()
                if self._lost_at is None and self._resume is not None:
                    self._lost_at = time.perf_counter()
                self.at = (self.at + 1) % len(self.ports)
                await asyncio.sleep(AGAIN_S)
        finally:
            self._hush()

    async def _converse(self, socket: ClientConnection, began: float) -> None:
        hello: dict[str, Any] = {"type": "hello", "version": 1}
        hello["interview"] = {"role": "Data Analyst", "totalQuestions": 15}
        if self._resume is not None:
            hello["resume"] = self._resume
        await socket.send(json.dumps(hello))
        async for message in socket:  # until the line breaks, or the server ends it in order
            if isinstance(message, bytes):
                continue
            told = json.loads(message)
            await self._hear(socket, told, began)
            if self._resume is not None and "seq" in told:
                self._resume["seq"] = told["seq"]
        self.ended = self.ended or "the interview was over before the test was"

    async def _hear(self, socket: ClientConnection, told: dict[str, Any], began: float) -> None:
        match told["type"]:
            case "ready":
                now = time.perf_counter()
                self._resume = {"token": told["resume"], "seq": told["seq"]}
                if self._lost_at is not None:
                    self.gaps_s.append(now - self._lost_at)
                    self.reconnects_s.append(now - began)
                    self._lost_at = None
                if self._pending is not None and self._pending in await self.stored():
                    self.accepted.append(self._pending)
                    self._pending = None
            case "error" if told.get("fatal"):
                if told["code"] not in ("taken_over", "still_ending"):
                    self.ended = f"{told['code']}: {told['message']}"
            case "transcript" if told["final"] and told["text"]:
                self.accepted.append(told["text"])
                self._pending = None
            case "reply.done":
                self._hush()
                self._talking = asyncio.create_task(self._answer(socket))

    async def _answer(self, socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            await asyncio.sleep(THINKING_S)
            if self.speaks:
                for frame in clip():
                    await socket.send(frame)
                    await asyncio.sleep(0.02)
                return
            if self._pending is None:
                self._number += 1
                self._pending = f"Answer {self._number} of {self.name}."
            await socket.send(json.dumps({"type": "text", "text": self._pending}))

    async def stored(self) -> list[str]:
        """The texts of the client's answers, as a gateway has them in its store."""
        # Without `verify` no certificates are read, which takes 50 ms of all clients' loop.
        async with httpx.AsyncClient(trust_env=False, timeout=10, verify=False) as web:
            for port in (*self.ports[self.at :], *self.ports[: self.at]):
                with suppress(httpx.TransportError):
                    url = f"http://127.0.0.1:{port}/api/sessions/{self.name}/transcript"
                    answer = await web.get(url)
                    if answer.is_success:
                        lines = answer.json()["lines"]
                        return [line["text"] for line in lines if line["speaker"] == "candidate"]
        return []

    def _hush(self) -> None:
        if self._talking is not None:
            self._talking.cancel()
            self._talking = None
