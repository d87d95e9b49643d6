"""Playout: how much of a reply was sent and heard, and when the next frame is due. Pure.

The reply is one stretch of audio. Sample `n` is heard at `t0 + n / rate`; a frame is due `lead_ms`
before its last sample is heard, so that a client holds at most `lead_ms` of audio. The timeline is
absolute: a late frame does not delay the frames after it. Only if a frame is so late that the
client has nothing left to play, the rest of the reply is heard later by that time.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from pipeline.frames import ReplyAudio, Samples, SpokenWord

FRAME_MS = 20
LEAD_MS = 200
LOOK_AHEAD_MS = 5_000
EDGE_MS = 60
"""How much of a sentence's beginning may have been played while the sentence counts as unheard:
as a rule it is silence, and timers may be late by as much."""

FASTEST_CPS = 25
"""The most characters that a voice speaks in a second. Assumed value."""

LONGEST_DELAY_S = 2.0
"""A client's playback is taken to be behind the clock by at most this."""

AUDIBLE = 100
"""Samples below this, -50 dB of full scale, are silence: voices end in some, and pause in it.
Assumed value: speech is 30 dB louder, what voices add as noise 10 dB quieter."""

CLOSURE_MS = 80
"""Silence of up to this is part of a word: the closure before a plosive."""

KEPT_MS = 3_000
"""How much sent audio is kept, to be sent again after a pause: the lead, the longest delay and the
word that was cut off."""


@dataclass(slots=True)
class Passage:
    """One sentence of the reply and where its audio lies, in samples of the reply."""

    text: str
    start: int
    end: int
    words: list[SpokenWord]
    written: bool  # shown as text, never spoken
    aside: bool  # no part of the host's reply
    sounds: list[tuple[int, int]] = field(default_factory=list)  # where it is audible, in samples
    unread: tuple[Samples, int, int] | None = None  # what `sounds` still lacks
    whole: bool = False  # all of its audio has come
    silent: bool = False  # nothing of it can be said

    def reached(self, position: int) -> bool:
        """Whether any of the passage was heard or shown when playout had come to `position`."""
        return self.written or position > self.start or (self.silent and position == self.start)

    def hear(self, pcm: Samples, start: int, rate_hz: int) -> None:
        """Note where audio from `start` on is audible, when the next audio comes or somebody asks:
        the first frame of a reply does not wait for it."""
        self._read()
        self.unread = (pcm, start, rate_hz)

    def _read(self) -> None:
        if self.unread is None:
            return
        (pcm, start, rate_hz), self.unread = self.unread, None
        loud = np.flatnonzero((pcm >= AUDIBLE) | (pcm <= -AUDIBLE))
        if not len(loud):
            return
        closure = CLOSURE_MS * rate_hz // 1000
        gaps = np.flatnonzero(np.diff(loud) > closure)
        firsts = loud[np.concatenate([[0], gaps + 1])] + start
        lasts = loud[np.concatenate([gaps, [len(loud) - 1]])] + start + 1
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
            if self.sounds and first - self.sounds[-1][1] <= closure:
                first = self.sounds.pop()[0]
            self.sounds.append((first, last))

    def past_silence(self, position: int) -> int:
        """Where the next sound begins if there is silence at `position`, or the audio ends; in a
        sound, and in audio without any, `position`."""
        self._read()
        if not self.sounds:
            return position
        following = next((sound for sound in self.sounds if sound[1] > position), None)
        return max(position, self.end if following is None else following[0])

    def word_before(self, position: int, rate_hz: int) -> int:
        """Where the word spoken at `position` begins; `position` itself if that is unknown, and the
        next word's place in the silence before it."""
        past = self.past_silence(position)
        starts = [self.start + word.at_ms * rate_hz // 1000 for word in self.words]
        if past > position:
            return min((start for start in starts if position < start <= past), default=position)
        return max((start for start in starts if start <= position), default=position)

    def spoken_until(self, position: int, rate_hz: int) -> str:
        """The part of the text that was heard when playout had come to `position`.

        A word counts when the next one has begun, the whole text when all of its audio was heard;
        silence that is left of either does not matter. Without word positions the text is cut in
        proportion to its audio, at the end of a word; until all of the audio has come, its length
        is estimated with `FASTEST_CPS`.
        """
        position = self.past_silence(position)
        if self.written or self.silent or (self.whole and position >= self.end > self.start):
            return self.text
        if not self.words:
            length = self.end - self.start
            if not self.whole:  # more of its audio may come
                length = max(length, len(self.text) * rate_hz // FASTEST_CPS)
            share = (position - self.start) / max(1, length)
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

    `push` accepts all audio; a producer waits first while `room_ms` is negative.
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
        self._kept: deque[Samples] = deque()  # the newest audio that was sent
        self._kept_samples = 0
        self._t0: float | None = None
        self._earliest = float("-inf")  # t0 by the clock alone
        self._held: int | None = None  # how far the reply had been heard when it was paused
        self._complete = False
        self._truncated: int | None = None  # how far it was heard, as the client says
        self._passages: list[Passage] = []

    def begin(self, turn: int) -> None:
        """Begin a new reply; the rest of an older one is dropped."""
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
        """How much more audio may wait to be sent; negative when the producer must wait."""
        return self._look_ahead_ms - (self.pushed_ms - self.sent_ms)

    def say(
        self, text: str, *, written: bool = False, aside: bool = False, silent: bool = False
    ) -> None:
        """Begin a passage: the audio pushed from here on speaks `text`.

        With `written` the client only shows it. An `aside`, such as a canned line, is heard but not
        remembered. A `silent` passage has no audio: it counts as heard when all before it was.
        """
        start = self._pushed
        passage = Passage(text, start, start, [], written, aside, whole=silent, silent=silent)
        self._passages.append(passage)

    def push(self, pcm: Samples, words: tuple[SpokenWord, ...] = ()) -> None:
        """Append audio to the last passage; `words` count from the passage's start."""
        passage = self._passages[-1]
        if len(pcm):
            passage.hear(pcm, self._pushed, self.rate_hz)
            self._pieces.append(pcm)
            self._pushed += len(pcm)
        passage.end = self._pushed
        passage.words.extend(words)

    def said(self) -> None:
        """The last passage is complete."""
        self._passages[-1].whole = True

    def finish(self) -> None:
        """No more audio will come: the last, shorter frame may be sent."""
        self._complete = True

    @property
    def due(self) -> float | None:
        """When `take` will next give a frame; None while there is nothing to send.

        Minus infinity means at once: nothing of this reply has been sent yet.
        """
        waiting = self._pushed - self._sent
        if self._held is not None or waiting <= 0 or (waiting < self._frame and not self._complete):
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
            # The client had nothing left to play: the rest is heard later.
            self._t0 = self._earliest = now - at_s
        at_ms = self.sent_ms
        frame = self._cut(min(self._frame, self._pushed - self._sent))
        self._sent += len(frame)
        self._kept.append(frame)
        self._kept_samples += len(frame)
        while self._kept_samples - len(self._kept[0]) >= KEPT_MS * self.rate_hz // 1000:
            self._kept_samples -= len(self._kept.popleft())
        return ReplyAudio(self.turn, frame, at_ms)

    def _cut(self, count: int) -> Samples:
        parts: list[Samples] = []
        while count:
            piece = self._pieces[0][self._offset : self._offset + count]
            parts.append(piece)
            count -= len(piece)
            self._offset += len(piece)
            if self._offset == len(self._pieces[0]):
                self._pieces.popleft()
                self._offset = 0
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    # --- a pause -----------------------------------------------------------------------------

    def pause(self, now: float) -> int:
        """Send nothing until `resume`; returns how many milliseconds have been heard.

        Audio that was sent but not heard is sent again then, from the beginning of the word at the
        pause.
        """
        held = self._position(now)
        self._held = held
        self._t0 = None
        start = max(self._word_before(held), self._sent - self._kept_samples)
        if self._offset:
            self._pieces[0] = self._pieces[0][self._offset :]
            self._offset = 0
        while self._sent > start:
            frame = self._kept.pop()
            cut = max(0, len(frame) - (self._sent - start))
            if cut:
                self._kept.append(frame[:cut])
            self._kept_samples -= len(frame) - cut
            self._pieces.appendleft(frame[cut:])
            self._sent -= len(frame) - cut
        return held * 1000 // self.rate_hz

    def resume(self, now: float) -> int:
        """Go on after a pause; returns where in the reply, in milliseconds."""
        self._held = self._truncated = None
        # Audio sent before the pause counts as heard, even where no more audio follows.
        self._t0 = self._earliest = now - self._sent / self.rate_hz
        return self.sent_ms

    @property
    def paused(self) -> bool:
        return self._held is not None

    def _word_before(self, position: int) -> int:
        for passage in self._passages:
            if passage.start <= position < passage.end:
                return passage.word_before(position, self.rate_hz)
        return position

    # --- what was heard ----------------------------------------------------------------------

    def _position(self, now: float) -> int:
        if self._held is not None:
            return self._held
        if self._t0 is None:
            return 0
        return max(0, min(self._sent, round((now - self._t0) * self.rate_hz)))

    def played_ms(self, now: float) -> int:
        """How far into the reply the client has played."""
        return self._position(now) * 1000 // self.rate_hz

    def left_s(self, now: float) -> float:
        """How long the client can play what there is of the reply."""
        return (self._pushed - self._position(now)) / self.rate_hz

    def acknowledge(self, played_ms: int, now: float) -> None:
        """The client reports how far it has played; a report that cannot be true is limited."""
        if self._t0 is not None:
            t0 = now - min(played_ms, self.sent_ms) / 1000
            self._t0 = min(t0, self._earliest + LONGEST_DELAY_S)

    def heard(self, now: float, *, asides: bool = True) -> str:
        """The text that has been played, cut at a word; without `asides`, the text to remember."""
        position = self._heard_to(now)
        heard = (
            passage.spoken_until(position, self.rate_hz)
            for passage in self._passages
            if passage.reached(position) and (asides or not passage.aside)
        )
        return " ".join(text for text in heard if text)

    def begun(self, now: float) -> str:
        """The text of all sentences of which something has been played."""
        position = self._position(now)
        spoken = (one for one in self._passages if not one.written and one.reached(position))
        return " ".join(passage.text for passage in spoken)

    def told(self, now: float) -> bool:
        """Whether all of the reply has been heard: what is left of its audio is silence."""
        position = self._heard_to(now)
        return self._complete and all(
            passage.reached(position)
            and passage.spoken_until(position, self.rate_hz) == passage.text
            for passage in self._passages
        )

    def _heard_to(self, now: float) -> int:
        return self._position(now) if self._truncated is None else self._truncated

    def truncate(self, heard_ms: int) -> None:
        """The client heard the reply up to `heard_ms`, at most what was sent. `heard` ends there
        until the reply is resumed or the next one begins."""
        if heard_ms >= self.sent_ms:
            self._truncated = self._sent
        else:
            self._truncated = max(0, heard_ms) * self.rate_hz // 1000

    def sentence_over_at(self, now: float) -> float | None:
        """When the sentence that is heard at `now` will have been heard, if no frame is late.

        `now` between two sentences and while nothing is heard. None during a pause, and if more
        of the sentence's audio may come.
        """
        if self._held is not None:
            return None
        begun = self._position(now) - EDGE_MS * self.rate_hz // 1000
        heard = [each for each in self._passages if each.start < each.end and each.start <= begun]
        if not heard or self._t0 is None:
            return now
        passage = heard[-1]
        if passage is self._passages[-1] and not (passage.whole or self._complete):
            return None
        return max(now, self._t0 + passage.end / self.rate_hz)

    @property
    def over_at(self) -> float | None:
        """When the last sample will have been heard, if no frame is late from here on.

        None while more audio may come, before the first frame is sent, and during a pause. Minus
        infinity for a reply without audio.
        """
        if not self._complete or self._held is not None:
            return None
        if not self._pushed:
            return float("-inf")
        return None if self._t0 is None else self._t0 + self._pushed / self.rate_hz

    def close(self) -> None:
        """No sent audio will be sent again, such as when all of it has been heard: keep the words
        alone."""
        self._kept.clear()
        self._kept_samples = 0

    def stop(self) -> None:
        """Send no more of this reply. `heard` still covers the audio that was sent."""
        self._pieces.clear()
        self.close()
        self._pushed = self._sent
        self._complete = True
