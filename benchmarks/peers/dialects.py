"""How the load generator speaks with the peers' servers (`benchmarks.peers.apps`). Pure."""

import json
from collections.abc import Sequence

from gateway.commands.bench.dialect import Heard, Wishes
from gateway.commands.bench.wire import BINARY, TEXT
from stages._protobuf import field, fields, number_field


class LiveKitDialect:
    """Our socket before LiveKit Agents: PCM in binary messages, two text messages."""

    lead_ms = 200.0
    opens = False

    def path(self, session: str) -> str:
        return "/ws"

    def hello(self, wishes: Wishes) -> Sequence[tuple[int, bytes]]:
        return ()

    def speech(self, pcm: bytes) -> tuple[int, bytes]:
        return BINARY, pcm

    def hear(self, opcode: int, payload: bytes) -> Heard | None:
        if opcode == BINARY:
            return "audio", len(payload) / 32, ""
        kind = json.loads(payload)["type"]
        if kind == "ready":
            return "ready", 0.0, ""
        return ("decided", -1.0, "") if kind == "decided" else None


class EchoDialect:
    """The echo server: every message comes back; it is ready at once and decides nothing."""

    lead_ms = 0.0
    opens = False

    def path(self, session: str) -> str:
        return "/ws"

    def hello(self, wishes: Wishes) -> Sequence[tuple[int, bytes]]:
        return ((TEXT, b"{}"),)

    def speech(self, pcm: bytes) -> tuple[int, bytes]:
        return BINARY, pcm

    def hear(self, opcode: int, payload: bytes) -> Heard | None:
        return ("ready", 0.0, "") if opcode == TEXT else None


# --- Pipecat ---------------------------------------------------------------------------------

_AUDIO, _MESSAGE = 2, 4
"""The fields of Pipecat's `Frame` (its frames.proto) that matter here."""
_PCM, _RATE, _CHANNELS = 3, 4, 5


class PipecatDialect:
    """Pipecat's WebSocket clients: protobuf frames, RTVI messages in some of them."""

    lead_ms = 0.0
    opens = False

    def path(self, session: str) -> str:
        return "/ws"

    def hello(self, wishes: Wishes) -> Sequence[tuple[int, bytes]]:
        about = {"library": "parley-bench", "library_version": "1", "platform": "linux"}
        ready = {
            "label": "rtvi-ai",
            "type": "client-ready",
            "id": "1",
            "data": {"version": "1.0.0", "about": about},
        }
        return ((BINARY, field(_MESSAGE, field(1, json.dumps(ready).encode()))),)

    def speech(self, pcm: bytes) -> tuple[int, bytes]:
        rate = number_field(_RATE, 16_000) + number_field(_CHANNELS, 1)
        return BINARY, field(_AUDIO, field(_PCM, pcm) + rate)

    def hear(self, opcode: int, payload: bytes) -> Heard | None:
        which, _, body = next(fields(payload))
        if which == _AUDIO:
            return "audio", len(_find(body, _PCM)) / 32, ""
        if which != _MESSAGE:
            return None
        message = _find(body, 1)
        if b'"bot-ready"' in message:
            return "ready", 0.0, ""
        if b'"user-stopped-speaking"' in message:
            return "decided", -1.0, ""
        if b'"error"' in message and json.loads(message).get("type") == "error":
            return "fault", 0.0, "pipecat error"
        return None


def _find(message: bytes, wanted: int) -> bytes:
    """The content of the field with this number; empty where it is missing."""
    return next((value for number, _, value in fields(message) if number == wanted), b"")
