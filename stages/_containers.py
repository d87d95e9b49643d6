"""The container of an audio file, by its first bytes, and whether the file's end is missing.

Nothing is decoded. File names and media types are ignored: the uploader chose them. Sources: RIFF
(Microsoft, 1991), RFC 9639 (FLAC), RFC 3533 (Ogg), RFC 8794 (EBML) and RFC 9559 (Matroska), ISO/IEC
14496-12 (boxes), 11172-3 (MP3), 13818-7 (ADTS), id3.org (ID3v2).
"""

import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO, Literal

from stages._frame_chain import loss_of_frames
from stages._matroska_elements import is_cut_matroska
from stages._ogg_pages import loss_of_ogg
from stages._trailing import MOST_PIECES, at, id3_length

Container = Literal["wav", "flac", "ogg", "mp3", "aac", "mp4", "webm"]

HEAD_BYTES = 64
"""Bytes of a file's beginning that `sniff` needs."""

ENDLESS = 0x7FFF_F000
"""A WAV data chunk of this length or more was left by an encoder that could not seek back."""


def sniff(head: bytes) -> Container | None:
    """The container of the file that begins with `head`; None if it is not an accepted one.

    >>> sniff(b"RIFF....WAVEfmt "), sniff(b"just text")
    ('wav', None)
    """
    if head[:4] in WAVES and head[8:12] == b"WAVE":
        return "wav"
    if head[4:8] in _FIRST_BOXES and 8 <= int.from_bytes(head[:4]) < 1 << 31:
        return "mp4"
    for magic, container in _MAGIC.items():
        if head.startswith(magic):
            return container
    if len(head) >= 4 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return _frame(head)
    return None


def located(file: BinaryIO) -> tuple[int, Container | None]:
    """Where the recording begins, and its container; 0 and None if it is not an accepted one.

    Some writers put an ID3 tag before FLAC, AAC or WAV, and some recorders begin with bytes of 0.
    Moves the file's position.
    """
    head = at(file, 0, MOST_PADDING)
    container = sniff(head[:HEAD_BYTES])
    if container is None:
        bare = head.lstrip(_PADDING)
        container = sniff(bare[:HEAD_BYTES])
        return (0, None) if container is None else (len(head) - len(bare), container)
    if head[:3] == b"ID3" and len(head) >= 10:
        end = 10 + id3_length(head) + 10 * (head[5] >> 4 & 1)  # with a footer
        tagged = sniff(at(file, end, HEAD_BYTES))
        if tagged not in (None, "mp3"):
            return end, tagged
    return 0, container


WAVES = (b"RIFF", b"RF64", b"BW64")
"""RF64 and BW64 may be longer than 4 GB (EBU Tech 3306, ITU-R BS.2088)."""

_FIRST_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip")
"""QuickTime files need not begin with `ftyp`, nor do pieces of a stream."""

_BOXES = frozenset(
    (*_FIRST_BOXES, b"moof", b"mfra", b"sidx", b"ssix", b"udta", b"meta", b"uuid", b"pdin", b"emsg")
)

MOST_PADDING = 4096
"""Bytes that may lie between a file's tags and its first frame."""

_PADDING = b"\0\r\n\xef\xbb\xbf"

_MAGIC: dict[bytes, Container] = {
    b"fLaC": "flac",
    b"OggS": "ogg",
    b"\x1a\x45\xdf\xa3": "webm",
    b"ID3": "mp3",
}


def _frame(head: bytes) -> Container | None:
    """MP3 and ADTS frames begin with the same 11 bits; ADTS has layer 0, which MP3 has not."""
    layer, bitrate, rate = head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3
    if layer == 0:
        return "aac" if head[1] & 0xF0 == 0xF0 and head[2] >> 2 & 15 < 13 else None
    return "mp3" if bitrate != 15 and rate != 3 and head[1] >> 3 & 3 != 1 else None


def is_mp3_frame(head: bytes) -> bool:
    """Whether four bytes are the header of a frame of MP3."""
    return len(head) == 4 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and _frame(head) == "mp3"


def is_cut(file: BinaryIO, size: int, container: Container) -> bool:
    """Whether the file's own structure says that more bytes should follow its last one.

    False also where this cannot be known: FLAC states only the length of its sound, and a live
    WebM recording that ends between two blocks looks whole. Moves the file's position.
    """
    look = _LOOKS.get(container)
    if look is None:
        return False
    try:
        return look(file, size)
    except (struct.error, IndexError):  # the file ends inside a header
        return True


def _wav(file: BinaryIO, size: int) -> bool:
    position = 12
    long = ENDLESS  # the length that stands elsewhere, in files that may be longer than 4 GB
    for _ in range(MOST_PIECES):
        name, length = struct.unpack("<4sI", at(file, position, 8))
        position += 8
        if name == b"ds64":
            (long,) = struct.unpack("<Q", at(file, position + 8, 8))
        if name == b"data":  # a recorder that was stopped leaves a length of 0
            rest = size - position
            length = long if length == 0xFFFF_FFFF else length
            return bool((length == 0 < rest) or rest < length < ENDLESS)
        position += length + length % 2
    return False


def _ogg(file: BinaryIO, size: int) -> bool:
    return loss_of_ogg(file, size).cut


def _mp4(file: BinaryIO, size: int) -> bool:
    position = 0
    for _ in range(MOST_PIECES):
        if position >= size:
            return position > size
        rest = at(file, position, 8)
        if len(rest) < 8 and (rest[:1] != b"\0" or not rest.strip(b"\0\r\n ")):
            return False  # padding, or text: such a box would have 16 MB and more
        length, name = _box(file, position)
        if length == 0:  # up to the end
            return False
        position += max(length, 8)
        if position > size and name not in _BOXES:
            return False  # something that is no box stands behind the last one
    return False


def boxes(file: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
    """Where the boxes of the top level begin, and their types."""
    position = 0
    for _ in range(MOST_PIECES):
        if position >= size:
            return
        length, name = _box(file, position)
        yield position, name
        if length == 0:
            return
        position += max(length, 8)


def _box(file: BinaryIO, position: int) -> tuple[int, bytes]:
    """The length of a box, 0 for one up to the end of the file, and its type."""
    length, name = struct.unpack(">I4s", at(file, position, 8))
    if length == 1:
        (length,) = struct.unpack(">Q", at(file, position + 8, 8))
    return length, name


def _aac(file: BinaryIO, size: int) -> bool:
    return loss_of_frames(file, size, "aac").cut


def _mp3(file: BinaryIO, size: int) -> bool:
    return loss_of_frames(file, size, "mp3").cut


_LOOKS: dict[Container, Callable[[BinaryIO, int], bool]] = {
    "wav": _wav,
    "ogg": _ogg,
    "mp4": _mp4,
    "aac": _aac,
    "mp3": _mp3,
    "webm": is_cut_matroska,
}
