"""One utterance in Whisper's worker: its audio, and the state of its partial transcripts."""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from pipeline.frames import INPUT_RATE_HZ
from stages._worker_main import WorkerReply
from stages.stt._agreement import Agreement
from stages.stt._levels import SLICE_SAMPLES, Audio, levels_of
from stages.stt.speech_check import Reason

WINDOW_SAMPLES = 30 * INPUT_RATE_HZ
"""Whisper decodes 30 s at a time."""

PIECE_SAMPLES, _LEAST_PIECE_SAMPLES = 20 * INPUT_RATE_HZ, 8 * INPUT_RATE_HZ
"""A long utterance is decoded in pieces while the person speaks. A piece is cut from the first
audio that has not been decoded, once there are 20 s of it, at the quietest place after 8 s."""

_QUIET_SAMPLES = INPUT_RATE_HZ // 5
"""A quiet place is 200 ms long, as a pause between words is."""

LEAST_TOKENS, MORE_TOKENS = 8, 4
"""The estimate for a partial: at least the first, and the second more than the one before had."""

_LONGEST_PHRASE_SAMPLES = 6 * INPUT_RATE_HZ
_PAUSE_SLICES = 4
"""A pause is longer than 200 ms: the stop of a consonant is shorter."""

_NEWS_BYTES = 2 * INPUT_RATE_HZ // 2
"""A partial begins when there is at least half a second of new audio."""

_SPEECH_RANGE = 1 / 20
"""A slice of 50 ms within 26 dB of the loudest counts as loud."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A piece's text; `reason` says why it is "".

    `words` have their first and last millisecond in the piece, `tokens` is what the decoder wrote,
    `confidence` the mean probability of a token.
    """

    text: str
    audio_s: float
    reason: Reason = ""
    language: str | None = None
    confidence: float | None = None
    words: tuple[tuple[str, int, int], ...] = ()
    tokens: int = 0

    def later(self, start_ms: int) -> "Heard":
        """The same piece with its words' times counted from the utterance's beginning."""
        words = tuple((word, start + start_ms, end + start_ms) for word, start, end in self.words)
        return replace(self, words=words)


@dataclass(slots=True)
class WhisperUtterance:
    """One utterance: the audio that has not been decoded, and the state of its partials.

    `language` is its language's code, None if it is to be found; `hints` are the terms that are
    likely to be said; `before` are the texts of the pieces that have been decoded.
    """

    reply: WorkerReply
    partials: bool
    hints: tuple[str, ...] = ()
    language: str | None = None
    audio: bytearray = field(default_factory=bytearray)
    before: list[Heard] = field(default_factory=list)
    agreement: Agreement = field(default_factory=Agreement)
    loud_at_s: float = -math.inf
    """When audio with a loud end last arrived."""
    seen_bytes: int = 0
    """Bytes of the audio that the last partial had."""
    expected_tokens: int = LEAST_TOKENS
    """The estimate for the next partial."""
    _loudest: float = 1.0

    def feed(self, pcm: bytes, now_s: float) -> None:
        """Keep the next audio."""
        self.audio += pcm
        if not self.partials:
            return
        samples = np.frombuffer(pcm, np.int16).astype(np.float32)
        slices = [samples[max(0, end - SLICE_SAMPLES) : end] for end in _ends(len(samples))]
        levels = [float(np.sqrt(np.mean(slice_ * slice_))) for slice_ in slices]
        self._loudest = max(self._loudest, *levels)
        if levels[-1] > self._loudest * _SPEECH_RANGE:
            self.loud_at_s = now_s

    @property
    def has_news(self) -> bool:
        """Whether there is enough new audio for a partial, and all audio fits one window."""
        return (
            self.partials
            and len(self.audio) >= self.seen_bytes + _NEWS_BYTES
            and len(self.audio) <= 2 * WINDOW_SAMPLES
        )

    @property
    def audio_s(self) -> float:
        """How much audio there is."""
        return len(self.audio) / 2 / INPUT_RATE_HZ

    @property
    def shown(self) -> str:
        """The words of the latest partial."""
        texts = (*(piece.text for piece in self.before), self.agreement.text)
        return " ".join(text for text in texts if text)

    @property
    def has_piece(self) -> bool:
        """Whether there is enough audio for a piece to be decoded on its own."""
        return len(self.audio) >= 2 * PIECE_SAMPLES

    def piece(self) -> bytes:
        """The next piece; the same for the same audio, however it arrived.

        Call `decoded` when it is.
        """
        audio = bytes(self.audio[: 2 * PIECE_SAMPLES])
        samples = np.frombuffer(audio, np.int16).astype(np.float64)
        power = np.concatenate(([0.0], np.cumsum(samples * samples)))
        quiet = power[_QUIET_SAMPLES:] - power[:-_QUIET_SAMPLES]
        cut = _LEAST_PIECE_SAMPLES + int(np.argmin(quiet[_LEAST_PIECE_SAMPLES:]))
        return audio[: 2 * (cut + _QUIET_SAMPLES // 2)]

    def decoded(self, piece: bytes, heard: Heard) -> None:
        """Keep the text of the next piece in place of its audio."""
        before_s = sum(earlier.audio_s for earlier in self.before)
        self.before.append(heard.later(round(before_s * 1000)))
        del self.audio[: len(piece)]
        self.seen_bytes = max(0, self.seen_bytes - len(piece))
        self.agreement = Agreement()


def is_one_phrase(samples: Audio) -> bool:
    """Whether speech is short and has no pause; false where noise would hide one.

    Whisper that writes no times often ends at a pause, and the rest is lost: with tiny.en 3 of 14
    pairs of sentences with 0.3 s between them, and 4 with 1 s; with times none, for a sixth more
    work. Times cost words in short phrases: 4 of 66 words of human speech in place of 2.
    """
    if len(samples) > _LONGEST_PHRASE_SAMPLES:
        return False
    levels = levels_of(samples)
    loud = np.flatnonzero(levels > levels.max() * _SPEECH_RANGE)
    if len(loud) == len(levels):
        return False
    return int(np.diff(loud, prepend=loud[:1]).max(initial=0)) <= _PAUSE_SLICES


def _ends(length: int) -> range:
    """The ends of the slices; the last slice ends with the audio."""
    return range(length % SLICE_SAMPLES or min(length, SLICE_SAMPLES), length + 1, SLICE_SAMPLES)
