"""`/twilio/<session_id>`: Twilio's messages over a real WebSocket, with scripted stages."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.security.grants import MOST_WAITING_AT
from gateway.transports.websocket import entry
from tests.support.frames import TEXT, frame, taken
from tests.support.gateway import Gateway
from tests.support.phone import CALL, LOUD, PhoneCall, phone_call
from tests.support.raw_client import raw_client

KEY = "a-key-of-ours"


@pytest.fixture
def locked(gateway: Gateway) -> Gateway:
    gateway.settings["api_keys"] = KEY
    return gateway


def at(gateway: Gateway, session_id: str = CALL) -> str:
    return f"ws://127.0.0.1:{gateway.port}/twilio/{session_id}"


async def ticket(gateway: Gateway, session_id: str = CALL) -> str:
    access = gateway.app.state.runtime.access
    return (await access.ticket(session_id, 60)).value  # type: ignore[no-any-return]


async def refusal(gateway: Gateway, *messages: str | bytes) -> tuple[int | None, str | None]:
    """Close code and reason for a client that sends these; nothing else is said to it."""
    async with connect(at(gateway), compression=None, proxy=None) as socket:
        try:
            for message in messages:
                await socket.send(message)
            async with asyncio.timeout(20):
                async for said in socket:
                    raise AssertionError(said)
        except ConnectionClosed:
            pass
        await socket.wait_closed()
        return socket.close_code, socket.close_reason


def start(**changes: Any) -> str:
    inside = {
        "customParameters": {},
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    }
    return json.dumps({"event": "start", "streamSid": "MZ1", "start": inside | changes})


CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}'
MEDIA = '{"event":"media","streamSid":"MZ1","media":{"track":"inbound","payload":"//8="}}'
STOP = '{"event":"stop","streamSid":"MZ1","stop":{}}'


@pytest.mark.slow
def test_a_call_with_a_ticket_is_held_and_what_it_said_is_stored(locked: Gateway) -> None:
    async def story() -> None:
        opened = await ticket(locked)
        async with phone_call(at(locked), {"ticket": opened, "role": "Data Analyst"}) as call:
            await call.quiet()
            call.say(LOUD * 20)
            await call.until(lambda: any('"1:' in json.dumps(e) for e in call.events))
            await call.quiet()
        async with httpx.AsyncClient(headers={"x-api-key": KEY}, timeout=30) as client:
            url = f"{locked.url}/api/sessions/{CALL}/transcript"
            said = (await client.get(url)).json()
        spoke = [line["speaker"] for line in said["lines"]]
        assert spoke == ["interviewer", "candidate", "interviewer"]
        again = await refusal(locked, CONNECTED, start(customParameters={"ticket": opened}))
        assert again == (1008, "the ticket was used, has expired, or is for another session")

    locked.run(story)


@pytest.mark.parametrize(
    ("messages", "wanted"),
    [
        ([CONNECTED, start()], "start needs a ticket"),
        (
            [CONNECTED, start(customParameters={"ticket": "pt_no"})],
            "the ticket was used, has expired, or is for another session",
        ),
    ],
    ids=["none", "wrong"],
)
def test_a_call_without_a_ticket_is_ended(
    locked: Gateway, messages: list[str], wanted: str
) -> None:
    async def story() -> None:
        assert await refusal(locked, *messages) == (1008, wanted)

    locked.run(story)


def test_a_program_with_a_key_needs_no_ticket(locked: Gateway) -> None:
    async def story() -> None:
        async with connect(
            at(locked), additional_headers={"x-api-key": KEY}, compression=None, proxy=None
        ) as socket:
            call = PhoneCall(socket)
            running = asyncio.create_task(call.run())
            call.connected()
            call.start()
            await call.until(lambda: bool(call.played))
            call.stop()
            assert (await call.ended())[0] == 1000
            await running

    locked.run(story)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([CONNECTED, MEDIA], "media comes after start"),
        ([MEDIA], "media comes after start"),
        ([STOP], "the first message is a start with a ticket"),
        (["{"], "the message is not JSON: Expecting property name enclosed in double quotes"),
        (['{"event":"clear"}'], "no such event: 'clear'; known are connected, start, media"),
        ([b"\xff" * 160], "audio comes after a start with a ticket"),
        ([start(mediaFormat={})], "mediaFormat: audio/x-mulaw with 8000 Hz and one channel"),
        ([start(customParameters={"language": "xx"})], "language: "),
        ([start(customParameters={"role": "Astronaut"})], "unknown role 'Astronaut'"),
        ([start(), start()], "start comes once"),
        ([start(), MEDIA, STOP, STOP], ""),
        ([start(), *["{"] * 51], "too many errors"),
    ],
    ids=[
        *("media first", "media at once", "stop", "no json", "unknown", "binary", "format"),
        *("language", "role", "start twice", "stop twice", "many errors"),
    ],
)
def test_how_a_call_ends_that_goes_wrong(
    gateway: Gateway, messages: list[Any], reason: str
) -> None:
    async def story() -> None:
        async with connect(at(gateway), compression=None, proxy=None) as socket:
            try:
                for message in messages:
                    await socket.send(message)
                async with asyncio.timeout(20):
                    async for _ in socket:
                        pass
            except ConnectionClosed:
                pass
            await socket.wait_closed()
            assert socket.close_code == (1008 if reason else 1000)
            assert (socket.close_reason or "").startswith(reason)

    gateway.run(story)


HANDSHAKE = (
    f"GET /twilio/{CALL} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.mark.parametrize("first", [CONNECTED, start()], ids=["before start", "in the call"])
def test_a_message_of_5_mb_ends_the_call(gateway: Gateway, first: str) -> None:
    announced = frame(TEXT, length=5_000_000) + b"A" * 70_000

    async def story() -> None:
        async with raw_client(gateway.port) as client:
            await client.send(HANDSHAKE.encode())
            await client.read_until(lambda received: b"\r\n\r\n" in received)
            del client.received[: client.received.index(b"\r\n\r\n") + 4]
            await client.send(frame(TEXT, first.encode()))
            if first != CONNECTED:
                await client.read_until(lambda received: b'"media"' in received)
            await client.send(announced)
            await client.read_until()
            frames = taken(client.received)
            assert str(frames[-1]) == "close 1009"
            assert not client.received

    gateway.run(story)


def test_who_sends_no_start_is_sent_away(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "HELLO_S", 0.3)

    async def story() -> None:
        wanted = (1008, "the first message is a start with a ticket, within 0.3 s")
        assert await refusal(gateway) == wanted
        assert await refusal(gateway, CONNECTED) == wanted

    gateway.run(story)


def test_only_so_many_wait_for_their_start(gateway: Gateway) -> None:
    async def story() -> None:
        waiting = [
            await connect(at(gateway), compression=None, proxy=None) for _ in range(MOST_WAITING_AT)
        ]
        with pytest.raises(InvalidStatus) as refused:
            await connect(at(gateway), compression=None, proxy=None)
        assert refused.value.response.status_code == 503
        for socket in waiting:
            await socket.close()

    gateway.run(story)


def test_an_id_that_no_session_can_have_is_refused(gateway: Gateway) -> None:
    async def story() -> None:
        async with connect(at(gateway, "a.b"), proxy=None) as socket:
            await socket.wait_closed()
            assert socket.close_code == 4404

    gateway.run(story)
