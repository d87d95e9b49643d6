"""Finds where the sound of a file ends, before tags and padding.

Players and editors append tags to MP3, AAC and MP4 files, one behind the other: ID3v1 (128 bytes),
Lyrics3v2, APEv2 (whose footer says its length), ID3v2 with a footer or, wrongly, without one. They
would pass for damaged frames, or for boxes that were cut. A frame's header says where the frame
ends: for MP3 ISO/IEC 11172-3 and 13818-3, for AAC 13818-7 (ADTS), for Ogg RFC 3533.
"""

from contextlib import suppress
from typing import BinaryIO

MOST_TAGS = 8
_ID3V1, _APE, _LYRICS = 128, 32, 15

_LONGEST_FRAME = 1500
"""The most bytes of an MP3 frame; a quiet frame may end with as many zeros."""

_SEARCHED = 1 << 16
"""How far from the end an ID3v2 tag without a footer, and padding, are looked for."""


MOST_PIECES = 100_000
"""Pages, boxes or elements: 10 minutes of audio have fewer (Opus has 50 a second). In a file with
more, the end is not checked."""

_BLANK = b"\0\r\n\t \x1a\xff"
"""Padding of files, and the bytes that shells and editors append."""

_MOST_FILLER = 400
"""Tags, and pieces of `_SEARCHED` bytes with blanks, that are looked at: those of 25 MB."""

_MOST_FULL = 64
"""No frame of MP3 ends with this many bytes of 255."""


def sound_end(file: BinaryIO, size: int, container: str) -> int:
    """Where the sound ends in a file of `size` bytes; `size` if nothing is known to follow it.

    Moves the file's position.
    """
    if container not in ("mp3", "aac", "mp4", "ogg"):
        return size
    if container != "mp4" and at(file, size - 1, 1) in _BLANK:
        with suppress(IndexError):  # the file ends inside a header
            frames = frames_end(file, size, container)
            if frames < size and is_filler(file, frames, size):
                return frames
    if container == "ogg":
        return size
    end = size
    for _ in range(MOST_TAGS):
        before = end
        end -= _tag(file, end)
        if container == "mp3":
            end -= _padding(file, end)
        if end == before:
            break
    return end


def is_filler(file: BinaryIO, position: int, size: int) -> bool:
    """Whether only tags and blanks stand between a place and the end of the file."""
    for _ in range(_MOST_FILLER):
        if position >= size:
            return position == size
        piece = at(file, position, min(_SEARCHED, size - position))
        length = tag_length(piece) or len(piece) - len(piece.lstrip(_BLANK))
        if not length:
            return False
        position += length
    return False


def tag_length(data: bytes) -> int:
    """The length of the tag that data begin with, or 0."""
    if data[:3] == b"TAG":
        return _ID3V1
    if data[:8] == b"APETAGEX":
        return int.from_bytes(data[12:16], "little") + _APE
    if data[:3] == b"ID3" and len(data) >= 10:
        return 10 + id3_length(data)
    if data[:11] == b"LYRICSBEGIN":
        return data.find(b"LYRICS200") + 9 if b"LYRICS200" in data else 0
    return 0


def sound_start(file: BinaryIO) -> int:
    """Where the first frame of an MP3 file is, after its tags and bytes of 0."""
    start = 0
    for _ in range(MOST_TAGS):
        head = at(file, start, 10)
        if head[:3] != b"ID3" or len(head) < 10:
            break
        start += 10 + id3_length(head) + 10 * (head[5] >> 4 & 1)  # with a footer
    near = at(file, start, _SEARCHED)
    return start + len(near) - len(near.lstrip(b"\0"))


def frames_end(file: BinaryIO, size: int, container: str) -> int:
    """Where the last of the frames ends that follow each other from the beginning of an MP3 or AAC
    file, or of the pages of an Ogg file: beyond `size` if it is cut.

    `size` if there are more than `MOST_PIECES`. Raises `IndexError` where the file ends inside a
    header, of which a single byte tells nothing: 255 is also what files are filled up with. Moves
    the file's position.
    """
    length_of = LENGTHS[container]
    position = base = sound_start(file) if container == "mp3" else 0
    window = b""
    for _ in range(MOST_PIECES):
        if position >= size - 1:
            return position
        if position - base + _LONGEST_HEAD > len(window):
            base, window = position, at(file, position, min(_SEARCHED, size - position))
        length = length_of(window, position - base)
        if not length:
            return position
        position += length
    return size


_LONGEST_HEAD = 27 + 255

_KBIT_S = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates of layer III by version: 3 is MPEG-1, 2 is MPEG-2, and 0, MPEG-2.5, is like that."""


def _mp3_length(data: bytes, start: int) -> int:
    if data[start] != 0xFF or data[start + 1] & 0xE6 != 0xE2:  # layer III
        return 0
    version, third = data[start + 1] >> 3 & 3, data[start + 2]
    rate = third >> 2 & 3
    if version == 1 or rate == 3 or not 0 < third >> 4 < 15:
        return 0
    kbit_s = _KBIT_S[version or 2][third >> 4]
    rate_hz = (44_100, 48_000, 32_000)[rate] >> (0 if version == 3 else 1 if version == 2 else 2)
    return (144_000 if version == 3 else 72_000) * kbit_s // rate_hz + (third >> 1 & 1)


def _adts_length(data: bytes, start: int) -> int:
    if data[start] != 0xFF or data[start + 1] & 0xF6 != 0xF0:
        return 0
    return max(7, (data[start + 3] & 3) << 11 | data[start + 4] << 3 | data[start + 5] >> 5)


def _page_length(data: bytes, start: int) -> int:
    if data[start : start + 4] != b"OggS":
        return 0
    lacing = data[start + 26]
    return 27 + lacing + sum(data[start + 27 : start + 27 + lacing])


LENGTHS = {"mp3": _mp3_length, "aac": _adts_length, "ogg": _page_length}


def _tag(file: BinaryIO, end: int) -> int:
    """The length of the tag that ends at a place, or 0."""
    if at(file, end - _ID3V1, 3) == b"TAG":
        return _ID3V1
    length = 0
    foot = at(file, end - _APE, _APE)
    if foot[:8] == b"APETAGEX":
        header = foot[23] >> 7  # a header of the same size stands before the items
        length = int.from_bytes(foot[12:16], "little") + _APE * header
    elif foot[-10:-7] == b"3DI":
        length = id3_length(foot[-10:]) + 20
    elif foot[-9:] == b"LYRICS200" and foot[-_LYRICS:-9].isdigit():
        length = int(foot[-_LYRICS:-9]) + _LYRICS
        length = length if at(file, end - length, 11) == b"LYRICSBEGIN" else 0
    else:
        near = at(file, end - _SEARCHED, _SEARCHED)
        tag = near.rfind(b"ID3")
        if tag > 0 and len(near) - tag >= 10 and id3_length(near[tag:]) + 10 == len(near) - tag:
            length = len(near) - tag
    return length if length < end else 0


def id3_length(head: bytes) -> int:
    a, b, c, d = (byte & 127 for byte in head[6:10])
    return a << 21 | b << 14 | c << 7 | d


def _padding(file: BinaryIO, end: int) -> int:
    """How many bytes of 0 or 255 before a place are more than a frame can end with."""
    near = at(file, end - _SEARCHED, _SEARCHED)
    full = len(near) - len(near.rstrip(b"\xff"))
    if full > _MOST_FULL:
        return full
    return max(0, len(near) - len(near.rstrip(b"\0")) - _LONGEST_FRAME)


def at(file: BinaryIO, position: int, length: int) -> bytes:
    """Bytes of the file; fewer if it begins within them."""
    missing = max(0, -position)
    file.seek(position + missing)
    return file.read(max(0, length - missing))
