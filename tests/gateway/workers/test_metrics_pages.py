from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.workers.metrics_pages import added, counted


def page(turns: int, sessions: int, *waits_s: float, started: float = 1.0) -> str:
    registry = CollectorRegistry()
    labels = Counter("parley_turns", "Turns", ["outcome"], registry=registry)
    labels.labels('said "a b"').inc(turns)
    Gauge("parley_sessions", "Sessions", registry=registry).set(sessions)
    Gauge("parley_build_info", "Version", ["version"], registry=registry).labels("1").set(1)
    Gauge("process_start_time_seconds", "Start", registry=registry).set(started)
    waits = Histogram("parley_wait_seconds", "Waits", buckets=(0.1, 1.0), registry=registry)
    for wait_s in waits_s:
        waits.observe(wait_s)
    return generate_latest(registry).decode()


def samples(text: str) -> dict[tuple[str, str], float]:
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_counters_gauges_and_histograms_of_all_processes_add_up() -> None:
    whole = samples(added([page(3, 2, 0.05, 0.5, started=5.0), page(4, 1, 0.5, started=3.0)]))
    assert whole == {
        ("parley_turns_total", 'said "a b"'): 7.0,
        ("parley_sessions", ""): 3.0,
        ("parley_build_info", "1"): 1.0,
        ("process_start_time_seconds", ""): 3.0,
        ("parley_wait_seconds_bucket", "0.1"): 1.0,
        ("parley_wait_seconds_bucket", "1.0"): 3.0,
        ("parley_wait_seconds_bucket", "+Inf"): 3.0,
        ("parley_wait_seconds_count", ""): 3.0,
        ("parley_wait_seconds_sum", ""): 1.05,
    }


def test_the_pressure_is_that_of_the_busiest_process() -> None:
    pages = [
        f'# TYPE parley_pressure gauge\nparley_pressure{{measure="busy"}} {share}\n'
        for share in (0.6, 0.7, 0.5)
    ]
    assert samples(added(pages)) == {("parley_pressure", "busy"): 0.7}


def test_one_page_says_the_same_as_before() -> None:
    assert samples(added([page(3, 2, 0.05)])) == samples(page(3, 2, 0.05))


def test_a_family_has_one_help_and_one_type() -> None:
    lines = added([page(3, 2), page(4, 1)]).splitlines()
    comments = [line for line in lines if line.startswith("#")]
    assert len(comments) == len(set(comments))
    assert lines.count("# TYPE parley_turns_total counter") == 1


def test_what_a_process_that_ended_has_counted_stays_and_its_gauges_do_not() -> None:
    kept = samples(counted(page(3, 2, 0.05)))
    assert {name for name, _ in kept} == {
        "parley_turns_total",
        "parley_wait_seconds_bucket",
        "parley_wait_seconds_count",
        "parley_wait_seconds_sum",
    }
    assert samples(added([page(1, 1), counted(page(3, 2))]))["parley_sessions", ""] == 1.0
    assert (
        samples(added([page(1, 1), counted(page(3, 2))]))["parley_turns_total", 'said "a b"'] == 4
    )
