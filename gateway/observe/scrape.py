"""The metrics that are read when Prometheus asks: breakers, queues, sessions, media."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.observe.metrics import TRANSPORTS, Metrics
from gateway.observe.sessions import ObservedSession
from gateway.status import BreakerReport, MediaCounts, QueueReport, Readiness, ServiceBreakers
from pipeline.ladder import LadderStep
from stages.avatar.quality import QUALITY_LEVELS

BREAKER_STATES = ("closed", "open", "half-open", "forced-open", "disabled")
SERVICE_STATES = BREAKER_STATES[:3]
"""No operator changes the breaker of an instance but to close it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeSources:
    """Where the samples come from; each function returns at once."""

    version: str
    places: int
    sessions: Iterable[ObservedSession]
    breakers: Callable[[], Sequence[BreakerReport]]
    service_breakers: Callable[[], Iterable[ServiceBreakers]]
    queues: Callable[[], Sequence[QueueReport]]
    readiness: Callable[[], Readiness]
    media: Callable[[], MediaCounts]
    face_level: Callable[[], str | None]
    """The level at which faces are drawn here; None where none is."""
    step: Callable[[], LadderStep]
    pressure: Callable[[], Mapping[str, float]]
    """Each measure's share of its limit."""


class Scrape:
    """The whole page of `/metrics`: what `metrics` has counted, and the samples."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, metrics: Metrics, sources: ScrapeSources) -> None:
        self._registry = metrics.registry
        self._registry.register(_Samples(sources))

    def page(self) -> bytes:
        """The metrics in Prometheus's text format, version 0.0.4."""
        return generate_latest(self._registry)


class _Samples(Collector):
    def __init__(self, sources: ScrapeSources) -> None:
        self._sources = sources

    def describe(self) -> Iterable[Metric]:
        return []  # nothing is sampled before the runtime has started

    def collect(self) -> Iterator[Metric]:
        sources = self._sources
        build = GaugeMetricFamily("parley_build_info", "Parley's version", labels=["version"])
        build.add_metric([sources.version], 1)
        yield build
        yield from self._sessions()
        yield from self._breakers()
        yield from self._service_breakers()
        depth = GaugeMetricFamily(
            "parley_queue_depth", "Work of all sessions, waiting or under way", labels=["queue"]
        )
        for queue in sources.queues():
            depth.add_metric([queue.name], queue.depth)
        yield depth
        level = sources.face_level()
        face = GaugeMetricFamily(
            "parley_avatar_level", "1 for the level at which faces are drawn now", labels=["level"]
        )
        for known in QUALITY_LEVELS:
            face.add_metric([known.name], known.name == level)
        yield face
        ladder = GaugeMetricFamily(
            "parley_ladder_step", "1 for the step of the ladder that holds now", labels=["step"]
        )
        for step in LadderStep:
            ladder.add_metric([step.label], step is sources.step())
        yield ladder
        pressure = GaugeMetricFamily(
            "parley_pressure",
            "The load of the last half second, as a share of what refuses live sessions",
            labels=["measure"],
        )
        for measure, share in sources.pressure().items():
            pressure.add_metric([measure], share)
        yield pressure
        media = sources.media()
        for name, told, count in (
            ("lost_packets", "RTP packets of clients that never came; concealed", media.lost),
            ("late_packets", "RTP packets that came after they were given up", media.late),
            (
                "concealed_seconds",
                "Sound that stands for RTP packets that never came",
                media.concealed_ms / 1000,
            ),
            ("dropped_chunks", "Chunks of 32 ms that voice detection never judged", media.dropped),
        ):
            yield CounterMetricFamily(f"parley_media_{name}", told, value=count)

    def _sessions(self) -> Iterator[Metric]:
        sources = self._sources
        live = Counter(session.transport for session in sources.sessions)
        sessions = GaugeMetricFamily("parley_sessions", "Live sessions", labels=["transport"])
        for transport in TRANSPORTS:
            sessions.add_metric([transport], live[transport])
        yield sessions
        yield GaugeMetricFamily(
            "parley_session_places", "How many connections there may be", value=sources.places
        )
        now = sources.readiness()
        readiness = GaugeMetricFamily(
            "parley_readiness", "1 for the present state of the process", labels=["state"]
        )
        for state in get_args(Readiness):
            readiness.add_metric([state], state == now)
        yield readiness

    def _breakers(self) -> Iterator[Metric]:
        states = GaugeMetricFamily(
            "parley_breaker_state",
            "1 for the present state of a provider's circuit breaker",
            labels=["stage", "provider", "state"],
        )
        changes = CounterMetricFamily(
            "parley_breaker_transitions",
            "Changes of a circuit breaker's state",
            labels=["stage", "provider"],
        )
        for breaker in self._sources.breakers():
            for state in BREAKER_STATES:
                states.add_metric([breaker.slot, breaker.provider, state], state == breaker.state)
            changes.add_metric([breaker.slot, breaker.provider], breaker.transitions)
        yield states
        yield changes

    def _service_breakers(self) -> Iterator[Metric]:
        states = GaugeMetricFamily(
            "parley_service_breakers",
            "Instances of a service behind the gateway, by the state of their circuit breakers",
            labels=["service", "state"],
        )
        changes = CounterMetricFamily(
            "parley_service_breaker_transitions",
            "Changes of the states of circuit breakers of a service's instances",
            labels=["service"],
        )
        for one in self._sources.service_breakers():
            for state in SERVICE_STATES:
                states.add_metric([one.service, state], one.states.get(state, 0))
            changes.add_metric([one.service], one.transitions)
        yield states
        yield changes
