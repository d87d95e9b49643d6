"""Counts and times of turns, for Prometheus.

Everything is counted where a turn ends, where work leaves a queue, or by the sampler of the event
loop: nothing for a frame of audio. Labels have few values whatever clients send: providers are
those of the line-up, any other is "other".

Each instance has a registry of its own, so that two applications in a process do not share counts.
"""

from collections.abc import Iterable
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from gateway.observe.sessions import ObservedSession
from gateway.observe.turn_record import NOBODY, TurnRecord
from pipeline.budget import STAGES
from pipeline.ladder import TARGETS, LadderStep
from pipeline.ledger import FILLER, FOLLOWS

STAGE_BUCKETS_S = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0)
VOICE_BUCKETS_S = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 6.0)
WAIT_BUCKETS_S = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LAG_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)

Transport = Literal["websocket", "webrtc"]
TRANSPORTS: tuple[Transport, ...] = get_args(Transport)

OTHER = "other"

NAMED_STAGES = frozenset({*STAGES, FILLER})
"""The stages of a turn that have a label of their own."""

BLAMED = frozenset({*NAMED_STAGES, *FOLLOWS.values(), NOBODY})
"""The stages that may be blamed for a late reply, as a label."""

QUEUES = frozenset({"recognition", "synthesis"})
"""The queues of a session whose waits are reported (`pipeline.channel.Waited`)."""


class Metrics:
    """The instruments of a process. Plain calls on the event loop's thread."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=True)
        self._providers: frozenset[str] = frozenset()
        ProcessCollector(registry=self.registry)
        made = self.registry
        self._turns = Counter(
            "parley_turns", "Turns that are over, by how they ended", ["outcome"], registry=made
        )
        self._voice = Histogram(
            "parley_voice_to_voice_seconds",
            "From the end of speech, or a typed answer, to the first sound of filler or reply",
            ["input"],
            buckets=VOICE_BUCKETS_S,
            registry=made,
        )
        self._first = Histogram(
            "parley_stage_first_item_seconds",
            "From a stage's start in a turn to its first useful item",
            ["stage", "provider"],
            buckets=STAGE_BUCKETS_S,
            registry=made,
        )
        self._total = Histogram(
            "parley_stage_total_seconds",
            "From a stage's start in a turn to its end",
            ["stage", "provider"],
            buckets=STAGE_BUCKETS_S,
            registry=made,
        )
        self._degraded = Counter(
            "parley_degradations",
            "Steps down to a weaker provider, a canned line or text",
            ["stage", "target"],
            registry=made,
        )
        self._steps = Counter(
            "parley_ladder_steps",
            "Steps of the process down the ladder, and back up",
            ["step", "direction"],
            registry=made,
        )
        for step in list(LadderStep)[1:]:
            for direction in ("down", "up"):
                self._steps.labels(step.label, direction)
        self._breaches = Counter(
            "parley_budget_breaches",
            "Turns whose reply began later than the budget allows, or never, by the stage to blame",
            ["stage"],
            registry=made,
        )
        for stage in BLAMED:
            self._breaches.labels(stage)  # at 0: a rate needs a beginning
        self._refused = Counter(
            "parley_admissions_refused",
            "Clients that were refused because the process is full, overloaded or about to end",
            ["transport"],
            registry=made,
        )
        for transport in TRANSPORTS:
            self._refused.labels(transport)
        self._waits = Histogram(
            "parley_queue_wait_seconds",
            "How long work had waited when it was taken from a queue",
            ["queue"],
            buckets=WAIT_BUCKETS_S,
            registry=made,
        )
        self._lag = Histogram(
            "parley_event_loop_lag_seconds",
            "How late timers of the event loop fire",
            buckets=LAG_BUCKETS_S,
            registry=made,
        )

    def know(self, providers: Iterable[str]) -> None:
        """Use these names of the process's providers as labels; any other becomes "other"."""
        self._providers = frozenset(providers)

    def turn_over(self, session: ObservedSession, record: TurnRecord) -> None:
        """Count a turn that is over (`gateway.observe.sessions.OnTurn`)."""
        self._turns.labels(record.outcome).inc()
        if (stage := record.overspent) is not None:
            self._breaches.labels(stage if stage in BLAMED else OTHER).inc()
        if record.voice_to_voice_ms is not None:
            kind = "speech" if record.spoken else OTHER
            self._voice.labels(kind).observe(record.voice_to_voice_ms / 1000)
        for span in record.stages:
            stage = span.stage if span.stage in NAMED_STAGES else OTHER
            provider = self._provider(span.provider)
            if span.first is not None:
                self._first.labels(stage, provider).observe((span.first - span.start) / 1000)
            if span.end is not None:
                self._total.labels(stage, provider).observe((span.end - span.start) / 1000)
        for step in record.degraded:
            target = TARGETS.get(step.target) or self._provider(step.target)
            self._degraded.labels(step.stage, target).inc()

    def stepped(self, before: LadderStep, after: LadderStep, reason: str) -> None:
        """Note steps of the ladder that the process has taken or taken back (`pipeline.ladder`)."""
        direction = "down" if after > before else "up"
        for step in range(min(before, after) + 1, max(before, after) + 1):
            self._steps.labels(LadderStep(step).label, direction).inc()

    def refused(self, transport: Transport) -> None:
        """Count a client that was not admitted."""
        self._refused.labels(transport).inc()

    def waited(self, queue: str, age_ms: float) -> None:
        """Count the wait of work in a queue (`pipeline.channel.Waited`)."""
        self._waits.labels(queue if queue in QUEUES else OTHER).observe(age_ms / 1000)

    def lagged(self, late_s: float) -> None:
        """Count a timer of the event loop that fired this late."""
        self._lag.observe(late_s)

    def _provider(self, name: str) -> str:
        return name if name in self._providers else OTHER
