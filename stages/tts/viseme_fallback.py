"""A mouth for every voice: its shapes follow the sound where a synthesizer tells no timing."""

from collections.abc import AsyncGenerator, Iterator
from typing import Any

import numpy as np

from pipeline.frames import Samples, Sentence, Speech, SpokenWord
from pipeline.stage import Synthesizer
from stages.avatar.energy import WINDOW_MS, EnergyMouth

PIECE_MS = 200
"""The longest piece handed on at once."""


class VisemeFallback:
    """A `pipeline.stage.Synthesizer` like the one it has, whose every sentence has visemes.

    Whether a sentence is timed shows in its first audio. Timed speech passes as it is; any other
    is handed on in pieces of 40 to 200 ms with the cues for them, so that no sound comes before its
    shapes. What stands in for the timing is `stages.avatar.energy`.
    """

    def __init__(self, stage: Synthesizer) -> None:
        self._stage = stage

    @property
    def provider(self) -> str:
        return self._stage.provider

    @property
    def rate_hz(self) -> int:
        """The synthesizer's own, which it may learn only when it starts."""
        return self._stage.rate_hz

    def __getattr__(self, name: str) -> Any:
        """What only some synthesizers have, such as `stats` of a worker process."""
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
            # An iterator need not have it. The guard bounds how long this may take.
            if (aclose := getattr(speeches, "aclose", None)) is not None:
                await aclose()

    async def aclose(self) -> None:
        await self._stage.aclose()


class Timing:
    """One sentence's. Pure. At least one sample waits until the end is known, so that the last
    piece has the cue that closes the mouth."""

    def __init__(self, turn: int, rate_hz: int) -> None:
        self._turn = turn
        self._mouth = EnergyMouth(rate_hz)
        self._kept: Samples = np.zeros(0, np.int16)
        self._words: tuple[SpokenWord, ...] = ()
        self._timed = False

    def push(self, speech: Speech) -> Iterator[Speech]:
        """Take the next speech; give what can be heard now."""
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
        """The sentence is over: its last piece, if it had any audio."""
        if len(self._kept):
            yield self._piece(len(self._kept), last=True)

    def _piece(self, size: int, *, last: bool = False) -> Speech:
        pcm, self._kept = self._kept[:size], self._kept[size:]
        words, self._words = self._words, ()
        return Speech(self._turn, pcm, self._mouth.cues(pcm, last=last), words)
