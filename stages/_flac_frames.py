"""Whether the beginning of a FLAC file was cut off, by the number of its first frame. Pure.

A frame's header has its number, or that of its first sample, and a checksum (RFC 9639, section
9.1). Behind the file's own header, a stream that was joined later, or cut by a tool that keeps
whole frames, begins with a later frame.
"""

import logging
import re
from itertools import islice
from typing import BinaryIO

from stages._trailing import at

log = logging.getLogger("stages.decode")

_BEGINS = re.compile(rb"\xff[\xf8\xf9]")
_BY_SAMPLE = 0xF9
"""The second byte of frames of varying length, which have the number of their first sample."""

_LONGEST_HEAD = 16
_MOST_BLOCKS = 128
_MOST_HEADS = 1_000
"""The most places that are tried as a frame's header. In noise, one byte in 32,768 begins one."""

_USUAL_FRAME, _LONGEST_FRAME = 1 << 14, 1 << 18

_LEAST_SHARE = 8
"""A frame has at least this share of the bytes of the longest, as assumed here."""


def is_joined_later(file: BinaryIO) -> bool:
    """Whether the first frame is a later one because those before it were left out: nothing that
    is there is damaged. Moves the file's position.

    Before it may be the rest of another frame, which is much shorter than the missing frames would
    be. The second frame behind some bytes is no such one: the first is damaged. Never raises.
    """
    try:
        return _is_joined_later(file)
    except Exception:
        log.exception("whether the first frames were left out cannot be told")
        return False


def _is_joined_later(file: BinaryIO) -> bool:
    place = 4
    for _ in range(_MOST_BLOCKS):
        head = at(file, place, 4)
        if len(head) < 4:
            return False
        place += 4 + int.from_bytes(head[1:])
        if head[0] & 0x80:
            break
    facts = at(file, 8, 10)  # block sizes and frame sizes
    block, longest = int.from_bytes(facts[2:4]), int.from_bytes(facts[7:10])
    longest = min(longest or _USUAL_FRAME, _LONGEST_FRAME)
    data = at(file, place, longest + _LONGEST_HEAD)
    for found in islice(_BEGINS.finditer(data), _MOST_HEADS):
        start = found.start()
        number = _number(data[start : start + _LONGEST_HEAD])
        if number is None:
            continue
        if data[start + 1] == _BY_SAMPLE:
            number //= max(1, block)
        return number > 0 if start == 0 else number > 1 and _LEAST_SHARE * start < number * longest
    return False


def _number(head: bytes) -> int | None:
    """The number in the header of a frame; None if these bytes are none."""
    if len(head) < _LONGEST_HEAD:
        return None
    leading = 8 - (head[4] ^ 0xFF).bit_length()  # as in UTF-8, for up to 36 bits
    if leading == 1 or leading > 7:
        return None
    length = max(1, leading)
    number = head[4] & (0x7F >> leading)
    for byte in head[5 : 4 + length]:
        if byte >> 6 != 2:
            return None
        number = number << 6 | byte & 63
    size, rate = head[2] >> 4, head[2] & 15
    end = 4 + length + {6: 1, 7: 2}.get(size, 0) + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    return number if end < len(head) and _crc(head[:end]) == head[end] else None


def _crc(data: bytes) -> int:
    """The checksum of a header, with the polynomial x⁸ + x² + x + 1."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (0x107 if crc & 0x80 else 0)) & 0x1FF
    return crc & 0xFF
