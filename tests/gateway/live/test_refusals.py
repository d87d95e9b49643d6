"""What a live call refuses of its client, and how it ends where it fails. In virtual time."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.live import connection
from gateway.live.calls import Calls
from pipeline.decisions import Chunk
from pipeline.turns import TurnTaking
from stages.fakes import FakeTranscriber, Script
from tests.support.calls import LocalCalls
from tests.support.client import SILENCE


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('{"type":"sing"}', "unknown_type"),
        ("[1,2]", "bad_json"),
        ("[" * 500 + "]" * 500, "bad_json"),
        ('{"a":' * 500 + "1" + "}" * 500, "unknown_type"),
        (bytes(641), "odd_audio"),
        (bytes(6400), "audio_too_long"),
        (b'{"type":"commit"}', "json_in_binary"),
        (b'{"type":"text","text":"even"}\n', "json_in_binary"),
        (json.dumps({"type": "text", "text": "x" * 8200}), "text_too_long"),
        (json.dumps({"type": "hello", "version": 1}), "unexpected_hello"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_bad_messages_get_an_error_and_the_conversation_goes_on(
    local: LocalCalls, message: str | bytes, code: str
) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1)
            await client.until("ready")
            await client.send(message)
            error = await client.until("error")
            assert (error["code"], error["fatal"]) == (code, False)
            await client.say(type="text", text="and still we talk")
            await client.until("reply.done", turn=1)

    local.run(story)


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        ({"version": 9}, "bad_hello"),
        ({"audio_in": {"rate": 2**31}}, "unsupported_audio"),
        ({"audio_in": {"encoding": "flac"}}, "unsupported_audio"),
        ({"audio_out": {"encoding": "opus", "rate": 44_100}}, "unsupported_audio"),
        ({"interview": {"role": "Astronaut"}}, "interview"),
        ({"interview": {"role": "Data Analyst", "totalQuestions": 99}}, "interview"),
    ],
)
def test_an_impossible_hello_gets_an_error_and_close_1008(
    local: LocalCalls, hello: dict[str, Any], code: str
) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", **{"version": 1, **hello})
            error = await client.until("error")
            assert (error["code"], error["fatal"]) == (code, True)
            assert await client.closed() == (1008, error["message"])

    local.run(story)


def test_a_hello_that_comes_too_late_to_be_looked_at_is_refused(
    local: LocalCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Calls.host

    @asynccontextmanager
    async def slow(*args: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(0.5)  # the store takes its time
        async with host(*args) as made:
            yield made

    monkeypatch.setattr(Calls, "host", slow)

    async def story() -> None:
        async with local.call() as client:
            await asyncio.sleep(connection.READY_AFTER_S + 0.2)
            audio_in = {"encoding": "mulaw", "rate": 8000}
            await client.say(type="hello", version=1, audio_in=audio_in)
            assert client.found("ready") == []
            assert (await client.until("error"))["code"] == "unexpected_hello"
            ready = await client.until("ready")
            assert client.when("ready") == connection.READY_AFTER_S + 0.5
            assert ready["audio_in"]["encoding"] == "pcm_s16le"

    local.run(story)


# --- too much --------------------------------------------------------------------------------


def test_a_flood_of_messages_closes_with_1008_and_others_go_on(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call("good") as good, local.call("bad") as bad:
            await good.say(type="hello", version=1)
            await bad.say(type="hello", version=1)
            await bad.until("ready")
            await bad.send(*[b"\x00"] * 100)
            error = await bad.until("error", code="flooding")
            assert error["fatal"] is True
            assert await bad.closed() == (1008, "too many errors")
            await good.say(type="text", text="I am not the flood")
            await good.until("reply.done", turn=1)

    local.run(story)


def test_tiny_pieces_of_audio_count_as_messages_and_frames_do_not(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call("frames") as usual, local.call("tiny") as tiny:
            for client in (usual, tiny):
                await client.say(type="hello", version=1)
                await client.until("ready")
            usual.burst(*[bytes(80)] * 2_500)  # 2.5 ms each
            tiny.burst(*[bytes(78)] * 2_500)
            error = await tiny.until("error", code="flooding")
            assert error["message"] == "more than 200 messages a second"
            await usual.until("reply.done", turn=0)
            assert "error" not in usual.types()

    local.run(story)


def test_the_fifty_first_error_ends_the_session(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1)
            await client.until("ready")
            await client.send(*["{"] * connection.MOST_ERRORS)
            await client.say(type="ping", t=1)
            await client.until("pong")
            await client.send("{")
            assert await client.closed() == (1008, "too many errors")
            codes = [error["code"] for error in client.found("error")]
            assert codes == ["bad_json"] * connection.MOST_ERRORS + ["flooding"]

    local.run(story)


@pytest.mark.parametrize("message", ['{"type":"ping"}', b""], ids=["text", "audio"])
def test_more_messages_than_a_conversation_needs_end_the_session(
    local: LocalCalls, message: str | bytes
) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1)
            await client.until("ready")
            await client.send(*[message] * 2000)
            assert await client.closed() == (1008, "more than 200 messages a second")

    local.run(story)


def test_more_audio_than_may_wait_ends_the_session(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1)
            await client.until("reply.done", turn=0)
            client.burst(*[SILENCE] * 6100)
            assert await client.closed() == (1008, "audio comes faster than it is spoken")

    local.run(story)


# --- failure behind the connection -----------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [Script(error=RuntimeError("secret detail")), Script(end=True)],
    ids=["raises", "returns nothing"],
)
def test_a_failing_recogniser_degrades_the_turn_and_the_next_one_works(
    local: LocalCalls, script: Script
) -> None:
    # Once while the silence may be a pause, once when the turn is decided.
    local.transcriber = FakeTranscriber(script, script, Script(), texts=("it works again",))

    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1)
            await client.until("reply.done", turn=0)
            await client.speak()
            degraded = await client.until("degraded")
            assert (degraded["turn"], degraded["stage"], degraded["to"]) == (
                1,
                "stt",
                "canned line",
            )
            done = await client.until("reply.done", turn=1)
            assert done["heard"].startswith("Sorry, I did not catch that.")
            await client.speak()
            await client.until("transcript", turn=2, text="it works again")
            await client.until("reply.done", turn=2)

    local.run(story)


def test_a_bug_ends_the_session_with_1011_and_no_detail(
    local: LocalCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **named: Any) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(Calls, "session", broken)

    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1)
            error = await client.until("error")
            assert error["code"] == "internal"
            assert "secret" not in json.dumps(client.messages)
            assert await client.closed() == (1011, "the session failed")

    local.run(story)


def test_a_bug_that_only_the_detector_meets_ends_the_session_with_1011_too(
    local: LocalCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = TurnTaking.handle
    bugs: list[str] = []

    def broken(turns: TurnTaking, event: Any, now: float) -> Any:
        if isinstance(event, Chunk) and bugs:
            raise RuntimeError(bugs[0])
        return handle(turns, event, now)

    monkeypatch.setattr(TurnTaking, "handle", broken)

    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1)
            await client.until("reply.done", turn=0)
            bugs.append("secret detail")
            await client.send(bytes(1280))
            error = await client.until("error")
            assert error["code"] == "internal"
            assert "secret" not in json.dumps(client.messages)
            assert await client.closed() == (1011, "the session failed")

    local.run(story)
