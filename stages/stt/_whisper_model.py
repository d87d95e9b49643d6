"""faster-whisper's model with decodes that can be stopped, as a conversation needs.

The encoder always processes 30 s, in one call that cannot be interrupted; it is the larger part of
a decode. The decoder could produce a few tokens at a time, but would read its own tokens again each
time: 40 tokens in slices of 8 were measured at twice to three times the cost.
"""

import ctypes
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel
from faster_whisper.audio import pad_or_trim
from faster_whisper.feature_extractor import FeatureExtractor
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens

Audio = npt.NDArray[np.float32]
"""16 kHz, -1 to 1."""

_LONGEST = 448
"""Whisper's positions. CTranslate2 gives at most half as many tokens."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


@dataclass(frozen=True, slots=True)
class Glance:
    """A quick transcript of the audio so far; `language` is its code, `tokens` its length."""

    text: str
    language: str
    tokens: int


class Abandoned(Exception):
    """The decode was cancelled."""


def keep_memory() -> None:
    """Have glibc keep all memory that it has allocated, for this whole process.

    The encoder's attention takes blocks of 54 MB (6 heads, 1500 × 1500) for every layer; beyond
    32 MB glibc gets each from the system anew. A tiny model on one core was measured with 77 000
    page faults a decode and 320 ms in the encoder, without them 190 ms, for 95 MB of memory that
    stays. Does nothing where there is no glibc.
    """
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


class StoppableWhisper(WhisperModel):  # type: ignore[misc]  # it has no types
    """A `WhisperModel` that can be stopped, and that encodes the same window only once.

    `cancelled` is called before and after the encoder; if it returns true, `Abandoned` is raised.
    `encode_s` is how long the encoder last took, `decode_s` the decoder.
    """

    def __init__(self, directory: str, **options: Any) -> None:
        super().__init__(directory, device="cpu", local_files_only=True, **options)
        bands: int = self.model.n_mels
        if bands != self.feat_kwargs.get("feature_size", 80):
            # Without preprocessor_config.json faster-whisper takes 80 bands; large-v3 has 128.
            self.feature_extractor: Any = FeatureExtractor(feature_size=bands)
        self.cancelled: Callable[[], bool] = lambda: False
        self.encode_s = self.decode_s = 0.0
        self._window: Audio | None = None
        self._encoded: Any = None

    def encode(self, features: Audio) -> Any:
        """The encoder's output for one window of features."""
        if self._window is not None and np.array_equal(features, self._window):
            return self._encoded
        if self.cancelled():
            raise Abandoned
        started = time.perf_counter()
        encoded = super().encode(features)
        self.encode_s = time.perf_counter() - started
        self._window, self._encoded = features, encoded
        if self.cancelled():
            raise Abandoned
        return encoded

    def generate_with_fallback(self, *arguments: Any, **options: Any) -> Any:
        """The decoder's part of `transcribe`."""
        started = time.perf_counter()
        result = super().generate_with_fallback(*arguments, **options)
        self.decode_s = time.perf_counter() - started
        return result

    def language_of(self, audio: Audio) -> str:
        """The language of the first 30 s: their encoding serves the decode that follows."""
        if not self.model.is_multilingual:
            return "en"
        # faster-whisper never decodes the last frame: without it, this is the same window.
        language: str = self.detect_language(features=self.feature_extractor(audio)[:, :-1])[0]
        return language

    def glance(
        self, audio: Audio, language: str | None, hotwords: str | None
    ) -> "Generator[None, None, Glance]":
        """Decode at most 30 s greedily, without times; pauses between encoder and decoder."""
        encoded = self.encode(pad_or_trim(self.feature_extractor(audio)[:, :-1]))
        yield
        if not self.model.is_multilingual:
            language = "en"
        if language is None:
            language = str(self.model.detect_language(encoded)[0][0][0])[2:-2]
        tokenizer = Tokenizer(
            self.hf_tokenizer, self.model.is_multilingual, task="transcribe", language=language
        )
        prompt = self.get_prompt(tokenizer, [], without_timestamps=True, hotwords=hotwords)
        suppressed = get_suppressed_tokens(tokenizer, [-1])
        [result] = self.model.generate(
            encoded, [prompt], beam_size=1, max_length=_LONGEST, suppress_tokens=suppressed
        )
        tokens = [token for token in result.sequences_ids[0] if token < tokenizer.eot]
        text: str = tokenizer.decode(tokens)
        return Glance(text.strip(), language, len(tokens))
