"""Mouth shapes for every voice, made from the sound if a synthesizer gives no timing."""

from collections.abc import AsyncGenerator, Iterator
from typing import Any

import numpy as np

from pipeline.frames import Samples, Sentence, Speech, SpokenWord
from pipeline.stage import Synthesizer
from stages.avatar.energy import WINDOW_MS, EnergyMouth

PIECE_MS = 200
"""The longest piece passed on at once."""


class VisemeFallback:
    """Wraps a `pipeline.stage.Synthesizer` so that every sentence has visemes.

    The first audio shows whether a sentence has timing. Timed speech passes unchanged; other speech
    is passed on in pieces of 40 to 200 ms with their cues from `stages.avatar.energy`, so that no
    sound comes before its shapes.
    """

    def __init__(self, stage: Synthesizer) -> None:
        self._stage = stage

    @property
    def provider(self) -> str:
        return self._stage.provider

    @property
    def rate_hz(self) -> int:
        """The synthesizer's own rate, which may be known only after its start."""
        return self._stage.rate_hz

    def __getattr__(self, name: str) -> Any:
        """Attributes that only some synthesizers have, such as `stats` of a worker process."""
        return getattr(self._stage, name)

    async def speak(self, sentence: Sentence) -> AsyncGenerator[Speech, None]:
        """Stream one sentence's audio. Raises, and is cancelled, as the synthesizer's own."""
        timing = Timing(sentence.turn, self.rate_hz)
        speeches = self._stage.speak(sentence)
        try:
            async for speech in speeches:
                for piece in timing.push(speech):
                    yield piece
            for piece in timing.finish():
                yield piece
        finally:
            # Not every iterator has `aclose`. The guard bounds the time that it takes.
            if (aclose := getattr(speeches, "aclose", None)) is not None:
                await aclose()

    async def aclose(self) -> None:
        await self._stage.aclose()


class Timing:
    """The timing of one sentence. Pure. At least one sample waits for the end of the sentence, so
    that the last piece has the cue that closes the mouth."""

    def __init__(self, turn: int, rate_hz: int) -> None:
        self._turn = turn
        self._mouth = EnergyMouth(rate_hz)
        self._kept: Samples = np.zeros(0, np.int16)
        self._words: tuple[SpokenWord, ...] = ()
        self._timed = False

    def push(self, speech: Speech) -> Iterator[Speech]:
        """Take the next speech; returns the pieces that can be played now."""
        if self._timed or speech.cues:
            yield from self.finish()
            self._timed = True
            yield speech
            return
        self._kept = np.concatenate((self._kept, speech.pcm))
        self._words += speech.words
        window = self._mouth.window
        longest = PIECE_MS // WINDOW_MS * window
        while len(self._kept) > window:
            yield self._piece(min((len(self._kept) - 1) // window * window, longest))

    def finish(self) -> Iterator[Speech]:
        """End the sentence; returns its last piece, if it had any audio."""
        if len(self._kept):
            yield self._piece(len(self._kept), last=True)

    def _piece(self, size: int, *, last: bool = False) -> Speech:
        pcm, self._kept = self._kept[:size], self._kept[size:]
        words, self._words = self._words, ()
        return Speech(self._turn, pcm, self._mouth.cues(pcm, last=last), words)
