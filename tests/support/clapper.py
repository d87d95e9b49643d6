"""Flash and beep: an interviewer whose mouth is wide open exactly while it beeps.

Every word is a beep with the mouth shape `aa` under it, so the flash is the face's own mouth in the
real pipeline: synthesizer, cues, timeline, encoder, RTP. `viewer` measures what comes out.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np

from pipeline.breaker import Breaker
from pipeline.frames import Sentence, Speech, SpokenWord, Viseme
from pipeline.guard import Candidate, Guard
from pipeline.session import Stages
from stages.fakes import FakeResponder
from tests.support.webrtc import Doorway

BEEP_MS = 140
BEEP_HZ = 1_000
PAUSES_MS = [290 + n * 37 % 120 for n in range(50)]
"""Before each beep. Their lengths shift it against the pictures' slots."""


class Clapper:
    """A synthesizer that beeps once a word, for `beep_ms`."""

    provider = "clapper"
    rate_hz = 24_000

    def __init__(self, beep_ms: int) -> None:
        self._beep_ms = beep_ms
        self._words = 0

    async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        at_ms = offset = 0
        for word in sentence.text.split():
            offset = sentence.text.index(word, offset)
            pause_ms = PAUSES_MS[self._words % len(PAUSES_MS)]
            self._words += 1
            beep = np.arange(self._beep_ms * self.rate_hz // 1000) / self.rate_hz
            pcm = np.concatenate(
                (
                    np.zeros(pause_ms * self.rate_hz // 1000, np.int16),
                    (12_000 * np.cos(2 * np.pi * BEEP_HZ * beep)).astype(np.int16),
                )
            )
            cue = Viseme(at_ms + pause_ms, self._beep_ms, "aa")
            said = SpokenWord(offset, len(word), at_ms + pause_ms)
            yield Speech(sentence.turn, pcm, (cue,), (said,))
            at_ms += pause_ms + self._beep_ms
            offset += len(word)

    async def aclose(self) -> None:
        pass


class Theatre(Doorway):
    """A gateway whose interviewer says the same number of words in every reply."""

    def __init__(self, folder: Path, words: int, beep_ms: int = BEEP_MS) -> None:
        super().__init__(folder)
        self.settings["avatar_video"] = "auto"
        self.synthesizer = Clapper(beep_ms)
        self._words = words

    def scripted(self) -> Stages:
        responder = FakeResponder(text=" ".join(["tock"] * self._words))
        stt, tts = self.transcriber, self.synthesizer
        return Stages(
            self.detector,
            Guard("stt", [Candidate(stt.provider, stt, Breaker())]),
            Guard("llm", [Candidate(responder.provider, responder, Breaker())]),
            Guard("tts", [Candidate(tts.provider, tts, Breaker())]),
        )

    def steady(self) -> None:
        """From now on pictures are not made cheaper."""
        self.app.state.runtime.studio.ladder._change = lambda step: None
