"""Playout: what has been sent, what has been heard, when the next frame is due. Pure.

The reply is one stretch of audio. Sample `n` is heard at `t0 + n / rate`; a frame is due `lead_ms`
before its last sample is heard, so that a client holds at most that much. The timeline is absolute:
a frame that leaves late does not delay the ones after it, unless it left so late that the client
fell silent; then the rest of the reply is heard later by that much.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from pipeline.frames import ReplyAudio, Samples, SpokenWord

FRAME_MS = 20
LEAD_MS = 200
LOOK_AHEAD_MS = 5_000


@dataclass(slots=True)
class Passage:
    """One sentence of the reply and where its audio lies, in samples of the reply."""

    text: str
    start: int
    end: int
    words: list[SpokenWord]
    written: bool  # shown as text, never spoken
    aside: bool  # no part of what the host wanted said

    def spoken_until(self, position: int, rate_hz: int) -> str:
        """The part of the text that was heard when playout had come to `position`.

        A word counts when the next one has begun. Without word positions the text is cut in
        proportion to its audio, at the end of a word.
        """
        if self.written or (position >= self.end > self.start):
            return self.text
        if not self.words:
            share = (position - self.start) / max(1, self.end - self.start)
            return self.text[: int(len(self.text) * share)].rpartition(" ")[0]
        heard_ms = (position - self.start) * 1000 / rate_hz
        heard = ""
        for word, following in zip(self.words, self.words[1:], strict=False):
            if following.at_ms > heard_ms:
                break
            heard = self.text[: word.offset + word.length]
        return heard


class Playout:
    """One session's reply audio, pulled by `take`.

    `push` accepts everything; a producer asks `room_ms` first and waits while it is negative.
    """

    def __init__(
        self,
        rate_hz: int,
        *,
        frame_ms: int = FRAME_MS,
        lead_ms: int = LEAD_MS,
        look_ahead_ms: int = LOOK_AHEAD_MS,
    ) -> None:
        self.rate_hz = rate_hz
        self.turn = -1
        self._frame = rate_hz * frame_ms // 1000
        self._lead_s = lead_ms / 1000
        self._look_ahead_ms = look_ahead_ms
        self._reset()

    def _reset(self) -> None:
        self._pieces: deque[Samples] = deque()
        self._offset = 0  # into the first piece
        self._pushed = 0
        self._sent = 0
        self._t0: float | None = None
        self._complete = False
        self._passages: list[Passage] = []

    def begin(self, turn: int) -> None:
        """A new reply; whatever is left of an older one is dropped."""
        self.turn = turn
        self._reset()

    @property
    def pushed_ms(self) -> int:
        """How long the reply is so far."""
        return self._pushed * 1000 // self.rate_hz

    @property
    def sent_ms(self) -> int:
        return self._sent * 1000 // self.rate_hz

    @property
    def room_ms(self) -> int:
        """How much more audio should be made now; negative when the producer is to wait."""
        return self._look_ahead_ms - (self.pushed_ms - self.sent_ms)

    def say(self, text: str, *, written: bool = False, aside: bool = False) -> None:
        """The audio pushed from here on speaks `text`; with `written` the client only reads it.

        An `aside`, such as a canned line, is heard but not remembered.
        """
        self._passages.append(Passage(text, self._pushed, self._pushed, [], written, aside))

    def push(self, pcm: Samples, words: tuple[SpokenWord, ...] = ()) -> None:
        """More audio of the passage last said; `words` count from the passage's start."""
        if len(pcm):
            self._pieces.append(pcm)
            self._pushed += len(pcm)
        passage = self._passages[-1]
        passage.end = self._pushed
        passage.words.extend(words)

    def finish(self) -> None:
        """No more audio will come: the last, shorter frame may go."""
        self._complete = True

    @property
    def due(self) -> float | None:
        """When `take` will next give a frame; None while there is nothing to send.

        Minus infinity means at once: nothing of this reply has been sent yet.
        """
        waiting = self._pushed - self._sent
        if waiting <= 0 or (waiting < self._frame and not self._complete):
            return None
        if self._t0 is None:
            return float("-inf")
        end = self._sent + min(waiting, self._frame)
        return self._t0 + end / self.rate_hz - self._lead_s

    def take(self, now: float) -> ReplyAudio | None:
        """The next frame if it is due, else None. At most one frame of audio, never empty."""
        due = self.due
        if due is None or now < due:
            return None
        at_s = self._sent / self.rate_hz
        if self._t0 is None or now > self._t0 + at_s:
            self._t0 = now - at_s  # the client has run dry: what follows is heard later
        at_ms = self.sent_ms
        frame = self._cut(min(self._frame, self._pushed - self._sent))
        self._sent += len(frame)
        return ReplyAudio(self.turn, frame, at_ms)

    def _cut(self, count: int) -> Samples:
        first = self._pieces[0]
        if len(first) - self._offset >= count:
            frame = first[self._offset : self._offset + count]
            self._offset += count
            if self._offset == len(first):
                self._pieces.popleft()
                self._offset = 0
            return frame
        parts = []
        while count:
            piece = self._pieces[0][self._offset : self._offset + count]
            parts.append(piece)
            count -= len(piece)
            self._offset += len(piece)
            if self._offset == len(self._pieces[0]):
                self._pieces.popleft()
                self._offset = 0
        return np.concatenate(parts)

    # --- what was heard ----------------------------------------------------------------------

    def _position(self, now: float) -> int:
        if self._t0 is None:
            return 0
        return max(0, min(self._sent, round((now - self._t0) * self.rate_hz)))

    def played_ms(self, now: float) -> int:
        """How far into the reply the client has played."""
        return self._position(now) * 1000 // self.rate_hz

    def acknowledge(self, played_ms: int, now: float) -> None:
        """The client says how far it has played; believed as far as it can be true."""
        if self._t0 is not None:
            self._t0 = now - min(played_ms, self.sent_ms) / 1000

    def heard(self, now: float, *, asides: bool = True) -> str:
        """The text that has been played, cut at a word; without asides: what to remember of it."""
        position = self._position(now)
        heard = (
            passage.spoken_until(position, self.rate_hz)
            for passage in self._passages
            if (position > passage.start or passage.written) and (asides or not passage.aside)
        )
        return " ".join(text for text in heard if text)

    @property
    def over_at(self) -> float | None:
        """When the last sample will have been heard, if no frame is late from here on.

        None while more audio may come or none has been sent; minus infinity where there is none.
        """
        if not self._complete:
            return None
        if not self._pushed:
            return float("-inf")
        return None if self._t0 is None else self._t0 + self._pushed / self.rate_hz

    def stop(self) -> None:
        """Send no more of this reply. What was sent stays known to `heard`."""
        self._pieces.clear()
        self._pushed = self._sent
        self._complete = True
