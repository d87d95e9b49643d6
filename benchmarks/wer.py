"""Word error rates on the clips, through the running gateway: its default recogniser, and
pocketsphinx beside it.

Each clip is spoken in a call of its own, as by a person; its score covers everything between the
microphone and the final transcript, the endpointing included.
"""

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rich.table import Table

from benchmarks.caller import SILENCE_MS, Caller, call
from benchmarks.progress import Progress
from benchmarks.result import STYLES, Machine, Metric, Result
from benchmarks.server import Server
from benchmarks.speech import RECORDINGS, Clip, answers, frames, recordings
from benchmarks.tally import fault_name
from benchmarks.word_errors import differences, word_errors
from benchmarks.word_forms import words

ANSWERS_LIMIT = 0.08
RECORDINGS_LIMIT = 0.03
AT_ONCE = 2
OPENING_TIMEOUT_S = 10.0
TRANSCRIPT_TIMEOUT_S = 20.0

COMPARED = "pocketsphinx"
ANSWERS_ROW, RECORDINGS_ROW = "all answers, noise included", "all recordings of people"


@dataclass(frozen=True, slots=True)
class Score:
    """How one clip was recognised, in so many turns; `faults` are what its client was told."""

    clip: Clip
    heard: str
    turns: int = 1
    faults: tuple[str, ...] = ()

    @property
    def errors(self) -> int:
        return word_errors(words(self.clip.text), words(self.heard))

    @property
    def words(self) -> int:
        return len(words(self.clip.text))

    def __str__(self) -> str:
        """The clip with its errors, or with "no error"."""
        found = differences(words(self.clip.text), words(self.heard))
        turns = () if self.turns == 1 else (f"{self.turns} turns",)
        told = f" ({', '.join((*turns, *self.faults))})" if turns or self.faults else ""
        return f"{self.clip.name}{told}: {'; '.join(map(str, found)) or 'no error'}"


def rate(scores: Iterable[Score]) -> float:
    """Errors per word over a set: long clips weigh more than short ones."""
    counted = list(scores)
    return sum(score.errors for score in counted) / sum(score.words for score in counted)


def wer(progress: Progress, folder: Path = RECORDINGS) -> Result:
    """The fixture clips and the recordings in `folder`, spoken to the default recogniser and then
    to pocketsphinx, where it is installed. Only the default has limits.
    """
    by_people = recordings(folder)
    spoken = (*answers(), *by_people)
    human = {clip.name for clip in by_people}
    beside = find_spec(COMPARED) is not None
    found: list[Metric] = []
    notes: list[str] = []
    with progress.runs(len(spoken) * (2 if beside else 1)):
        name, scores = _recognised(None, spoken, progress)
        found += metrics(name, scores, human, ANSWERS_LIMIT, RECORDINGS_LIMIT)
        notes += [f"{name}, {score}" for score in scores]
        if beside and name != COMPARED:
            _, scores = _recognised(COMPARED, spoken, progress)
            found += metrics(COMPARED, scores, human)
            notes += [f"{COMPARED}, {score}" for score in scores]
    if not by_people:
        notes.append(f"no recordings of people: there is no table of them in {folder}")
    return Result("wer", {"recogniser": name}, tuple(found), Machine.here(), notes=tuple(notes))


def _recognised(
    wanted: str | None, clips: Sequence[Clip], progress: Progress
) -> tuple[str, list[Score]]:
    """The recogniser of a gateway, its default where none is wanted, and what it heard."""
    environment = {} if wanted is None else {"PARLEY_STT": wanted}
    with Server("offline", sessions=AT_ONCE, environment=environment) as server:
        name = server.providers().get("stt", "unknown")
        return name, asyncio.run(recognise(server.sessions_url, clips, progress, name))


async def recognise(
    url: str, clips: Sequence[Clip], progress: Progress, recogniser: str
) -> list[Score]:
    """Speak every clip to the gateway at `url`; each is one run of the benchmark.

    Raises `OSError` if there is no gateway, `CallEnded` if it closes the call.
    """
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, clip: Clip) -> Score:
        async with places:
            with progress.run(f"{clip.name}, {recogniser}"):
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
        text = " ".join(turn.transcript or "" for turn in heard)
        return Score(clip, text, len(heard), tuple(map(fault_name, caller.faults)))


def _settled(caller: Caller) -> bool:
    """Whether the newest spoken turn has its final transcript, or a reply without one."""
    spoken = [turn for turn in caller.turns.values() if turn.started_at is not None]
    return not spoken or spoken[-1].transcript is not None or bool(spoken[-1].arrivals)


def metrics(
    recogniser: str,
    scores: Sequence[Score],
    human: frozenset[str] | set[str],
    answers_limit: float | None = None,
    recordings_limit: float | None = None,
) -> list[Metric]:
    """Each clip's rate, and the rates over the answers and the clips named in `human`."""
    found = [
        Metric(f"{recogniser}, {score.clip.name}", rate([score]), "", count=score.words)
        for score in scores
    ]
    own = [score for score in scores if score.clip.name not in human]
    recorded = [score for score in scores if score.clip.name in human]
    for name, group, limit in (
        (ANSWERS_ROW, own, answers_limit),
        (RECORDINGS_ROW, recorded, recordings_limit),
    ):
        if group:
            count = sum(score.words for score in group)
            found.append(Metric(f"{recogniser}, {name}", rate(group), "", limit=limit, count=count))
    return found


def tables(result: Result) -> Iterator[Table]:
    """One table: a row for each clip, a column for each recogniser."""
    rows: dict[str, dict[str, Metric]] = {}
    for metric in result.metrics:
        recogniser, _, clip = metric.name.partition(", ")
        rows.setdefault(clip, {})[recogniser] = metric
    recognisers = list(dict.fromkeys(name for row in rows.values() for name in row))
    table = Table(title="wer: word error rates", title_justify="left")
    table.add_column("clip")
    for heading in ("words", *recognisers, "must hold"):
        table.add_column(heading, justify="right")
    for clip, row in rows.items():
        judged = next((metric for metric in row.values() if metric.limit is not None), None)
        verdict = "info" if judged is None else result.verdict(judged)
        limit = "" if judged is None else f"{recognisers[0]} ≤ {judged.limit:g}: {verdict}"
        rates = (f"{row[name].value:.3f}" if name in row else "" for name in recognisers)
        count = next(iter(row.values())).count
        table.add_row(clip, str(count), *rates, limit, style=STYLES[verdict])
    yield table
