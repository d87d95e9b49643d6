"""Finds where a recording can be read on behind damage at which FFmpeg stopped. Pure.

FFmpeg takes noise for an element or a box of any length, and looks for the next one behind it, or
gives up. Recorders that write while they record begin anew every few seconds: with a cluster in
WebM and Matroska (RFC 9559), and with a movie fragment in MP4 (ISO/IEC 14496-12). Each can be read
with the file's header alone. What lies between is put into an element or a box that is skipped, so
that every position in the file stays.
"""

import logging
import re
from collections.abc import Sequence
from typing import BinaryIO

from stages._containers import Container
from stages._matroska_elements import loss_of_matroska
from stages._trailing import at

log = logging.getLogger("stages.decode")

_WINDOW_BYTES = 1 << 16
_BEGINS: dict[Container, re.Pattern[bytes]] = {
    # A cluster, and in it its time, position, size, checksum, padding or a block.
    "webm": re.compile(
        rb"\x1f\x43\xb6\x75(?:[\x80-\xff]|[\x40-\x7f].|[\x20-\x3f].{2}|[\x10-\x1f].{3}|\x08.{4}"
        rb"|\x01.{7})[\xe7\xa7\xab\xa3\xa0\xec\xbf]",
        re.DOTALL,
    ),
    # A fragment of less than 16 MB, and in it its number.
    "mp4": re.compile(rb"\0.{3}moof\0\0\0\x10mfhd", re.DOTALL),
}
_LONGEST = 16
"""The most bytes that such a beginning takes."""

_LEAST_SKIPPED = 16
_LONGEST_HEADER = 1 << 16
"""A longer one, as with pictures or many tags, takes too long to be read 200 times."""
_SEGMENT = b"\x18\x53\x80\x67"
_VOID = b"\xec\x01"
"""The element of Matroska that is skipped, with a length of 8 bytes."""


def breaks(file: BinaryIO, size: int, container: Container) -> Sequence[tuple[int, int]]:
    """The damaged places of a WebM file, each from before the damage to where the file goes on.

    Moves the file's position. This and what follows never raises: FFmpeg can read without it.
    """
    try:
        return loss_of_matroska(file, size).broken if container == "webm" else ()
    except Exception:
        log.exception("where the file is damaged cannot be told")
        return ()


def next_piece(file: BinaryIO, size: int, container: Container, start: int) -> int | None:
    """Where the next cluster or fragment begins, not before `start`; None if there is none.

    Moves the file's position.
    """
    try:
        return _next_piece(file, size, container, start)
    except Exception:
        log.exception("where the file goes on cannot be told")
        return None


def _next_piece(file: BinaryIO, size: int, container: Container, start: int) -> int | None:
    begins = _BEGINS.get(container)
    if begins is None:
        return None
    for place in range(start, size, _WINDOW_BYTES):
        window = at(file, place, min(_WINDOW_BYTES + _LONGEST - 1, size - place))
        if found := begins.search(window):
            return place + found.start()
    return None


def can_skip(file: BinaryIO, size: int, container: Container) -> bool:
    """Whether pieces of the file can be skipped: whether its header is not too long to be kept.

    Moves the file's position.
    """
    first = next_piece(file, min(size, _LONGEST_HEADER + _LONGEST), container, 0)
    return first is not None and first <= _LONGEST_HEADER


def skipping(file: BinaryIO, container: Container, first: int | None, start: int) -> bytes | None:
    """What to read in place of a file's beginning so that of its pieces, the first of which begins
    at `first`, those before `start` are skipped; b"" if there are none, None if that cannot be.
    Moves the file's position.
    """
    try:
        return _skipping(file, container, first, start)
    except Exception:
        log.exception("the file's header cannot be told")
        return None


def _skipping(file: BinaryIO, container: Container, first: int | None, start: int) -> bytes | None:
    if first == start:
        return b""
    if first is None or first > _LONGEST_HEADER or start - first < _LEAST_SKIPPED:
        return None
    header, length = bytearray(at(file, 0, first)), start - first
    if container == "mp4":
        return bytes(header) + length.to_bytes(4) + b"free"
    # The piece may be behind the end that the segment states: that of another file.
    if 0 <= (size := header.find(_SEGMENT)) < first - 12:
        size += len(_SEGMENT)
        bits = 7 * (9 - header[size].bit_length())
        header[size : size + bits // 7] = ((2 << bits) - 1).to_bytes(bits // 7)
    return bytes(header) + _VOID + (length - 9).to_bytes(7)
