"""One piece of an utterance from samples to text: what the model hears, judged."""

import logging
import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from pipeline.frames import INPUT_RATE_HZ
from stages._worker_main import Header
from stages.stt._hints import prompt, with_introduction
from stages.stt._levels import Audio, loudest_db
from stages.stt._whisper_model import Abandoned, StoppableWhisper, most_tokens
from stages.stt._whisper_utterance import Heard, is_one_phrase
from stages.stt.speech_check import MOST_COMPRESSION, Hypothesis, Reason, judge

log = logging.getLogger("stages.stt.whisper")

_TEMPERATURES = (0.0, 0.4)
"""The second is tried only if the first gave a phrase without end: it doubles the latency."""

_WINDOW_S = 30.0


def decode(
    model: StoppableWhisper,
    samples: Audio,
    *,
    language: str | None,
    hints: tuple[str, ...],
    options: Header,
) -> Heard:
    """Decode a piece of at most 30 s. Raises Abandoned if the model's `cancelled` is true."""
    audio_s = len(samples) / INPUT_RATE_HZ
    if not len(samples):
        return Heard("", audio_s, "no words")
    language = language or model.language_of(samples)
    model.hints = hints
    segments, _ = model.transcribe(
        samples,
        language=language,
        beam_size=options["beam_size"],
        temperature=_TEMPERATURES,
        best_of=1,
        compression_ratio_threshold=MOST_COMPRESSION,
        # `judge` reads these two: there is text in a window that it does not take for speech.
        log_prob_threshold=None,
        no_speech_threshold=None,
        max_new_tokens=most_tokens(len(samples)),
        condition_on_previous_text=False,
        without_timestamps=options["without_timestamps"] and is_one_phrase(samples),
        word_timestamps=options["word_timestamps"],
        hotwords=prompt(hints, language),
        vad_filter=False,
    )
    level_db = loudest_db(samples)
    windows: list[Heard] = []
    for seek, found in groupby(segments, key=lambda segment: segment.seek):
        if model.cancelled():
            raise Abandoned
        window, window_s = list(found), min(audio_s - seek / 100, _WINDOW_S)
        windows.append(_judged(window, window_s, level_db, hints, language))
    return _together(windows, audio_s, language)


def _judged(
    segments: Sequence[Any],
    audio_s: float,
    level_db: float,
    hints: tuple[str, ...],
    language: str,
) -> Heard:
    """One window's segments, which have their probabilities in common."""
    first = segments[0]
    text = "".join(segment.text for segment in segments)
    sure = (first.avg_logprob, first.no_speech_prob, level_db)
    verdict = judge(Hypothesis(text, audio_s, *sure, with_introduction(hints), language=language))
    log.debug("%s: %r, %.2f, %.2f, %.0f dB", verdict.reason or "speech", text, *sure)
    tokens = sum(len(segment.tokens) for segment in segments)
    if not verdict.text:
        return Heard("", audio_s, verdict.reason, tokens=tokens)
    words = tuple(
        (word.word.strip(), round(word.start * 1000), round(word.end * 1000))
        for segment in segments
        for word in segment.words or ()
    )
    confidence = min(1.0, math.exp(first.avg_logprob))
    return Heard(verdict.text, audio_s, "", None, confidence, words, tokens)


def _together(pieces: Sequence[Heard], audio_s: float, language: str | None) -> Heard:
    spoken = [piece for piece in pieces if piece.text]
    reason: Reason = "" if spoken else pieces[0].reason if pieces else "no words"
    weights = sum(piece.audio_s for piece in spoken)
    sure = sum(piece.audio_s * (piece.confidence or 0.0) for piece in spoken)
    return Heard(
        " ".join(piece.text for piece in spoken),
        audio_s,
        reason,
        language,
        sure / weights if spoken else None,
        tuple(word for piece in spoken for word in piece.words),
        sum(piece.tokens for piece in pieces),
    )


def final(pieces: Sequence[Heard]) -> Header:
    """The header of the utterance's final transcript."""
    languages = [piece.language for piece in pieces if piece.text]
    audio_s = sum(piece.audio_s for piece in pieces)
    whole = _together(pieces, audio_s, languages[0] if languages else pieces[-1].language)
    return {
        "text": whole.text,
        "language": whole.language,
        "confidence": whole.confidence,
        "words": [list(word) for word in whole.words],
        "reason": whole.reason,
    }
