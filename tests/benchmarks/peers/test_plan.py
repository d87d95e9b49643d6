from benchmarks.peers.plan import FULL, QUICK, calibration, expected_s, one_round

ALL = ("echo", "parley", "livekit", "pipecat")


def test_a_round_has_the_jobs_of_every_claim() -> None:
    jobs = {(job.target, job.scenario, job.sessions) for job in one_round(FULL, ALL)}
    assert {
        ("parley", "listening", 200),
        ("livekit", "listening", 25),
        ("pipecat", "listening", 10),
        ("echo", "listening", 200),
        ("parley", "conversation", 100),
        ("parley", "conversation", 300),
        ("livekit", "conversation", 25),
        ("parley", "barge-in", 200),
    } <= jobs


def test_the_targets_take_turns_within_a_scenario() -> None:
    listening = [job.target for job in one_round(FULL, ALL) if job.scenario == "listening"]
    assert listening == ["echo", "parley", "livekit", "pipecat"]


def test_everyone_connects_at_once_in_a_storm() -> None:
    storm = [job for job in one_round(FULL, ALL) if job.scenario == "storm"]
    assert {job.ramp_s for job in storm} == {0.0}
    assert [job.target for job in storm] == ["parley", "livekit", "pipecat"]


def test_only_the_wanted_targets_are_run() -> None:
    assert {job.target for job in one_round(QUICK, ("parley",))} == {"parley"}
    assert calibration(QUICK, ("parley", "echo")) == []
    assert [job.target for job in calibration(FULL, ALL)] == ["livekit", "pipecat"]


def test_no_listening_run_is_longer_than_a_turn() -> None:
    assert max(FULL.seconds, QUICK.seconds) <= 45.0


def test_a_quick_try_takes_minutes_and_the_whole_hours() -> None:
    assert expected_s(QUICK, ALL) < 10 * 60
    assert 3600 < expected_s(FULL, ALL) < 4 * 3600
