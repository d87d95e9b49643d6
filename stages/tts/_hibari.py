"""The hibari voice inside its worker process: the sentences of all sessions, slice by slice.

A step is a few milliseconds of work: to read the text, to plan a part, or to make a slice of
sound. The sentence of which the least sound has been made gets the next step, so that a new
sentence begins at once, however long the others are. Between two steps, messages are handled: a
cancelled sentence ends there.
"""

import math
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from pipeline.frames import SpokenWord, Viseme
from stages._worker_main import Header, LoadError, WorkerReply
from stages.tts._hibari_package import (
    LONGEST,
    HibariPackage,
    SpeechPlan,
    Token,
    UnreadableText,
    WrongModel,
)
from stages.tts._misaki import shapes
from stages.tts._phoneme_times import ROW_MS, Times, times
from stages.tts._waveform import LOOK_AHEAD, RATE_HZ, ROW, Waveform
from stages.tts.loudness import LevelStream, VoiceLevel
from stages.tts.pronunciation import EnglishReading, Pronunciation
from stages.tts.visemes import timeline

FIRST_ROWS, ROWS = 16, 64
"""The first slice of a part has 200 ms, the others 800 ms."""

_HELD_ROWS = 1
"""Rows after a row that are needed for its loudness (2.4 ms of them)."""

_LEVEL = VoiceLevel.toward_target(loudness_lufs=-26.1)
"""Of the voice, measured over the question banks."""

_WARM_UP = "Which of the 3 parts was yours, and what did you learn from Mrs. Whatshername about it?"
"""A text for the first run, which allocates memory; it has what most sentences have."""

_ENDS = frozenset(".!?…")
_BREAKS = frozenset(",;:—") | _ENDS
_PIECE = 300
"""The most characters that are phonemised at once, about 5 ms of work."""

_SENTENCE_END = re.compile(r"[.!?…][\"”’')]*\s+")
_CLAUSE_END = re.compile(r"[,;:—]\s+")
_WORD_END = re.compile(r"\s+")
_CLOSING = frozenset("”\")'’")
_SILENT: tuple[tuple[str, ...] | None, ...] = (None, (), ("sil",))

T = TypeVar("T", Viseme, SpokenWord)


class Slice(NamedTuple):
    """A piece of a sentence; times count from the sentence's first sample, in ms."""

    pcm: bytes
    cues: tuple[Viseme, ...]
    words: tuple[SpokenWord, ...]


class PlacedWord(NamedTuple):
    """A word of a part: its place in the part's symbols, and in the sentence's text."""

    symbol: int
    offset: int
    length: int


class SpeechPart(NamedTuple):
    """Phonemes that the network takes at once, with their words."""

    symbols: str
    words: tuple[PlacedWord, ...]


class _Placed(NamedTuple):
    """A token, and its place in the sentence where a word begins."""

    token: Token
    place: tuple[int, int] | None


class Hibari:
    """The worker's handler: a job is one sentence; its replies are "speech" …, "end", or
    "unreadable"."""

    def __init__(self, options: Header) -> None:
        started = time.perf_counter()
        try:
            self._package = HibariPackage(Path(options["model"]))
        except WrongModel as error:
            raise LoadError(str(error)) from None
        self._pronunciation = Pronunciation(options["lexicon"])
        self._sentences: dict[int, tuple[Iterator[Slice | None], WorkerReply]] = {}
        self._made: dict[int, int] = {}  # bytes of sound of each sentence
        for _ in self._say(_WARM_UP):
            pass
        self.report: Header = {"load_ms": round((time.perf_counter() - started) * 1000)}

    def handle(
        self, job: int, kind: str, header: Header, payload: bytes, reply: WorkerReply
    ) -> None:
        if kind != "speak":
            raise ValueError(f"unknown message {kind!r}")
        self._sentences[job] = (self._say(header["text"]), reply)
        self._made[job] = 0

    def cancel(self, job: int) -> None:
        self._sentences.pop(job, None)
        self._made.pop(job, None)

    def work(self) -> bool:
        """One step of the sentence of which the least has been made. See `Handler.work`."""
        if not self._made:
            return False
        job = min(self._made, key=self._made.__getitem__)
        steps, reply = self._sentences[job]
        try:
            made = next(steps)
        except StopIteration:
            reply("end", last=True)
            self.cancel(job)
        except UnreadableText as error:  # the text's fault, not the voice's
            kind = "failed" if self._made[job] else "unreadable"
            reply(kind, {"text": str(error)}, last=True)
            self.cancel(job)
        except Exception as error:  # one bad sentence must not end the process for the others
            reply("failed", {"text": f"{type(error).__name__}: {error}"}, last=True)
            self.cancel(job)
        else:
            if made is not None:
                self._made[job] += len(made.pcm)
                cues = [(cue.at_ms, cue.duration_ms, cue.shape) for cue in made.cues]
                words = [(word.offset, word.length, word.at_ms) for word in made.words]
                reply("speech", {"cues": cues, "words": words}, made.pcm)
        return True

    def _say(self, text: str) -> Iterator[Slice | None]:
        """The steps of one sentence; those that make no sound yet give None."""
        reading = self._pronunciation.read(text)
        since_ms = 0
        for part in self._parts(reading):
            if part is None:
                yield None
                continue
            plan = self._package.plan(part.symbols)
            heard = times(plan.symbols, plan.lengths, plan.energy)
            yield None
            yield from self._sound(part, plan, heard, since_ms)
            since_ms += _ms(heard.after - heard.first)

    def _parts(self, reading: EnglishReading) -> Iterator[SpeechPart | None]:
        """The parts of a text; None after each step that was spent on phonemes."""
        end = -1
        for start, piece in pieces(reading.text):
            tokens = self._package.tokens(piece)
            yield None
            placed = list(_placed(tokens, reading, start, end))
            end = max([end, *(entry.place[0] for entry in placed if entry.place)])
            yield from _in_parts(placed)

    def _sound(
        self, part: SpeechPart, plan: SpeechPlan, heard: Times, since_ms: int
    ) -> Iterator[Slice]:
        """The slices of a part that begins `since_ms` into the sentence."""
        cues, words = _timing(part, plan, heard, since_ms)
        wave = Waveform(plan.f0_hz[heard.first : heard.after])
        first, made = heard.first, 0
        level = LevelStream(_LEVEL, RATE_HZ, _HELD_ROWS * ROW)
        rows = FIRST_ROWS + LOOK_AHEAD + _HELD_ROWS
        while first < heard.after:
            after = first + rows
            if heard.after - after < rows // 2:  # no slice of a few rows at the end
                after = heard.after
            sound = wave.add(self._package.decode(plan, first, after))
            pcm = level.add(sound, last=after == heard.after)
            made += len(pcm)
            first, rows = after, ROWS
            until_ms = math.inf if first == heard.after else since_ms + made * 1000 / RATE_HZ
            yield Slice(pcm.tobytes(), _begun(cues, until_ms), _begun(words, until_ms))


def _timing(
    part: SpeechPart, plan: SpeechPlan, heard: Times, since_ms: int
) -> tuple[deque[Viseme], deque[SpokenWord]]:
    """The cues and words of a part, in order of time."""
    mouth = [(symbol, _ms(row - heard.first)) for symbol, row in heard.mouth]
    cues = timeline(mouth, _ms(heard.after - heard.first), shapes)
    starts = [_ms(row - heard.first) for row in heard.starts]
    return (
        deque(Viseme(since_ms + cue.at_ms, cue.duration_ms, cue.shape) for cue in cues),
        deque(
            # Symbol 0 of the plan is the silence before the part's own first symbol.
            SpokenWord(word.offset, word.length, since_ms + starts[word.symbol + 1])
            for word in part.words
        ),
    )


def _ms(rows: int) -> int:
    return max(0, math.floor(rows * ROW_MS))


def _begun(timed: deque[T], until_ms: float) -> tuple[T, ...]:
    """Takes the items that begin before a time from the front."""
    begun = []
    while timed and timed[0].at_ms < until_ms:
        begun.append(timed.popleft())
    return tuple(begun)


def pieces(text: str) -> Iterator[tuple[int, str]]:
    """The pieces of a text that are phonemised at once, each with its beginning in the text: some
    sentences, or as many words of an endless one."""
    start = 0
    while start < len(text):
        end = start + _PIECE
        if end < len(text):
            ends = _ends_of(_SENTENCE_END, text, start, end)[:1]
            ends = ends or _ends_of(_CLAUSE_END, text, start, end)[-1:]
            ends = ends or _ends_of(_WORD_END, text, start, end)[-1:]
            end = ends[0] if ends else end
        yield start, text[start:end]
        start = end


def _ends_of(pattern: re.Pattern[str], text: str, start: int, end: int) -> list[int]:
    return [match.end() for match in pattern.finditer(text, start, end)]


def _in_parts(placed: list[_Placed]) -> Iterator[SpeechPart]:
    """The parts of a piece: its sentences; of a very long one, what stands between its commas, or
    else as many words as the network takes."""
    for sentence in _split(placed, _ENDS):
        fits = _size(sentence) <= LONGEST
        for piece in [sentence] if fits else _packed(_split(sentence, _BREAKS)):
            part = _part(piece)
            if any(shapes(symbol) not in _SILENT for symbol in part.symbols):
                yield part


def _placed(
    tokens: Iterable[Token], reading: EnglishReading, at: int, last: int
) -> Iterator[_Placed]:
    """Each token with its place in the sentence. A word that is said in several words is placed at
    the first of them. The tokens begin at `at` in the reading; places before `last` are taken."""
    for token in tokens:
        found = reading.text.find(token.text, at)
        place = None
        if found >= 0:
            at = found + len(token.text)
            offset, length = reading.source(found, len(token.text))
            if offset > last and length and any(map(str.isalnum, token.text)) and token.phonemes:
                place, last = (offset, length), offset
        yield _Placed(token, place)


def _split(placed: list[_Placed], marks: frozenset[str]) -> Iterator[list[_Placed]]:
    """Cuts behind marks, and behind what closes the sentence after them."""
    current: list[_Placed] = []
    ended = False
    for entry in placed:
        if ended and entry.token.text not in _CLOSING:
            yield current
            current, ended = [], False
        current.append(entry)
        ended = ended or (entry.token.text[-1:] in marks and entry.token.phonemes[-1:] in marks)
    if current:
        yield current


def _packed(pieces: Iterable[list[_Placed]]) -> list[list[_Placed]]:
    """Joins pieces as far as the network takes them; cuts those that are longer."""
    packed: list[list[_Placed]] = [[]]
    for piece in pieces:
        for unit in [piece] if _size(piece) <= LONGEST else [[entry] for entry in piece]:
            if packed[-1] and _size(packed[-1]) + _size(unit) > LONGEST:
                packed.append([])
            packed[-1] += unit
    return packed


def _size(placed: list[_Placed]) -> int:
    return sum(len(entry.token.phonemes) + entry.token.space for entry in placed)


def _part(placed: list[_Placed]) -> SpeechPart:
    symbols = ""
    words: list[PlacedWord] = []
    for token, place in placed:
        if place is not None:
            words.append(PlacedWord(len(symbols), *place))
        symbols += token.phonemes + (" " if token.space else "")
    symbols = symbols.rstrip()[:LONGEST]
    return SpeechPart(symbols, tuple(word for word in words if word.symbol < len(symbols)))


def handler(options: Header) -> Hibari:
    """The worker's factory. See `stages.tts.hibari.HibariSynthesizer`."""
    return Hibari(options)
