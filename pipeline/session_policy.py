"""What a session is made of: the providers of its process, and what its client asked for."""

from dataclasses import dataclass, field

from pipeline.guard import Guard
from pipeline.reply import CannedLines
from pipeline.stage import Animator, Detector, Responder, Synthesizer, Transcriber
from pipeline.turns import TurnPolicy


@dataclass(frozen=True, slots=True)
class Stages:
    """The providers of a process, shared by its sessions.

    `animators`, if there are any, are for the host: a session has no picture.
    """

    detector: Detector
    transcribers: Guard[Transcriber]
    responders: Guard[Responder]
    synthesizers: Guard[Synthesizer]
    animators: Guard[Animator] | None = None


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """What one client asked for. `target_s` and `hard_s` are the turn's latency budget.

    With `speculate` answers are prepared at the first silence; providers that bill by use are
    asked twice then. After `longest_s` the host is told that time is up; a conversation that has
    not come to an end some time later is closed with the host's farewell.
    """

    turns: TurnPolicy = field(default_factory=TurnPolicy)
    out_rate_hz: int = 16_000
    target_s: float = 1.0
    hard_s: float = 6.0
    speculate: bool = True
    longest_s: float = 3600.0
    canned: CannedLines = field(default_factory=CannedLines)
