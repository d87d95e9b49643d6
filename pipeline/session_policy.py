"""The settings of a session: the providers of its process and its client's choices."""

from dataclasses import dataclass, field
from typing import Any

from pipeline.canned import CannedLines
from pipeline.fillers import Fillers
from pipeline.guard import Guard
from pipeline.ladder import Ladder
from pipeline.playout import LEAD_MS
from pipeline.stage import Animator, Detector, Responder, Synthesizer, Transcriber, TurnModel
from pipeline.tool_calls import OwnTool
from pipeline.turns import TurnPolicy


@dataclass(frozen=True, slots=True)
class Stages:
    """The providers of a process, shared by its sessions.

    A session does not use the `animators`: the application calls them for its faces. Without
    `turn_models` the words and the silence alone decide when a turn ends, and without `fillers`
    nothing is said while a reply is late. The guards and the sessions follow the same `ladder`.
    """

    detector: Detector
    transcribers: Guard[Transcriber]
    responders: Guard[Responder]
    synthesizers: Guard[Synthesizer]
    animators: Guard[Animator] | None = None
    turn_models: Guard[TurnModel] | None = None
    fillers: Fillers | None = None
    ladder: Ladder = field(default_factory=Ladder)

    def guards(self) -> list[Guard[Any]]:
        """The guard of each slot that has one, in the order of a turn."""
        guards = [self.turn_models, self.transcribers, self.responders, self.synthesizers]
        return [guard for guard in (*guards, self.animators) if guard is not None]


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """One client's choices. `target_s` and `hard_s` are the turn's latency budget.

    With `speculate` replies are prepared at the first silence, so a provider may be called, and
    paid, twice a turn. After `longest_s`, which may be infinite, the session calls the host's
    `time_is_up`; if the conversation still runs `OVERTIME_S` later, it is closed with the host's
    farewell. Reply audio has `out_rate_hz` and is sent `lead_ms` ahead.

    `language` is the person's: a code, "auto" to find it in the first turns
    (`pipeline.languages.LanguageLock`), or None to leave it to the recogniser. `fills` says whether
    a filler is spoken where a reply is later than `target_s`. Replies may call the `tools`, which
    are the session's to run.
    """

    turns: TurnPolicy = field(default_factory=TurnPolicy)
    out_rate_hz: int = 16_000
    lead_ms: int = LEAD_MS
    target_s: float = 1.0
    hard_s: float = 6.0
    speculate: bool = True
    longest_s: float = 3600.0
    canned: CannedLines = field(default_factory=CannedLines)
    language: str | None = None
    fills: bool = True
    tools: tuple[OwnTool, ...] = ()
