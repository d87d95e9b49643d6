"""The answers of transcription servers, in their several forms, and the text that counts. Pure.

The form is OpenAI's `json` and `verbose_json`. Servers differ: numbers come as text, fields are
null or missing, words have no times, stand in the segments or are called `text`, segments lack
their text, probabilities are NaN. Only a reply without any text is none; everything else that
cannot be read is taken as not known.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import Any

from pipeline.frames import Transcript, Word
from stages.stt._server_languages import code_of
from stages.stt.speech_check import Hypothesis, Reason, judge

MAX_CHARACTERS = 20_000
"""Two minutes of speech have fewer: a longer transcript is an error of the recogniser."""

_MOST_SEGMENTS = 300
"""More segments than two minutes of speech have are not judged one by one."""

_MOST_OBJECTS = 5_000
"""The most segments, and the most words, that are read."""

_CUT_OUT: tuple[Reason, ...] = ("no words", "no speech", "improbable", "repeated", "hints")


class NoTranscription(ValueError):
    """A reply without a text, or with one beyond all measure."""


@dataclass(frozen=True, slots=True)
class UploadedSpeech:
    """The audio that a server was sent: its length and level, the prompt's terms, the language.

    `loudest_db` is as in `stages.stt.speech_check.Hypothesis`; `language` is None if the server
    has to find it.
    """

    audio_s: float
    loudest_db: float | None = None
    hints: tuple[str, ...] = ()
    language: str | None = None

    def judged(self, piece: "Piece") -> tuple[str, Reason]:
        """The words of a piece that a person said, or "" and the reason."""
        verdict = judge(
            Hypothesis(
                piece.text,
                self.audio_s,
                piece.avg_logprob,
                piece.no_speech_prob,
                self.loudest_db,
                self.hints,
                piece.compression_ratio,
                self.language,
            )
        )
        return verdict.text, verdict.reason


@dataclass(frozen=True, slots=True)
class Piece:
    """Segments that were decoded together; what is not known is None. Times are in seconds."""

    text: str
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    start_s: float | None = None
    end_s: float | None = None

    @property
    def weight(self) -> float:
        """How much the piece counts in a mean."""
        if self.start_s is None or self.end_s is None:
            return 0.01
        return min(max(self.end_s - self.start_s, 0.01), 1000.0)

    def covers(self, time_s: float) -> bool:
        """Whether the piece has this time."""
        return (
            self.start_s is not None
            and self.end_s is not None
            and self.start_s <= time_s < self.end_s
        )


def transcript(
    turn: int, reply: dict[str, Any], upload: UploadedSpeech
) -> tuple[Transcript, Reason]:
    """The final transcript of a reply, and the reason if its text is "".

    A segment that is no speech is left out of the text, with its words. Raises `NoTranscription`.
    """
    language = upload.language or code_of(reply)
    upload = replace(upload, language=language)
    segments = _objects(reply.get("segments"))
    text = _text(reply, segments)
    pieces = _pieces(text, segments)
    kept, dropped, reason = _sorted_out(pieces, upload)
    heard = ""
    if kept:
        together = kept[0] if len(kept) == 1 else _surest(_joined(kept, text), kept)
        heard, reason = upload.judged(together)
    if not heard:
        return Transcript(turn, "", final=True, language=language), reason
    words = tuple(
        word
        for word in islice(_words(reply, segments), _MOST_OBJECTS)
        if not any(piece.covers((word.start_ms + word.end_ms) / 2000) for piece in dropped)
    )
    logprob = _mean([(piece.avg_logprob, piece.weight) for piece in kept])
    confidence = None if logprob is None else min(1.0, math.exp(logprob))
    return Transcript(turn, heard, True, language, confidence, words), ""


def _text(reply: dict[str, Any], segments: Sequence[dict[str, Any]]) -> str:
    text = _said(reply.get("text"))
    if text is None and isinstance(reply.get("segments"), list):
        text = "".join(_said(segment.get("text")) or "" for segment in segments)
    if text is None:
        raise NoTranscription("there is no text")
    if len(text) > MAX_CHARACTERS:
        raise NoTranscription(f"a text of more than {MAX_CHARACTERS} characters")
    return text.strip()


def _said(value: Any) -> str | None:
    """Text, or a list of texts or of objects that have one; None for anything else."""
    if isinstance(value, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in value]
        texts = [part.strip() for part in parts if isinstance(part, str)]
        value = " ".join(texts) if texts else None
    return whole(value) if isinstance(value, str) else None


def whole(text: str) -> str:
    """The text without lone surrogates, which JSON may have and UTF-8 has not."""
    return text.encode(errors="replace").decode()


def _pieces(text: str, segments: Sequence[dict[str, Any]]) -> list[Piece]:
    """The pieces, each judged on its own; only one if the segments' text is not the reply's."""
    read = [(_piece(segment), segment.get("seek")) for segment in segments]
    alike = "".join("".join(piece.text for piece, _ in read).split()) == "".join(text.split())
    if not alike or not 1 < len(read) <= _MOST_SEGMENTS:
        return [_merged([piece for piece, _ in read], text)]
    pieces = []
    for seek, found in groupby(read, key=lambda pair: _number(pair[1])):
        group = [piece for piece, _ in found]
        if seek is None:  # the ratio may be that of a window of several segments
            pieces += [replace(piece, compression_ratio=None) for piece in group]
        else:
            pieces.append(_merged(group, "".join(piece.text for piece in group)))
    return pieces


def _sorted_out(
    pieces: Sequence[Piece], upload: UploadedSpeech
) -> tuple[list[Piece], list[Piece], Reason]:
    """The pieces to be judged together, those that are no speech, and the first reason."""
    if len(pieces) == 1:
        return [*pieces], [], ""
    kept: list[Piece] = []
    dropped: list[Piece] = []
    first: Reason = "no words"
    begins = True
    for piece in pieces:
        text, reason = upload.judged(piece)
        # In mid-sentence, a segment may look like a line of subtitles: "translated by the team".
        alone = begins and piece.text.strip()[:1].isupper()
        begins = piece.text.rstrip().endswith((".", "!", "?", "\u2026"))
        if text or not (reason in _CUT_OUT or (reason == "subtitles" and alone)):
            kept.append(piece)
            continue
        first = first if dropped else reason
        dropped.append(piece)
    return kept, dropped, first


def _joined(pieces: Sequence[Piece], text: str) -> str:
    """The pieces' text with the spaces that the reply's text has."""
    whole = " ".join("".join(piece.text for piece in pieces).split())
    if whole in " ".join(text.split()):
        return whole
    return " ".join(piece.text.strip() for piece in pieces)


def _surest(text: str, pieces: Sequence[Piece]) -> Piece:
    """Pieces that count, as one: as sure as the surest, so that only its text is judged again."""
    logprobs = [piece.avg_logprob for piece in pieces if piece.avg_logprob is not None]
    silences = [piece.no_speech_prob for piece in pieces if piece.no_speech_prob is not None]
    return Piece(text, max(logprobs, default=None), min(silences, default=None))


def _merged(pieces: Sequence[Piece], text: str) -> Piece:
    ratios = [piece.compression_ratio for piece in pieces if piece.compression_ratio is not None]
    starts = [piece.start_s for piece in pieces if piece.start_s is not None]
    ends = [piece.end_s for piece in pieces if piece.end_s is not None]
    return Piece(
        text,
        _mean([(piece.avg_logprob, piece.weight) for piece in pieces]),
        _mean([(piece.no_speech_prob, piece.weight) for piece in pieces]),
        max(ratios, default=None),
        min(starts, default=None),
        max(ends, default=None),
    )


def _mean(values: Sequence[tuple[float | None, float]]) -> float | None:
    """The mean of what is known, each value with its weight."""
    known = [(value, weight) for value, weight in values if value is not None]
    if not known:
        return None
    return sum(value * weight for value, weight in known) / sum(weight for _, weight in known)


def _piece(segment: dict[str, Any]) -> Piece:
    logprob = _number(segment.get("avg_logprob"))
    silence = _number(segment.get("no_speech_prob"))
    return Piece(
        _said(segment.get("text")) or "",
        logprob if logprob is not None and logprob <= 0.0 else None,
        silence if silence is not None and 0.0 <= silence <= 1.0 else None,
        _number(segment.get("compression_ratio")),
        _number(segment.get("start")),
        _number(segment.get("end")),
    )


def _words(reply: dict[str, Any], segments: Sequence[dict[str, Any]]) -> Iterator[Word]:
    """The words with usable times, of the reply or of its segments."""
    words = _objects(reply.get("words")) or [
        word for segment in segments for word in _objects(segment.get("words"))
    ]
    for word in words:
        text = word.get("word", word.get("text"))
        start_s, end_s = _number(word.get("start")), _number(word.get("end"))
        if not isinstance(text, str) or not text.strip() or start_s is None or end_s is None:
            continue
        if 0.0 <= start_s <= end_s < _LATEST_S:
            yield Word(whole(text.strip()), round(start_s * 1000), round(end_s * 1000))


_LATEST_S = 1000.0
"""No upload is as long: a later time is one in milliseconds, or none."""


def _objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list, as many as are read."""
    if not isinstance(value, list):
        return []
    return [item for item in value[:_MOST_OBJECTS] if isinstance(item, dict)]


def _number(value: Any) -> float | None:
    """A finite number, also if it is written as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if math.isfinite(number) else None
