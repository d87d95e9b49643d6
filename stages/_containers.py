"""The container of an audio file, by its first bytes, and whether the file's end is missing.

Nothing is decoded. File names and media types are ignored: the uploader chose them. Sources: RIFF
(Microsoft, 1991), RFC 9639 (FLAC), RFC 3533 (Ogg), RFC 8794 (EBML) and RFC 9559 (Matroska), ISO/IEC
14496-12 (boxes), 11172-3 (MP3), 13818-7 (ADTS), id3.org (ID3v2).
"""

import io
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import BinaryIO, Literal

from stages._trailing import sound_end

Container = Literal["wav", "flac", "ogg", "mp3", "aac", "mp4", "webm"]

HEAD_BYTES = 64
"""Bytes of a file's beginning that `sniff` needs."""

MOST_PIECES = 100_000
"""Pages, boxes or elements: 10 minutes of audio have fewer (Opus has 50 a second). In a file with
more, the end is not checked."""

_ENDLESS = 0x7FFF_F000
"""A WAV data chunk of this length or more was left by an encoder that could not seek back."""

_CLUSTER = 0x1F43B675
_SEGMENT = 0x18538067
_EBML = 0x1A45DFA3


def sniff(head: bytes) -> Container | None:
    """The container of the file that begins with `head`; None if it is not an accepted one.

    >>> sniff(b"RIFF....WAVEfmt "), sniff(b"just text")
    ('wav', None)
    """
    if head[:4] in _WAVES and head[8:12] == b"WAVE":
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
    head = _at(file, 0, _MOST_PADDING)
    container = sniff(head[:HEAD_BYTES])
    if container is None:
        bare = head.lstrip(_PADDING)
        container = sniff(bare[:HEAD_BYTES])
        return (0, None) if container is None else (len(head) - len(bare), container)
    if head[:3] == b"ID3" and len(head) >= 10:
        a, b, c, d = (byte & 127 for byte in head[6:10])
        end = 10 + (a << 21 | b << 14 | c << 7 | d) + 10 * (head[5] >> 4 & 1)  # with a footer
        tagged = sniff(_at(file, end, HEAD_BYTES))
        if tagged not in (None, "mp3"):
            return end, tagged
    return 0, container


_WAVES = (b"RIFF", b"RF64", b"BW64")
"""RF64 and BW64 may be longer than 4 GB (EBU Tech 3306, ITU-R BS.2088)."""

_FIRST_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip")
"""QuickTime files need not begin with `ftyp`, nor do pieces of a stream."""

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


def is_cut(file: BinaryIO, size: int, container: Container) -> bool:
    """Whether the file's own structure says that more bytes should follow its last one.

    False also where this cannot be known: FLAC and MP3 state only the length of their sound, and a
    live WebM recording that ends between two blocks looks whole. Moves the file's position.
    """
    look = _LOOKS.get(container)
    if look is None:
        return False
    try:
        return look(file, size)
    except (struct.error, IndexError):  # the file ends inside a header
        return True


def parts(file: BinaryIO, size: int, container: Container) -> list[tuple[int, int]]:
    """Where the files begin and end that a file was glued together from; mostly a single one.

    Only for containers behind whose first file FFmpeg stops, and for those that state the length of
    their sound, which is compared for each file: in the others FFmpeg goes on by itself. The last
    one ends before the tags behind it. Moves the file's position.
    """
    size = sound_end(file, size, container)
    follows = _FOLLOWERS.get(container)
    starts = [0]
    if follows is not None:
        with suppress(struct.error, IndexError):  # the file ends inside a header
            starts.extend(follows(file, size))
    return list(zip(starts, [*starts[1:], size], strict=True))


def _wav_followers(file: BinaryIO, size: int) -> Iterator[int]:
    position = 12
    for _ in range(MOST_PIECES):
        name, length = struct.unpack("<4sI", _at(file, position, 8))
        if name == b"data" and length >= _ENDLESS:
            return
        position += 8 + length
        # Some writers leave out the byte that makes a length even.
        for start in (position + length % 2, position):
            head = _at(file, start, 12)
            if head[:4] in _WAVES and head[8:] == b"WAVE":
                yield start
                position = start + 12
                break
        else:
            position += length % 2


def _mp4_followers(file: BinaryIO, size: int) -> Iterator[int]:
    begun = False
    for position, name in _boxes(file, size):
        if begun and name == b"ftyp":
            yield position
        begun |= name in (b"ftyp", b"moov", b"mdat")


_FLAC_BEGINS = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
"""The marker and the header of the stream's facts, always the first block (RFC 9639, section 8)."""

_MP3_BEGINS = re.compile(rb"\xff[\xe2-\xff].{2}(?:\0{9}|\0{17}|\0{32})(?:Xing|Info)", re.DOTALL)
"""A frame without sound that states the length: a header, side information of 9, 17 or 32 bytes by
the version and the channels, and a tag."""

_SEARCHED_BYTES = 1 << 20
_LONGEST_BEGINNING = 64


_MOST_PADDING = 4096
"""Bytes that may lie between a file's tags and its first frame."""

_ID3_BEGINS = re.compile(rb"ID3[\x02-\x04]\0.([\0-\x7f]{4})", re.DOTALL)
"""The header of a tag, with its length: 4 numbers of 7 bits."""


def _flac_followers(file: BinaryIO, size: int) -> Iterator[int]:
    for found in _found(_FLAC_BEGINS, file, size):
        if found[0]:
            yield found[0]


def _mp3_followers(file: BinaryIO, size: int) -> Iterator[int]:
    tags = {0: 0}  # where tags end → where the first of them begins
    lead = 0  # where the tags of the first file end
    either = re.compile(b"%b|%b" % (_ID3_BEGINS.pattern, _MP3_BEGINS.pattern), re.DOTALL)
    for position, length in _found(either, file, size):
        if length is not None:
            a, b, c, d = length
            end = position + 10 + (a << 21 | b << 14 | c << 7 | d)
            tags[end] = tags.get(position, position)
            if not tags[end]:
                lead = end
        elif (begins := tags.get(position, position)) > lead + _MOST_PADDING:
            yield begins


def _found(
    begins: re.Pattern[bytes], file: BinaryIO, size: int
) -> Iterator[tuple[int, bytes | None]]:
    """Where in the file the pattern is found, and its group, if it has one."""
    last = -1
    for start in range(0, size, _SEARCHED_BYTES):
        data = _at(file, start, _SEARCHED_BYTES + _LONGEST_BEGINNING)
        for found in begins.finditer(data):
            if (position := start + found.start()) > last:
                yield position, found[1] if begins.groups else None
                last = position


def _at(file: BinaryIO, position: int, length: int) -> bytes:
    file.seek(position)
    return file.read(length)


def _wav(file: BinaryIO, size: int) -> bool:
    position = 12
    long = _ENDLESS  # the length that stands elsewhere, in files that may be longer than 4 GB
    for _ in range(MOST_PIECES):
        name, length = struct.unpack("<4sI", _at(file, position, 8))
        position += 8
        if name == b"ds64":
            (long,) = struct.unpack("<Q", _at(file, position + 8, 8))
        if name == b"data":  # a recorder that was stopped leaves a length of 0
            rest = size - position
            length = long if length == 0xFFFF_FFFF else length
            return bool((length == 0 < rest) or rest < length < _ENDLESS)
        position += length + length % 2
    return False


def _ogg(file: BinaryIO, size: int) -> bool:
    position, ended = 0, False
    for _ in range(MOST_PIECES):
        if position >= size:
            return position > size or not ended
        head = _at(file, position, 27)
        if head[:4] != b"OggS":
            return not ended
        ended = bool(head[5] & 4)
        position += 27 + head[26] + sum(_at(file, position + 27, head[26]))
    return False


def _mp4(file: BinaryIO, size: int) -> bool:
    position = 0
    for _ in range(MOST_PIECES):
        if position >= size:
            return position > size
        if size - position < 8 and not _at(file, position, 8).strip(b"\0\r\n "):
            return False  # padding
        length, _ = _box(file, position)
        if length == 0:  # up to the end
            return False
        position += max(length, 8)
    return False


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
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
    length, name = struct.unpack(">I4s", _at(file, position, 8))
    if length == 1:
        (length,) = struct.unpack(">Q", _at(file, position + 8, 8))
    return length, name


def _aac(file: BinaryIO, size: int) -> bool:
    position = 0
    for _ in range(MOST_PIECES):
        if position >= size:
            return position > size
        head = _at(file, position, 7)
        if head[0] != 0xFF:  # tags at the end
            return False
        position += max(7, (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5)
    return False


def _webm(file: BinaryIO, size: int) -> bool:
    position = 0
    for _ in range(MOST_PIECES):
        if position >= size:
            return position > size
        head = io.BytesIO(_at(file, position, 12))
        name, _ = _number(head, keep_mark=True)
        length, endless = _number(head, keep_mark=False)
        position += head.tell()
        # A live recording's segment and clusters have no length: go on inside them.
        if not endless and name == _SEGMENT:
            return position + length > size
        if not endless:
            position += length
        elif name not in (_SEGMENT, _CLUSTER, _EBML):
            return False
    return False


def _number(head: io.BytesIO, *, keep_mark: bool) -> tuple[int, bool]:
    """An EBML number, and whether it means an unknown length."""
    first = head.read(1)[0]
    extra = 8 - first.bit_length()
    rest = head.read(extra)
    if len(rest) < extra:
        raise IndexError("the file ends inside a number")
    mark = 1 << 7 * (extra + 1)
    number = int.from_bytes(bytes([first]) + rest)
    return (number, False) if keep_mark else (number ^ mark, number ^ mark == mark - 1)


_LOOKS: dict[Container, Callable[[BinaryIO, int], bool]] = {
    "wav": _wav,
    "ogg": _ogg,
    "mp4": _mp4,
    "aac": _aac,
    "webm": _webm,
}

_FOLLOWERS: dict[Container, Callable[[BinaryIO, int], Iterator[int]]] = {
    "wav": _wav_followers,
    "mp4": _mp4_followers,
    "flac": _flac_followers,
    "mp3": _mp3_followers,
}
