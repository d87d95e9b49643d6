"""The speech under way in the input audio: where it began, how long it is, the pause in it. Pure.

Positions in the input audio count, not the times at which probabilities arrive: a jump of the
position is lost audio, which counts as silence.
"""

from dataclasses import dataclass

CHUNK_MS = 32
"""The voice detectors' step: 512 samples at 16 kHz."""


@dataclass(slots=True)
class InputSpeech:
    """The speech under way, as turn-taking knows it. There is none while `voiced_ms` is 0."""

    onset_ms: float = 0.0  # where it began
    voiced_ms: float = 0.0  # how much of it is speech
    quiet_ms: float = 0.0  # silence since its last speech
    at_ms: float = 0.0  # how far the input audio has been judged
    chunk_at: float = 0.0  # when that was
    asked_ms: int | None = None  # where in this pause the turn model was asked
    finished: float | None = None  # its answer

    def judged(self, at_ms: float, now: float) -> float:
        """The audio up to `at_ms` is judged; returns how many ms of it are new."""
        step_ms = at_ms - self.at_ms
        self.at_ms = at_ms
        self.chunk_at = now
        return step_ms

    def voiced(self, step_ms: float) -> None:
        """The newest audio, `step_ms` with what was lost before it, is speech: a pause is over."""
        if not self.voiced_ms:
            self.onset_ms = self.at_ms - min(step_ms, CHUNK_MS)
        self.voiced_ms += min(step_ms, CHUNK_MS)
        self.quiet_ms = 0.0
        self.asked_ms = self.finished = None

    def forget(self) -> None:
        """There is no speech under way any more."""
        self.voiced_ms = self.quiet_ms = 0.0
        self.asked_ms = self.finished = None

    def onset(self, prefix_ms: int) -> tuple[int, int]:
        """Where the speech began, and `prefix_ms` before that, where its recognition begins."""
        onset_ms = int(self.onset_ms)
        return onset_ms, max(0, onset_ms - prefix_ms)

    def end(self, now: float) -> tuple[int, float]:
        """Where the last speech ended: in the input audio, and on the clock of `now`."""
        since_chunk_ms = (now - self.chunk_at) * 1000
        ended = now - (self.quiet_ms + since_chunk_ms) / 1000
        return int(self.at_ms - self.quiet_ms), ended
