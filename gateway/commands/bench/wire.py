"""The client's half of the WebSocket protocol, as far as a load generator needs it. Pure.

RFC 6455 without extensions. What is sent is masked with one key, so that the frames of a clip can
be made once for all sessions.
"""

from base64 import b64encode
from collections.abc import Iterator

import numpy as np

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

KEY = bytes((0x5A, 0xC3, 0x17, 0x88))
"""The masking key. It is fixed: data that a benchmark sends to itself needs no protection."""

_FINAL = 0x80
_NORMAL = 1000
_NO_STATUS = 1005
"""The code of a close frame without one (RFC 6455, 7.1.5)."""


class WireError(ValueError):
    """The server sent what this client cannot read."""


def upgrade(host: str, path: str) -> bytes:
    """The request that opens a WebSocket at `path`."""
    nonce = b64encode(bytes(range(16))).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def masked(opcode: int, payload: bytes) -> bytes:
    """One final frame of a client."""
    size = len(payload)
    if size < 126:
        head = bytes((_FINAL | opcode, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((_FINAL | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((_FINAL | opcode, 0x80 | 127)) + size.to_bytes(8, "big")
    key = np.frombuffer(KEY * (size // 4 + 1), np.uint8)[:size]
    return head + KEY + (np.frombuffer(payload, np.uint8) ^ key).tobytes()


def close(code: int = _NORMAL) -> bytes:
    """A close frame of a client."""
    return masked(CLOSE, code.to_bytes(2, "big"))


def close_code(payload: bytes) -> int:
    """The code in a close frame's payload."""
    return int.from_bytes(payload[:2], "big") if len(payload) >= 2 else _NO_STATUS


class Frames:
    """Splits what a server sends, after its answer to the upgrade, into frames."""

    def __init__(self) -> None:
        self._held = b""

    def push(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The opcode and the payload of each frame that `data` completes.

        Take all of them before the next call. Raises `WireError` for a message in fragments.
        """
        if self._held:
            data = self._held + data
        start, end = 0, len(data)
        while end - start >= 2:
            size = data[start + 1]
            at = start + 2
            if size == 126:
                at += 2
                size = int.from_bytes(data[start + 2 : at], "big")
            elif size == 127:
                at += 8
                size = int.from_bytes(data[start + 2 : at], "big")
            if at > end or at + size > end:
                break
            first = data[start]
            if not first & _FINAL:
                raise WireError("a message in fragments")
            start = at + size
            yield first & 0x0F, data[at:start]
        self._held = data[start:]
