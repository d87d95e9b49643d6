"""How much of the replies a caller has heard, by the marks that Twilio returns. Pure.

Twilio plays audio in order, at its own time. It returns a mark when the audio before the mark was
played, and also when `clear` has dropped that audio: marks under way at a `clear` prove nothing.
"""

from collections import deque

from gateway.protocols.dialect import ReportPlayed, Truncate

MARK_EVERY_MS = 200
"""The audio between two marks; the first mark follows the first frame."""

MOST_PENDING = 256
"""The largest number of marks that have not come back: 51 s of audio. Older ones are dropped."""


class PlayoutMarks:
    """The marks of one call."""

    def __init__(self) -> None:
        self.cut: Truncate | None = None
        """How much was heard of the reply that was cleared last, if it is less than the time says;
        the dialect takes it and sets None."""
        self._pending: deque[tuple[str, int, int]] = deque(maxlen=MOST_PENDING)
        self._count = 0
        self._turn = -1
        self._end_ms = -1  # of the audio that was sent last
        self._next_ms = 0  # where the next mark is due

    def follow(self, turn: int, at_ms: int, duration_ms: int) -> str | None:
        """Audio of a reply was sent; returns the name of the mark to send after it, if one is due.

        A mark is due after the first audio of each stretch.
        """
        if turn != self._turn or at_ms != self._end_ms:
            self._turn, self._next_ms = turn, at_ms
        self._end_ms = at_ms + duration_ms
        if self._end_ms < self._next_ms:
            return None
        self._next_ms = self._end_ms + MARK_EVERY_MS
        self._count += 1
        name = f"{turn}:{self._end_ms}:{self._count}"
        self._pending.append((name, turn, self._end_ms))
        return name

    def returned(self, name: str) -> ReportPlayed | None:
        """A mark came back; returns what was played. None for a mark that says nothing."""
        at = next((n for n, pending in enumerate(self._pending) if pending[0] == name), None)
        if at is None:
            return None
        for _ in range(at):
            self._pending.popleft()
        _, turn, end_ms = self._pending.popleft()
        return ReportPlayed(turn, end_ms)

    def clear(self, turn: int, at_ms: int) -> None:
        """The client drops audio that it has not played. By the clock, a turn's reply was played
        up to `at_ms`, but not beyond an earlier mark that has not come back."""
        missing = next((end for _, of, end in self._pending if of == turn), at_ms)
        if missing < at_ms:
            self.cut = Truncate(turn, missing)
        self._pending.clear()
        self._end_ms = -1
