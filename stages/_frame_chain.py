"""Finds loss in the frames of an MP3 or AAC (ADTS) file: whether the last frame is cut, and how
many bytes between frames belong to none.

A frame's header says where the next frame begins; nothing tells whether its content is whole.
"""

import re
from dataclasses import dataclass
from typing import BinaryIO

from stages._trailing import LENGTHS, MOST_PIECES, at, is_filler, sound_start, tag_length

_WINDOW_BYTES = 1 << 16
_HEAD_BYTES = 32

_BEGINS = {
    "mp3": re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]"),
    "aac": re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"),
}

_IN_A_ROW = 3
"""This many frames in a row are no coincidence."""

_LONGEST_FRAME = {"mp3": 1500, "aac": 8191}
"""Bytes of a frame at most. A recording may begin with the rest of one."""

_MOST_PLACES = 20_000
"""The search ends after this many places that look like a frame but are none."""


@dataclass(frozen=True, slots=True)
class FrameLoss:
    """`cut`: the last frame is cut. `damaged`: bytes that are neither frames nor filler, with
    frames after them; `whole`: the bytes of the frames."""

    cut: bool
    damaged: int = 0
    whole: int = 0


def loss_of_frames(file: BinaryIO, size: int, container: str) -> FrameLoss:
    """The loss in a file of `size` bytes. Moves the file's position.

    After `MOST_PIECES` frames the rest of the file is not looked at. A single byte after the last
    frame is no sign of a loss, because files are also padded with 255.
    """
    length_of, chains = LENGTHS[container], _Chains(file, size, container)
    position = last = base = sound_start(file) if container == "mp3" else 0
    window = b""
    damaged = whole = length = 0
    for _ in range(MOST_PIECES):
        if size - 1 <= position <= size:
            return FrameLoss(False, damaged, whole)
        if position < size:
            if position + _HEAD_BYTES > base + len(window) < size:
                base, window = position, at(file, position, min(_WINDOW_BYTES, size - position))
            offset = position - base
            try:
                length = length_of(window, offset)
            except IndexError:  # the file ends inside a header
                return FrameLoss(True, damaged, whole)
            if length:
                last, position, whole = position, position + length, whole + length
                continue
            last = position
            tag = tag_length(window[offset : offset + _HEAD_BYTES])
            if tag and position + tag <= size:
                position += tag
                continue
        found = chains.next_behind(last)
        if found < 0:
            return FrameLoss(position > size, damaged, whole)
        whole -= length  # what led beyond the end was no frame
        if not (last == position and is_filler(file, last, found)) and (
            whole or found - last > _LONGEST_FRAME[container]
        ):
            damaged += found - last
        position, length = found, 0
    return FrameLoss(False, damaged, whole)


class _Chains:
    """Finds where frames follow each other again."""

    def __init__(self, file: BinaryIO, size: int, container: str) -> None:
        self._file = file
        self._size = size
        self._begins = _BEGINS[container]
        self._length_of = LENGTHS[container]
        self._left = _MOST_PLACES

    def next_behind(self, place: int) -> int:
        """Where the next frames in a row begin; -1 if nowhere, or after too many places."""
        for start in range(place + 1, self._size, _WINDOW_BYTES):
            piece = at(self._file, start, min(_WINDOW_BYTES + 1, self._size - start))
            for found in self._begins.finditer(piece):
                self._left -= 1
                if self._left < 0:
                    return -1
                if self._is_chain(start + found.start()):
                    return start + found.start()
        return -1

    def _is_chain(self, position: int) -> bool:
        for _ in range(_IN_A_ROW):
            head = at(self._file, position, min(_HEAD_BYTES, max(0, self._size - position)))
            try:
                length = self._length_of(head, 0)
            except IndexError:
                return False
            if not length:
                return False
            position += length
        return position <= self._size
