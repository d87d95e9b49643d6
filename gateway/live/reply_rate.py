"""Reply audio at the rate that the client wants, where it wants another in mid-call."""

from dataclasses import replace

from gateway.media.resampling import Resampler
from pipeline.frames import ReplyAudio


class ReplyRate:
    """One client's. The session's replies have `rate_hz`, and so has the wire until `use`."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._wire_hz = rate_hz
        self._resampler: Resampler | None = None  # None where the rates are equal

    def use(self, wire_hz: int) -> None:
        """The wire has this rate from the next frame on."""
        self._wire_hz = wire_hz
        self.clear()

    def convert(self, frame: ReplyAudio) -> ReplyAudio:
        """The frame at the wire's rate. The last 2 ms of a reply at most are left out."""
        if self._resampler is None:
            return frame
        if frame.at_ms == 0:
            self.clear()
        return replace(frame, pcm=self._resampler.push(frame.pcm))

    def clear(self) -> None:
        """Let nothing of what was converted ring on in what follows."""
        equal = self._wire_hz == self._rate_hz
        self._resampler = None if equal else Resampler(self._rate_hz, self._wire_hz)
