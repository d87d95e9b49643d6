"""Webhooks of a gateway in a process of its own, which is killed."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.events.webhooks import webhooks_of
from gateway.settings import Settings, SettingsError
from tests.support.served import free_port, gateway
from tests.support.webhook_receiver import WebhookReceiver, webhooks_file

ANSWER = "I profiled it first, and found one query that ran four hundred times in a loop."
WITHIN_S = 60


def test_a_file_with_a_mistake_is_refused_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text("webhooks: 1\n")
    with pytest.raises(SettingsError, match=r"PARLEY_WEBHOOKS: .*w\.yaml:1: webhooks must be"):
        webhooks_of(Settings(webhooks=file))
    with pytest.raises(SettingsError, match=r"PARLEY_WEBHOOKS: .*gone cannot be read"):
        webhooks_of(Settings(webhooks=tmp_path / "gone"))


def waited(done: Callable[[], bool]) -> bool:
    end = time.monotonic() + WITHIN_S
    while not done() and time.monotonic() < end:
        time.sleep(0.1)
    return done()


@pytest.mark.slow
def test_no_event_is_lost_when_the_gateway_is_killed_while_the_receiver_is_down(
    tmp_path: Path,
) -> None:
    port, hook = free_port(), free_port()
    settings = {"PARLEY_WEBHOOKS": str(webhooks_file(tmp_path, hook)), "PARLEY_VAD": "energy"}
    receiver = WebhookReceiver()

    def call(method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer = httpx.request(
            method, f"http://127.0.0.1:{port}{path}", json=body, trust_env=False, timeout=30
        )
        answer.raise_for_status()
        return dict(answer.json())

    with gateway(tmp_path, port, **settings) as process:
        made = call("POST", "/api/sessions", {"role": "Data Analyst", "totalQuestions": 2})
        path = f"/api/sessions/{made['session_id']}"
        call("POST", f"{path}/start")
        call("POST", f"{path}/submit-answer", {"text": ANSWER})
        time.sleep(1.0)  # it is tried
        process.kill()
        process.wait()
    with gateway(tmp_path, port, **settings):
        taken, intent = 1, ""
        while intent != "close":
            intent = call("POST", f"{path}/submit-answer", {"text": ANSWER})["intent"]
            taken += 1
        told = ["session.created", *["answer.accepted"] * taken, "interview.completed"]
        with receiver.running(hook):
            assert waited(lambda: len({one["id"] for one in receiver.events}) >= len(told))
    events = [one for one in receiver.events if one["session_id"] == made["session_id"]]
    came = {one["id"]: (one["number"], one["type"]) for one in events}  # the first of each
    assert [*came.values()] == [*enumerate(told, 1)]
