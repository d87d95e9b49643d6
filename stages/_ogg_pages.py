"""Finds loss in the pages of an Ogg file: a missing end, and sound that is missing before it.

A page has a checksum, a number and the time of its end (RFC 3533). FFmpeg leaves out a page whose
checksum is wrong and says nothing. The unit of the time depends on the codec: see RFC 7845 (Opus),
the Vorbis I specification, and the mapping of FLAC (RFC 9639, section 10.1).
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from stages._trailing import MOST_PIECES, at

_HEAD_BYTES = 27
_LONGEST_PAGE = _HEAD_BYTES + 255 + 255 * 255
_WINDOW_BYTES = 1 << 18

_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Ogg's CRC and that of `zlib` have one polynomial, but the bits of a byte in opposite orders."""

_CONTINUED, _FIRST, _LAST = 1, 2, 4
"""Flags of the pages that go on with a packet, that begin a stream, and that end one."""

_NO_TIME = 2**64 - 1
"""The time of a page on which no packet ends."""

_MOST_FAILED = 10_000
"""The search ends after this many places that look like a page but are none."""

_MOST_MISSING = 100_000
"""A larger gap between the numbers of two pages is no loss: the writer counts in its own way."""

_LONGEST_PAGE_S = 31.0
"""A page has at most 255 packets, and one of Opus 120 ms."""


@dataclass(frozen=True, slots=True)
class OggLoss:
    """`cut`: the end is missing. `lost_s`: sound on pages that cannot be read, with pages after
    them: exact for Opus, estimated by the number of packets for other codecs."""

    cut: bool
    lost_s: float


@dataclass(frozen=True, slots=True)
class _Page:
    """A page whose checksum is right. `time` is in units of its stream, None if it tells none."""

    start: int
    end: int
    flags: int
    time: int | None
    stream: int
    number: int
    lacing: bytes
    payload: bytes


@dataclass(slots=True)
class _Stream:
    """A stream of sound: its unit, its newest page (`skipped`: the bytes of the file before it
    that are no page), and the pages since it last told a time; `whole_s` and `whole_packets` are
    the sound between the times between which no page is missing."""

    units_s: int
    is_opus: bool
    number: int
    skipped: int
    time: int = 0
    read: int = 0
    read_packets: int = 0
    missing: int = 0
    whole_s: float = 0.0
    whole_packets: int = 0

    def followed(self, page: _Page, skipped: int) -> float:
        """How much sound is missing before the stream's next page. `skipped`: bytes of the file
        before it that are no page.

        Before the first time nothing is missing but pages that such bytes can have been: who joins
        a broadcast gets its header, and then the pages of that moment.
        """
        damaged, self.skipped = skipped - self.skipped, skipped
        missing = page.number - self.number - 1
        if not self.time and missing * _HEAD_BYTES > damaged:
            missing = 0
        self.number = page.number
        self.missing += missing if 0 <= missing < _MOST_MISSING else int(damaged > 0)
        self.read += 1
        self.read_packets += len(page.lacing) - page.lacing.count(255)
        if page.time is None:
            return 0.0
        passed_s = max(0, page.time - self.time) / self.units_s
        lost_s = 0.0
        if self.missing:
            lost_s = max(0.0, passed_s - self._read_s(page, passed_s))
            lost_s = min(lost_s, _LONGEST_PAGE_S * self.missing)
        elif self.time:  # the first time may be that of a broadcast
            self.whole_s += passed_s
            self.whole_packets += self.read_packets
        self.time, self.read, self.read_packets, self.missing = page.time, 0, 0, 0
        return lost_s

    def _read_s(self, page: _Page, passed_s: float) -> float:
        """The sound on the pages that were read of those that tell their time together; the last of
        them is `page`."""
        if self.is_opus:
            return _opus_s(page)
        if self.whole_packets:
            return self.read_packets * self.whole_s / self.whole_packets
        return passed_s * self.read / (self.read + self.missing)


def loss_of_ogg(file: BinaryIO, size: int, track: int = 0) -> OggLoss:
    """The loss in a file of `size` bytes. Its streams begin together; lost sound is counted only
    for the stream with the number `track`. Moves the file's position.

    After `MOST_PIECES` pages the rest of the file is not looked at.
    """
    streams: dict[int, _Stream] = {}
    lost_s = 0.0
    end, ended, count, skipped = 0, False, 0, 0
    begun = 0  # streams, since the last page that begins none
    for page in _pages(file, size):
        skipped += page.start - end
        end, ended, count = page.end, bool(page.flags & _LAST), count + 1
        if page.flags & _FIRST:
            if begun == track and (units_s := _units_s(page.payload)):
                is_opus = page.payload[:4] == b"Opus"
                streams[page.stream] = _Stream(units_s, is_opus, page.number, skipped)
            begun += 1
            continue
        begun = 0
        if (stream := streams.get(page.stream)) is not None:
            lost_s += stream.followed(page, skipped)
    cut = not ended or at(file, end, 4) == b"OggS"
    return OggLoss(cut and count < MOST_PIECES, lost_s)


def _pages(file: BinaryIO, size: int) -> Iterator[_Page]:
    """The pages that can be read; no more than `MOST_PIECES`."""
    start = base = found = failed = 0
    window = b""
    left = 2 * size + _WINDOW_BYTES  # bytes of which the checksum is computed
    while start < size and left > 0 and found < MOST_PIECES and failed < _MOST_FAILED:
        if start + _LONGEST_PAGE > base + len(window) < size:
            base, window = start, at(file, start, min(_WINDOW_BYTES, size - start))
        offset = start - base
        length = _length(window, offset)
        left -= length
        if length and _is_whole(window[offset : offset + length]):
            found += 1
            yield _page(window, offset, start, length)
            start += length
            continue
        failed += bool(length)
        offset = window.find(b"OggS", offset + 1)
        if offset < 0 and base + len(window) >= size:
            return
        start = base + (offset if offset >= 0 else len(window) - 3)


def _length(data: bytes, start: int) -> int:
    """The length of the page that begins at a place; 0 if there is none, or its end is missing."""
    if data[start : start + 4] != b"OggS" or start + _HEAD_BYTES > len(data):
        return 0
    lacing = data[start + 26]
    length = _HEAD_BYTES + lacing
    length += sum(data[start + _HEAD_BYTES : start + length])
    return length if start + length <= len(data) else 0


def _is_whole(page: bytes) -> bool:
    """Whether the checksum of a page is right."""
    unsigned = page[:22] + bytes(4) + page[26:]
    checksum = zlib.crc32(unsigned.translate(_MIRRORED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return checksum == int.from_bytes(page[22:26].translate(_MIRRORED))


def _page(data: bytes, offset: int, start: int, length: int) -> _Page:
    head = data[offset : offset + _HEAD_BYTES]
    time = int.from_bytes(head[6:14], "little")
    payload = offset + _HEAD_BYTES + head[26]
    return _Page(
        start,
        start + length,
        head[5],
        None if time == _NO_TIME else time,
        int.from_bytes(head[14:18], "little"),
        int.from_bytes(head[18:22], "little"),
        data[offset + _HEAD_BYTES : payload],
        data[payload : offset + length],
    )


def _opus_s(page: _Page) -> float:
    """The length of the packets that begin and end on a page of Opus (RFC 6716, section 3.1)."""
    length_ms = 0.0
    start = end = 0
    begun = not page.flags & _CONTINUED
    for lacing in page.lacing:
        end += lacing
        if lacing == 255:
            continue
        if begun and end > start:
            length_ms += _packet_ms(page.payload[start : start + 2])
        start, begun = end, True
    return length_ms / 1000


def _packet_ms(head: bytes) -> float:
    """The length of the packet of Opus with these first two bytes."""
    config, code = head[0] >> 3, head[0] & 3
    if config < 12:
        frame_ms: float = (10, 20, 40, 60)[config & 3]
    elif config < 16:
        frame_ms = (10, 20)[config & 1]
    else:
        frame_ms = (2.5, 5, 10, 20)[config & 3]
    count = head[1] & 63 if code == 3 and len(head) > 1 else (1, 2, 2, 0)[code]
    return min(120.0, count * frame_ms)


def _units_s(packet: bytes) -> int:
    """The units of time in a second of the stream with this first packet; 0 if it is no sound."""
    if packet[:8] == b"OpusHead":
        return 48_000
    if packet[:7] == b"\x01vorbis":
        return int.from_bytes(packet[12:16], "little")
    if packet[:5] == b"\x7fFLAC":
        return int.from_bytes(packet[27:30]) >> 4
    return 0
