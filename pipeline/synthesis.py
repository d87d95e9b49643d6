"""The synthesis of one sentence: if a voice breaks off, the next voice says the rest."""

import math
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial

from pipeline.budget import TurnBudget
from pipeline.candidate import able, client_reason, replaceable
from pipeline.errors import PipelineError
from pipeline.frames import Sentence, Speech, SpokenWord
from pipeline.guard import Guard, Stream
from pipeline.languages import check_language
from pipeline.outputs import ReplyOutputs
from pipeline.patience import Soon
from pipeline.speakable import Speakable
from pipeline.stage import Converter, Synthesizer
from pipeline.unsaid import later, unsaid

LAG_S = 2.0
"""How far, in all, a voice may fall behind its speech in a sentence if another voice could go on.
Assumed value."""

LEAST_S = 1.0
"""Synthesis always gets this long: a canned line is spoken after the budget has run out."""


class Synthesis:
    """Has a sentence synthesised, by one voice after the other until it is said.

    `said` is its speakable text. `convert` makes the converter for a voice's sample rate. Each call
    of `stream` asks the next voice; `take` counts what it gives, and `cut_off` what it does not.
    """

    def __init__(
        self,
        voices: Guard[Synthesizer],
        sentence: Sentence,
        said: Speakable,
        convert: Callable[[int], Converter],
    ) -> None:
        self._voices = voices
        self._sentence = sentence
        self._said = said
        self._convert = convert
        self._converter: Converter | None = None
        self._done = 0  # characters that another voice has said
        self._gave_way: dict[str, str] = {}  # voices that broke off, and why
        self._part_ms = 0  # where in the sentence this voice began
        self._words: list[SpokenWord] = []  # of this voice, as it told them
        self.rate_hz = 1
        """The sample rate of the voice that is asked; 1 before that, for no samples."""
        self.samples = 0
        """The number of samples that this voice has given."""

    @property
    def converter(self) -> Converter:
        """The converter for the rate of the voice that is asked. Only once it has given speech."""
        assert self._converter is not None
        return self._converter

    @property
    def at_ms(self) -> int:
        """How much of the sentence has been synthesised."""
        return self._part_ms + self.samples * 1000 // self.rate_hz

    @property
    def gave_way(self) -> tuple[str, str] | None:
        """The voice that broke off last, and why; None if none has."""
        return list(self._gave_way.items())[-1] if self._gave_way else None

    def stream(
        self, budget: TurnBudget, soon: Soon, outputs: ReplyOutputs, now: float, *, part_ms: int
    ) -> Stream[Speech]:
        """The next voice's speech of the sentence, from `part_ms` after its beginning."""
        self._part_ms, self._words, self.samples = part_ms, [], 0
        candidates, language = self._voices.line, self._sentence.language
        others = replaceable(candidates, language, now, self._gave_way)
        return self._voices.stream(
            self._speak,
            useful=lambda speech: len(speech.pcm) > 0,
            media_s=lambda speech: len(speech.pcm) / self.rate_hz,
            lag_s=LAG_S if others else math.inf,
            budget_s=max(budget.allow("tts", now), LEAST_S),
            soon=soon,
            probe=not outputs.ahead,
            without=self._gave_way,
            on_degraded=partial(outputs.gave_way, "tts"),
        )

    def _speak(self, stage: Synthesizer) -> AsyncIterator[Speech]:
        check_language("tts", stage, self._sentence.language)
        self.rate_hz = stage.rate_hz
        self._converter = self._convert(stage.rate_hz)
        return stage.speak(replace(self._sentence, text=self._said.text[self._done :]))

    def take(self, speech: Speech) -> Speech:
        """Count a piece of speech; returns it with cues and words as those of the sentence."""
        self.samples += len(speech.pcm)
        self._words += speech.words
        speech = later(speech, self._done, self._part_ms)
        return replace(speech, words=self._said.words(speech.words)) if speech.words else speech

    def cut_off(self, provider: str, error: PipelineError, now: float) -> bool:
        """Note that the voice `provider` broke off. Returns whether another one can say the rest:
        then call `stream` again."""
        rest = unsaid(self._said.text[self._done :], self._words, self.samples / self.rate_hz)
        tried = {*self._gave_way, provider}
        others = able(self._voices.line, self._sentence.language, now, tried)
        if not (others and self.samples and rest is not None):
            return False
        self._done += rest
        self._gave_way[provider] = client_reason(error)
        return True
