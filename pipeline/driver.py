"""Runs turn-taking in time: hands it events, keeps its deadline and writes its journal."""

import asyncio
from collections.abc import Callable
from contextvars import copy_context

from pipeline.decisions import Action, Chunk, Event, PolicyChanged
from pipeline.frames import INPUT_RATE_HZ
from pipeline.journal import Cause, Journal
from pipeline.turns import TurnPolicy, TurnTaking


class TurnDriver:
    """Hands events to turn-taking, calls it at its deadline and passes its actions to `perform`.

    An exception in `perform` closes the driver and goes to `failed`: the callers, such as a timer
    or the detector, could only log it. Belongs to the event loop. Plain calls.

    `perform` runs in a copy of the context in which the driver was made: see `turn_context`.
    """

    def __init__(
        self,
        turns: TurnTaking,
        perform: Callable[[list[Action]], None],
        failed: Callable[[Exception], None],
        journal: Journal | None = None,
    ) -> None:
        self._turns = turns
        self._perform = perform
        self._failed = failed
        self._journal = journal
        self._context = copy_context()
        self._timer: asyncio.Handle | None = None
        # When it is due, kept here: uvloop's timers that are due already cannot tell.
        self._due = 0.0
        self._opened = False
        self._closed = False

    def open(self) -> None:
        """Begin the conversation. Events before that are ignored."""
        self._opened = True
        now = asyncio.get_running_loop().time()
        self._decided("open", now, self._turns.open(now))

    def close(self) -> None:
        """Decide nothing more. Idempotent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_chunk(self, position: int, probability: float) -> None:
        """The probability of speech in the input audio up to `position` (samples)."""
        # Four digits decide as well as seventeen, and keep journals small.
        self.handle(Chunk(position * 1000 / INPUT_RATE_HZ, round(probability, 4)))

    def handle(self, event: Event) -> None:
        """Hand an event to turn-taking. Ignored before `open` and after `close`."""
        if not self._opened or self._closed:
            return
        now = asyncio.get_running_loop().time()
        try:
            self._decided(event, now, self._turns.handle(event, now))
        except Exception as error:  # any bug
            self._fail(error)

    def reconfigure(self, policy: TurnPolicy) -> None:
        """Follow another policy from here on; before `open` as well."""
        if self._opened:
            self.handle(PolicyChanged(policy))
        else:
            event, now = PolicyChanged(policy), asyncio.get_running_loop().time()
            self._decided(event, now, self._turns.handle(event, now))

    def _expire(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        try:
            self._decided("expire", now, self._turns.expire(now))
        except Exception as error:  # any bug
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.close()
        self._failed(error)

    def _decided(self, cause: Cause, now: float, actions: list[Action]) -> None:
        if self._journal is not None:
            self._journal.decided(cause, now, actions)
        if actions:
            self._context.copy().run(self._perform, actions)
        if not self._closed:
            self._watch()

    def _watch(self) -> None:
        """Set the timer to call `expire` at the deadline; an earlier timer is left as it is."""
        deadline = self._turns.deadline
        if deadline is None:
            return
        if self._timer is not None:
            if self._due <= deadline:
                return
            self._timer.cancel()
        self._due = deadline
        self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)
