"""Finds loss in the elements of a WebM or Matroska file: whether its end is missing, and where it
is broken.

An element has a number for its kind and one for its length (RFC 8794); sound is in blocks, blocks
are in clusters, and clusters in a segment (RFC 9559). No element tells whether a block is whole.
"""

from dataclasses import dataclass, field
from typing import BinaryIO

from stages._trailing import MOST_PIECES, at, is_filler

_WINDOW_BYTES = 1 << 16
_LONGEST_HEAD = 12

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_CLUSTER_BEGINS = _CLUSTER.to_bytes(4)

_KNOWN = frozenset(
    {
        *(_EBML, _SEGMENT, _CLUSTER),
        *(0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367),
        *(0xE7, 0x5854, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF, 0xEC, 0xBF),
    }
)
"""The ids of header, segment and cluster, and of the elements that may stand in the last two."""

_FIRST_BYTES = frozenset(kind.to_bytes(4).lstrip(b"\0")[0] for kind in _KNOWN)

_MOST_BROKEN = 1_000
"""The most broken places that are looked at."""


@dataclass(frozen=True, slots=True)
class MatroskaLoss:
    """`cut`: the end is missing. `broken`: where no elements follow each other, from the last one
    before such a place to the next cluster, as positions in the file. `end`: where the elements
    end that could be followed; where the last one begins if it ends behind the file."""

    cut: bool
    broken: tuple[tuple[int, int], ...] = ()
    end: int = field(default=0, compare=False)


def is_cut_matroska(file: BinaryIO, size: int) -> bool:
    """Whether the end of a file is missing; where its segment states a length and is all there,
    whether the elements break off before its end.

    A live recording that ends between two blocks looks whole. Moves the file's position.
    """
    position, short = 0, False
    for _ in range(2):  # the header, and the segment
        head = _element(at(file, position, _LONGEST_HEAD), 0)
        if head is None or head[2] is None:
            break
        position += head[1] + head[2]
        if head[0] == _SEGMENT and position <= size:
            loss = loss_of_matroska(file, size)
            return loss.cut and loss.end < position  # what stands behind it is no part of it
        short = head[0] == _SEGMENT
    loss = loss_of_matroska(file, size)
    return loss.cut or (short and not loss.broken)  # what is missing may be there


def loss_of_matroska(file: BinaryIO, size: int) -> MatroskaLoss:
    """The loss in a file of `size` bytes. Moves the file's position.

    After `MOST_PIECES` elements the rest of the file is not looked at.
    """
    broken: list[tuple[int, int]] = []
    position = before = base = 0
    window = b""
    for _ in range(MOST_PIECES):
        if position == size:
            break
        within = base <= position <= base + len(window) - _LONGEST_HEAD  # not behind a jump back
        if position < size and not within:
            base, window = position, at(file, position, min(_WINDOW_BYTES, size - position))
        head = _element(window, position - base) if position < size else None
        if head is None or head[0] not in _KNOWN:
            found = -1
            if len(broken) < _MOST_BROKEN:
                found = _next_cluster(file, before + 1, size)
            if found < 0:
                end = position if position < size else before
                return MatroskaLoss(not _is_padding(file, position, size), tuple(broken), end)
            broken.append((before, found))
            before = position = found
            continue
        kind, start, length = head
        before = position
        position += start
        if kind not in (_SEGMENT, _CLUSTER):  # whose elements are looked at themselves
            if length is None:
                break
            position += length
    return MatroskaLoss(False, tuple(broken))


def _element(data: bytes, at_byte: int) -> tuple[int, int, int | None] | None:
    """The kind of the element that begins at a place, the length of its head, and that of its
    content, None if it is not known; None if there is no whole head of one."""
    kind_end = at_byte + 9 - data[at_byte].bit_length() if at_byte < len(data) else len(data)
    if kind_end >= len(data) or kind_end - at_byte > 4 or not data[kind_end]:
        return None
    end = kind_end + 9 - data[kind_end].bit_length()
    if end > len(data):
        return None
    most = (1 << 7 * (end - kind_end)) - 1
    length = int.from_bytes(data[kind_end:end]) & most
    kind = int.from_bytes(data[at_byte:kind_end])
    return kind, end - at_byte, None if length == most else length


def _next_cluster(file: BinaryIO, start: int, size: int) -> int:
    """Where the next cluster begins, -1 if there is none."""
    for begin in range(start, size, _WINDOW_BYTES):
        found = at(file, begin, min(_WINDOW_BYTES + 3, size - begin)).find(_CLUSTER_BEGINS)
        if found >= 0:
            return begin + found
    return -1


def _is_padding(file: BinaryIO, start: int, size: int) -> bool:
    """Whether the bytes after the last element are not the beginning of another one."""
    if start >= size:
        return False
    rest = at(file, start, min(_LONGEST_HEAD, size - start))
    if len(rest) < 4 and rest[0] not in _FIRST_BYTES:
        return True
    return is_filler(file, start, size)
