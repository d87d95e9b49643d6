"""The input audio of a session: its last seconds, and the utterances that begin in it."""

import asyncio
from collections import deque
from collections.abc import Callable

import numpy as np

from pipeline.frames import INPUT_RATE_HZ, Output, Samples, Transcript
from pipeline.guard import Guard
from pipeline.languages import LanguageLock, understands
from pipeline.stage import Host, Transcriber
from pipeline.utterance import Utterance


class InputAudio:
    """The utterances under way, and the pre-roll from which they begin.

    `language` says what language the person speaks. `understood` takes the turn and text of every
    partial transcript of `current` and `held`, and may call `start`; `emit` takes the partial
    transcripts for the client.
    """

    def __init__(
        self,
        pre_roll_ms: int,
        transcribers: Guard[Transcriber],
        host: Host,
        *,
        language: LanguageLock,
        understood: Callable[[int, str], None],
        emit: Callable[[Output], None],
    ) -> None:
        self.current: Utterance | None = None
        """The utterance of the person's turn."""
        self.held: Utterance | None = None
        """The utterance spoken into the reply; it may become the next turn."""
        self.carried: Utterance | None = None
        """An utterance whose turn ended before it was recognised; the next turn begins with it."""
        self._in_held: Utterance | None = None  # with which the held utterance begins
        self.keep(pre_roll_ms)
        self._position = 0
        self._from = 0  # no utterance begins before
        self._kept = 0
        self._frames: deque[Samples] = deque()
        self._transcribers = transcribers
        self._host = host
        self._language = language
        self._understood = understood
        self._emit = emit

    def keep(self, pre_roll_ms: int) -> None:
        """Keep at least the last `pre_roll_ms` of audio from here on; older frames are dropped."""
        self._keep = pre_roll_ms * INPUT_RATE_HZ // 1000

    def feed(self, pcm: Samples) -> None:
        """The next input audio. A plain call on the hot path."""
        frames = self._frames
        frames.append(pcm)
        size = len(pcm)
        self._position += size
        kept = self._kept + size
        while (rest := kept - len(frames[0])) >= self._keep:
            kept = rest
            frames.popleft()
        self._kept = kept
        if self.current is not None:
            self.current.feed(pcm)
        if self.held is not None:
            self.held.feed(pcm)

    def position_ms(self) -> int:
        """How much audio has come."""
        return self._position * 1000 // INPUT_RATE_HZ

    def since(self, position: int) -> Samples:
        """The audio from `position` (samples) on, or from the oldest sample that is kept."""
        skip = max(0, position - (self._position - self._kept))
        return np.concatenate(self._frames)[skip:]

    # --- utterances --------------------------------------------------------------------------

    def hold(self, turn: int, from_ms: int) -> None:
        """Begin an utterance spoken into the reply; it may become `turn`."""
        # Partial transcripts would include the carried words, so they are not made here.
        stage = self._ready_transcriber() if self.carried is None else None
        self._in_held = self.carried
        self.held = self._utterance(turn, from_ms, stage)

    def drop_held(self) -> None:
        """Drop the utterance spoken into the reply. Harmless if no utterance is held."""
        if self.held is not None:
            self.held.cancel()
            self.held = None

    def abandon(self) -> None:
        """Drops the current utterance: it becomes no turn."""
        assert self.current is not None
        self.current.cancel()
        self.current = None

    def start(self, turn: int, from_ms: int) -> None:
        """The turn begins, with the held or carried utterance if there is one."""
        held, self.held = self.held, None
        if held is not None and self.carried is not self._in_held:
            # It held a reply whose own answer was still being recognised.
            held.cancel()
            self.current = self._utterance(turn, from_ms, self._ready_transcriber(), held)
        elif held is not None:
            self.current = held
        else:
            self.current = self._utterance(turn, from_ms, self._ready_transcriber())
        self.carried = None

    def end(self, typed: str = "") -> Utterance | None:
        """The turn ends: append `typed`, return the utterance; None if nothing was spoken."""
        utterance = self.current or self.carried
        self.current = self.carried = None
        if utterance is not None:
            utterance.typed = f"{utterance.typed} {typed}".strip()
            if typed:  # no silence ended it: what was said so far is in it, up to the last sample
                self._from = utterance.end
        return utterance

    def cancel(self) -> None:
        """The session is over: stop recognising."""
        for utterance in (self.current, self.held):
            if utterance is not None:
                utterance.cancel()

    def _utterance(
        self, turn: int, from_ms: int, stage: Transcriber | None, held: Utterance | None = None
    ) -> Utterance:
        carried = self.carried
        start = max(from_ms * INPUT_RATE_HZ // 1000, self._from)
        lost = 0
        if carried is None:
            audio = self.since(start)
        else:  # the person went on: both parts are recognised as one
            start = max(start, carried.end)
            more = self.since(start) if held is None else held.since(start)
            audio, lost = carried.joined(more)
        return Utterance(
            turn,
            audio,
            self._position,
            stage,
            self._on_partial,
            typed="" if carried is None else carried.typed,
            hints=self._host.hints,
            language=self._language.told,
            lost=lost,
        )

    def _on_partial(self, transcript: Transcript) -> None:
        turn = transcript.turn
        if self.held is not None and self.held.turn == turn:
            self._understood(turn, transcript.text)
        if self.current is not None and self.current.turn == turn:
            self._understood(turn, transcript.text)
            self._emit(transcript)

    def _ready_transcriber(self) -> Transcriber | None:
        """The first recogniser for the language that has a closed breaker, and can start at once;
        None without one."""
        now = asyncio.get_running_loop().time()
        for candidate in self._transcribers.candidates:
            candidate.breaker.poll(now)
            if candidate.breaker.closed and understands(candidate.stage, self._language.told):
                return candidate.stage
        return None
