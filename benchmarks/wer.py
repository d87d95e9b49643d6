"""Word error rate of the recogniser on the clips, through the running gateway.

Each clip is spoken in a call of its own, as by a person; its score covers everything between the
microphone and the final transcript, the endpointing included.
"""

import asyncio
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.caller import SILENCE_MS, Caller, call
from benchmarks.progress import Progress
from benchmarks.result import Metric
from benchmarks.speech import Clip, frames

ANSWERS_LIMIT = 0.20
LIBRIVOX_LIMIT = 0.40
AT_ONCE = 2
OPENING_TIMEOUT_S = 10.0
TRANSCRIPT_TIMEOUT_S = 20.0

_APOSTROPHE = re.compile("[’‘`]")
_HYPHEN = re.compile(r"[-‐‑–—/]")
_NO_WORD = re.compile(r"[^\w\s']|_")


def words(text: str) -> list[str]:
    """A text as it is scored: lower case, hyphens open, no punctuation, apostrophes kept."""
    text = _HYPHEN.sub(" ", _APOSTROPHE.sub("'", text.lower()))
    return [word for part in _NO_WORD.sub("", text).split() if (word := part.strip("'"))]


def word_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """The fewest insertions, deletions and substitutions between two texts (Levenshtein 1966)."""
    row = list(range(len(hypothesis) + 1))
    for said, expected in enumerate(reference, 1):
        diagonal, row[0] = row[0], said
        for place, heard in enumerate(hypothesis, 1):
            substituted = diagonal + (expected != heard)
            diagonal = row[place]
            row[place] = min(substituted, row[place] + 1, row[place - 1] + 1)
    return row[-1]


@dataclass(frozen=True, slots=True)
class Score:
    """How one clip was recognised."""

    clip: Clip
    heard: str
    turns: int

    @property
    def errors(self) -> int:
        return word_errors(words(self.clip.text), words(self.heard))

    @property
    def words(self) -> int:
        return len(words(self.clip.text))


def rate(scores: Iterable[Score]) -> float:
    """Errors per word over a set: long clips weigh more than short ones."""
    counted = list(scores)
    return sum(score.errors for score in counted) / sum(score.words for score in counted)


async def recognise(url: str, clips: Sequence[Clip], progress: Progress) -> list[Score]:
    """Speak every clip to the gateway at `url`; each is one run of the benchmark.

    Raises `OSError` if there is no gateway, `CallEnded` if it closes the call.
    """
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, clip: Clip) -> Score:
        async with places:
            with progress.run(clip.name):
                return await _speak(f"{url}/wer-{os.getpid()}-{number}", clip)

    return await asyncio.gather(*(one(number, clip) for number, clip in enumerate(clips)))


async def _speak(url: str, clip: Clip) -> Score:
    async with call(url, interview={"role": "Software Engineer"}) as caller:

        def opening() -> bool:
            return 0 in caller.turns and bool(caller.turns[0].arrivals)

        def silent() -> bool:
            return caller.turns[0].done_at is not None

        if await caller.until(opening, OPENING_TIMEOUT_S):
            await caller.send({"type": "interrupt"})
            await caller.until(silent, OPENING_TIMEOUT_S)
        caller.say(frames(clip.pcm))
        await caller.until(lambda: not caller.speaking, clip.duration_ms / 1000 + 5)
        # The last turn may still be waiting for the silence that ends it.
        await asyncio.sleep(SILENCE_MS / 1000 + 0.4)
        await caller.until(lambda: _settled(caller), TRANSCRIPT_TIMEOUT_S)
        heard = [turn for _, turn in sorted(caller.turns.items()) if turn.transcript is not None]
    return Score(clip, " ".join(turn.transcript or "" for turn in heard), len(heard))


def _settled(caller: Caller) -> bool:
    """Whether the newest spoken turn has its final transcript."""
    spoken = [turn for turn in caller.turns.values() if turn.started_at is not None]
    return not spoken or spoken[-1].transcript is not None


def metrics(scores: Sequence[Score]) -> list[Metric]:
    """Each clip's rate, and the rates over the sets with what they must hold."""
    noisy = [score for score in scores if "noise" in score.clip.features]
    jfk = [score for score in scores if score.clip.name.startswith("jfk")]
    librivox = [score for score in scores if score.clip.name.startswith("librivox")]
    apart = {score.clip.name for score in (*noisy, *jfk, *librivox)}
    answers = [score for score in scores if score.clip.name not in apart]
    found = [
        Metric(f"WER {score.clip.name}", rate([score]), "", count=score.words) for score in scores
    ]
    sets = (("role answers", answers, ANSWERS_LIMIT), ("LibriVox", librivox, LIBRIVOX_LIMIT))
    for name, group, limit in sets:
        if group:
            count = sum(score.words for score in group)
            found.append(Metric(f"WER {name}, all", rate(group), "", limit=limit, count=count))
    return found
