"""Opus packets (RFC 6716): their duration and validity, from their bytes alone. Pure."""

RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
"""The rates that libopus encodes. A decoder does not need them (RFC 6716, section 2.1.1)."""

PACKET_MS = 20
"""The duration of a packet that is sent."""

LOST = bytes([31 << 3])
"""A packet of 20 ms whose only frame is empty. libopus continues the sound before it, which turns
into noise and fades to the estimated background (RFC 6716, section 4.4)."""

LONGEST_FRAME_BYTES = 1_275

CLOCK_HZ = 48_000
_LONGEST_PACKET = 5_760

_SILK = (480, 960, 1920, 2880)
_HYBRID = (480, 960)
_CELT = (120, 240, 480, 960)


class NotOpus(ValueError):
    """These bytes are no Opus packet."""


def duration_ms(packet: bytes) -> float:
    """How long an Opus packet lasts by its first two bytes: 2.5 to 120 ms (RFC 6716, section 3.1).

    Raises `NotOpus` if no packet can begin with them.
    """
    if not packet:
        raise NotOpus("an Opus packet has a first byte")
    config = packet[0] >> 3
    if config < 12:
        samples = _SILK[config % 4]
    elif config < 16:
        samples = _HYBRID[config % 2]
    else:
        samples = _CELT[config % 4]
    samples *= _frames(packet)
    if not 0 < samples <= _LONGEST_PACKET:
        raise NotOpus("an Opus packet has at least one frame, and at most 120 ms")
    return samples * 1000 / CLOCK_HZ


def _frames(packet: bytes) -> int:
    code = packet[0] & 3
    if code < 3:
        return 2 if code else 1
    if len(packet) < 2:
        raise NotOpus("the packet ends before the number of its frames")
    return packet[1] & 63


def check(packet: bytes) -> None:
    """Raise `NotOpus` unless the frames fill the packet as RFC 6716, section 3.2, requires.

    A packet that passes can be decoded, if only to noise. The time grows with the number of frames,
    at most 48.
    """
    duration_ms(packet)
    code, end = packet[0] & 3, len(packet)
    if code < 2:
        _equal(end - 1, _frames(packet))
    elif code == 2:
        first, at = _length(packet, 1, end)
        _last(end - at - first)
    else:
        at, count = 2, packet[1] & 63
        if packet[1] & 0x40:
            more = True
            while more:
                if at >= end:
                    raise NotOpus("the packet ends within its padding")
                more = packet[at] == 255
                end -= 254 if more else packet[at]
                at += 1
        if packet[1] & 0x80:
            for _ in range(count - 1):
                length, at = _length(packet, at, end)
                end -= length
            _last(end - at)
        else:
            _equal(end - at, count)


def _length(packet: bytes, at: int, end: int) -> tuple[int, int]:
    """A frame's length, and the position after its bytes (RFC 6716, section 3.2.1)."""
    if at < end and packet[at] < 252:
        return packet[at], at + 1
    if at + 1 < end:
        return packet[at] + 4 * packet[at + 1], at + 2
    raise NotOpus("the packet ends before the length of a frame")


def _equal(size: int, count: int) -> None:
    if size % count:
        raise NotOpus("the packet's frames are not of one length")
    _last(size // count)


def _last(size: int) -> None:
    if not 0 <= size <= LONGEST_FRAME_BYTES:
        raise NotOpus(f"a frame has no less than 0 and no more than {LONGEST_FRAME_BYTES} bytes")
