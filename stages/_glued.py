"""Finds where each file begins in an upload of files glued together. Pure.

Recorders append, and people use `cat`. FFmpeg stops after the first file in some containers, and in
others hands the output of another codec to the first file's decoder.
"""

import re
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from typing import BinaryIO

from stages._containers import ENDLESS, MOST_PADDING, WAVES, Container, boxes
from stages._trailing import MOST_PIECES, at, sound_end, sound_start


def parts(file: BinaryIO, size: int, container: Container) -> list[tuple[int, int]]:
    """Where each file of a glued file begins and ends; mostly there is a single one.

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
        name, length = struct.unpack("<4sI", at(file, position, 8))
        if name == b"data" and length >= ENDLESS:
            return
        position += 8 + length
        # Some writers leave out the byte that makes a length even.
        for start in (position + length % 2, position):
            head = at(file, start, 12)
            if head[:4] in WAVES and head[8:] == b"WAVE":
                yield start
                position = start + 12
                break
        else:
            position += length % 2


def _mp4_followers(file: BinaryIO, size: int) -> Iterator[int]:
    begun = False
    for position, name in boxes(file, size):
        if begun and name == b"ftyp":
            yield position
        begun |= name in (b"ftyp", b"moov", b"mdat")


_FLAC_BEGINS = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
"""The marker and the header of the stream's facts, always the first block (RFC 9639, section 8)."""

_MP3_BEGINS = re.compile(rb"\xff[\xe2-\xff].{2}(?:\0{9}|\0{17}|\0{32})(?:Xing|Info)", re.DOTALL)
"""A frame without sound that states the length: a header, side information of 9, 17 or 32 bytes by
the version and the channels, and a tag."""

_COUNTED = re.compile(
    rb"%b.{3}[\x01\x03\x05\x07\x09\x0b\x0d\x0f]|\xff[\xe2-\xff].{2}\0{32}VBRI"
    % _MP3_BEGINS.pattern,
    re.DOTALL,
)
"""Such a frame with the number of frames, of which the lowest bit behind the tag tells."""

_OGG_BEGINS = re.compile(rb"OggS\0[\x02\x06]")
"""The page that begins a stream."""

_EBML_BEGINS = re.compile(rb"\x1a\x45\xdf\xa3")
_WEBM_TYPE = re.compile(rb"\x42\x82.{1,8}?(?:webm|matroska)", re.DOTALL)
_WEBM_CODEC = re.compile(rb"\x86.(A_[A-Z0-9/_]{3,20})", re.DOTALL)
_HEADER_BYTES = 4096

_MOST_STREAMS = 10_000
"""The most beginnings that are looked at; a file with more of them is hostile."""

_SEARCHED_BYTES = 1 << 20
_LONGEST_BEGINNING = 64

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
        elif (begins := tags.get(position, position)) > lead + MOST_PADDING:
            yield begins


def _ogg_followers(file: BinaryIO, size: int) -> Iterator[int]:
    """Where a chain goes on with streams of another kind. Streams that are heard at the same time
    begin page by page."""
    before = None
    group = end = 0
    settled = False
    for position, _ in islice(_found(_OGG_BEGINS, file, size), _MOST_STREAMS):
        head = at(file, position, 27 + 255 + 20)
        lacing = head[27 : 27 + head[26]]
        if position != end:
            group, settled = position, False
        end = position + 27 + len(lacing) + sum(lacing)
        kind = _ogg_kind(head[27 + len(lacing) :])
        if kind and not settled:
            if before and (kind != before or not kind.startswith(b"Opus")):
                yield group
            before, settled = kind, True


def _ogg_kind(packet: bytes) -> bytes:
    """The part of a stream's first packet that its decoder depends on; b"" if it is no audio.

    Streams of Vorbis or FLAC with equal beginnings need not have equal code books.
    """
    if packet[:8] == b"OpusHead":
        return packet[:4] + packet[9:10] + packet[18:19]
    return packet[:7] if packet[:7] == b"\x01vorbis" or packet[:5] == b"\x7fFLAC" else b""


def _webm_followers(file: BinaryIO, size: int) -> Iterator[int]:
    """Where a file of another codec begins: with the same codec FFmpeg goes on by itself."""
    before = None
    for position, _ in islice(_found(_EBML_BEGINS, file, size), _MOST_STREAMS):
        head = at(file, position, _HEADER_BYTES)
        codec = _WEBM_CODEC.search(head) if _WEBM_TYPE.search(head, 4, 64) else None
        if codec is not None:
            if before is not None and codec[1] != before:
                yield position
            before = codec[1]


def _found(
    begins: re.Pattern[bytes], file: BinaryIO, size: int
) -> Iterator[tuple[int, bytes | None]]:
    """Where in the file the pattern is found, and its group, if it has one."""
    last = -1
    for start in range(0, size, _SEARCHED_BYTES):
        data = at(file, start, _SEARCHED_BYTES + _LONGEST_BEGINNING)
        for found in begins.finditer(data):
            if (position := start + found.start()) > last:
                yield position, found[1] if begins.groups else None
                last = position


def states_length(file: BinaryIO) -> bool:
    """Whether the first frame of an MP3 file states how many there are (Xing, Info, VBRI).

    Without that FFmpeg estimates, and takes a file whose beginning is quiet for longer than it is.
    Moves the file's position.
    """
    return _COUNTED.search(at(file, sound_start(file), MOST_PADDING)) is not None


_FOLLOWERS: dict[Container, Callable[[BinaryIO, int], Iterator[int]]] = {
    "wav": _wav_followers,
    "mp4": _mp4_followers,
    "flac": _flac_followers,
    "mp3": _mp3_followers,
    "ogg": _ogg_followers,
    "webm": _webm_followers,
}
