"""The messages of the load generator to a server, and what it reads from the answers. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from gateway.commands.bench.wire import BINARY, TEXT

Kind: TypeAlias = Literal["ready", "decided", "audio", "fault"]

Heard: TypeAlias = tuple[Kind, float, str]
"""The meaning of a message: its kind, a number and a text.

`ready`: the session may begin. `decided`: the person has finished; the number is the position in
the input audio where the speech ended, in ms, or -1 if the server does not tell it. `audio`: the
number is the ms of the reply. `fault`: what went wrong.
"""


@dataclass(frozen=True, slots=True)
class Wishes:
    """A session's wishes, for a server that lets its clients choose.

    `silence_ms` of silence end a turn, `barge_in_ms` of speech a reply.
    """

    silence_ms: int = 800
    barge_in_ms: int = 200


class ServerDialect(Protocol):
    """One server's messages. A value without I/O; one serves all sessions."""

    lead_ms: float
    """How far ahead of real time the server sends reply audio; its frames are due that much
    earlier."""

    opens: bool
    """Whether the server speaks first."""

    def path(self, session: str) -> str:
        """The path of a session's WebSocket."""
        ...

    def hello(self, wishes: Wishes) -> Sequence[tuple[int, bytes]]:
        """The first messages, as opcodes and payloads."""
        ...

    def speech(self, pcm: bytes) -> tuple[int, bytes]:
        """20 ms of input audio, 16 kHz mono PCM16, as one message."""
        ...

    def hear(self, opcode: int, payload: bytes) -> Heard | None:
        """The meaning of a message of the server; None if it does not matter."""
        ...


class ParleyDialect:
    """Parley's native dialect (docs/protocol.md), 16 kHz PCM both ways."""

    lead_ms = 200.0
    opens = True

    def __init__(self, questions: int = 15) -> None:
        self._questions = questions

    def path(self, session: str) -> str:
        return f"/ws/{session}"

    def hello(self, wishes: Wishes) -> Sequence[tuple[int, bytes]]:
        detection = {
            "mode": "auto",
            "adaptive": False,
            "silence_ms": wishes.silence_ms,
            "barge_in_ms": wishes.barge_in_ms,
        }
        interview = {"role": "Software Engineer", "totalQuestions": self._questions}
        message = {
            "type": "hello",
            "version": 1,
            "turn_detection": detection,
            "interview": interview,
        }
        return ((TEXT, json.dumps(message).encode()),)

    def speech(self, pcm: bytes) -> tuple[int, bytes]:
        return BINARY, pcm

    def hear(self, opcode: int, payload: bytes) -> Heard | None:
        if opcode == BINARY:
            return "audio", len(payload) / 32, ""
        # Most messages are of no interest here; they are not parsed.
        if payload.startswith(b'{"type":"visemes"'):
            return None
        message = json.loads(payload)
        match message["type"]:
            case "ready":
                return "ready", 0.0, ""
            case "speech.stopped":
                return "decided", float(message["at_ms"]), ""
            case "error":
                return "fault", 0.0, str(message["code"])
            case "degraded":
                return "fault", 0.0, f"degraded.{message['stage']}: to {message['to']}"
        return None
