import json
import os
import re
import subprocess
import sys
from collections.abc import Collection
from dataclasses import replace

import pytest

from gateway.commands.bench import command
from gateway.commands.bench.run import Job, Run
from gateway.commands.bench.server import PORT
from gateway.commands.cli import main
from gateway.settings import Settings
from tests.support.bench_runs import delays, made
from tests.support.paths import AUDIO, ROOT


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every number of sessions that is tried; up to 120 hold."""
    seen: list[int] = []

    def run(sessions: int, seconds: float, told: object) -> Run:
        seen.append(sessions)
        made_up = made("parley", "conversation", sessions, seconds=seconds)
        return made_up if sessions <= 120 else replace(made_up, lateness=delays(80.0))

    monkeypatch.setattr(command, "_run", run)
    monkeypatch.setattr(command, "usable", lambda: None)
    return seen


def test_a_quick_run_tries_once(tried: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--quick"]) == 0
    assert tried == [50]
    assert "Largest that held: 50 sessions" in " ".join(capsys.readouterr().out.split())


def test_the_number_of_sessions_can_be_given(
    tried: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--sessions", "150"]) == 1
    assert tried == [150]
    assert "Largest that held: 0 sessions" in " ".join(capsys.readouterr().out.split())


def test_without_options_the_largest_number_is_searched(
    tried: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench"]) == 0
    assert tried == [100, 150, 125, 112, 118, 121]
    told = capsys.readouterr()
    assert "Largest that held: 118 sessions" in " ".join(told.out.split())
    assert "not held: frame lateness p99 80 ms" in told.err


def test_a_disturbed_run_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    disturbed = made("parley", "conversation", 50, objections=("the host took 0.20 cores",))
    monkeypatch.setattr(command, "_run", lambda *_: disturbed)
    monkeypatch.setattr(command, "usable", lambda: None)
    assert main(["bench", "--quick"]) == 0
    assert "Not to be relied on: the host took 0.20 cores" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [["--sessions", "0"], ["--sessions", "many"], ["--seconds", "1"], ["--seconds", "601"]],
    ids=["none", "no number", "too short", "too long"],
)
def test_impossible_options_are_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["bench", *words])
    assert left.value.code == 2


def test_one_core_is_not_enough(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def one(_: int) -> Collection[int]:
        return {0}

    monkeypatch.setattr(os, "sched_getaffinity", one)
    assert main(["bench", "--quick"]) == 2
    assert "two cores are needed" in capsys.readouterr().err


def test_what_the_detector_lacks_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(command, "check", lambda: "Silero voice detection needs onnxruntime")
    assert main(["bench"]) == 2
    assert "needs onnxruntime" in capsys.readouterr().err


def test_a_load_run_leaves_the_operators_redis_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("PARLEY_WORKERS", "4")
    for name, value in command.program(2).environment.items():
        monkeypatch.setenv(name, value.replace(PORT, "0"))
    settings = Settings.load(env_file=None)
    assert (settings.redis_url, settings.workers) == (None, 1)


def test_nothing_that_is_set_here_gets_to_the_server_nor_its_sessions_into_the_usual_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PARLEY_API_KEYS", "a-key-of-16-letters")
    monkeypatch.setenv("PARLEY_DATA_DIR", "/var/lib/parley")
    given = command.program(2).environment
    assert (given["PARLEY_API_KEYS"], given["PARLEY_WEBHOOKS"]) == ("", "")
    assert "PARLEY_DATA_DIR" not in given  # or it would be that of the command, not the server's


@pytest.mark.slow
def test_the_generator_holds_conversations_with_the_gateway() -> None:
    """One real run, of which no time is judged."""
    from gateway.commands.bench.run import LoadProcess, cores, measure
    from gateway.commands.bench.server import TestedServer

    server_core, core = cores()
    with TestedServer(command.program(2), {server_core}) as server:
        run = measure(server, Job("parley", "conversation", 2, 12.0), LoadProcess(core, AUDIO))
    assert (run.unopened, run.missed, run.early, run.faults) == (0, 0, 0, {})
    assert run.spoken >= 2
    assert run.answered >= 2
    assert run.cpu_ms > 0
    assert run.chunk_to_decision is not None
    json.dumps(run.as_dict())


def test_the_generator_says_what_it_needs() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "gateway.commands.bench.load", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"--url", "--scenario", "--sessions"} <= set(re.findall(r"--[a-z-]+", told.stdout))
