"""How much of a recording cannot be read, not counting its end.

Used inside the worker process only. Where packets have times, loss shows as a gap: after a packet
that could not be decoded, between two frames of FLAC, or where a WebM or MP4 file is broken. A gap
in an unbroken file is no loss, because recorders may leave out silence. In Ogg, loss also shows in
the pages, and in MP3 and AAC in the bytes between the frames.
"""

import logging
from typing import Any, BinaryIO

from stages._containers import Container
from stages._frame_chain import loss_of_frames
from stages._ogg_pages import loss_of_ogg

log = logging.getLogger("stages.decode")

LEAST_GAP_S = 0.015
"""Smaller gaps are rounding: WebM counts in milliseconds."""

_LEAST_DAMAGE_S = 0.01
"""Less than half a frame of MP3 or AAC is no sound that is missing."""


class LostSound:
    """The sound missing in one part of a file, by the packets of the track that is heard.

    Positions are those in the part; `unit_s` is the unit of the packets' times. `from_0`: the times
    begin with 0, unless the beginning is missing. `track`: the track's number in the file.
    """

    def __init__(
        self,
        part: BinaryIO,
        size: int,
        container: Container,
        unit_s: float,
        *,
        from_0: bool,
        track: int,
    ) -> None:
        self._part = part
        self._size = size
        self._container = container
        self._unit_s = unit_s
        self._track = track
        self._lost_s = 0.0
        self._without_times = container in ("mp3", "aac", "wav")
        self._failed = 0  # packets that could not be decoded, since the last one that was
        self._end_s = 0.0 if from_0 else None  # of the last packet that was decoded
        self._interrupted = False  # since the last packet that was decoded
        self._ahead_s = 0.0  # what the time of the last packet made a loss of
        self.begin_s = 0.0
        """The time of the first packet of a file of FLAC whose beginning was cut off."""

    def failed(self) -> None:
        """A packet could not be decoded."""
        self._failed += 1

    def interrupted(self) -> None:
        """The file is damaged behind the last packet: a gap in the times is a loss."""
        self._interrupted = True

    def decoded(self, packet: Any, frames: list[Any]) -> None:
        """A packet was decoded to these frames; to none if its sound comes later."""
        if self._without_times:
            if self._failed and frames:
                self._lost_s += self._failed * _length_s(frames)
                self._failed = 0
            return
        pts = packet.pts
        if pts is None:  # several frames behind a damaged one
            if self._end_s is not None:
                self._end_s += _length_s(frames)
            return
        start_s = pts * self._unit_s
        length_s = (packet.duration or 0) * self._unit_s or _length_s(frames)
        if self._end_s is None and self._container == "flac":
            self.begin_s = start_s  # what cannot be decoded before it is the rest of a frame
        elif self._end_s is None:
            missing_s = start_s if self._interrupted else 0.0  # damage before the first packet
            self._lost_s += max(missing_s, self._failed * length_s)
        else:
            start_s = self._followed(start_s, self._end_s)
        self._failed = 0
        self._interrupted = False
        self._end_s = start_s + length_s

    def _followed(self, start_s: float, end_s: float) -> float:
        """Count the sound that is missing before a packet; returns its time, as far as that can be
        believed: a block may be damaged, too."""
        before_s, self._ahead_s = self._ahead_s, 0.0
        missing_s = start_s - end_s
        if missing_s > LEAST_GAP_S:
            if self._failed or self._interrupted or self._container == "flac":
                self._lost_s += missing_s
                self._ahead_s = missing_s
        elif missing_s < 0 and self._interrupted:
            if not before_s:
                return end_s
            self._lost_s -= min(before_s, -missing_s)  # the time before this one was wrong
        return start_s

    def total(self, read_s: float) -> tuple[float, bool]:
        """The seconds that are missing in between, and whether the file's own structure says that
        its end is missing, as far as that is checked here. `read_s`: the seconds that were decoded.
        Moves the part's position. Never raises: what was decoded is good even without this."""
        try:
            return self._total(read_s)
        except Exception:
            log.exception("what is missing cannot be told")
            return self._lost_s, False

    def _total(self, read_s: float) -> tuple[float, bool]:
        match self._container:
            case "ogg":
                pages = loss_of_ogg(self._part, self._size, self._track)
                return max(self._lost_s, pages.lost_s), pages.cut
            case "mp3" | "aac":
                frames = loss_of_frames(self._part, self._size, self._container)
                damaged_s = frames.damaged / max(1, frames.whole) * read_s
                if damaged_s < _LEAST_DAMAGE_S:
                    damaged_s = 0.0
                return self._lost_s + damaged_s, frames.cut
        return self._lost_s, False


def _length_s(frames: list[Any]) -> float:
    return float(sum(frame.samples / max(1, frame.sample_rate) for frame in frames))
