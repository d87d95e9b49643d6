"""`parley drain`: the operator lets a gateway end, and watches."""

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from gateway.commands.drain import AFTER_S, drain
from gateway.commands.terminal import DONE, FAILED, INTERRUPTED, UNUSABLE, CommandFailed
from gateway.settings import Settings

KEY = "operators-key-0001"
SETTINGS = Settings(admin_key=SecretStr(KEY))
URL = "http://127.0.0.1:8000"


class Gateway:
    """A gateway with two conversations, of which one ends in each second; then `after` happens."""

    def __init__(self, after: str = "gone") -> None:
        self.after = after
        self.asked = 0
        self.now = 0.0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == f"Bearer {KEY}"
        live = max(0, 2 - int(self.now))
        if request.method == "POST":
            assert request.url.path == "/admin/drain"
            self.asked += 1
            return httpx.Response(202, json={"status": "draining", "within_s": 20})
        if self.now >= 2 and self.after == "gone":
            raise httpx.ConnectError("refused")
        if request.url.path == "/admin/sessions":
            return httpx.Response(200, json={"sessions": [{}] * live})
        if self.now >= 2 and self.after == "another":
            return httpx.Response(200, json={"status": "ready"})
        return httpx.Response(503, json={"status": "draining"})

    def wait(self, wait_s: float) -> None:
        self.now += wait_s


def run(gateway: Any, **more: Any) -> int:
    return drain(SETTINGS, URL, transport=httpx.MockTransport(gateway), **more)


@pytest.mark.parametrize("after", ["gone", "another"])
def test_it_tells_how_many_are_left_until_the_gateway_has_ended(
    after: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = Gateway(after)
    assert run(gateway, wait=gateway.wait) == DONE
    assert gateway.asked == 1
    assert capsys.readouterr().out.splitlines() == [
        f"The gateway at {URL} takes no further conversation, and ends within 20 s",
        "   0.0 s  2 live conversations",
        "   1.0 s  1 live conversations",
        "It has ended",
    ]


def test_a_gateway_that_does_not_end_is_reported() -> None:
    gateway = Gateway("nothing")
    with pytest.raises(CommandFailed, match="still answers") as failed:
        run(gateway, wait=gateway.wait)
    assert failed.value.code == FAILED
    assert gateway.now == 20 + AFTER_S


def test_ctrl_c_ends_the_telling(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(wait_s: float) -> None:
        raise KeyboardInterrupt

    assert run(Gateway(), wait=interrupted) == INTERRUPTED
    assert capsys.readouterr().out.endswith("It goes on draining\n")


def test_without_the_key_nothing_is_asked() -> None:
    with pytest.raises(CommandFailed) as failed:
        drain(Settings(), URL)
    expected = "PARLEY_ADMIN_KEY is not set here: draining needs the gateway's admin key"
    assert (failed.value.message, failed.value.code) == (expected, UNUSABLE)


def test_a_gateway_that_refuses_says_why() -> None:
    def refusing(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"title": "This is for the operator", "detail": "No key"})

    with pytest.raises(CommandFailed, match="This is for the operator: No key"):
        run(refusing)


def test_where_no_gateway_answers_that_is_said() -> None:
    def nobody(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(CommandFailed, match=f"no gateway answers at {URL}"):
        run(nobody)


@pytest.mark.parametrize("told", [[], {"status": "ok"}], ids=["list", "another-object"])
def test_what_is_no_gateway_is_said_to_be_none(told: Any) -> None:
    with pytest.raises(CommandFailed, match=f"what answers at {URL} is no gateway"):
        run(lambda request: httpx.Response(200, json=told))
