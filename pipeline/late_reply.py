"""Speaks a filler when a session's reply is late.

The turn's budget says when, so that the person hears something within it even if a stage hangs.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass

from pipeline.budget import TurnBudget
from pipeline.canned import CannedLines
from pipeline.fillers import Fillers
from pipeline.frames import Degraded, Sentence, Slot
from pipeline.guard import Guard
from pipeline.ladder import FILLER
from pipeline.stage import Synthesizer
from pipeline.voice import Voice

LATE = "it is late"

PREPARE_S = 0.6
"""How long before a filler is due it is made if there is none, as a share of the target: by then a
reply without a fault has gone to its voice. Assumed value."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """The reply that a turn waits for.

    `wish` is a sentence without text, in the reply's voice and language; None if nothing is
    spoken. `opens` says that the reply answers nothing. `source` tells for which stage and provider
    the turn waits.
    """

    turn: int
    budget: TurnBudget
    opens: bool
    wish: Callable[[], Sentence | None]
    source: Callable[[], tuple[Slot, str]]


class LateReply:
    """One session's fillers, at most one a turn. Every method is a plain call.

    No line is spoken twice in a row. Without a cache nothing is spoken.
    """

    def __init__(
        self,
        cache: Fillers | None,
        voices: Guard[Synthesizer],
        voice: Voice,
        emit: Callable[[Degraded], None],
        canned: Callable[[], CannedLines],
    ) -> None:
        self._cache = cache
        self._voices = voices
        self._voice = voice
        self._emit = emit
        self._canned = canned
        self._awaited: Awaited | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last = ""
        self._context = copy_context()

    def begin(self, awaited: Awaited) -> None:
        """The turn is decided: a filler follows when its reply is late."""
        if self._cache is None:
            return
        self.stop()
        self._awaited = awaited
        due = awaited.budget.filler_due
        early = due - PREPARE_S * awaited.budget.target_s
        self._timer = asyncio.get_running_loop().call_at(early, self._prepare_for, due)

    def stop(self) -> None:
        """The reply has begun, or ended: stop waiting. Idempotent."""
        self._awaited = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._cache is not None:
            self._cache.unwatch(self._made)

    def spoken(self) -> None:
        """The whole reply has gone to the voice, which is now free to make fillers for later."""
        if self._awaited is not None:
            self._prepare(self._awaited)

    def _prepare_for(self, due: float) -> None:
        assert self._awaited is not None
        if not self._voice.replying:
            self._prepare(self._awaited)
        self._timer = asyncio.get_running_loop().call_at(due, self._due)

    def _due(self) -> None:
        self._timer = None
        assert self._cache is not None
        self._cache.watch(self._made)  # where there is none yet, the first that is made
        self._speak()

    def _prepare(self, awaited: Awaited) -> None:
        wish = awaited.wish()
        if wish is not None and self._cache is not None:
            canned = self._canned()
            lines = [canned.opening, *canned.fillers]
            self._cache.prepare(self._voices, wish, lines)

    def _made(self) -> None:
        # Whoever makes a line works for no session: see `turn_context`.
        self._context.copy().run(self._speak)

    def _speak(self) -> None:
        awaited, cache = self._awaited, self._cache
        assert awaited is not None
        assert cache is not None
        if self._voice.replying:
            cache.unwatch(self._made)
            return
        wish = awaited.wish()
        filler = None if wish is None else cache.find(self._voices, wish, self._lines(awaited))
        if filler is None or not self._voice.fill(awaited.turn, filler):
            return
        cache.unwatch(self._made)
        self._last = filler.text
        slot, provider = awaited.source()
        self._emit(Degraded(awaited.turn, slot, provider, FILLER, LATE))

    def _lines(self, awaited: Awaited) -> Sequence[str]:
        """The lines that suit the turn, the best first: those that were said last come last."""
        canned = self._canned()
        if awaited.opens:
            return (canned.opening, *canned.fillers)
        lines = canned.fillers
        if self._last in lines:
            after = lines.index(self._last) + 1
            lines = (*lines[after:], *lines[: after - 1])
        return lines
