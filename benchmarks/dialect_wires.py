"""How each dialect's client puts its audio onto a WebSocket, and begins: one row for each.

A row shares no code with the gateway. Its messages are those that the dialect's stock client sends,
as large and as often.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from benchmarks import twilio_caller
from pipeline.frames import INPUT_RATE_HZ, Samples

Message: TypeAlias = str | bytes

ROLE = "Software Engineer"


@dataclass(frozen=True, slots=True)
class Wire:
    """One dialect: `path` of a session by its name, what is sent first, and audio as messages.

    `frame_ms` is how much of it a message has. `most` is the most CPU that it may take, as a
    multiple of the native dialect's. Messages that begin with `returned` are sent back as they are.
    """

    name: str
    path: str
    opening: tuple[Message, ...]
    pack: Callable[[Samples], Message]
    frame_ms: int = 20
    most: float | None = None
    returned: str = ""

    def answers(self, message: Message) -> bool:
        """Whether the client sends this message back."""
        return (
            bool(self.returned) and isinstance(message, str) and message.startswith(self.returned)
        )

    def packed(self, pcm: Samples) -> list[Message]:
        """Speech at 16 kHz as messages; the last one is filled up with silence."""
        size = INPUT_RATE_HZ * self.frame_ms // 1000
        whole = pcm[: len(pcm) // size * size]
        return [self.pack(frame) for frame in whole.reshape(-1, size)]


def _json(**fields: Any) -> str:
    return json.dumps(fields, separators=(",", ":"))


def _realtime_audio(pcm: Samples) -> str:
    """24 kHz, as its clients send; each second sample comes twice, which is as good here."""
    tripled = pcm.repeat(3)[::2]
    data = base64.b64encode(tripled.tobytes()).decode()
    return _json(type="input_audio_buffer.append", audio=data)


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*made, value))


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field of protobuf."""
    return bytes((number << 3 | 2,)) + _varint(len(data)) + data


def _rtvi_audio(pcm: Samples) -> bytes:
    rate = b"\x20" + _varint(INPUT_RATE_HZ) + b"\x28\x01"
    return _field(2, _field(2, b"audio") + _field(3, pcm.tobytes()) + rate)


_READY = _json(
    label="rtvi-ai",
    type="client-ready",
    id="7e5a1c00",
    data={"version": "2.1.0", "about": {"library": "@pipecat-ai/client-js"}},
)

WIRES = (
    Wire(
        "native",
        "/ws/{name}",
        (_json(type="hello", version=1, interview={"role": ROLE, "totalQuestions": 15}),),
        lambda pcm: pcm.tobytes(),
    ),
    Wire("openai", "/v1/realtime?model=interview&role=Software%20Engineer", (), _realtime_audio,
         most=2.0),
    Wire(
        "rtvi",
        "/ws-client/{name}?role=Software%20Engineer",
        (_field(4, _field(1, _READY.encode())),),
        _rtvi_audio,
        frame_ms=16,  # what the browser's recorder collects
        most=1.25,
    ),
    Wire("twilio", "/twilio/{name}", twilio_caller.OPENING, twilio_caller.pack, most=1.25,
         returned='{"event":"mark"'),  # when it was played, which is 200 ms later at most
)  # fmt: skip
"""The native dialect first: the others are measured against it."""


def wire(name: str) -> Wire:
    """The row of this name."""
    return next(one for one in WIRES if one.name == name)
