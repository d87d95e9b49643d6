"""Stands in for the piper-tts package, with the part of its interface that is used.

A voice's "model" is a text file that says what the voice does. It "synthesises" every sentence as
one chunk: 10 ms of a loud tone for each character.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

RATE_HZ = 16_000


@dataclass
class SynthesisConfig:
    speaker_id: int | None = None
    length_scale: float | None = None


@dataclass
class AudioChunk:
    audio_int16_array: npt.NDArray[np.int16]

    @property
    def audio_int16_bytes(self) -> bytes:
        return self.audio_int16_array.tobytes()


@dataclass
class PiperConfig:
    sample_rate: int


class PiperVoice:
    config = PiperConfig(RATE_HZ)

    def __init__(self, behaviour: str) -> None:
        self._behaviour = behaviour

    @staticmethod
    def load(model_path: str) -> "PiperVoice":
        behaviour = Path(model_path).read_text()
        if behaviour == "broken":
            raise RuntimeError("Protobuf parsing failed")
        return PiperVoice(behaviour)

    def synthesize(
        self, text: str, syn_config: SynthesisConfig | None = None, **_: Any
    ) -> Iterator[AudioChunk]:
        assert syn_config is not None
        for sentence in text.replace("!", "!|").replace(".", ".|").split("|"):
            if "raise" in sentence:
                raise ValueError("no such phoneme")
            if "die" in sentence:
                raise SystemExit(3)
            while "wait" in sentence:
                time.sleep(1)
            if sentence.strip() and "unknown" not in sentence:
                count = len(sentence) * RATE_HZ // 100 * (syn_config.speaker_id or 1)
                tone = np.resize(np.array([9000, -9000], np.int16), count)
                yield AudioChunk(tone)
