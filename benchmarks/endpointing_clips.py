"""The fixture clips with a pause put between two of their words: real detection and recognition."""

import asyncio
import random
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import numpy as np
from pocketsphinx import Decoder

from benchmarks.endpointing_takes import LEAD_MS, TAIL_MS, Take, pause_quantile_ms, rehearse
from benchmarks.runs import RunFailed
from benchmarks.speech import MARGIN_MS, Clip
from pipeline.frames import INPUT_RATE_HZ, Samples
from pipeline.testing import run_virtual
from stages._worker_main import Header, WorkerReply
from stages.stt._sphinx import Sphinx as Decoders
from stages.stt._sphinx import handler, spoken
from stages.turn._smart_turn import SmartTurn
from stages.vad.silero import SileroDetector

SEED = 3

PIECE = INPUT_RATE_HZ // 10
"""Samples: the product feeds its recogniser 100 ms at a time."""

ROOM_MS = 240
"""The clips begin with this much of their background."""

FADE_MS = 5
SEARCH_MS = 30
"""How far from the end of a word the quietest place for a cut may lie."""

CONJUNCTIONS = frozenset(["and", "so", "that", "if", "when", "before", "then", "how", "what"])


@dataclass(frozen=True, slots=True)
class Place:
    """The end of a word in a clip, where a speaker might pause."""

    kind: str
    """After a "sentence", a "clause", a "conjunction", or in a "phrase"."""
    at_ms: int


def places(clip: Clip) -> list[Place]:
    """The ends of the words in a clip's longest segment, but the last, by forced alignment.

    Raises `RunFailed` where they cannot be found, `RuntimeError` where the recogniser does not know
    a word of the text.
    """
    tokens = re.findall(r"[\w']+[,.]?", clip.text.lower())
    start_ms, end_ms = clip.segments[0][0] - MARGIN_MS, clip.segments[-1][1] + MARGIN_MS
    decoder = Decoder(loglevel="FATAL", fwdflat=False, bestpath=False)
    decoder.set_align_text(" ".join(token.rstrip(",.") for token in tokens))
    decoder.start_utt()
    decoder.process_raw(_cut(clip.pcm, start_ms, end_ms).tobytes(), full_utt=True)
    decoder.end_utt()
    ends = [s.end_frame * 10 + 10 + start_ms for s in decoder.seg() or () if spoken(s.word)]
    if len(ends) != len(tokens):
        raise RunFailed(f"{clip.name} could not be aligned with its text")
    first_ms, last_ms = _longest(clip)
    return [
        Place(_kind(token), _quietest(clip.pcm, at_ms))
        for token, at_ms in list(zip(tokens, ends, strict=True))[:-1]
        if first_ms + 500 < at_ms < last_ms
    ]


def _kind(token: str) -> str:
    if token.endswith("."):
        return "sentence"
    if token.endswith(","):
        return "clause"
    return "conjunction" if token in CONJUNCTIONS else "phrase"


def _longest(clip: Clip) -> tuple[int, int]:
    return max(clip.segments, key=lambda span: span[1] - span[0])


def _quietest(pcm: Samples, at_ms: int) -> int:
    def level(ms: int) -> float:
        return float(np.mean(_cut(pcm, ms - 5, ms + 5).astype(float) ** 2))

    return min(range(at_ms - SEARCH_MS, at_ms + SEARCH_MS + 1, 5), key=level)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A turn as audio, with silence before and after it."""

    name: str
    pcm: Samples
    end_ms: float


def spoken_turns(clips: Sequence[Clip], seed: int = SEED) -> list[Spoken]:
    """Every clip as it is and with a pause at one place of each kind; some clips joined in pairs.

    The lengths of the pauses are evenly spread quantiles of the distribution, in random order.
    """
    rng = random.Random(seed)
    found: list[tuple[str, Clip, list[Samples]]] = []
    for clip in clips:
        whole = _cut(clip.pcm, clip.segments[0][0] - MARGIN_MS, clip.segments[-1][1])
        found.append((f"{clip.name}, as it is", clip, [whole]))
        kinds: dict[str, list[Place]] = {}
        for place in places(clip):
            kinds.setdefault(place.kind, []).append(place)
        start_ms, end_ms = _longest(clip)
        for kind, candidates in kinds.items():
            at_ms = rng.choice(candidates).at_ms
            halves = [
                _cut(clip.pcm, start_ms - MARGIN_MS, at_ms),
                _cut(clip.pcm, at_ms, end_ms),
            ]
            found.append((f"{clip.name}, pause in or after a {kind}", clip, halves))
    for clip, following in zip(clips[::2], clips[1::2], strict=False):
        parts = [_segment(clip), _segment(following)]
        found.append((f"{clip.name} and {following.name}", clip, parts))
    pauses = [parts for _, _, parts in found if len(parts) > 1]
    lengths = [pause_quantile_ms((number + 0.5) / len(pauses)) for number in range(len(pauses))]
    rng.shuffle(lengths)
    return [
        _spoken(name, clip, parts, lengths.pop() if len(parts) > 1 else 0)
        for name, clip, parts in found
    ]


def _segment(clip: Clip) -> Samples:
    start_ms, end_ms = _longest(clip)
    return _cut(clip.pcm, start_ms - MARGIN_MS, end_ms)


def _spoken(name: str, clip: Clip, parts: Sequence[Samples], pause_ms: int) -> Spoken:
    room = _cut(clip.pcm, 0, ROOM_MS)  # a noisy clip's pauses are noisy too

    def quiet(ms: int) -> Samples:
        return np.resize(room, ms * INPUT_RATE_HZ // 1000)

    pieces = [quiet(LEAD_MS)]
    for number, part in enumerate(parts):
        pieces += [quiet(pause_ms), _faded(part)] if number else [_faded(part)]
    end_ms = sum(len(piece) for piece in pieces) * 1000 / INPUT_RATE_HZ
    return Spoken(name, np.concatenate([*pieces, quiet(TAIL_MS)]), end_ms)


def _faded(pcm: Samples) -> Samples:
    ramp = np.linspace(0, 1, FADE_MS * INPUT_RATE_HZ // 1000)
    faded = pcm.astype(float)
    faded[: len(ramp)] *= ramp
    faded[-len(ramp) :] *= ramp[::-1]
    return faded.astype(np.int16)


def _cut(pcm: Samples, start_ms: int, end_ms: int) -> Samples:
    return pcm[max(0, start_ms) * INPUT_RATE_HZ // 1000 : end_ms * INPUT_RATE_HZ // 1000]


def probabilities(turns: Sequence[Spoken]) -> list[list[float]]:
    """Silero's probability for each 32 ms of each turn."""

    async def judge() -> list[list[float]]:
        detector = SileroDetector(max_sessions=1)
        judged = []
        for turn in turns:
            found: list[float] = []

            def judged_chunk(_: int, probability: float, found: list[float] = found) -> None:
                found.append(probability)

            stream = detector.open(judged_chunk)
            for start in range(0, len(turn.pcm), PIECE):
                stream.feed(turn.pcm[start : start + PIECE])
                await asyncio.sleep(0.1)
            stream.close()
            judged.append(found)
        await detector.aclose()
        return judged

    return run_virtual(judge())


class Sphinx:
    """The default recogniser in this process, as fast as the machine can."""

    def __init__(self, decoders: Decoders, pcm: Samples) -> None:
        self._decoders = decoders
        self._pcm = pcm
        self._job = 0
        self._fed = 0  # samples
        self._texts: list[str] = []

    def listen(self, from_ms: int) -> None:
        self._decoders.cancel(self._job)
        self._job += 1
        self._fed = from_ms * INPUT_RATE_HZ // 1000
        self._texts.clear()
        self._tell("open", {"partials": True})

    def hear(self, until_ms: int) -> list[str]:
        until = until_ms * INPUT_RATE_HZ // 1000
        while until - self._fed >= PIECE:
            self._feed(self._fed + PIECE)
        texts, self._texts = self._texts, []
        return texts

    def finish(self, until_ms: int) -> str:
        self._feed(until_ms * INPUT_RATE_HZ // 1000)
        self._tell("finish")
        return self._texts.pop()

    def close(self) -> None:
        self._decoders.cancel(self._job)

    def _feed(self, until: int) -> None:
        audio = self._pcm[self._fed : until].astype("<i2").tobytes()
        self._fed = until
        self._tell("audio", payload=audio)

    def _tell(self, kind: str, header: dict[str, Any] | None = None, payload: bytes = b"") -> None:
        reply = cast("WorkerReply", self._understood)
        self._decoders.handle(self._job, kind, header or {}, payload, reply)
        while self._decoders.work():
            pass

    def _understood(self, kind: str, header: Header, *, last: bool = False) -> None:
        self._texts.append(header["text"])


@cache
def _decoders() -> Decoders:
    return handler({"decoders": 1})


@cache
def _smart_turn(model: Path) -> SmartTurn:
    return SmartTurn({"model": str(model)})


def hear(turn: Spoken, judged: Sequence[float], model: Path | None = None) -> Take:
    """A spoken turn through the default recogniser; `judged` has the detector's probabilities.

    With a `model`, Smart Turn answers as well.
    """

    def finished(from_ms: int, until_ms: int) -> float:
        assert model is not None
        return _smart_turn(model).finished(_cut(turn.pcm, from_ms, until_ms).tobytes())

    recogniser = Sphinx(_decoders(), turn.pcm)
    try:
        return rehearse(judged, recogniser, turn.end_ms, None if model is None else finished)
    finally:
        recogniser.close()


def from_fixtures(
    on_turn: Callable[[], None], clips: Sequence[Clip], model: Path | None = None
) -> list[Take]:
    """Real voice detection, recognition and, with its `model`, Smart Turn on the clips, on all
    cores."""
    turns = spoken_turns(clips)
    # Spawned: the network's threads do not survive a fork.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        takes = []
        for take in pool.map(hear, turns, probabilities(turns), repeat(model)):
            takes.append(take)
            on_turn()
        return takes
