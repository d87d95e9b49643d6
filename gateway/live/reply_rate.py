"""Converts reply audio to another rate that a client asks for during the call."""

from dataclasses import replace

from gateway.media.resampling import Resampler
from pipeline.frames import ReplyAudio


class ReplyRate:
    """One client's converter. Replies have `rate_hz`, and the client gets that rate until `use`."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._wire_hz = rate_hz
        self._resampler: Resampler | None = None  # None if the rates are equal

    def use(self, wire_hz: int) -> None:
        """Convert to `wire_hz` from the next frame on."""
        self._wire_hz = wire_hz
        self.clear()

    def convert(self, frame: ReplyAudio) -> ReplyAudio:
        """The frame at the client's rate. At most the last 2 ms of a reply are left out."""
        if self._resampler is None:
            return frame
        if frame.at_ms == 0:
            self.clear()
        return replace(frame, pcm=self._resampler.push(frame.pcm))

    def clear(self) -> None:
        """Reset the converter, so that the next frame contains no sound of those before it."""
        equal = self._wire_hz == self._rate_hz
        self._resampler = None if equal else Resampler(self._rate_hz, self._wire_hz)
