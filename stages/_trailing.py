"""Where the sound of a file ends: tags and padding that stand behind it are no part of it.

Players and editors append tags to MP3, AAC and MP4 files, one behind the other: ID3v1 (128 bytes),
Lyrics3v2, APEv2 (whose footer says its length), ID3v2 with a footer or, wrongly, without one. They
would pass for damaged frames, or for boxes that were cut.
"""

from typing import BinaryIO

MOST_TAGS = 8
_ID3V1, _APE, _LYRICS = 128, 32, 15

_LONGEST_FRAME = 1500
"""Bytes that a frame of MP3 has at most; a quiet one may end with so many of 0."""

_SEARCHED = 1 << 16
"""How far from the end an ID3v2 tag without a footer, and padding, are looked for."""


def sound_end(file: BinaryIO, size: int, container: str) -> int:
    """Where the sound ends in a file of `size` bytes; `size` where nothing is known to follow it.

    Moves the file's position.
    """
    if container not in ("mp3", "aac", "mp4"):
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


def _tag(file: BinaryIO, end: int) -> int:
    """The length of the tag that ends at a place, or 0."""
    if _at(file, end - _ID3V1, 3) == b"TAG":
        return _ID3V1
    length = 0
    foot = _at(file, end - _APE, _APE)
    if foot[:8] == b"APETAGEX":
        header = foot[23] >> 7  # a header of the same size stands before the items
        length = int.from_bytes(foot[12:16], "little") + _APE * header
    elif foot[-10:-7] == b"3DI":
        length = _id3_length(foot[-10:]) + 20
    elif foot[-9:] == b"LYRICS200" and foot[-_LYRICS:-9].isdigit():
        length = int(foot[-_LYRICS:-9]) + _LYRICS
        length = length if _at(file, end - length, 11) == b"LYRICSBEGIN" else 0
    else:
        near = _at(file, end - _SEARCHED, _SEARCHED)
        at = near.rfind(b"ID3")
        if at > 0 and len(near) - at >= 10 and _id3_length(near[at:]) + 10 == len(near) - at:
            length = len(near) - at
    return length if length < end else 0


def _id3_length(head: bytes) -> int:
    a, b, c, d = (byte & 127 for byte in head[6:10])
    return a << 21 | b << 14 | c << 7 | d


def _padding(file: BinaryIO, end: int) -> int:
    """How many bytes of 0 before a place are more than a frame can end with."""
    near = _at(file, end - _SEARCHED, _SEARCHED)
    return max(0, len(near) - len(near.rstrip(b"\0")) - _LONGEST_FRAME)


def _at(file: BinaryIO, position: int, length: int) -> bytes:
    """Bytes of the file; fewer where it begins within them."""
    missing = max(0, -position)
    file.seek(position + missing)
    return file.read(max(0, length - missing))
