"""One delivery: what is sent, what counts as taken, and where it never goes."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest

from gateway.events import sending
from gateway.events.event import OutboxEvent
from gateway.events.sending import DeliveryOutcome, WebhookPost
from gateway.events.signing import signed_headers
from gateway.events.webhooks_file import MOST_WEBHOOKS, Webhook
from gateway.services import resolving
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


def test_only_410_says_that_a_receiver_is_gone() -> None:
    receiver = WebhookReceiver()
    found = {}
    with receiver.running() as port:
        for status in (404, 409, 410, 411, 500):
            receiver.status = status
            found[status] = post(f"http://127.0.0.1:{port}/")
    assert found == {
        status: DeliveryOutcome(f"HTTP {status}", gone=status == 410) for status in found
    }
    assert 410 in found


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


def test_receivers_that_do_not_answer_hold_up_no_other(silent: int) -> None:
    receiver = WebhookReceiver()

    async def main() -> DeliveryOutcome:
        sender = WebhookPost(HERE, limit_s=5.0)
        to_silent = Webhook("silent", f"http://127.0.0.1:{silent}/", (SECRET,), frozenset())
        waiting = [
            asyncio.create_task(sender(to_silent, EVENT)) for _ in range(8 * (MOST_WEBHOOKS - 1))
        ]
        try:
            await asyncio.sleep(0.1)
            to = Webhook("hr", f"http://127.0.0.1:{port}/", (SECRET,), frozenset())
            return await sender(to, EVENT)
        finally:
            for one in waiting:
                one.cancel()
            await asyncio.wait(waiting)
            await sender.aclose()

    with receiver.running() as port:
        assert asyncio.run(main()) == DeliveryOutcome()


@pytest.mark.parametrize(
    ("rest", "stays"),
    [(b"", True), (b"", False), (b"x" * 100_000, True)],
    ids=["silent", "broken-off", "endless"],
)
def test_a_2xx_has_taken_the_event_whatever_comes_of_the_rest_of_the_answer(
    rest: bytes, stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "REST_S", 0.1)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n" + rest)
        with contextlib.suppress(ConnectionError):
            if stays:
                await reader.read()  # until the other side closes
            writer.close()
            await writer.wait_closed()
        answered.set()

    answered = asyncio.Event()

    async def main() -> DeliveryOutcome:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        sender = WebhookPost(HERE, limit_s=5.0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        try:
            return await sender(Webhook("hr", url, (SECRET,), frozenset()), EVENT)
        finally:
            await sender.aclose()
            await answered.wait()
            server.close()

    assert asyncio.run(main()) == DeliveryOutcome()


def test_each_allowed_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = ["10.1.2.3", "127.0.0.2", "127.0.0.1"]  # the receiver is at the last one alone
    monkeypatch.setattr(resolving, "_addresses", lambda host: addresses)
    receiver = WebhookReceiver()
    with receiver.running() as port:
        assert post(f"http://hr.example:{port}/") == DeliveryOutcome()
    assert len(receiver.got) == 1


def test_an_event_that_cannot_be_sent_is_a_failure() -> None:
    broken = OutboxEvent("evt_1", "report.ready", "s", 4, 1e300, {}, 9)  # there is no such date

    async def main() -> DeliveryOutcome:
        sender = WebhookPost(HERE)
        to = Webhook("hr", "http://127.0.0.1:9/", (SECRET,), frozenset())
        try:
            return await sender(to, broken)
        finally:
            await sender.aclose()

    assert asyncio.run(main()).problem != ""


def test_a_wait_that_the_receiver_asks_for_may_be_a_date() -> None:
    receiver = WebhookReceiver()
    receiver.status = 503
    receiver.headers = {"retry-after": formatdate(time.time() + 3600, usegmt=True)}
    with receiver.running() as port:
        assert 1800 < post(f"http://127.0.0.1:{port}/").retry_after_s <= 3600


@pytest.mark.parametrize(
    "said",
    ["Wed, 21 Oct 2015 07:28:00 GMT", "soon", "-5", "9" * 30],
    ids=["past", "words", "negative", "long"],
)
def test_a_wait_that_is_none_is_not_kept_to(said: str) -> None:
    receiver = WebhookReceiver()
    receiver.status, receiver.headers = 503, {"retry-after": said}
    with receiver.running() as port:
        assert post(f"http://127.0.0.1:{port}/") == DeliveryOutcome("HTTP 503", 0.0)
