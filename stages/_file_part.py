"""A part of an uploaded file, as FFmpeg reads it.

Used inside the worker process of `stages._decode_worker` only.
"""

import time
from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter
from typing import BinaryIO

SEARCH_S = 0.5
"""Processor time for finding the first sound, and the next one in a damaged part."""


class FilePart:
    """A part of a file, which reads and seeks like a file of its own.

    It reads as if it began with `beginning`.
    """

    def __init__(self, file: BinaryIO, start: int, end: int, beginning: bytes = b"") -> None:
        self._file = file
        self._start = start
        self._end = end
        self._beginning = beginning
        self._at = 0

    @property
    def size(self) -> int:
        return self._end - self._start

    def again(self) -> "FilePart":
        """The same part for another reader, with a position and a beginning of its own."""
        return FilePart(self._file, self._start, self._end)

    def beginning(self, beginning: bytes) -> "FilePart":
        """The same part with this beginning."""
        return FilePart(self._file, self._start, self._end, beginning)

    def read(self, size: int = -1) -> bytes:
        left = max(0, self.size - self._at)
        self._file.seek(self._start + self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        begin, self._at = self._at, self._at + len(data)
        own = self._beginning[begin : self._at]
        return own + data[len(own) :]

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, self.size)[whence])
        return self._at

    def tell(self) -> int:
        return self._at


class Source:
    """A part as FFmpeg sees it: it can read and seek, but there is no name.

    `read` returns nothing once too much processor time has gone without any sound. `breaks` are the
    damaged places of the part, in their order, each from before the damage to where the file goes
    on; `at` is the place of the newest packet, at first that from which it is read.
    """

    def __init__(self, part: FilePart, breaks: Sequence[tuple[int, int]] = (), at: int = 0) -> None:
        part.seek(0)
        self._part = part
        self._breaks = breaks
        self.start = self.at = at
        self.size = part.size
        self.seek = part.seek
        self.tell = part.tell
        self.sound()

    def damage_before(self, place: int) -> int | None:
        """Where the damage ends between the newest packet and one at this place; None if there is
        none. It may end behind that place."""
        behind = bisect_right(self._breaks, self.at, key=itemgetter(1))
        if behind < len(self._breaks) and self._breaks[behind][0] < place:
            return self._breaks[behind][1]
        return None

    def sound(self) -> None:
        """Sound was found: the time limit of the search starts again."""
        self._until_s = time.process_time() + SEARCH_S

    @property
    def given_up(self) -> bool:
        return time.process_time() > self._until_s

    def read(self, size: int) -> bytes:
        """The next bytes; none once the search has taken too long."""
        return b"" if self.given_up else self._part.read(size)
