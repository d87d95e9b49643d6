"""`parley drill`: a newcomer breaks a stage and watches."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from gateway.commands.drill import drill, seconds
from gateway.commands.terminal import DONE, INTERRUPTED, CommandFailed
from gateway.settings import Settings

KEY = "operators-key-0001"
SETTINGS = Settings(admin_key=SecretStr(KEY))


class Gateway:
    """What the admin API answers: the breaker opens after two seconds, the drill takes four."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.now = 0
        self.ended = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.method, request.url.path))
        assert request.headers["authorization"] == f"Bearer {KEY}"
        if request.method == "POST":
            assert json.loads(request.content) == {"stage": "llm", "fault": "hang", "seconds": 4}
            return httpx.Response(201, json={"drills": [{"name": "llm.openai"}]})
        if request.method == "DELETE":
            self.ended = True
            return httpx.Response(204)
        if request.url.path == "/admin/breakers":
            state = "open" if self.now >= 2 else "closed"
            return httpx.Response(200, json={"breakers": [{"name": "llm.openai", "state": state}]})
        under_way = [] if self.now >= 4 else [{"name": "llm.openai"}]
        return httpx.Response(200, json={"drills": under_way})

    def wait(self, wait_s: float) -> None:
        self.now += round(wait_s)


def run(answer: Callable[[httpx.Request], httpx.Response], **more: Any) -> int:
    url = "ws://127.0.0.1:8000/"
    return drill(SETTINGS, "llm", "hang", 4, url, transport=httpx.MockTransport(answer), **more)


def test_it_tells_what_the_breaker_does_until_the_drill_is_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gateway = Gateway()
    assert run(gateway, wait=gateway.wait) == DONE
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("llm.openai gives nothing any more for 4 s (Ctrl-C ends it).")
    assert told[1:] == [
        "   0 s  its circuit breaker is closed",
        "   2 s  its circuit breaker is open",
        "llm.openai is whole again",
    ]
    assert not gateway.ended


def test_ctrl_c_makes_the_provider_whole_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    gateway = Gateway()

    def interrupted(wait_s: float) -> None:
        raise KeyboardInterrupt

    assert run(gateway, wait=interrupted) == INTERRUPTED
    assert gateway.asked[-1] == ("DELETE", "/admin/drills/llm.openai")
    assert capsys.readouterr().out.endswith("llm.openai is whole again\n")


def test_a_gateway_that_goes_away_leaves_the_drill_to_its_time() -> None:
    gateway = Gateway()

    def interrupted(wait_s: float) -> None:
        raise KeyboardInterrupt

    def lost(request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":
            raise httpx.ConnectError("gone")
        return gateway(request)

    with pytest.raises(CommandFailed, match="stays broken until its time is over"):
        run(lost, wait=interrupted)


def refuse(request: httpx.Request) -> httpx.Response:
    told = {"title": "Drills are not allowed here", "detail": "PARLEY_DRILLS=allowed allows them"}
    return httpx.Response(403, json=told)


def unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (refuse, "Drills are not allowed here: PARLEY_DRILLS=allowed allows them"),
        (unreachable, "no gateway answers at http://127.0.0.1:8000: refused"),
        (lambda request: httpx.Response(200, json=[]), "is no gateway"),
        (lambda request: httpx.Response(500, json={}), "HTTP 500"),
        (lambda request: httpx.Response(200, text="<p>"), "no gateway answers"),
    ],
)
def test_what_does_not_begin_is_said_in_a_sentence(
    answer: Callable[[httpx.Request], httpx.Response], told: str
) -> None:
    with pytest.raises(CommandFailed) as failed:
        run(answer)
    assert told in failed.value.message


def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=r"--trust .*none.pem: No such file"):
        drill(SETTINGS, "llm", "hang", 30, "https://127.0.0.1:1", tmp_path / "none.pem")


def test_without_the_key_it_says_which_setting_is_missing() -> None:
    with pytest.raises(CommandFailed, match="PARLEY_ADMIN_KEY is not set here"):
        drill(Settings(), "llm", "hang", 4, "http://127.0.0.1:8000")


@pytest.mark.parametrize(("text", "value"), [("30s", 30), ("2m", 120), ("45", 45), ("600", 600)])
def test_a_time_is_seconds_or_minutes(text: str, value: int) -> None:
    assert value == seconds(text)


@pytest.mark.parametrize("text", ["", "0", "11m", "601s", "1h", "-5", "2.5s"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="from 1s to 10m"):
        seconds(text)
