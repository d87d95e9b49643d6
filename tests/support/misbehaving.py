"""Clients that leave at any moment, send half of what they began, or never read; and providers that
fail now and then. What the process holds must come back to what it held before.
"""

import asyncio
import json
import random
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.breaker import Breaker
from pipeline.guard import Candidate, Guard, Limits
from pipeline.session import Stages
from stages.fakes import FakeResponder, FakeSynthesizer, FakeTranscriber, Script
from tests.support.frames import BINARY, PING, TEXT, close, frame, taken
from tests.support.gateway import SILENCE, SPEECH, Gateway
from tests.support.in_use import Use, in_use
from tests.support.raw_client import RawClient, raw_client

AT_ONCE = 8
PATIENCE_S = 30.0

LIMITS = Limits(first_s=0.3, slow_first_s=0.2, stall_s=0.3, total_s=10.0)

HANDSHAKE = (
    b"GET /ws/soak-%d HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
HELLO = frame(TEXT, b'{"type":"hello","version":1,"audio_out":{"rate":48000}}')

LEAVES = ("resets", "closes", "says goodbye", "in mid-frame", "breaks the protocol")
"""How a client ends that does not stay and refuse to read."""


def flapping(chance: random.Random) -> list[Script]:
    """Calls of a provider, of which some fail, hang or drip."""
    return [_fault(chance) if chance.random() < 0.4 else Script() for _ in range(10_000)]


def _fault(chance: random.Random) -> Script:
    # Each has an error of its own: an error that was raised holds the call in its traceback.
    match chance.randrange(6):
        case 0:
            return Script(error=OSError("gone"))
        case 1:
            return Script(stall=True)
        case 2:
            return Script(after=1, stall=True)
        case 3:
            return Script(after=1, error=OSError("reset"))
        case 4:
            return Script(end=True)
        case _:
            return Script(first_s=0.1, gap_s=0.1)


class FlappingGateway(Gateway):
    """A gateway whose first provider of each slot fails now and then; another stands behind it."""

    chance = random.Random(13)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.settings |= {"resume_s": 1}  # sessions wait so long for a client that was lost

    def scripted(self) -> Stages:
        texts, line = ("I like to build things that last",), "Well, tell me more about that."
        stt = FakeTranscriber(*flapping(self.chance), texts=texts, provider="flapping")
        llm = FakeResponder(*flapping(self.chance), text=line, provider="flapping")
        tts = FakeSynthesizer(*flapping(self.chance), ms_per_word=300, provider="flapping")
        return Stages(
            self.detector,
            Guard("stt", _both(stt, FakeTranscriber(texts=texts))),
            Guard("llm", _both(llm, FakeResponder(text=line))),
            Guard("tts", _both(tts, FakeSynthesizer(ms_per_word=300))),
        )


def _both(*stages: Any) -> list[Candidate[Any]]:
    return [Candidate(stage.provider, stage, Breaker(), LIMITS) for stage in stages]


async def come_and_go(port: int, number: int, chance: random.Random) -> str:
    """One client. Returns how it left."""
    if chance.random() < 0.15:
        return await _never_read(port, number)
    leaves = chance.choice(LEAVES)
    async with raw_client(port) as client:
        steps = chance.randrange(8)
        await _converse(client, number, steps)
        match leaves:
            case "resets":
                client.reset()
            case "says goodbye" if steps:
                await client.send(close(1000))
            case "in mid-frame" if steps:
                await client.send(frame(BINARY, SPEECH)[: chance.randrange(1, 600)])
            case "breaks the protocol" if steps:
                await client.send(frame(3) + frame(BINARY, SPEECH) * 10)
    return leaves


async def _converse(client: RawClient, number: int, steps: int) -> None:
    """As far as the client comes before it leaves."""
    handshake = HANDSHAKE % number
    await client.send(handshake if steps else handshake[: number % len(handshake)])
    if steps > 1:
        await client.send(HELLO)
    if steps > 2:
        await _hear(client, "ready")
    if steps > 3:
        await client.send(frame(PING, b"soak") + frame(BINARY, SPEECH) * 20)
    if steps > 4:
        await client.send(frame(BINARY, SILENCE) * 40)
    if steps > 5:
        await _hear(client, "transcript")
    if steps > 6:
        await client.send(frame(TEXT, b'{"type":"text","text":"and I type"}'))
        await _hear(client, "reply.started")


async def _hear(client: RawClient, kind: str) -> None:
    """Read until such a message has come, for a few seconds at most."""
    if b"\r\n\r\n" in client.received:
        del client.received[: client.received.index(b"\r\n\r\n") + 4]

    def heard(received: bytearray) -> bool:
        if received.startswith(b"HTTP"):
            if b"\r\n\r\n" not in received:
                return False
            del received[: received.index(b"\r\n\r\n") + 4]
        return any(str(each).startswith(kind) for each in taken(received))

    await client.read_until(heard, within_s=3.0)


async def _never_read(port: int, number: int) -> str:
    """Have the interviewer speak and read nothing, until the server gives up."""
    async with raw_client(port, receive_buffer=2048) as client:
        await client.send(HANDSHAKE % number + HELLO)
        await asyncio.sleep(6.0)
    return "never reads"


async def crowd(gateway: Gateway, count: int, first: int, chance: random.Random) -> Counter[str]:
    """So many clients come and go, `AT_ONCE` at a time, numbered from `first`; how they left."""
    places = asyncio.Semaphore(AT_ONCE)
    left: Counter[str] = Counter()

    async def placed(number: int) -> None:
        async with places:
            left[await come_and_go(gateway.port, number, chance)] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(first, first + count):
            group.create_task(placed(number))
    live = gateway.app.state.runtime.live
    async with asyncio.timeout(PATIENCE_S):
        while live.connections:
            await asyncio.sleep(0.1)
    return left


async def settled(before: Use | None) -> Use:
    """What the process holds once it is back at `before`, or after some seconds."""
    for _ in range(10):
        await asyncio.sleep(1.0)
        now = in_use()
        if before is None or now.within(before):
            break
    return now


def told(round_number: int, left: Counter[str], use: Use) -> str:
    """A line of JSON about a round."""
    return json.dumps({"round": round_number, "left": left, **asdict(use)})
