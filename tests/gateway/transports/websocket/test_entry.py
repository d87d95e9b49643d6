"""`/ws/<session_id>` where keys are set: a key in the handshake, or a ticket in `hello`."""

import asyncio
import json
import time
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.store import StoreUnavailable
from gateway.transports.websocket import entry
from tests.support.gateway import Caller, Gateway

KEY = "a-key-of-ours"


@pytest.fixture
def locked(gateway: Gateway) -> Gateway:
    gateway.settings["api_keys"] = KEY
    return gateway


def hello(ticket: str | None = None, **fields: Any) -> str:
    shown = {} if ticket is None else {"ticket": ticket}
    return json.dumps({"type": "hello", "version": 1, **shown, **fields})


async def ticket_for(gateway: Gateway, session_id: str | None = None, lifetime_s: int = 60) -> str:
    access = gateway.app.state.runtime.access
    return (await access.ticket(session_id, lifetime_s)).value  # type: ignore[no-any-return]


async def refusal(gateway: Gateway, *first: str | bytes, session_id: str = "a") -> tuple[str, int]:
    """The error's code and the close code for a client whose first messages are these."""
    async with gateway.call(session_id) as caller:
        for message in first:
            try:
                await caller.socket.send(message)
            except ConnectionClosed:
                break
        code, _ = await caller.closed()
        assert code is not None
        assert caller.types() == ["error"], "nothing was begun"
        error = caller.messages[0]
        assert error["fatal"] is True
        return error["code"], code


async def handshake(gateway: Gateway, path: str = "/ws/a", **headers: str) -> int:
    """The status with which a handshake is refused."""
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://127.0.0.1:{gateway.port}{path}", additional_headers=headers):
            pass
    return refused.value.response.status_code


def test_a_ticket_in_hello_opens_its_session_once(locked: Gateway) -> None:
    async def story() -> None:
        ticket = await ticket_for(locked)
        async with locked.call("a") as caller:
            await caller.socket.send(hello(ticket, avatar="off"))
            ready = await caller.until("ready")
            assert ready["session_id"] == "a"
            assert (await caller.until("reply.done", turn=0))["interrupted"] is False
            await caller.speak()
            await caller.until("transcript", final=True)
        assert await refusal(locked, hello(ticket)) == ("bad_ticket", 1008)
        bound = await ticket_for(locked, "a")
        assert await refusal(locked, hello(bound), session_id="b") == ("bad_ticket", 1008)
        async with locked.call("a") as caller:
            await caller.socket.send(hello(bound))
            await caller.until("ready")

    locked.run(story)


@pytest.mark.slow
def test_a_session_ends_when_its_ticket_or_its_pass_says(locked: Gateway) -> None:
    async def story() -> None:
        access = locked.app.state.runtime.access
        for session_id in "ab":
            if session_id == "a":
                shown = await access.ticket("a", 60, 2)
            else:
                shown = await access.session_pass("b", time.time() + 3)
            async with locked.call(session_id) as caller:
                await caller.socket.send(hello(shown.value))
                error = await caller.until("error", fatal=True)
                assert error["code"] == "session_expired"
                assert await caller.closed() == (1008, "the session's time is over")

    locked.run(story)


def test_of_two_clients_with_one_ticket_one_gets_in(locked: Gateway) -> None:
    async def story() -> None:
        ticket = await ticket_for(locked)
        async with locked.call("a") as one, locked.call("b") as other:
            await asyncio.gather(*(c.socket.send(hello(ticket)) for c in (one, other)))

            async def outcome(caller: Caller) -> str:
                while not caller.messages:
                    await asyncio.sleep(0.01)
                kind: str = caller.messages[0]["type"]
                return kind

            assert sorted([await outcome(one), await outcome(other)]) == ["error", "ready"]

    locked.run(story)


def test_what_comes_with_hello_is_heard(locked: Gateway) -> None:
    async def story() -> None:
        ticket = await ticket_for(locked)
        async with locked.call("a") as caller:
            burst = [hello(ticket), json.dumps({"type": "ping", "t": 7}), bytes(640)]
            for message in burst:
                await caller.socket.send(message)
            await caller.until("ready")
            assert (await caller.until("pong"))["t"] == 7

    locked.run(story)


@pytest.mark.parametrize(
    "first",
    [
        hello(),
        hello(""),
        bytes(640),
        json.dumps({"type": "ping", "t": 1}),
        json.dumps({"type": "text", "text": "Hello"}),
    ],
    ids=["no ticket", "an empty ticket", "audio", "a ping", "words"],
)
def test_a_first_message_without_a_ticket_ends_it(
    locked: Gateway, first: str | bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_is_built(*arguments: object) -> None:
        raise AssertionError("a client that nobody knows costs no stage")

    monkeypatch.setattr("gateway.transports.websocket.endpoint.Connection", nothing_is_built)

    async def story() -> None:
        assert await refusal(locked, first) == ("ticket_required", 1008)
        assert await locked.app.state.runtime.store.get("session:a") is None

    locked.run(story)


UNSIGNED = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0."
"""A JWT whose algorithm is "none"."""


@pytest.mark.parametrize("ticket", ["pt_unknown", "ps_unknown", "wrong", KEY + "x", UNSIGNED])
def test_a_wrong_ticket_ends_it(locked: Gateway, ticket: str) -> None:
    async def story() -> None:
        assert await refusal(locked, hello(ticket)) == ("bad_ticket", 1008)

    locked.run(story)


def test_a_malformed_hello_ends_it(locked: Gateway) -> None:
    async def story() -> None:
        assert await refusal(locked, "{") == ("bad_json", 1008)
        assert await refusal(locked, '{"type":"hello","version":2}') == ("bad_hello", 1008)
        deep = json.loads("[" * 500 + "]" * 500)
        assert await refusal(locked, hello(deep)) == (
            "bad_hello",
            1008,
        )

    locked.run(story)


@pytest.mark.slow
def test_a_long_first_message_is_not_received(locked: Gateway) -> None:
    async def story() -> None:
        async with locked.call("a") as caller:
            await caller.socket.send("x" * (entry.LONGEST_HELLO_BYTES + 1))
            code, _ = await caller.closed()
            assert code == 1009
        # Afterwards the usual limit holds again.
        async with locked.call("a") as caller:
            await caller.socket.send(hello(await ticket_for(locked)))
            await caller.until("ready")
            await caller.say(type="text", text="a" * 8_000)
            await caller.until("transcript")

    locked.run(story)


def test_who_says_nothing_is_sent_away(locked: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "HELLO_S", 0.05)

    async def story() -> None:
        assert await refusal(locked) == ("ticket_required", 1008)
        assert locked.app.state.runtime.access.waiting.total() == 0

    locked.run(story)


def test_who_vanishes_before_the_hello_has_no_place_from_then_on(locked: Gateway) -> None:
    async def story() -> None:
        waiting = locked.app.state.runtime.access.waiting
        async with locked.call("a") as caller:
            async with asyncio.timeout(5):
                while waiting.total() != 1:
                    await asyncio.sleep(0.01)
            caller.socket.transport.abort()
            began_s = asyncio.get_running_loop().time()
            while waiting.total():
                await asyncio.sleep(0.01)
                assert asyncio.get_running_loop().time() < began_s + entry.HELLO_S - 1

    locked.run(story)


@pytest.mark.slow
def test_pings_keep_nobody_waiting(locked: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "MOST_EARLY", 5)

    async def story() -> None:
        async with locked.call("a") as caller:
            for _ in range(5):
                await (await caller.socket.ping())
            await caller.socket.ping()
            assert (await caller.closed())[0] == 1006

    locked.run(story)


@pytest.mark.slow
def test_so_many_may_wait_and_no_more(locked: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "MOST_WAITING", 1)

    async def story() -> None:
        async with locked.call("a"):
            while locked.app.state.runtime.access.waiting.total() == 0:
                await asyncio.sleep(0.01)
            assert await handshake(locked, "/ws/b") == 503

    locked.run(story)


def test_one_address_keeps_nobody_else_out(
    locked: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry, "MOST_WAITING_AT", 1)

    async def story() -> None:
        access = locked.app.state.runtime.access
        access.waiting["192.0.2.1"] += 1  # a client somewhere else
        async with locked.call("a") as caller:
            while access.waiting["127.0.0.1"] == 0:
                await asyncio.sleep(0.01)
            assert await handshake(locked, "/ws/b") == 503
            await caller.socket.send(hello(await ticket_for(locked)))
            await caller.until("ready")
            assert dict(access.waiting) == {"192.0.2.1": 1}

    locked.run(story)


def test_a_client_with_a_pass_comes_back_although_all_places_are_taken(locked: Gateway) -> None:
    locked.settings |= {"max_sessions": 1, "per_address": 1}

    async def story() -> None:
        held = (await locked.app.state.runtime.access.session_pass("a")).value
        async with locked.call("a") as first:
            await first.socket.send(hello(held))
            token = (await first.until("ready"))["resume"]
            first.socket.transport.abort()
            for _ in range(2):
                async with locked.call("a") as second:
                    back = {"token": token, "seq": 1}
                    await second.socket.send(hello(held, resume=back))
                    ready = await second.until("ready")
                    assert ready["resumed"]["kept"] is True
                    token = ready["resume"]
                    assert await handshake(locked, "/ws/b") == 503
                    second.socket.transport.abort()

    locked.run(story)


def test_a_key_in_the_handshake_is_enough(locked: Gateway) -> None:
    async def story() -> None:
        for headers in ({"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}):
            async with locked.call("a", additional_headers=headers) as caller:
                await caller.socket.send(bytes(640))
                await caller.until("ready")
                await caller.say(type="bye")
                await caller.closed()
        held = (await locked.app.state.runtime.access.session_pass("a")).value
        bearer = {"authorization": f"Bearer {held}"}
        async with locked.call("a", additional_headers=bearer) as caller:
            await caller.until("ready")
        assert await handshake(locked, "/ws/b", **bearer) == 401
        assert await handshake(locked, authorization="Bearer wrong-key") == 401

    locked.run(story)


@pytest.mark.parametrize("name", ["token", "ticket", "api_key", "ACCESS_TOKEN"])
def test_a_secret_in_the_url_is_refused(locked: Gateway, name: str) -> None:
    async def story() -> None:
        ticket = await ticket_for(locked, "a")
        assert await handshake(locked, f"/ws/a?{name}={ticket}") == 400

    locked.run(story)


def test_a_page_of_another_site_gets_in_with_no_ticket(locked: Gateway) -> None:
    locked.settings["cors_origins"] = "https://good.example"

    async def story() -> None:
        for origin in ("http://evil.example", "null", "https://good.example.evil.example"):
            assert await handshake(locked, origin=origin, authorization=f"Bearer {KEY}") == 403
        two = [("Origin", "https://good.example"), ("Origin", "http://evil.example")]
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"ws://127.0.0.1:{locked.port}/ws/a", additional_headers=two):
                pass
        assert refused.value.response.status_code == 400
        good = {"origin": "https://good.example"}
        async with locked.call("a", additional_headers=good) as caller:
            await caller.socket.send(hello(await ticket_for(locked)))
            await caller.until("ready")

    locked.run(story)


def test_while_the_store_is_away_nobody_gets_in(
    locked: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        ticket = await ticket_for(locked)

        async def away(credential: str) -> None:
            raise StoreUnavailable("the disk is full")

        monkeypatch.setattr(locked.app.state.runtime.access, "look", away)
        assert await refusal(locked, hello(ticket)) == ("not_stored", 1008)
        assert await handshake(locked, authorization=f"Bearer {ticket}") == 503

    locked.run(story)


def test_a_full_gateway_says_so_after_the_hello(
    locked: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        ticket = await ticket_for(locked)
        async with locked.call("a") as caller:
            locked.app.state.runtime.live.places = 0
            await caller.socket.send(hello(ticket))
            assert await caller.closed() == (1013, "all 0 places are taken")

    locked.run(story)


def test_without_keys_a_client_needs_nothing(gateway: Gateway) -> None:
    async def story() -> None:
        async with gateway.call("a?token=x") as caller:
            await caller.socket.send(hello("pt_of-no-use"))
            await caller.until("ready")

    gateway.run(story)


async def returning(gateway: Gateway, session_id: str = "a") -> dict[str, Any]:
    """What a client says that comes back: it began with a ticket, and its line broke."""
    async with gateway.call(session_id) as caller:
        await caller.socket.send(hello(await ticket_for(gateway, session_id)))
        token = (await caller.until("ready"))["resume"]
        await caller.until("reply.done", turn=0)
        caller.socket.transport.abort()
        await caller.closed()
        return {"token": token, "seq": caller.messages[-1]["seq"]}


def test_a_client_comes_back_without_a_new_ticket(locked: Gateway) -> None:
    async def story() -> None:
        resume = await returning(locked)
        wrong = {**resume, "token": resume["token"][:-1] + "!"}
        assert await refusal(locked, hello(resume=wrong)) == ("ticket_required", 1008)
        assert await refusal(locked, hello(resume=resume), session_id="b") == (
            "ticket_required",
            1008,
        )
        async with locked.call("a") as caller:
            await caller.socket.send(hello("pt_used", resume=resume))
            assert (await caller.until("ready"))["resumed"]["kept"] is True
            await caller.speak()
            await caller.until("transcript", final=True)
            await caller.say(type="bye")
            await caller.closed()
        assert await refusal(locked, hello(resume=resume)) == ("ticket_required", 1008)

    locked.run(story)


def test_a_token_lets_its_client_in_after_a_restart_and_into_a_full_server(
    locked: Gateway,
) -> None:
    locked.settings["max_sessions"] = 1
    resume: dict[str, Any] = {}

    async def before() -> None:
        async with locked.call("b") as caller:
            await caller.socket.send(hello(await ticket_for(locked)))
            await caller.until("ready")
            await caller.say(type="bye")
            await caller.closed()
        resume.update(await returning(locked))
        async with locked.call("a") as caller:
            await caller.socket.send(hello(resume=resume))
            ready = await caller.until("ready")
            assert ready["resumed"]["kept"] is True
            resume.update(token=ready["resume"], seq=ready["seq"])
            locked.app.state.runtime.refuse()
            caller.socket.transport.abort()
            await caller.closed()

    async def after() -> None:
        async with locked.call("a") as caller:
            await caller.socket.send(hello(resume=resume))
            assert (await caller.until("ready"))["resumed"]["kept"] is False

    locked.run(before)
    locked.run(after)
