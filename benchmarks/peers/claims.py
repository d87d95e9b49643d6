"""The figures that must hold, computed from what was measured. Pure.

Each is a ratio or a bound from the table "Must hold"; a figure that could not be measured, or whose
rounds were not valid, has not passed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from benchmarks.peers.plan import Sizes
from gateway.commands.bench.figures import percentile
from gateway.commands.bench.run import SERVICE_LEVEL_MS, Run
from gateway.commands.bench.scenario import Scenario

Verdict: TypeAlias = Literal["pass", "fail", "not measured"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One figure that must hold. `value` is None where it was not measured.

    `most` says whether `limit` is the most or the least that it may be; `why` how it was made, or
    why it was not.
    """

    name: str
    value: float | None
    limit: float
    most: bool
    unit: str
    why: str

    @property
    def verdict(self) -> Verdict:
        if self.value is None:
            return "not measured"
        holds = self.value <= self.limit if self.most else self.value >= self.limit
        return "pass" if holds else "fail"

    @property
    def bound(self) -> str:
        return f"{'≤' if self.most else '≥'} {self.limit:g}{f' {self.unit}' if self.unit else ''}"


@dataclass(frozen=True, slots=True)
class Measured:
    """All that the claims are made of. `capacities` has the result of each round's search.

    `others` are figures of further parts, by name: see `claims`.
    """

    sizes: Sizes
    runs: Sequence[Run]
    capacities: Mapping[str, Sequence[int]] = field(default_factory=dict)
    lasting: Run | None = None
    others: Mapping[str, float] = field(default_factory=dict)


def median(values: Sequence[float]) -> float:
    """The middle value, the lower of two. Raises `ValueError` without values."""
    return percentile(values, 0.5)


def usual(
    measured: Measured,
    target: str,
    scenario: Scenario,
    sessions: int,
    figure: Callable[[Run], float | None],
) -> float | None:
    """The median of a figure over the rounds that count; None with less than a majority of them."""
    found = [
        value
        for run in measured.runs
        if (run.job.target, run.job.scenario, run.job.sessions) == (target, scenario, sessions)
        and (run.valid or measured.sizes.lenient)
        and (value := figure(run)) is not None
    ]
    needed = measured.sizes.rounds // 2 + 1
    return median(found) if len(found) >= needed else None


def cpu(run: Run) -> float | None:
    """CPU per session-second; None where sessions were missing, which cost nothing."""
    return run.cpu_ms if run.complete else None


def first_byte(share: Literal["p50", "p99"]) -> Callable[[Run], float | None]:
    """A percentile of decision → first byte."""

    def figure(run: Run) -> float | None:
        summary = run.decision_to_first
        return None if summary is None else float(getattr(summary, share))

    return figure


def silenced(run: Run) -> float | None:
    """The 95th percentile of barge-in → silence."""
    return None if run.barge_in is None else run.barge_in.p95


def claims(measured: Measured) -> list[Claim]:
    """Every figure of the table, in its order."""
    return [
        *_listening(measured),
        *_capacity(measured),
        *_delays(measured),
        *_growth(measured),
        *_further(measured),
        *_lasting(measured),
    ]


def _ratio(value: float | None, of: float | None) -> float | None:
    return None if value is None or not of else value / of


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _listening(measured: Measured) -> Iterator[Claim]:
    sizes = measured.sizes
    own = usual(measured, "parley", "listening", sizes.parley, cpu)
    for target, limit, title in (
        ("livekit", 0.12, "LiveKit Agents"),
        ("pipecat", 0.04, "Pipecat"),
        ("echo", 1.6, "echo server + batched detector"),
    ):
        count = sizes.of(target)
        other = usual(measured, target, "listening", count, cpu)
        yield Claim(
            f"CPU per session-second, listening, ÷ {title}",
            _ratio(own, other),
            limit,
            True,
            "",
            f"{_shown(own)} ms at {sizes.parley} ÷ {_shown(other)} ms at {count}",
        )


def _capacity(measured: Measured) -> Iterator[Claim]:
    def found(target: str) -> float | None:
        each = measured.capacities.get(target, ())
        return median(each) if len(each) >= measured.sizes.rounds // 2 + 1 else None

    own = found("parley")
    for target, limit, title in (("livekit", 8.0, "LiveKit Agents"), ("pipecat", 20.0, "Pipecat")):
        other = found(target)
        yield Claim(
            f"sessions per core at the service level, ÷ {title}",
            _ratio(own, other),
            limit,
            False,
            "",
            f"{_shown(own)} ÷ {_shown(other)} sessions in conversation",
        )


def _delays(measured: Measured) -> Iterator[Claim]:
    sizes = measured.sizes
    for share in ("p50", "p99"):
        figure = first_byte(share)
        own = usual(measured, "parley", "conversation", sizes.few, figure)
        other = usual(measured, "livekit", "conversation", sizes.livekit, figure)
        yield Claim(
            f"decision → first byte, {share}, ÷ LiveKit Agents",
            _ratio(own, other),
            0.3,
            True,
            "",
            f"{_shown(own)} ms at {sizes.few} ÷ {_shown(other)} ms at {sizes.livekit}",
        )
    last = usual(measured, "parley", "barge-in", sizes.parley, silenced)
    yield Claim(
        f"first user frame → last old byte, p95, {sizes.parley} sessions",
        last,
        260.0,
        True,
        "ms",
        "of which 200 ms are the speech that ends a reply",
    )


def _growth(measured: Measured) -> Iterator[Claim]:
    sizes = measured.sizes
    few = usual(measured, "parley", "conversation", sizes.few, cpu)
    many = usual(measured, "parley", "conversation", sizes.many, cpu)
    yield Claim(
        f"CPU per session-second at {sizes.many} ÷ at {sizes.few}",
        _ratio(many, few),
        1.1,
        True,
        "",
        f"{_shown(many)} ms ÷ {_shown(few)} ms, conversation",
    )


_FURTHER: Sequence[tuple[str, str, float, bool, str, str]] = (
    ("workers.cost", "two workers at 2N ÷ one at N, CPU", 1.1, True, "", "conversation"),
    ("workers.split", "largest share of the sessions in one of two workers", 0.6, True, "", ""),
    ("webrtc.sound", "WebRTC, sound both ways, ÷ stock aiortc", 0.4, True, "", "24 sessions"),
    ("webrtc.face", "WebRTC, speaking face, ÷ stock aiortc", 0.4, True, "", "VP8, 10 sessions"),
    ("rest.respond", "REST respond, requests a second ÷ before", 2.0, False, "", ""),
    ("rest.submit", "REST submit-answer, requests a second ÷ before", 1.5, False, "", ""),
    ("rest.respond_p99", "REST respond, p99, 32 connections", 30.0, True, "ms", ""),
    ("rest.submit_p99", "REST submit-answer, p99, 32 connections", 30.0, True, "ms", ""),
    ("rest.lost", "answers accepted but not stored after SIGKILL", 0.0, True, "", ""),
)


def _further(measured: Measured) -> Iterator[Claim]:
    for key, name, limit, most, unit, why in _FURTHER:
        yield Claim(name, measured.others.get(key), limit, most, unit, why)


def _lasting(measured: Measured) -> Iterator[Claim]:
    run = measured.lasting
    if not measured.sizes.lasting_s:
        return
    minutes = measured.sizes.lasting_s / 60
    name = f"largest p99 of the three delays over {minutes:.0f} minutes"
    if run is None or not run.valid:
        yield Claim(name, None, SERVICE_LEVEL_MS, True, "ms", "")
        return
    delays = (run.lateness, run.decision_to_first, run.chunk_to_decision)
    seen = [delay.p99 for delay in delays if delay is not None]
    worst = max(seen) if len(seen) == len(delays) else None
    yield Claim(name, worst, SERVICE_LEVEL_MS, True, "ms", f"{run.job.sessions} sessions")
    lost = float(run.missed + run.unopened + run.lost)
    yield Claim("turns missed in that time", lost, 0.0, True, "", f"of {run.spoken}")
