"""How the load generator speaks with the peers' servers (`benchmarks.peers.apps`). Pure."""

import json
from collections.abc import Sequence

from gateway.commands.bench.dialect import Heard, Wishes
from gateway.commands.bench.wire import BINARY, TEXT


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

_VARINT, _LENGTH = 0, 2
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
        return ((BINARY, _field(_MESSAGE, _field(1, json.dumps(ready).encode()))),)

    def speech(self, pcm: bytes) -> tuple[int, bytes]:
        rate = _number(_RATE, 16_000) + _number(_CHANNELS, 1)
        return BINARY, _field(_AUDIO, _field(_PCM, pcm) + rate)

    def hear(self, opcode: int, payload: bytes) -> Heard | None:
        which, body = _first(payload)
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


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH) + _varint(len(data)) + data


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _read(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins at a place, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _first(data: bytes) -> tuple[int, bytes]:
    """The number and the content of the first field, which has a length."""
    key, at = _read(data, 0)
    size, at = _read(data, at)
    return key >> 3, data[at : at + size]


def _find(data: bytes, wanted: int) -> bytes:
    """The content of the field with this number; empty where it is missing."""
    at, end = 0, len(data)
    while at < end:
        key, at = _read(data, at)
        value, at = _read(data, at)
        if key & 7 == _LENGTH:
            if key >> 3 == wanted:
                return data[at : at + value]
            at += value
    return b""
