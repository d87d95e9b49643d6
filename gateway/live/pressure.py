"""Decides from a process's load whether it can carry another session beside those it has. Pure.

There are two kinds of evidence. The first is what is late already: the event loop, turns, or memory
that runs out. The second is the load to come: a session that has just begun costs little until its
person speaks. So each new session is counted at its full cost on top of the measured processor
time, and at a shrinking part of it after half of `WARM_S`. Otherwise a crowd would be let in before
the load of its first sessions is measured. Beginning a session takes as much as having it for a
second or two, so only some may begin at once (`STARTS`).
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal

from pipeline.frames import TurnMetrics

Kind = Literal["voice", "text"]
"""A live conversation, or an interview in writing, which gives way to it."""

KINDS: tuple[Kind, ...] = ("voice", "text")

SESSION_COST = 0.006
"""The share of a core that a spoken session takes, measured by `python -m benchmarks load`: 5.5 ms
of processor time a second. If most of its sessions are older than `WARM_S`, a process uses the cost
that it measures for them."""

LEAST_COST = 0.003
"""The least share of a core that is assumed for a session, however little the live sessions take:
they may all be silent."""

WARM_S = 8.0
"""After this time a session's cost counts as measured: it has begun to speak, and is in a sample.
"""

START_S = 0.006
"""The processor time that it takes to begin a session, up to its `ready`, in seconds: measured with
20 that begin at once, 3 to 8 ms on a busy machine."""

STARTS = 0.25
"""The share of a core that sessions may take to begin, which is what `FULL` leaves. Unused time is
saved up, to a second's worth while nothing is busy: then 41 may begin at once."""

AT_ONCE_S = 0.05
"""The most seconds saved up while sessions take all that they may: frames are late by no more."""

FULL = 0.75
"""The share of a core that the sessions of an event loop may take. Beyond it, waiting times grow
without a bound (M/M/1: at 0.75 a job waits three times as long as it takes)."""

CROWD = "overloaded: as many sessions have just begun as can be carried"

FEWEST_TO_JUDGE = 5
"""With fewer live sessions, lateness is not caused by them, and refusing another would not help:
models load, or another program has the processor. For memory one session is enough to judge; if
memory were judged without any, refusing would never end."""

FAR_BEYOND = 4
"""A value this many times its limit is more than one slow moment: it counts at once."""

CALM_S = 5.0
"""Seconds of low pressure after which pressure is over."""

TEXT_GIVES_WAY = 0.8
"""Interviews in writing are refused at this share of the limit for live ones."""

RECENT_S = 10.0
FEWEST_TURNS = 3
"""Turns are judged by the best of the last `RECENT_S`, as CoDel (RFC 8289) judges a queue by its
shortest wait: a single slow turn is no overload. With fewer turns nothing is judged."""


@dataclass(frozen=True, slots=True)
class LoadSample:
    """The measurements of the last half second; each is 0 if it is not known.

    `loop_lag_s`: the latest timer of the event loop. `busy`: the share of its core that the
    loop's thread took. `uplink_s`: the shortest wait of input audio for voice detection.
    `recognition_queue_s`: that of finished utterances for a recogniser on this machine, and
    `recogniser`: the share of the time in which its model decoded. `recognition_s`: how long
    recognition took after the end of speech. `turn_factor`: a turn's time, in budgets. `memory`:
    the share of the limit in use.
    """

    loop_lag_s: float = 0.0
    busy: float = 0.0
    uplink_s: float = 0.0
    recognition_queue_s: float = 0.0
    recogniser: float = 0.0
    recognition_s: float = 0.0
    turn_factor: float = 0.0
    memory: float = 0.0


@dataclass(frozen=True, slots=True)
class _Measure:
    """A measure with its limit; pressure is over at `calm`. It counts after `samples` in a row, if
    `fewest` sessions are live. Interviews in writing give way under it, or they do not.

    `machine` says that it measures this machine's time only, and no server's.
    """

    name: str
    words: str
    limit: float
    calm: float
    samples: int = 1
    machine: bool = False
    fewest: int = FEWEST_TO_JUDGE
    gives_way: bool = True

    def share(self, kind: Kind) -> float:
        """The share of the limits that holds for a kind of session."""
        return TEXT_GIVES_WAY if kind == "text" and self.gives_way else 1.0

    def counts(self, value: float, share: float) -> int:
        """How many samples a value above the limit counts for; 0 below it."""
        if value < self.limit * share:
            return 0
        return self.samples if value >= self.limit * FAR_BEYOND else 1


MEASURES = (
    _Measure("loop_lag_s", "the event loop is {:.2f} s late", 0.05, 0.025, samples=2, machine=True),
    _Measure("busy", "the processor is {:.0%} busy", 0.9, FULL, samples=2, machine=True),
    # Of half a second, the shortest wait; CoDel would judge 100 ms of it.
    _Measure("uplink_s", "input audio waits {:.2f} s", 0.1, 0.05, machine=True),
    # Assumed: half of the default budget.
    _Measure("recognition_queue_s", "the recogniser is {:.1f} s behind", 0.5, 0.25, machine=True),
    _Measure("recogniser", "the recogniser is {:.0%} busy", 0.8, 0.6, machine=True),
    _Measure("recognition_s", "recognition takes {:.1f} s", 2.5, 1.5),
    _Measure("turn_factor", "replies take {:.1f} times their budget", 2.0, 1.5),
    # A process seldom gives memory back: a lower `calm`, or one for its empty state, would never
    # come. An interview in writing takes hardly any.
    _Measure("memory", "{:.0%} of the memory is in use", 0.9, 0.87, fewest=1, gives_way=False),
)


class Pressure:
    """The pressure on one process. Call `observe` twice a second, `refusal` to ask, and `admitted`
    for each session that begins."""

    def __init__(self) -> None:
        self.sample = LoadSample()
        self._admitted: deque[float] = deque()  # when, within the last `WARM_S`
        self._saved = STARTS, 0.0  # processor seconds for sessions to begin, and since when
        self._high: dict[tuple[str, Kind], int] = {}  # samples in a row above the limit
        # Pressure lasts until then, and what it was when it was last above its limit.
        self._pressed: dict[tuple[str, Kind], tuple[float, float]] = {}

    def observe(self, sample: LoadSample, now: float) -> None:
        """Take a new sample. `now` is in seconds of any steady clock."""
        self.sample = sample
        for measure in MEASURES:
            value: float = getattr(sample, measure.name)
            for kind in KINDS:
                key, share = (measure.name, kind), measure.share(kind)
                high = measure.counts(value, share)
                self._high[key] = self._high.get(key, 0) + high if high else 0
                pressed = self._pressed.get(key)
                if self._high[key] >= measure.samples:
                    self._pressed[key] = now + CALM_S, value
                elif pressed is not None and value > measure.calm * share:
                    self._pressed[key] = now + CALM_S, pressed[1]
                elif pressed is not None and now >= pressed[0]:
                    del self._pressed[key]

    def shares(self) -> dict[str, float]:
        """Each measure by name, as a share of the value from which live sessions are refused."""
        return {
            measure.name.removesuffix("_s"): getattr(self.sample, measure.name) / measure.limit
            for measure in MEASURES
        }

    def strain(self) -> str | None:
        """The strain on the machine, in words, before sessions are refused for it; None if there
        is none. Pictures give way then: a conversation can do without them.

        Slow turns do not count: a server may be slow. The number of sessions does not count either:
        fewer pictures help whichever program loads the machine.
        """
        for measure in MEASURES:
            value: float = getattr(self.sample, measure.name)
            if measure.machine and self._high.get((measure.name, "text"), 0) >= measure.samples:
                return measure.words.format(value)
        return None

    def admitted(self, now: float) -> None:
        """Note that a live session begins."""
        self._forget(now)
        self._admitted.append(now)
        self._saved = self._left_s(now) - START_S, now

    def refusal(self, kind: Kind, sessions: int, now: float) -> str | None:
        """Why a session of this kind cannot begin beside `sessions` live ones; None if it can."""
        for measure in MEASURES:
            pressed = self._pressed.get((measure.name, kind))
            if pressed is not None and sessions >= measure.fewest:
                return f"overloaded: {measure.words.format(pressed[1])}"
        share = 1.0 if kind == "voice" else TEXT_GIVES_WAY
        if sessions < FEWEST_TO_JUDGE:
            return None
        if self._left_s(now) < START_S + (1 - share) * STARTS:
            return CROWD
        return CROWD if self.expected(sessions, now) > FULL * share else None

    def expected(self, sessions: int, now: float) -> float:
        """The share of a core that the loop will need with one session more."""
        self._forget(now)
        cost, warm = SESSION_COST, sessions - len(self._admitted)
        # Where most have just begun, what is busy with them says nothing of their cost.
        if warm >= max(len(self._admitted), FEWEST_TO_JUDGE):
            cost = max(LEAST_COST, self.sample.busy / warm)
        fresh = sum(min(1.0, 2 - 2 * (now - at) / WARM_S) for at in self._admitted)
        return self.sample.busy + (fresh + 1) * cost

    def _left_s(self, now: float) -> float:
        """The processor time, in seconds, that new sessions may take at once to begin. It is
        negative after a client that comes back."""
        saved_s, at = self._saved
        most_s = max(AT_ONCE_S, STARTS * (1 - self.sample.busy / FULL))
        return min(most_s, saved_s + (now - at) * STARTS)

    def _forget(self, now: float) -> None:
        while self._admitted and self._admitted[0] <= now - WARM_S:
            self._admitted.popleft()


class RecentTurns:
    """The turns of all sessions in the last `RECENT_S`."""

    def __init__(self) -> None:
        self._turns: deque[tuple[float, float, float]] = deque()  # when, recognition, factor

    def note(self, turn: TurnMetrics, now: float) -> None:
        """Note a turn that is over."""
        heard = [span.end for span in turn.stages if span.stage == "stt" and span.end is not None]
        if heard and turn.voice_to_voice_ms is not None:
            factor = turn.voice_to_voice_ms / turn.budget_ms
            self._turns.append((now, max(heard) / 1000, factor))
        self._forget(now)

    def best(self, now: float) -> tuple[float, float]:
        """The shortest recognition in seconds and the best turn in budgets; 0 for too few turns."""
        self._forget(now)
        if len(self._turns) < FEWEST_TURNS:
            return 0.0, 0.0
        return min(turn[1] for turn in self._turns), min(turn[2] for turn in self._turns)

    def _forget(self, now: float) -> None:
        while self._turns and self._turns[0][0] <= now - RECENT_S:
            self._turns.popleft()
