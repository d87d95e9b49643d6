"""One delivery: what is sent, what counts as taken, and where it never goes."""

import asyncio
import json
import socket
from collections.abc import Iterator

import pytest

from gateway.events.event import OutboxEvent
from gateway.events.sending import DeliveryOutcome, WebhookPost
from gateway.events.signing import signed_headers
from gateway.events.webhooks_file import Webhook
from gateway.services.networks import AllowedNetworks
from tests.support.served import free_port
from tests.support.webhook_receiver import SECRET, WebhookReceiver

HERE = AllowedNetworks.parse("127.0.0.0/8")
EVENT = OutboxEvent("evt_1", "report.ready", "s", 4, 1764480000.25, {"answers": 3}, 9)


def post(url: str, networks: AllowedNetworks = HERE, limit_s: float = 5.0) -> DeliveryOutcome:
    async def main() -> DeliveryOutcome:
        sender = WebhookPost(networks, limit_s=limit_s)
        try:
            return await sender(Webhook("hr", url, (SECRET,), frozenset()), EVENT)
        finally:
            await sender.aclose()

    return asyncio.run(main())


def test_an_event_is_posted_as_json_and_signed() -> None:
    receiver = WebhookReceiver()
    with receiver.running() as port:
        assert post(f"http://127.0.0.1:{port}/hook?key=k") == DeliveryOutcome()
    ((path, headers, body),) = receiver.got
    assert path == "/hook?key=k"
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {
        "id": "evt_1",
        "type": "report.ready",
        "timestamp": "2025-11-30T05:20:00.250Z",
        "session_id": "s",
        "number": 4,
        "data": {"answers": 3},
    }
    signed = signed_headers([SECRET], "evt_1", int(headers["webhook-timestamp"]), body)
    assert {name: headers[name] for name in signed} == signed


def test_whatever_is_no_2xx_was_not_taken_and_no_redirection_is_followed() -> None:
    receiver, other = WebhookReceiver(), WebhookReceiver()
    receiver.status = 307
    with receiver.running() as port, other.running() as elsewhere:
        receiver.headers = {"location": f"http://127.0.0.1:{elsewhere}/", "retry-after": "7"}
        assert post(f"http://127.0.0.1:{port}/") == DeliveryOutcome("HTTP 307", 7.0)
    assert (len(receiver.got), other.got) == (1, [])


def test_a_receiver_that_is_not_there_is_a_failure_in_words_without_its_url() -> None:
    assert post(f"http://127.0.0.1:{free_port()}/secret") == DeliveryOutcome("Connection refused")


@pytest.mark.parametrize(
    "networks",
    [AllowedNetworks(public=True), AllowedNetworks.parse("10.0.0.0/8")],
    ids=["public", "other"],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
def test_an_address_that_is_not_allowed_is_never_connected_to(
    host: str, networks: AllowedNetworks
) -> None:
    receiver = WebhookReceiver()
    with receiver.running() as port:
        assert post(f"http://{host}:{port}/", networks) == DeliveryOutcome("Connection failed")
    assert receiver.got == []


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_receiver_that_does_not_answer_is_left_in_time(silent: int) -> None:
    assert post(f"http://127.0.0.1:{silent}/", limit_s=0.2) == DeliveryOutcome(
        "no answer within 200 ms"
    )
