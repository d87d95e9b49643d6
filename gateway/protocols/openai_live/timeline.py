"""Where audio lies on a session's timeline, in milliseconds from `session.started`. Pure.

The engine counts input audio from its first sample, and a reply from the reply's first sample. A
client may leave gaps between its appends, and a reply is heard when it comes.
"""

from collections import deque

GAP_MS = 250
"""Audio that comes later than this after the audio before it has a gap before it; a smaller delay
is the network's."""

MOST_STRETCHES = 64


class InputTimeline:
    """The person's audio."""

    def __init__(self) -> None:
        self._appended_ms = 0.0
        self._cursor_ms = 0.0  # on the session's timeline, where what was appended ends
        self._stretches: deque[tuple[float, float]] = deque([(0.0, 0.0)], maxlen=MOST_STRETCHES)

    def append(self, duration_ms: float, now_ms: float) -> None:
        """Take the length of audio from the client: recorded before now, after earlier audio."""
        begins_ms = now_ms - duration_ms
        if not self._appended_ms or begins_ms - self._cursor_ms > GAP_MS:
            self._cursor_ms = max(0.0, begins_ms, self._cursor_ms)
            self._stretches.append((self._appended_ms, self._cursor_ms - self._appended_ms))
        self._appended_ms += duration_ms
        self._cursor_ms += duration_ms

    def at(self, audio_ms: float) -> int:
        """Where a place in the input audio lies."""
        for begins_ms, ahead_ms in reversed(self._stretches):
            if begins_ms <= audio_ms:
                return max(0, round(audio_ms + ahead_ms))
        return max(0, round(audio_ms + self._stretches[0][1]))


class OutputTimeline:
    """The replies: a frame is heard when it comes, or after the frame before it."""

    def __init__(self) -> None:
        self._cursor_ms = 0.0
        self._ahead_ms = 0.0

    def play(self, at_ms: float, duration_ms: float, now_ms: float) -> None:
        """A frame of the reply that begins `at_ms` into it has been sent."""
        begins_ms = max(self._cursor_ms, now_ms)
        self._ahead_ms = begins_ms - at_ms
        self._cursor_ms = begins_ms + duration_ms

    def stop(self, now_ms: float) -> None:
        """Nothing of the reply is heard from now on."""
        self._cursor_ms = min(self._cursor_ms, now_ms)

    def at(self, reply_ms: float) -> int:
        """Where a place in the reply that is being played lies."""
        return max(0, round(reply_ms + self._ahead_ms))
