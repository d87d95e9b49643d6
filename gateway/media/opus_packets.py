"""Opus packets (RFC 6716) to and from samples, through FFmpeg's libopus.

Plain calls of 20 to 50 µs a packet. A new encoder takes 0.4 ms.
"""

from fractions import Fraction

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.error import FFmpegError

from pipeline.frames import INPUT_RATE_HZ, Samples

RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
"""What libopus encodes. A decoder needs none of it: a packet tells everything (RFC 6716, 2.1.1)."""

PACKET_MS = 20
"""Of audio in a packet that is sent."""

BIT_RATE = 28_000

LOST = bytes([31 << 3])
"""A packet of 20 ms whose only frame is empty: libopus goes on with the sound before it, which then
passes into noise and fades to what it takes for the background (RFC 6716, section 4.4)."""

LONGEST_FRAME_BYTES = 1_275

_CLOCK_HZ = 48_000
_LONGEST_PACKET = 5_760

_SILK = (480, 960, 1920, 2880)
_HYBRID = (480, 960)
_CELT = (120, 240, 480, 960)


class NotOpus(ValueError):
    """These bytes are no Opus packet."""


def duration_ms(packet: bytes) -> float:
    """How long an Opus packet lasts by its first two bytes: 2.5 to 120 ms (RFC 6716, section 3.1).

    Raises `NotOpus` where they cannot begin one.
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
    return samples * 1000 / _CLOCK_HZ


def _frames(packet: bytes) -> int:
    code = packet[0] & 3
    if code < 3:
        return 2 if code else 1
    if len(packet) < 2:
        raise NotOpus("the packet ends before the number of its frames")
    return packet[1] & 63


def check(packet: bytes) -> None:
    """Raise `NotOpus` unless the frames fill the packet as RFC 6716, section 3.2, has it.

    What passes is decoded, if only to noise. Takes time in proportion to the frames: 48 at most.
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
    """A frame's length where it is written, and what follows it (RFC 6716, section 3.2.1)."""
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


class OpusDecoder:
    """One stream of packets to mono samples at 16 kHz. Keeps state: packets come in order."""

    def __init__(self) -> None:
        codec = av.CodecContext.create("libopus", "r")
        assert isinstance(codec, AudioCodecContext)
        codec.layout = "mono"  # libopus mixes a stereo packet down itself
        codec.sample_rate = _CLOCK_HZ
        self._codec = codec
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=INPUT_RATE_HZ)

    def decode(self, packet: bytes) -> Samples:
        """What is in it. Raises `NotOpus` for anything else; the next packet is heard then."""
        if not packet:
            # FFmpeg takes an empty packet for the end of the stream, and nothing after it.
            raise NotOpus("an Opus packet has a first byte")
        try:
            parts: list[Samples] = [
                np.frombuffer(bytes(resampled.planes[0]), np.int16)[: resampled.samples]
                for frame in self._codec.decode(av.Packet(packet))
                for resampled in self._resampler.resample(frame)
            ]
        except FFmpegError as error:
            raise NotOpus("the bytes are no Opus packet") from error
        return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, np.int16), *parts])


class OpusEncoder:
    """Mono samples to Opus packets of 20 ms, one call a packet. `rate_hz` is one of `RATES_HZ`.

    With `fec` each packet of speech also carries a coarse copy of the one before it, so that the
    receiver can make up for a single loss. libopus does that in its SILK mode alone (RFC 6716,
    section 2.1.7), which takes 120 µs a packet in place of 33.
    """

    def __init__(self, rate_hz: int = 24_000, *, fec: bool = False) -> None:
        self.frame = rate_hz * PACKET_MS // 1000
        """Samples of one packet."""
        codec = av.CodecContext.create("libopus", "w")
        assert isinstance(codec, AudioCodecContext)
        codec.layout = "mono"
        codec.format = "s16"
        codec.sample_rate = rate_hz
        codec.bit_rate = BIT_RATE
        codec.time_base = Fraction(1, rate_hz)
        # On speech: 39 µs a packet, where complexity 10 takes 177.
        codec.options = {
            "application": "audio",
            "compression_level": "2",
            "frame_duration": str(PACKET_MS),
            "vbr": "on",
        } | ({"fec": "1", "packet_loss": "10"} if fec else {})
        self._codec = codec

    def encode(self, pcm: Samples) -> bytes:
        """One packet for at most `frame` samples; a shorter frame is filled up with silence."""
        if len(pcm) < self.frame:
            pcm = np.concatenate((pcm, np.zeros(self.frame - len(pcm), np.int16)))
        frame = av.AudioFrame(format="s16", layout="mono", samples=self.frame)
        frame.planes[0].update(pcm.tobytes())
        frame.sample_rate = self._codec.sample_rate
        return b"".join(bytes(packet) for packet in self._codec.encode(frame))
