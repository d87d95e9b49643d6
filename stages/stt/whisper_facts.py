"""The weights that Whisper would use here, for `parley doctor`: the worker's choice, not loaded."""

from dataclasses import dataclass
from pathlib import Path

from stages.stt.whisper_models import MEGABYTES, BadWeights, verify
from stages.stt.whisper_sources import Weights, plan
from stages.stt.whisper_speeds import (
    ANSWER_S,
    IN_TIME_S,
    machine,
    preferred,
    read,
    speeds_file,
)


@dataclass(frozen=True, slots=True)
class WhisperFacts:
    """`weights` are those that would be used, None if there are none. `answer_s` is the measured
    time for an answer of 10 s, None before the first start. `passed` says why better ones are not
    used."""

    weights: Weights | None
    answer_s: float | None
    passed: tuple[str, ...]

    def __str__(self) -> str:
        weights = self.weights
        if weights is None:
            return "; ".join(self.passed) or "there are no weights on this machine"
        words = [weights.name, weights.source, weights.licence or "licence unknown"]
        words.append("SHA-256 verified" if weights.hashes else "SHA-256 unknown")
        if self.answer_s is None:
            words.append("its speed is measured at the first start")
        else:
            words.append(f"{self.answer_s:.2f} s for a {ANSWER_S:g} s answer, as measured here")
        return "; ".join([", ".join(words), *self.passed])

    @property
    def advice(self) -> str:
        """A way to make recognition better here; empty if there is none."""
        weights, took_s = self.weights, self.answer_s
        if weights is None:
            return "parley fetch base"
        small = weights.name in ("tiny", "tiny.en")
        if took_s is not None and took_s > IN_TIME_S:
            if small:
                return "a faster machine: replies wait for this one, and no weights are smaller"
            quick = "tiny.en" if weights.english_only else "tiny"
            return f"replies wait for what takes over {IN_TIME_S:g} s: WHISPER_MODEL={quick}"
        if small:
            return "fewer errors, and other languages: parley fetch base" + self._expected("base")
        return ""

    def _expected(self, name: str) -> str:
        if self.weights is None or self.answer_s is None or self.weights.name not in MEGABYTES:
            return ""
        took_s = self.answer_s * MEGABYTES[name] / MEGABYTES[self.weights.name]
        return f" (about {took_s:.1f} s for a {ANSWER_S:g} s answer)"


def expected(
    model: str, data_dir: Path | None, language: str | None, *, stand_in: bool
) -> Weights | None:
    """The weights that will be loaded if they are sound; None if there are none."""
    groups = plan(model, data_dir, language, stand_in=stand_in).groups
    if not groups:
        return None
    answers_s = {} if data_dir is None else read(speeds_file(data_dir), machine())
    return preferred(groups[0], answers_s)


def whisper_facts(model: str, data_dir: Path, language: str | None = None) -> WhisperFacts:
    """The weights that would be used for `model`, see `stages.stt.whisper_sources.plan`.

    Reads the weights, to verify their hashes: 75 MB take about 0.1 s.
    """
    found = plan(model, data_dir, language)
    answers_s = read(speeds_file(data_dir), machine())
    passed = [*found.missed]
    for group in found.groups:
        sound = [*group]
        while sound:
            weights = preferred(sound, answers_s)
            try:
                verify(weights.folder, weights.hashes, weights.advice)
            except BadWeights as error:
                passed.append(str(error))
                sound.remove(weights)
            else:
                return WhisperFacts(weights, answers_s.get(weights.identity), tuple(passed))
    return WhisperFacts(None, None, tuple(passed))
