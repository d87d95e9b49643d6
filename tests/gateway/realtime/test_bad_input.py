"""openai-python against a real server: what is wrong is refused, and the session lives on."""

import asyncio
import base64
import json
from typing import Any

import pytest

from tests.support.event_log import Event
from tests.support.peers import Peer
from tests.support.realtime import RealtimeGateway, Talk

pytestmark = pytest.mark.slow

TEXT: Event = {"type": "realtime", "output_modalities": ["text"]}


async def lives(talk: Talk) -> None:
    """The session still answers."""
    await talk.write("Are you there?")
    await talk.connection.response.create()
    assert (await talk.done())["status"] == "completed"


REFUSED: list[tuple[Event, str, str | None]] = [
    ({"type": "no.such.event"}, "unknown_event", "type"),
    ({}, "missing_required_parameter", "type"),
    ({"type": "input_audio_buffer.append", "audio": "%%%"}, "invalid_value", "audio"),
    ({"type": "input_audio_buffer.append", "audio": 7}, "invalid_value", "audio"),
    ({"type": "input_audio_buffer.append", "audio": "AAAA"}, "invalid_value", "audio"),
    ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty", None),
    ({"type": "session.update", "session": {}}, "missing_required_parameter", "session.type"),
    ({"type": "conversation.item.retrieve", "item_id": "x"}, "item_not_found", "item_id"),
    ({"type": "conversation.item.delete", "item_id": "x"}, "item_not_found", "item_id"),
    (
        {"type": "conversation.item.truncate", "item_id": "x", "audio_end_ms": 0},
        "item_not_found",
        "item_id",
    ),
    (
        {
            "type": "conversation.item.create",
            "item": {"type": "function_call_output", "call_id": "x", "output": ""},
        },
        "invalid_tool_call_id",
        "item.call_id",
    ),
    ({"type": "response.cancel"}, "response_cancel_not_active", None),
    ({"type": "output_audio_buffer.clear"}, "invalid_event", "type"),
]


def test_each_wrong_event_gets_its_error_and_the_session_lives(realtime: RealtimeGateway) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        async with realtime.talk(session=TEXT) as talk:
            for number, (event, code, param) in enumerate(REFUSED):
                await talk.connection.send_raw(json.dumps({"event_id": f"e{number}", **event}))
                error = await talk.refused(code)
                assert error["type"] == "invalid_request_error"
                assert (error.get("param"), error["event_id"]) == (param, f"e{number}")
            for text in ("{", "[]", "[" * 100_000):
                await talk.connection.send_raw(text)
                await talk.refused("invalid_json")
            await lives(talk)

    realtime.run(story)


def test_15_mib_of_audio_are_refused_at_once(realtime: RealtimeGateway) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        async with realtime.talk(session=TEXT) as talk:
            audio = base64.b64encode(bytes(15 * 1024 * 1024)).decode()
            for number in range(3):
                await talk.send("input_audio_buffer.append", audio=audio, event_id=f"e{number}")
                error = await talk.refused("event_too_long")
                assert (error["param"], error["event_id"]) == ("audio", f"e{number}")
            await lives(talk)
            assert len(talk.of("error")) == 3

    realtime.run(story)


@pytest.mark.slow
def test_2000_events_at_once_are_all_answered(realtime: RealtimeGateway) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        async with realtime.talk(session=TEXT) as talk:
            for number in range(1_900):  # with those before them and after them 2,000 at most
                item: Any = {
                    "id": f"item-{number}",
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": f"{number}"}],
                }
                await talk.connection.conversation.item.create(item=item)
            for number in range(1_900):
                done = await talk.until("conversation.item.done")
                assert done["item"]["id"] == f"item-{number}"
            await lives(talk)
            assert not talk.of("error")
        [lines] = realtime.asked()
        said = [line["content"] for line in lines]
        assert said[-2:] == ["1899", "Are you there?"]
        assert said == [*map(str, range(1_900)), "Are you there?"]

    realtime.run(story)


def test_a_flood_ends_the_session_with_its_reason(realtime: RealtimeGateway) -> None:
    async def story() -> None:
        async with realtime.talk() as talk:
            with_error = asyncio.create_task(talk.ended())
            for _ in range(4_000):
                if talk.reader.done():
                    break
                await talk.send("input_audio_buffer.clear")
            code, reason = await with_error
            assert (code, reason) == (1008, "more than 200 messages a second")
            assert talk.events[-1]["error"]["code"] == "flooding"

    realtime.run(story)


def test_an_assistant_needs_a_chat_server(realtime: RealtimeGateway, peer: Peer) -> None:
    realtime.configured = True
    engines = ("stt", "tts")
    realtime.settings |= {"vad": "energy", "llm": "scripted", "tts_engine": "openai"}
    realtime.settings |= {"stt": "openai", "tts_voice": "anna"}
    realtime.settings |= {f"{engine}_url": peer.url for engine in engines}
    realtime.settings |= {"stt_model": "plain", "tts_model": "tone"}

    async def story() -> None:
        async with (
            realtime.client() as client,
            client.realtime.connect(model="assistant") as connection,
        ):
            talk = Talk(connection)
            error = await talk.refused("model_not_found")
            assert "PARLEY_LLM_MODEL" in error["message"]
            assert (await talk.ended())[0] == 1008
            assert talk.types() == ["error"]

    realtime.run(story)


@pytest.mark.parametrize("role", ["No such role", "x" * 300])
def test_an_unknown_role_is_told_before_the_session_ends(
    realtime: RealtimeGateway, role: str
) -> None:
    async def story() -> None:
        query: Any = {"role": role}
        async with (
            realtime.client() as client,
            client.realtime.connect(model="interview", extra_query=query) as connection,
        ):
            talk = Talk(connection)
            await talk.refused("interview")
            assert (await talk.ended())[0] == 1008

    realtime.run(story)


def test_an_interview_is_held_by_one_client_at_a_time(realtime: RealtimeGateway) -> None:
    async def story() -> None:
        query: Any = {"session_id": "mine"}
        async with (
            realtime.talk("interview", extra_query=query) as first,
            realtime.client() as client,
            client.realtime.connect(model="interview", extra_query=query) as connection,
        ):
            second = Talk(connection)
            error = await second.refused("already_connected")
            assert error["type"] == "server_error"
            assert (await second.ended())[0] == 1008
            await first.done()

    realtime.run(story)
