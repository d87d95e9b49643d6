"""A body that a server compressed although nobody asked it to. Pure.

Some proxies compress whatever passes. Codings: RFC 9110, section 8.4.1 (gzip, and deflate, which
some servers send without its frame); br and zstd need libraries and are not taken.
"""

import zlib
from collections.abc import Iterator

PIECE_BYTES = 64 << 10

ROOM_BYTES = 1 << 20
MOST_TIMES = 100
"""A body may become as large as `ROOM_BYTES` and this many times its own size: event streams, which
repeat themselves, become up to 50 times as large."""

_GZIP = ("gzip", "x-gzip")
PLAIN = ("", "identity", "none", "utf-8", "utf8")
"""The last three name no coding, but servers send them."""

KNOWN = (*PLAIN, *_GZIP, "deflate")

_EITHER_FRAME = 32 + zlib.MAX_WBITS
_NO_FRAME = -zlib.MAX_WBITS


class BadlyCoded(ValueError):
    """The body is not in its coding, or becomes too large."""


class CodedBody:
    """Decodes one body; `coding` is one of `KNOWN`."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._read = 0
        self._written = 0
        self._decoder = None if coding in PLAIN else zlib.decompressobj(_EITHER_FRAME)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decoded content of the next bytes of the body, in pieces, as far as it is complete.

        Raises `BadlyCoded`.
        """
        if self._decoder is None:
            yield data
            return
        if not self._read and self._coding == "deflate" and data and data[0] & 15 != 8:
            self._decoder = zlib.decompressobj(_NO_FRAME)
        self._read += len(data)
        try:
            while data:
                if self._decoder.eof:
                    self._decoder = zlib.decompressobj(_EITHER_FRAME)
                piece = self._decoder.decompress(data, PIECE_BYTES)
                data = self._decoder.unconsumed_tail or self._decoder.unused_data
                self._written += len(piece)
                if self._written > ROOM_BYTES + MOST_TIMES * self._read:
                    raise BadlyCoded("it becomes too large when it is decompressed")
                if piece:
                    yield piece
        except zlib.error as error:
            raise BadlyCoded(f"it cannot be decompressed: {error}") from None
