"""The audio of a call as a listener would have heard it, for a file. Time is an argument."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from gateway.media.codecs import decode
from gateway.media.format import AudioFormat
from pipeline.frames import Samples

LONGEST_RECORDING_S = 3600
BLOCK_S = 60


@dataclass(slots=True)
class _Stretch:
    """Audio without a gap; `at` is the position of its first sample."""

    at: int
    parts: list[Samples]
    length: int

    @property
    def end(self) -> int:
        return self.at + self.length


class CallRecording:
    """One side of a call: audio from its time on, silence between.

    `add` takes audio that comes ahead of its time and is played after the audio before it; `place`
    takes audio with a given time. A recording uses only one of them. At most `LONGEST_RECORDING_S`
    is kept. Position 0 is `start`, or the first audio.
    """

    def __init__(self, audio: AudioFormat) -> None:
        self._audio = audio
        self._origin: float | None = None
        self._stretches: list[_Stretch] = []
        self._kept = 0
        self._reply = 0  # samples of the current reply
        self._placed = False

    def start(self, now: float) -> None:
        """Begin the time line, in silence."""
        self._origin = now

    def reply(self) -> None:
        """Begin a new reply: positions in it count from 0."""
        self._reply = 0

    def resume(self, at_ms: int) -> None:
        """Go on with the current reply from `at_ms` on."""
        self._reply = at_ms * self._audio.rate_hz // 1000

    def add(self, data: bytes, now: float) -> None:
        """Add audio that has come."""
        pcm = decode(data, self._audio)
        if self._kept + len(pcm) > LONGEST_RECORDING_S * self._audio.rate_hz:
            return
        if self._origin is None:
            self._origin = now
        played = self._played(now)
        if played > self._end or not self._stretches:
            self._stretches.append(_Stretch(max(0, played), [], 0))
        stretch = self._stretches[-1]
        stretch.parts.append(pcm)
        stretch.length += len(pcm)
        self._kept += len(pcm)
        self._reply += len(pcm)

    def place(self, pcm: Samples, at: float) -> None:
        """Add audio that is played at a time, after the audio placed before; it replaces an
        overlap.

        Audio before `start` is dropped.
        """
        self._placed = True
        if self._origin is None or not pcm.any():
            return
        start = self._played(at)
        pcm = pcm[max(0, -start) :]
        start = max(0, start)
        if self._kept + len(pcm) > LONGEST_RECORDING_S * self._audio.rate_hz or not len(pcm):
            return
        if self._end - start > 0:
            self._cut(min(self._end - start, self._stretches[-1].length))
        if not self._stretches or start > self._end:
            self._stretches.append(_Stretch(start, [], 0))
        stretch = self._stretches[-1]
        stretch.parts.append(pcm)
        stretch.length += len(pcm)
        self._kept += len(pcm)

    def clear(self, at_ms: int) -> int:
        """Drop the current reply from `at_ms` on; returns how many ms of it were dropped.

        Later audio of this reply is played when it arrives. Placed audio has been played already.
        """
        if self._placed:
            return 0
        dropped = max(0, self._reply - max(0, at_ms) * self._audio.rate_hz // 1000)
        self._reply -= dropped
        self._cut(dropped)
        return dropped * 1000 // self._audio.rate_hz

    def _cut(self, excess: int) -> None:
        """Drop the last `excess` samples."""
        self._kept -= excess
        while excess:
            stretch = self._stretches[-1]
            last = stretch.parts.pop()
            cut = min(excess, len(last))
            if cut < len(last):
                stretch.parts.append(last[:-cut])
            stretch.length -= cut
            excess -= cut
            if not stretch.parts:
                self._stretches.pop()

    @property
    def origin(self) -> float | None:
        """The time of position 0; None before the start."""
        return self._origin

    @property
    def duration_s(self) -> float:
        return self._end / self._audio.rate_hz

    def samples(self, start: int, end: int) -> Samples:
        """This side from position `start` to `end`, with its silences."""
        window: Samples = np.zeros(end - start, np.int16)
        for stretch in self._stretches:
            at = stretch.at
            if stretch.end <= start or at >= end:
                continue
            for part in stretch.parts:
                first, last = max(at, start), min(at + len(part), end)
                if first < last:
                    window[first - start : last - start] = part[first - at : last - at]
                at += len(part)
        return window

    @property
    def _end(self) -> int:
        return self._stretches[-1].end if self._stretches else 0

    def _played(self, now: float) -> int:
        assert self._origin is not None
        return round((now - self._origin) * self._audio.rate_hz)


def save(path: Path, audio: AudioFormat, *sides: CallRecording) -> None:
    """Write a 16-bit file with a channel for each side, on one time line.

    The name's ending decides the format. Raises `OSError` or `soundfile.LibsndfileError`.
    """
    end = round(max(side.duration_s for side in sides) * audio.rate_hz)
    block = BLOCK_S * audio.rate_hz
    with soundfile.SoundFile(path, "w", audio.rate_hz, len(sides)) as sound:
        for start in range(0, end, block):
            until = min(start + block, end)
            sound.write(np.stack([side.samples(start, until) for side in sides], axis=1))
