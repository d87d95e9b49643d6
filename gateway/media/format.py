"""How audio travels in one direction: encoding, rate and channels. Pure."""

from dataclasses import dataclass
from typing import Literal

from gateway.media import opus_packets
from pipeline.frames import INPUT_RATE_HZ

Encoding = Literal["pcm_s16le", "mulaw", "alaw", "opus"]
ENCODINGS: tuple[Encoding, ...] = ("pcm_s16le", "mulaw", "alaw", "opus")
NoiseReduction = Literal["off", "near_field", "far_field"]
"""`near_field` is for a microphone close to the mouth, `far_field` for one across a table."""
LOWEST_RATE_HZ = 8_000
HIGHEST_RATE_HZ = 48_000
LONGEST_MESSAGE_MS = 100


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """How audio travels in one direction. A message is one Opus packet, or samples otherwise.

    An Opus packet describes its own audio: for incoming Opus, `rate_hz` and `channels` only say
    what the client encoded.
    """

    encoding: Encoding = "pcm_s16le"
    rate_hz: int = INPUT_RATE_HZ
    channels: int = 1

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample of all channels; not for Opus."""
        return (2 if self.encoding == "pcm_s16le" else 1) * self.channels

    def duration_ms(self, data: bytes) -> float:
        """How long a message's audio lasts. Raises `NotOpus` for a malformed Opus packet."""
        if self.encoding == "opus":
            return opus_packets.duration_ms(data)
        return len(data) * 1000 / (self.sample_bytes * self.rate_hz)
