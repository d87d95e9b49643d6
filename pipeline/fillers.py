"""Fillers: short lines that are spoken while a reply is late, synthesised before they are needed.

A filler must be heard although a stage hangs, so it comes from a cache. The cache is filled through
the guard of the voices, in the background and with closed breakers only: a filler counts for a
voice's breaker like any sentence.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field, replace

from pipeline.candidate import able
from pipeline.errors import PipelineError
from pipeline.frames import Sentence, Speech
from pipeline.guard import Guard
from pipeline.languages import check_language
from pipeline.stage import Synthesizer

MOST_KEPT = 16
"""The most sets of fillers that are kept, each of one voice in one language. The least recently
used set is dropped first."""

LONGEST_S = 2.0
"""The longest line that is used, as a voice says it: the reply waits for the end of a filler."""

VOICES = 2
"""The number of voices that make fillers: the one in use, and the next one, for when it hangs. A
voice that stands by makes them as well, since it is the quickest."""

RETRY_S = 15.0
"""How long a voice that failed to say a filler is not asked for one again. Assumed value."""

TIME_S = 5.0
"""How long one line may take to its first audio, at most: the guard's limits are shorter."""

logger = logging.getLogger("parley.session")


@dataclass(frozen=True, slots=True, eq=False)
class FillerSpeech:
    """A line as `provider` said it; the cues and words of its speech count from its beginning."""

    text: str
    provider: str
    rate_hz: int
    speech: tuple[Speech, ...]


@dataclass(slots=True)
class _Kept:
    """One voice's fillers in one language. None stands for a line that takes too long."""

    lines: dict[str, FillerSpeech | None] = field(default_factory=dict)
    making: asyncio.Task[None] | None = None
    not_before: float = 0.0


class Fillers:
    """The fillers of a process, for each voice and language. Belongs to one event loop.

    The cache owns the tasks that fill it, one for each voice and language; `aclose` ends them.
    """

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[str, str | None, str | None], _Kept] = OrderedDict()
        self._told: set[Callable[[], None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def prepare(self, voices: Guard[Synthesizer], wish: Sentence, lines: Sequence[str]) -> None:
        """Have the lines said by the voices that would be asked for `wish`, in the background.

        A plain call. Lines that are there, or under way, are not made again.
        """
        now = asyncio.get_running_loop().time()
        for provider in _speakers(voices, wish, now):
            kept = self._entry(provider, wish)
            missing = [line for line in lines if line not in kept.lines]
            if missing and kept.making is None and now >= kept.not_before:
                making = self._make(kept, voices, provider, wish, missing)
                # No session's context: the lines are for all of them.
                kept.making = task = asyncio.create_task(making, context=Context())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def find(
        self, voices: Guard[Synthesizer], wish: Sentence, lines: Sequence[str]
    ) -> FillerSpeech | None:
        """The first of the lines that a voice has said, by the voice that is asked first.

        A voice whose breaker is open is taken only if no other voice has said one.
        """
        now = asyncio.get_running_loop().time()
        asked = able(voices.line, wish.language, now)
        others = [one.provider for one in voices.line if one.provider not in asked]
        for provider in (*asked, *others):
            kept = self._kept.get(_key(provider, wish))
            for line in lines if kept is not None else ():
                assert kept is not None
                if (filler := kept.lines.get(line)) is not None:
                    return filler
        return None

    def watch(self, told: Callable[[], None]) -> None:
        """Call `told` after every line that was made, until `unwatch`. It must not raise."""
        self._told.add(told)

    def unwatch(self, told: Callable[[], None]) -> None:
        """Idempotent."""
        self._told.discard(told)

    async def aclose(self) -> None:
        """The process ends: no line is made any more."""
        for kept in self._kept.values():
            if kept.making is not None:
                kept.making.cancel()
        if self._tasks:  # those that have lost their place, too
            await asyncio.wait(self._tasks)

    def _entry(self, provider: str, wish: Sentence) -> _Kept:
        key = _key(provider, wish)
        kept = self._kept.setdefault(key, _Kept())
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            _, dropped = self._kept.popitem(last=False)
            if dropped.making is not None:
                dropped.making.cancel()
        return kept

    async def _make(
        self,
        kept: _Kept,
        voices: Guard[Synthesizer],
        provider: str,
        wish: Sentence,
        lines: Sequence[str],
    ) -> None:
        try:
            for line in lines:
                kept.lines[line] = await _say(voices, provider, replace(wish, text=line))
                for told in list(self._told):
                    told()
        except PipelineError as error:
            logger.info("no fillers by voice %r: %s", provider, error)
            kept.not_before = asyncio.get_running_loop().time() + RETRY_S
        finally:
            kept.making = None


async def _say(voices: Guard[Synthesizer], provider: str, line: Sentence) -> FillerSpeech | None:
    """Have one voice say a line; None if that takes longer than `LONGEST_S`."""
    rate_hz = 0

    def speak(stage: Synthesizer) -> AsyncIterator[Speech]:
        nonlocal rate_hz
        check_language("tts", stage, line.language)
        rate_hz = stage.rate_hz
        return stage.speak(line)

    speech: list[Speech] = []
    samples = 0
    async with voices.stream(
        speak,
        useful=lambda piece: len(piece.pcm) > 0,
        media_s=lambda piece: len(piece.pcm) / rate_hz,
        budget_s=TIME_S,
        probe=False,
        without=[one.provider for one in voices.candidates if one.provider != provider],
    ) as pieces:
        async for piece in pieces:
            speech.append(piece)
            samples += len(piece.pcm)
            if samples > LONGEST_S * rate_hz:
                return None
    return FillerSpeech(line.text, provider, rate_hz, tuple(speech))


def _speakers(voices: Guard[Synthesizer], wish: Sentence, now: float) -> list[str]:
    """The voices that get fillers."""
    asked = able(voices.line, wish.language, now)
    ready = {one.provider for one in voices.candidates if one.stands_by}
    return asked[:VOICES] + [name for name in asked[VOICES:] if name in ready][:1]


def _key(provider: str, wish: Sentence) -> tuple[str, str | None, str | None]:
    return provider, wish.voice, wish.language
