"""faster-whisper's model with decodes that are short and can be stopped, as a conversation needs.

Whisper was trained on 30 s, and shorter audio is padded with silence. The encoder costs as much for
the silence as for the speech, so only the speech and a second after it are encoded here; the rest
of the 30 s is the encoder's output for silence, which was computed once. The decoder sees a whole
window and ends where it should. Measured with tiny.en in int8 on 13 clips of 2 to 12 s and 60
synthetic sentences, half of them in noise (10 dB):

==========================================  ======================  ============  =============
the decoder sees                            word error rate          without end   encoder, 9 s
                                            (answers, human, noise)
==========================================  ======================  ============  =============
30 s, all encoded                           0.028, 0.030, 0.043      0 of 73       520 ms
speech and 1 s                              0.036, 0.061, 0.049      9 of 73       100 ms
speech and 3 s                              0.036, 0.076, 0.043      1 of 73       100 ms
speech and 1 s, and the output of silence   0.032, 0.030, 0.041      0 of 73       100 ms
==========================================  ======================  ============  =============

"Without end" are texts that repeat themselves. With 5 s of the silence in place of all of it the
decoder was a fifth faster, but made twice the errors on human speech.

The encoder's call cannot be interrupted. The decoder could produce a few tokens at a time, but
would read its own tokens again each time: 40 tokens in slices of 8 were measured at twice to three
times the cost.
"""

import ctypes
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from ctranslate2 import DataType, StorageView
from faster_whisper import WhisperModel
from faster_whisper.audio import pad_or_trim
from faster_whisper.feature_extractor import FeatureExtractor
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens

from pipeline.frames import INPUT_RATE_HZ
from stages.stt._english_words import EnglishWords
from stages.stt._levels import Audio
from stages.stt._second_look import GUESSES, Guess, better
from stages.stt._whisper_utterance import WINDOW_SAMPLES

_LONGEST = 448
"""Whisper's positions. CTranslate2 gives at most half as many tokens."""

_WINDOW_FRAMES, _MARGIN_FRAMES = 3000, 100
"""Frames of 10 ms: the window, and how much of the silence after the speech is encoded with it."""

_FRAME_SAMPLES = INPUT_RATE_HZ // 100

_TOKENS_PER_S, _MORE_TOKENS, _MOST_TOKENS = 10, 12, 220
"""A bound for the decoder: fast speech has 5 tokens a second in English, 8 in other languages."""

_SPACE = "\u0120"
"""A space before a word, in the names of Whisper's tokens."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


@dataclass(frozen=True, slots=True)
class Glance:
    """A quick transcript of the audio so far; `language` is its code, `tokens` its length."""

    text: str
    language: str
    tokens: int
    avg_logprob: float
    no_speech_prob: float


class _Result(NamedTuple):
    """The decoder's result as far as `transcribe` reads it."""

    sequences_ids: list[list[int]]
    scores: list[float]
    no_speech_prob: float


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
    """A `WhisperModel` that encodes no silence and can be stopped.

    The same window is encoded only once. `cancelled` is called before and after the encoder; if it
    returns true, `Abandoned` is raised. `frame_s` is how long the encoder last took for a frame of
    10 ms, and `decode_s` how long the decoder took, without a second look: where there are `words`,
    an English text with a word that is none of them, nor one of the `hints`, is decoded again
    (`stages.stt._second_look`).
    """

    def __init__(self, directory: str, **options: Any) -> None:
        super().__init__(directory, device="cpu", local_files_only=True, **options)
        bands: int = self.model.n_mels
        if bands != self.feat_kwargs.get("feature_size", 80):
            # Without preprocessor_config.json faster-whisper takes 80 bands; large-v3 has 128.
            self.feature_extractor: Any = FeatureExtractor(feature_size=bands)
        self.cancelled: Callable[[], bool] = lambda: False
        self.frame_s = self.decode_s = 0.0
        self.words: EnglishWords | None = None
        self.hints: Sequence[str] = ()
        self._window: Audio | None = None
        self._encoded: Any = None
        mels = self.feature_extractor.mel_filters.shape[0]
        self._silence = self._output(np.zeros((mels, 0), np.float32), _WINDOW_FRAMES)

    def encode(self, features: Audio) -> Any:
        """The encoder's output for one window of features."""
        if self._window is not None and np.array_equal(features, self._window):
            return self._encoded
        if self.cancelled():
            raise Abandoned
        started = time.perf_counter()
        loud = np.flatnonzero(features.any(axis=0))  # the padding is zeros
        heard = int(loud[-1]) + 1 if len(loud) else 0
        frames = min(_WINDOW_FRAMES, (heard + _MARGIN_FRAMES + 1) // 2 * 2)
        speech = self._output(features[:, :heard], frames)
        silence = self._silence[:, speech.shape[1] :]
        encoded = StorageView.from_array(np.concatenate((speech, silence), axis=1))
        self.frame_s = (time.perf_counter() - started) / frames
        self._window, self._encoded = features, encoded
        if self.cancelled():
            raise Abandoned
        return encoded

    @staticmethod
    def frames_of(samples: int) -> int:
        """The number of frames that are encoded for this number of samples."""
        return min(_WINDOW_FRAMES, samples // _FRAME_SAMPLES + _MARGIN_FRAMES)

    def _output(self, features: Audio, frames: int) -> Audio:
        """The encoder's output for features [mels, n] padded to `frames`: [1, frames / 2, d]."""
        encoded = super().encode(pad_or_trim(features, frames))
        output: Audio = np.asarray(encoded.to(DataType.float32))
        return output

    def generate_with_fallback(
        self, encoded: Any, prompt: list[int], tokenizer: Tokenizer, options: Any
    ) -> Any:
        """The decoder's part of `transcribe`: the result, its mean log probability, its temperature
        and its compression ratio."""
        started = time.perf_counter()
        found = super().generate_with_fallback(encoded, prompt, tokenizer, options)
        self.decode_s = time.perf_counter() - started
        english = self.words is not None and tokenizer.language_code == "en"
        if not english or found[2] > 0 or self.cancelled():
            return found
        return self._looked_at_again(found, encoded, tokenizer, options)

    def _looked_at_again(self, found: Any, encoded: Any, tokenizer: Tokenizer, options: Any) -> Any:
        """The result of `generate_with_fallback`, or one with a better text for the same sound."""
        first, _, temperature, compression = found
        text = _text(tokenizer, first.sequences_ids[0])
        if not self._made_up(text):
            return found
        prompt = self.get_prompt(tokenizer, [], without_timestamps=options.without_timestamps)
        [again] = self.model.generate(
            encoded,
            [prompt],
            beam_size=GUESSES,
            num_hypotheses=GUESSES,
            max_length=min(_LONGEST, len(prompt) + options.max_new_tokens),
            suppress_tokens=options.suppress_tokens,
            return_scores=True,
        )
        guesses = [
            Guess(_text(tokenizer, tokens), score)
            for tokens, score in zip(again.sequences_ids, again.scores, strict=True)
        ]
        chosen = better(text, guesses, self._made_up, self.hints)
        if chosen is None:
            return found
        tokens, score = again.sequences_ids[chosen], again.scores[chosen]
        result = _Result([tokens], [score], first.no_speech_prob)
        return result, score * len(tokens) / (len(tokens) + 1), temperature, compression

    def _made_up(self, text: str) -> list[str]:
        """The words that are neither English nor hints nor in the model's own vocabulary."""

        def known(word: str) -> bool:
            return word in hinted or self.hf_tokenizer.token_to_id(_SPACE + word) is not None

        hinted = {word for hint in self.hints for word in hint.casefold().split()}
        return [] if self.words is None else self.words.made_up(text, known)

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
        """Decode at most 30 s greedily; pauses between encoder and decoder."""
        encoded = self.encode(pad_or_trim(self.feature_extractor(audio)[:, :-1]))
        yield
        if not self.model.is_multilingual:
            language = "en"
        if language is None:
            language = str(self.model.detect_language(encoded)[0][0][0])[2:-2]
        tokenizer = Tokenizer(
            self.hf_tokenizer, self.model.is_multilingual, task="transcribe", language=language
        )
        prompt = self.get_prompt(tokenizer, [], hotwords=hotwords)  # times: see `is_one_phrase`
        suppressed = get_suppressed_tokens(tokenizer, [-1])
        [result] = self.model.generate(
            encoded,
            [prompt],
            beam_size=1,
            max_length=min(_LONGEST, len(prompt) + most_tokens(len(audio))),
            suppress_tokens=suppressed,
            return_scores=True,
            return_no_speech_prob=True,
        )
        tokens = result.sequences_ids[0]
        written = sum(token < tokenizer.eot for token in tokens)
        text = _text(tokenizer, tokens)
        return Glance(text, language, written, result.scores[0], result.no_speech_prob)


def most_tokens(samples: int) -> int:
    """The most tokens that a window of this many samples may have."""
    heard_s = min(samples, WINDOW_SAMPLES) / INPUT_RATE_HZ
    return min(_MOST_TOKENS, _MORE_TOKENS + int(_TOKENS_PER_S * heard_s))


def _text(tokenizer: Tokenizer, tokens: Sequence[int]) -> str:
    """The text of tokens, without times."""
    text: str = tokenizer.decode([token for token in tokens if token < tokenizer.eot])
    return text.strip()
