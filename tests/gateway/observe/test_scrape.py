"""The page of `/metrics`."""

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.observe.metrics import Metrics
from gateway.observe.scrape import Scrape, ScrapeSources
from gateway.observe.sessions import ObservedSessions
from gateway.status import BreakerReport, MediaCounts, QueueReport, ServiceBreakers
from pipeline.ladder import LadderStep

SESSIONS = ObservedSessions()


def scraped(**changed: Any) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The samples of a page, by name and labels."""
    sources: dict[str, Any] = {
        "version": "1.2.3",
        "places": 100,
        "sessions": SESSIONS,
        "breakers": list,
        "service_breakers": list,
        "queues": list,
        "readiness": lambda: "ready",
        "media": MediaCounts,
        "face_level": lambda: None,
        "step": lambda: LadderStep.EVERYTHING,
        "pressure": lambda: {"busy": 0.5},
    }
    page = Scrape(Metrics(), ScrapeSources(**(sources | changed))).page().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def labels(**given: str) -> frozenset[tuple[str, str]]:
    return frozenset(given.items())


def test_exactly_one_state_of_a_breaker_is_the_present_one() -> None:
    report = BreakerReport("llm.openai", "llm", "openai", "forced-open", 3, 0.0)
    samples = scraped(breakers=lambda: [report])
    which = {"stage": "llm", "provider": "openai"}
    states = {
        dict(key)["state"]: value
        for (name, key), value in samples.items()
        if name == "parley_breaker_state"
    }
    assert states == {"closed": 0, "open": 0, "half-open": 0, "forced-open": 1, "disabled": 0}
    assert samples["parley_breaker_transitions_total", labels(**which)] == 3


def test_the_instances_of_a_service_are_counted_by_the_states_of_their_breakers() -> None:
    found = [ServiceBreakers("plans", {"open": 1, "closed": 2}, 5), ServiceBreakers("cv", {}, 0)]
    samples = scraped(service_breakers=lambda: found)
    states = {
        (dict(key)["service"], dict(key)["state"]): value
        for (name, key), value in samples.items()
        if name == "parley_service_breakers"
    }
    assert states == {
        ("plans", "closed"): 2,
        ("plans", "open"): 1,
        ("plans", "half-open"): 0,
        ("cv", "closed"): 0,
        ("cv", "open"): 0,
        ("cv", "half-open"): 0,
    }
    assert samples["parley_service_breaker_transitions_total", labels(service="plans")] == 5
    assert samples["parley_service_breaker_transitions_total", labels(service="cv")] == 0


def test_the_level_of_the_faces_is_one_of_those_that_there_are() -> None:
    def levels(level: str | None) -> dict[str, float]:
        samples = scraped(face_level=lambda: level)
        return {
            dict(key)["level"]: value
            for (name, key), value in samples.items()
            if name == "parley_avatar_level"
        }

    assert levels("12 fps") == {"25 fps": 0, "12 fps": 1, "12 fps, small": 0, "visemes": 0}
    assert set(levels(None).values()) == {0}


@pytest.mark.parametrize("step", list(LadderStep))
def test_one_step_of_the_ladder_is_the_present_one(step: LadderStep) -> None:
    samples = scraped(step=lambda: step)
    assert {
        dict(key)["step"]: value
        for (name, key), value in samples.items()
        if name == "parley_ladder_step"
    } == {each.label: float(each is step) for each in LadderStep}


def test_each_measure_of_the_load_is_a_share_of_its_limit() -> None:
    samples = scraped(pressure=lambda: {"busy": 0.5, "uplink": 1.2})
    assert samples["parley_pressure", labels(measure="busy")] == 0.5
    assert samples["parley_pressure", labels(measure="uplink")] == 1.2


def test_sessions_are_counted_by_transport() -> None:
    with (
        SESSIONS.open("a", transport="webrtc", kind="interview"),
        SESSIONS.open("b", transport="webrtc", kind="interview"),
    ):
        samples = scraped()
    assert samples["parley_sessions", labels(transport="webrtc")] == 2
    assert samples["parley_sessions", labels(transport="websocket")] == 0
    assert samples["parley_session_places", labels()] == 100


def test_readiness_queues_media_and_version_are_sampled() -> None:
    samples = scraped(
        readiness=lambda: "draining",
        queues=lambda: [QueueReport("stt whisper", "jobs", 3)],
        media=lambda: MediaCounts(lost=5, late=2, dropped=7, concealed_ms=120),
    )
    assert samples["parley_readiness", labels(state="draining")] == 1
    assert samples["parley_readiness", labels(state="ready")] == 0
    assert samples["parley_queue_depth", labels(queue="stt whisper")] == 3
    assert samples["parley_media_lost_packets_total", labels()] == 5
    assert samples["parley_media_late_packets_total", labels()] == 2
    assert samples["parley_media_concealed_seconds_total", labels()] == 0.12
    assert samples["parley_media_dropped_chunks_total", labels()] == 7
    assert samples["parley_build_info", labels(version="1.2.3")] == 1


def test_the_process_itself_is_on_the_page() -> None:
    names = {name for name, _ in scraped()}
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total"} <= names
