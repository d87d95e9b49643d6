"""The live sessions of a process, each with an observer of its outputs."""

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from gateway.observe.trace_context import SessionTraces, parse_traceparent
from gateway.observe.turn_record import TurnRecord, TurnRecorder
from pipeline.channel import Waited
from pipeline.frames import Degraded
from pipeline.stage import Observed

logger = logging.getLogger("parley.turn")

OnTurn = Callable[["ObservedSession", TurnRecord], None]
"""Called when a turn of a session is over. A plain call that must neither block nor raise."""


def _nothing() -> None:
    """There is nothing to end yet."""


@dataclass(slots=True)
class ObservedSession:
    """One live session of a kind ("interview" or "assistant"). `began_at` is in seconds since the
    epoch. `traces` are the traces of its turns; None if no traces are made."""

    session_id: str
    transport: str
    kind: str
    traces: SessionTraces | None = None
    began_at: float = field(default_factory=time.time)
    turns: int = 0
    degraded: int = 0
    voice_to_voice_ms: float | None = None
    """The latency of the latest turn that had a reply."""
    steps: dict[str, str] = field(default_factory=dict)
    """The substitute of a provider in the latest turn, by stage. Under "avatar": what draws the
    face, or the quality level, once that has changed."""
    leave: Callable[[], None] = _nothing
    """Ends the session as if its client had said good-bye; does nothing before the session has
    begun. A plain call."""
    _recorder: TurnRecorder = field(default_factory=TurnRecorder)
    _on_turn: Sequence[OnTurn] = ()

    def observe(self, output: Observed, now: float) -> None:
        """Take an output of the session, but no audio. Raises nothing."""
        record = self._recorder.handle(output, now)
        if record is None:
            return
        self.turns += 1
        self.degraded += len(record.degraded)
        face = {stage: target for stage, target in self.steps.items() if stage == "avatar"}
        self.steps = {step.stage: step.target for step in record.degraded} | face
        if record.voice_to_voice_ms is not None:
            self.voice_to_voice_ms = record.voice_to_voice_ms
        for on_turn in self._on_turn:
            try:
                on_turn(self, record)
            except Exception:  # what is watched must not suffer from the watching
                logger.exception("a turn could not be recorded")

    def stepped(self, step: Degraded) -> None:
        """Note a step of the gateway itself, which holds until the next one. A plain call."""
        self.steps[step.stage] = step.target


class ObservedSessions:
    """The live sessions. `on_turn` are called for each of their turns, in order, and `on_wait` for
    work that leaves a queue."""

    def __init__(self, *on_turn: OnTurn, on_wait: Waited | None = None) -> None:
        self.on_turn = list(on_turn)
        self.traced = False
        """Whether the turns of sessions that begin from now on have traces."""
        self.on_wait = on_wait
        self._live: dict[int, ObservedSession] = {}  # bounded by the admission of sessions

    def __iter__(self) -> Iterator[ObservedSession]:
        return iter([*self._live.values()])

    @contextmanager
    def open(
        self, session_id: str, *, transport: str, kind: str, traceparent: str = ""
    ) -> Iterator[ObservedSession]:
        """A session that is live until the block ends.

        `traceparent` names the client's span, in whose trace the turns are (W3C Trace Context).
        """
        traces = None
        if self.traced:
            traces = SessionTraces(secrets.token_bytes(16), parse_traceparent(traceparent))
        session = ObservedSession(session_id, transport, kind, traces, _on_turn=self.on_turn)
        self._live[id(session)] = session
        try:
            yield session
        finally:
            del self._live[id(session)]


def log_turn(session: ObservedSession, record: TurnRecord) -> None:
    """Log the turn's one line."""
    logger.info("turn", extra={"fields": {"session": session.session_id, **record.fields()}})
