"""A stage on Ray Serve: what it is told, and what it refuses. Ray itself is not needed."""

import asyncio
from importlib import import_module
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from gateway.commands import ray_stage
from gateway.commands.ray_stage import DRAINING_S, HAPROXY, HARD_STOP_S, StageArguments, refusal
from gateway.commands.terminal import CommandFailed
from pipeline.utterance import LONGEST_S
from stages.fakes import FakeTranscriber
from tests.support.paths import ROOT

STT = StageArguments(stage="stt")
DEPLOYED = yaml.safe_load((ROOT / "deploy/ray/serve.yaml").read_text(encoding="utf-8"))
RIGHT = {HAPROXY: "1", DRAINING_S[0]: "150", HARD_STOP_S[0]: "180"}


def without(name: str) -> dict[str, str]:
    return {each: value for each, value in RIGHT.items() if each != name}


# --- calls that would be cut --------------------------------------------------------------------


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({}, id="without HAProxy"),
        pytest.param({HAPROXY: "0", DRAINING_S[0]: "5"}, id="HAProxy is off"),
        pytest.param(RIGHT, id="with HAProxy"),
    ],
)
def test_a_replica_starts_where_no_call_would_be_cut(environment: dict[str, str]) -> None:
    assert refusal(STT, environment) is None


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        pytest.param(
            without(DRAINING_S[0]),
            "calls of more than 30 s would be cut when a replica ends: set"
            " RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S to 150 or more where Ray starts, on"
            " every node",
            id="a replica closes its connections",
        ),
        pytest.param(
            RIGHT | {DRAINING_S[0]: "149"},
            "calls of more than 149 s would be cut when a replica ends: set"
            " RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S to 150 or more where Ray starts, on"
            " every node",
            id="a little too early",
        ),
        pytest.param(
            without(HARD_STOP_S[0]),
            "calls of more than 120 s would be cut when a replica ends: set"
            " RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S to 180 or more where Ray starts, on every node",
            id="HAProxy ends",
        ),
        pytest.param(
            RIGHT | {DRAINING_S[0]: "150s"},
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S is a time in seconds, not '150s'",
            id="no number",
        ),
        pytest.param(
            RIGHT | {HARD_STOP_S[0]: "nan"},
            "calls of more than nan s would be cut when a replica ends: set"
            " RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S to 180 or more where Ray starts, on every node",
            id="not a number",
        ),
    ],
)
def test_a_replica_does_not_start_where_calls_would_be_cut(
    environment: dict[str, str], words: str
) -> None:
    assert refusal(STT, environment) == words


def test_the_longest_call_has_room_for_the_longest_utterance_and_its_text() -> None:
    assert STT.longest_call_s >= LONGEST_S + 30


# --- in a replica -------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*RIGHT, "PARLEY_WORKER_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ray_stage, "configure", lambda *_: None)  # the logs of the tests stay

    async def started(*_: Any) -> FakeTranscriber:
        return FakeTranscriber()

    monkeypatch.setattr(ray_stage, "started", started)


def open_and_end(args: StageArguments) -> dict[str, Any]:
    async def story() -> dict[str, Any]:
        async with ray_stage._opened(args) as conversations:
            return conversations.health()

    return asyncio.run(story())


def test_a_replica_needs_the_workers_key_or_says_that_it_needs_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(CommandFailed, match="set PARLEY_WORKER_KEY where Ray starts"):
        open_and_end(STT)
    assert open_and_end(StageArguments(stage="stt", insecure=True))["status"] == "ready"
    monkeypatch.setenv("PARLEY_WORKER_KEY", "a-key-of-the-workers")
    assert open_and_end(StageArguments(stage="stt", places=7))["places"] == 7


def test_a_replica_reads_rays_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_WORKER_KEY", "a-key-of-the-workers")
    monkeypatch.setenv(HAPROXY, "1")
    with pytest.raises(CommandFailed, match="calls of more than 30 s would be cut"):
        open_and_end(STT)


# --- deploy/ray/serve.yaml ----------------------------------------------------------------------


@pytest.mark.parametrize("given", DEPLOYED["applications"], ids=lambda given: given["name"])
def test_an_application_of_the_configuration_is_one_that_exists(given: dict[str, Any]) -> None:
    module, _, name = given["import_path"].partition(":")
    assert getattr(import_module(module), name) is ray_stage.application
    args = StageArguments(**given["args"])
    assert (args.stage, given["route_prefix"]) == (given["name"], f"/{given['name']}")
    assert [each["name"] for each in given["deployments"]] == ["stage"]


def test_the_configurations_own_words_tell_the_variables_that_a_replica_wants() -> None:
    told = (ROOT / "deploy/ray/serve.yaml").read_text(encoding="utf-8")
    for name, value in RIGHT.items():
        assert f"{name}={value}" in told


def test_a_misspelt_argument_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        StageArguments(**{"stage": "stt", "place": 3})
