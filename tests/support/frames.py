"""WebSocket frames as bytes, written and read by RFC 6455 and by no library."""

import json
from dataclasses import dataclass

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

FINAL = 0x80
RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10

MASK = b"\x37\xfa\x21\x3d"
"""The one of the RFC's examples."""


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    length_bytes: int | None = None,
    length: int | None = None,
) -> bytes:
    """One frame of a client.

    `length_bytes` is 0, 2 or 8: how many bytes follow the seven bits of the length, in place of as
    few as possible. `length` is announced in place of the payload's own.
    """
    size = len(payload) if length is None else length
    if length_bytes is None:
        length_bytes = 0 if size < 126 else 2 if size < 65_536 else 8
    short = {0: size, 2: 126, 8: 127}[length_bytes]
    head = bytes(((FINAL if fin else 0) | rsv | opcode, short | (0 if mask is None else 0x80)))
    head += size.to_bytes(length_bytes, "big") if length_bytes else b""
    if mask is None:
        return head + payload
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return head + mask + masked


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    """A close frame; without a code it is empty."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


@dataclass(frozen=True)
class ServerFrame:
    """A frame of the server, which neither masks nor fragments nor uses reserved bits."""

    opcode: int
    payload: bytes

    def __str__(self) -> str:
        match self.opcode:
            case 8:
                code = int.from_bytes(self.payload[:2], "big")
                self.payload[2:].decode()  # a reason is UTF-8
                return f"close {code}" if self.payload else "close"
            case 10:
                return f"pong {self.payload!r}"
            case 1:
                message = json.loads(self.payload)
                kind: str = message["type"]
                told = {"pong": "t", "error": "code"}.get(kind)
                return kind if told is None else f"{kind} {message[told]}"
            case 2:
                return "audio"
        raise AssertionError(f"a server sends no frame with the opcode {self.opcode}")


def taken(received: bytearray) -> list[ServerFrame]:
    """Take the whole frames from the front of what was received."""
    frames = []
    while len(received) >= 2:
        first, size = received[0], received[1]
        assert first & 0xF0 == FINAL, f"a server's frame begins with {first:#x}"
        assert size < 128, "a server masks no frame"
        start = {126: 4, 127: 10}.get(size, 2)
        if start > 2:
            size = int.from_bytes(received[2:start], "big")
        if len(received) < start + size:
            break
        frames.append(ServerFrame(first & 0x0F, bytes(received[start : start + size])))
        del received[: start + size]
    return frames
