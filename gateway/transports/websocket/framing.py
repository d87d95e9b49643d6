"""Splits a client's byte stream into WebSocket frames, and unmasks those with a message. Pure.

A voice session receives 50 small frames a second: binary ones, or texts in dialects whose audio is
base64. They are unmasked here; every other frame is passed on whole to the full parser. RFC 6455,
section 5.2.
"""

from typing import TypeAlias

try:
    from websockets.speedups import apply_mask as unmasked
except ImportError:  # websockets without its C extension
    from websockets.utils import apply_mask as unmasked

__all__ = ["AUDIO", "AUDIO_HEADER_BYTES", "FrameSplitter", "Piece", "is_utf8", "unmasked"]

FINAL = 0x80
MASKED = 0x80
CONTINUATION, TEXT, BINARY = 0, 1, 2

AUDIO = FINAL | BINARY, MASKED | 126
"""The first two bytes of nearly every frame: a whole binary message of 126 to 65535 bytes."""
AUDIO_HEADER_BYTES = 8
"""The bytes before the payload of such a frame: these two, the length and the mask."""

FOR_PARSER = 0

Piece: TypeAlias = tuple[int, bytes]
"""`TEXT` or `BINARY` and the payload of a final, masked frame, which is a whole message; or
`FOR_PARSER` and bytes for the full parser. A text may be no UTF-8."""


class FrameSplitter:
    """The splitter of one connection. Its pieces are the whole stream, in order.

    A text that is longer than `longest_text` is for the full parser.

    It stops at a frame that is not masked or is longer than 65535 bytes, and passes everything from
    there on to the full parser, which refuses or reassembles it. So it holds back less than one
    such frame.
    """

    def __init__(self, longest_text: int) -> None:
        self.longest_text = longest_text
        self.between = True
        """Whether nothing is held, and no fragmented message is under way: then `push` may be left
        out for data that is exactly one frame of a binary message."""
        self._held = b""
        self._given_up = False
        self._in_fragments = False  # between the first and the last fragment of a message

    def push(self, data: bytes) -> list[Piece]:
        """Take received bytes. Returns the pieces that are complete."""
        if self._given_up:
            return [(FOR_PARSER, data)]
        if self._held:
            data = self._held + data
        pieces: list[Piece] = []
        start, end = 0, len(data)
        while end - start >= 6:
            first, second = data[start], data[start + 1]
            size = second & 0x7F
            if size == 127 or not second & MASKED:
                self._given_up = True
                pieces.append((FOR_PARSER, data[start:]))
                start = end
                break
            at = start + 2
            if size == 126:
                size = data[at] << 8 | data[at + 1]
                at += 2
            stop = at + 4 + size
            if stop > end:
                break
            whole = first == FINAL | BINARY or (first == FINAL | TEXT and size <= self.longest_text)
            if whole and not self._in_fragments:
                payload = unmasked(data[at + 4 : stop], data[at : at + 4])
                pieces.append((first & 0x0F, payload))
            else:
                pieces.append((FOR_PARSER, data[start:stop]))
                if first & 0x0F in (CONTINUATION, TEXT, BINARY):
                    self._in_fragments = not first & FINAL
            start = stop
        self._held = data[start:]
        self.between = not (self._held or self._in_fragments or self._given_up)
        return pieces


def is_utf8(data: bytes) -> bool:
    """Whether a text message is valid by RFC 6455, section 8.1: no surrogates, nothing cut."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
