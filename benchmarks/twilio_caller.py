"""Paced telephone calls, as Twilio brings them, and the same calls in Parley's own dialect.

Every session speaks and is silent at the same places in both, so that the CPU that the server takes
for one and the other can be compared. It shares no code with the gateway.

    python -m benchmarks.twilio_caller --sessions 50 --seconds 24 --rounds 3
"""

import argparse
import asyncio
import base64
import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import av
import numpy as np
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.server import Server
from benchmarks.speech import FRAME_MS, turns
from pipeline.frames import Samples

Dialect = Literal["native", "twilio"]

FRAME_S = FRAME_MS / 1000
SPEECH_S, CYCLE_S = 4.0, 12.0
"""Of each cycle the first part is spoken; the reply is heard in the rest."""
RAMP_S = 10.0
BETWEEN_S = 2.0
"""Between two rounds: what the end of the calls costs is not to count in the next one."""
MOST_ENDED = 0.1
"""So many of the calls may end early before a round counts for nothing."""
ROLE = "Software Engineer"
STREAM = "MZ0123456789abcdef0123456789abcdef"


def mulaw(pcm: Samples) -> bytes:
    """16 kHz as mu-law at 8 kHz."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=8000)
    frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = 16_000
    parts = [*resampler.resample(frame), *resampler.resample(None)]
    return _codes(np.concatenate([part.to_ndarray()[0] for part in parts]))


def _codes(pcm: Samples) -> bytes:
    """Samples as mu-law (G.711), by the definition and not by a table."""
    narrow = pcm.astype(np.int32)
    size = np.minimum(np.abs(narrow), 32635) + 132
    exponent = np.floor(np.log2(size)).astype(np.int32) - 7
    mantissa = (size >> (exponent + 3)) & 0x0F
    codes = ~((narrow < 0) * 0x80 | exponent << 4 | mantissa) & 0xFF
    made: bytes = codes.astype(np.uint8).tobytes()
    return made


class PhoneScript:
    """The microphone's messages of one dialect: a cycle of speech and silence."""

    def __init__(self, dialect: Dialect) -> None:
        samples = round(SPEECH_S * 16_000)
        spoken = [np.resize(pcm, samples) for pcm in turns()]
        silent = np.zeros(round((CYCLE_S - SPEECH_S) * 16_000), np.int16)
        clips = [np.concatenate([pcm, silent]) for pcm in spoken]
        if dialect == "native":
            self._cycles = [_cut(pcm.astype("<i2").tobytes(), 640, bytes) for pcm in clips]
        else:
            self._cycles = [_cut(mulaw(pcm), 160, _media) for pcm in clips]

    def message(self, session: int, frame: int) -> str | bytes:
        """The message for a frame of a session; the sessions are spread over the cycle."""
        length = len(self._cycles[0])
        cycle, at = divmod(frame + session * 211, length)
        message: str | bytes = self._cycles[(session + cycle) % len(self._cycles)][at]
        return message


def _cut(data: bytes, size: int, made: Callable[[bytes], Any]) -> list[Any]:
    return [made(data[at : at + size]) for at in range(0, len(data) - size + 1, size)]


def _media(data: bytes) -> str:
    payload = base64.b64encode(data).decode()
    about = {"track": "inbound", "chunk": "1", "timestamp": "1", "payload": payload}
    fields = {"event": "media", "sequenceNumber": "1", "media": about, "streamSid": STREAM}
    return json.dumps(fields)


@dataclass(slots=True)
class Sound:
    """The seconds of audio that all calls together have sent and heard so far."""

    sent_s: float = 0.0
    heard_s: float = 0.0


async def hold(url: str, session: int, dialect: Dialect, script: PhoneScript, sound: Sound) -> None:
    """Hold a call until cancelled or closed, and count its audio."""
    async with connect(
        url, compression=None, open_timeout=60, max_queue=None, proxy=None
    ) as socket:
        if dialect == "native":
            hello = {"type": "hello", "version": 1, "avatar": "off"}
            interview = {"role": ROLE, "totalQuestions": 15}
            await socket.send(json.dumps(hello | {"interview": interview}))
        else:
            for message in OPENING:
                await socket.send(message)
        listening = asyncio.create_task(_listen(socket, sound))
        start, frame = time.monotonic(), 0
        try:
            while not listening.done():
                await asyncio.sleep(max(0.0, start + frame * FRAME_S - time.monotonic()))
                await socket.send(script.message(session, frame))
                frame += 1
                sound.sent_s += FRAME_S
        except ConnectionClosed:
            pass
        finally:
            listening.cancel()
            await asyncio.wait([listening])


def _start(parameters: dict[str, str]) -> str:
    format_ = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    inside = {"streamSid": STREAM, "customParameters": parameters, "mediaFormat": format_}
    return json.dumps({"event": "start", "streamSid": STREAM, "start": inside})


OPENING = (
    '{"event":"connected","protocol":"Call","version":"1.0.0"}',
    _start({"role": ROLE, "totalQuestions": "15"}),
)
"""What Twilio sends first."""


def pack(pcm: Samples) -> str:
    """16 kHz as the `media` message of a call; each second sample is left out, which will do."""
    return _media(_codes(pcm[::2]))


async def _listen(socket: ClientConnection, sound: Sound) -> None:
    """Count the reply audio, and return a telephone's marks when it has played so far."""
    loop, free_at = asyncio.get_running_loop(), 0.0
    due: deque[tuple[float, str]] = deque()
    async for message in socket:
        now = loop.time()
        if isinstance(message, bytes):
            sound.heard_s += len(message) / 32_000
        elif message.startswith('{"event":"media"'):
            length_s = (len(message) - 90) * 3 / 4 / 8000
            sound.heard_s += length_s
            free_at = max(free_at, now) + length_s
        elif message.startswith('{"event":"mark"'):
            due.append((free_at, message))
        while due and due[0][0] <= now:
            await socket.send(due.popleft()[1])


async def measure(
    dialect: Dialect, server: Server, sessions: int, seconds: float
) -> tuple[float, float]:
    """The CPU that the server takes for a second of input audio, in ms, and how many seconds of
    replies came for one."""
    script, sound = PhoneScript(dialect), Sound()
    path = "/ws" if dialect == "native" else "/twilio"
    address = f"ws{server.url.removeprefix('http')}{path}"
    calls = []
    for number in range(sessions):
        url = f"{address}/bench-{dialect}-{time.time_ns()}-{number}"
        calls.append(asyncio.create_task(hold(url, number, dialect, script, sound)))
        await asyncio.sleep(RAMP_S / sessions)
    await asyncio.sleep(5)
    before, start = server.cpu(), replace(sound)
    await asyncio.sleep(seconds)
    used_s = server.cpu().since(before).server_s
    sent_s, heard_s = sound.sent_s - start.sent_s, sound.heard_s - start.heard_s
    ended = [each for each in calls if each.done()]
    for each in calls:
        each.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    if len(ended) > sessions * MOST_ENDED:
        raise RuntimeError(f"{len(ended)} of {sessions} calls ended early: {ended[0]}")
    return used_s * 1000 / sent_s, heard_s / sent_s


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both in turn, and print each round and the ratio of the medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=2 * CYCLE_S)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    found: dict[Dialect, list[float]] = {"native": [], "twilio": []}
    with Server("fakes", sessions=2 * given.sessions) as server:
        for _ in range(given.rounds):
            for dialect, each in found.items():
                run = measure(dialect, server, given.sessions, given.seconds)
                cpu_ms, heard = uvloop.run(run)
                each.append(cpu_ms)
                told = f"{cpu_ms:.2f} ms of CPU for a second of audio, {heard:.2f} s of replies"
                print(f"{dialect}: {told}", flush=True)
                time.sleep(BETWEEN_S)
    ratio = np.median(found["twilio"]) / np.median(found["native"])
    print(f"twilio / native: {ratio:.2f}")


if __name__ == "__main__":
    main()
