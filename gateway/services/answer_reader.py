"""Reads the answer to one request from the bytes of a connection (RFC 9112). Pure.

It takes what servers do write against the rules and what has one meaning all the same: bare line
feeds in the head, header lines that go on in the next line, a length that is told twice. An answer
whose end could be at two places is refused, and what follows an answer belongs to no other one.
"""

import re
from collections.abc import Sequence
from enum import Enum
from typing import Final

from gateway.services.forwarding import TOKEN, Headers

LONGEST_HEAD_BYTES: Final = 100 * 1024
"""Of a head, with the interim answers before it, and of the trailers."""

LONGEST_CHUNK_LINE_BYTES: Final = 8 * 1024
"""Of the line before a chunk: its size, and extensions, which nobody reads."""

BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")
BLANK_LINE_BYTES: Final = 4
STATUS_LINE: Final = re.compile(rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")
LENGTH: Final = re.compile(rb"[0-9]{1,18}")
CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")
SHORT_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,6})\r\n")
FOLD: Final = re.compile(rb"\r?\n[ \t]+")

SWITCHING: Final = 101


class MalformedAnswer(Exception):
    """What came is no answer of HTTP/1, or one whose end is not sure."""


class _Part(Enum):
    """What the next bytes are."""

    HEAD = "head"
    LENGTH = "a body of a known length"
    REST = "a body that ends with the connection"
    SIZE = "the line before a chunk"
    CHUNK = "a chunk"
    AFTER = "the line's end behind a chunk"
    TRAILERS = "trailers"
    NOTHING = "nothing: the answer is complete"


class AnswerReader:
    """Reads one answer; with `head_only` it has no body, whatever its head says (HEAD)."""

    __slots__ = ("_before", "_held", "_left", "_part", "head_only", "headers", "keeps", "status")

    def __init__(self, *, head_only: bool = False) -> None:
        self.head_only = head_only
        self.status = 0
        """The status, 0 until the head is there."""
        self.headers: Headers = []
        """Names in lower case, and values."""
        self.keeps = False
        """Whether the connection can be used after this answer. False if more came than that."""
        self._part = _Part.HEAD
        self._held = bytearray()  # a head or a line, of which more is to come
        self._before = 0  # bytes of interim answers, or of trailers
        self._left = 0  # bytes of the body or chunk that are to come

    @property
    def complete(self) -> bool:
        """Whether all of the answer has come."""
        return self._part is _Part.NOTHING

    def feed(self, data: bytes) -> Sequence[bytes]:
        """Take what has come, and return the pieces of the body in it.

        Raises `MalformedAnswer`.
        """
        if self._part is _Part.HEAD:
            data = self._head(data)
        match self._part:
            case _Part.HEAD:
                return ()
            case _Part.NOTHING:
                self.keeps = self.keeps and not data
                return ()
            case _Part.REST:
                return (data,) if data else ()
            case _Part.LENGTH:
                return self._known(data)
            case _:
                return self._chunks(data)

    def end(self) -> None:
        """The connection was ended. Raises `EOFError` if that is before the answer's end."""
        self.keeps = False
        if self._part is _Part.REST:
            self._part = _Part.NOTHING
        elif self._part is not _Part.NOTHING:
            raise EOFError

    # --- the head ----------------------------------------------------------------------------

    def _head(self, data: bytes) -> bytes:
        """Take bytes of the head, and return what follows it."""
        searched = max(0, len(self._held) - BLANK_LINE_BYTES + 1)
        if self._held:
            self._held += data
            found = BLANK_LINE.search(self._held, searched)
        else:
            found = BLANK_LINE.search(data)
        while found is not None:
            end = found.end()
            if self._before + end > LONGEST_HEAD_BYTES:
                raise MalformedAnswer("its head is too long")
            if self._held:
                data = bytes(self._held)
                self._held.clear()
            if self._begin(data[: found.start()]):
                return data[end:]
            self._before += end
            data = data[end:]
            found = BLANK_LINE.search(data)
        if not self._held:
            self._held += data
        if self._before + len(self._held) > LONGEST_HEAD_BYTES:
            raise MalformedAnswer("its head is too long")
        return b""

    def _begin(self, head: bytes) -> bool:
        """Read a head; returns whether it is the last one, and no interim answer's."""
        if b"\n " in head or b"\n\t" in head:
            if head[head.index(b"\n") + 1] in b" \t":
                raise MalformedAnswer("its head begins with half a line")
            head = FOLD.sub(b" ", head)
        first, *lines = head.split(b"\n")
        line = STATUS_LINE.fullmatch(first.removesuffix(b"\r"))
        if line is None:
            raise MalformedAnswer("it has no status line")
        headers: Headers = []
        for text in lines:
            name, colon, value = text.removesuffix(b"\r").partition(b":")
            if not colon or TOKEN.fullmatch(name) is None:
                raise MalformedAnswer("a line of its head is no header")
            headers.append((name.lower(), value.strip(b" \t")))
        status = int(line[2])
        if status < 200 and status != SWITCHING:
            return False
        self.headers = headers
        self._frame(status, newer=line[1] != b"0")
        self.status = status
        return True

    def _frame(self, status: int, *, newer: bool) -> None:
        """Find where the answer ends (RFC 9112, section 6.3)."""
        lengths, codings, closes = list[bytes](), list[bytes](), not newer
        for name, value in self.headers:
            if name == b"content-length":
                lengths.append(value)
            elif name == b"transfer-encoding":
                codings.append(value.lower())
            elif name == b"connection" and not closes:
                closes = b"close" in (word.strip() for word in value.lower().split(b","))
        if codings not in ([], [b"chunked"]):
            raise MalformedAnswer("its transfer coding is not chunked")
        length = self._length(lengths) if lengths else None
        self.keeps = not closes and not (codings and lengths) and status != SWITCHING
        if self.head_only or status in (SWITCHING, 204, 304):
            self._part = _Part.NOTHING
        elif codings:
            self._part = _Part.SIZE
        elif length is not None:
            self._part, self._left = _Part.LENGTH if length else _Part.NOTHING, length
        else:
            self._part, self.keeps = _Part.REST, False

    def _length(self, told: list[bytes]) -> int:
        """The length, which may be told more than once, and is handed on once."""
        values = {one.strip(b" \t") for value in told for one in value.split(b",")}
        value = values.pop()
        if values or LENGTH.fullmatch(value) is None:
            raise MalformedAnswer("its length is not one number")
        if told != [value]:
            others = [line for line in self.headers if line[0] != b"content-length"]
            self.headers = [*others, (b"content-length", value)]
        return int(value)

    # --- the body ----------------------------------------------------------------------------

    def _known(self, data: bytes) -> Sequence[bytes]:
        self._left -= len(data)
        if self._left > 0:
            return (data,) if data else ()
        if self._left < 0:
            data, self.keeps = data[: self._left], False
        self._part = _Part.NOTHING
        return (data,)

    def _chunks(self, data: bytes) -> Sequence[bytes]:
        pieces: list[bytes] = []
        at, size = 0, len(data)
        while at < size:
            if self._part is _Part.NOTHING:
                self.keeps = False
                break
            if self._part is _Part.CHUNK:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._part = _Part.AFTER
                continue
            if self._part is _Part.SIZE and not self._held:
                at = _whole_chunks(data, at, pieces)
            end = data.find(b"\n", at)
            if end < 0:
                self._hold_line(data[at:])
                break
            line = data[at:end]
            if self._held:
                self._hold_line(line)
                line = bytes(self._held)
                self._held.clear()
            at = end + 1
            self._line(line)
        # Small chunks that came together go on together.
        return pieces if len(pieces) < 2 else (b"".join(pieces),)

    def _hold_line(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > LONGEST_CHUNK_LINE_BYTES:
            raise MalformedAnswer("a line between its chunks is too long")

    def _line(self, line: bytes) -> None:
        """Take a line between chunks, without its line feed."""
        if not line.endswith(b"\r"):
            raise MalformedAnswer("a line between its chunks has no end")
        match self._part:
            case _Part.SIZE:
                found = CHUNK_SIZE.fullmatch(line, 0, len(line) - 1)
                if found is None:
                    raise MalformedAnswer("a chunk has no size")
                self._left, self._before = int(found[1], 16), 0
                self._part = _Part.CHUNK if self._left else _Part.TRAILERS
            case _Part.AFTER:
                if line != b"\r":
                    raise MalformedAnswer("a chunk is longer than it says")
                self._part = _Part.SIZE
            case _:
                self._before += len(line)
                if self._before > LONGEST_HEAD_BYTES:
                    raise MalformedAnswer("its trailers are too long")
                if line == b"\r":
                    self._part = _Part.NOTHING


def _whole_chunks(data: bytes, at: int, pieces: list[bytes]) -> int:
    """Add the chunks that begin at `at`, one after the other, to the pieces; returns where the next
    one begins that is not whole, not plain or the last. Small ones can be many thousands."""
    while (found := SHORT_CHUNK.match(data, at)) is not None:
        begin = found.end()
        end = begin + int(found[1], 16)
        if begin == end or data[end : end + 2] != b"\r\n":
            break
        pieces.append(data[begin:end])
        at = end + 2
    return at
