"""Who may begin a Live session, and what is wrong is told: the stock client and a real server."""

import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.live import bare, live
from tests.support.peers import Peer
from tests.support.realtime import RealtimeGateway

pytestmark = pytest.mark.slow

KEY = "a-key-of-at-least-16-letters"


def refusal(error: InvalidStatus) -> tuple[int, str]:
    assert error.response.body is not None
    return error.response.status_code, json.loads(error.response.body)["error"]["code"]


def test_only_a_key_of_the_gateway_opens_it(realtime: RealtimeGateway) -> None:
    realtime.settings["api_keys"] = KEY
    realtime.chat("hello")

    async def story() -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with bare(realtime, "another-key-of-16-letters"):
                pass
        assert refusal(refused.value) == (401, "invalid_api_key")
        async with live(realtime, key=KEY) as talk:
            assert talk.types() == ["session.started"]
        url = f"ws://127.0.0.1:{realtime.port}/v1/live/sessions"
        offered: Any = ["realtime", f"openai-insecure-api-key.{KEY}"]
        async with connect(url, subprotocols=offered) as socket:
            assert socket.subprotocol is None  # none is chosen, and no key is echoed

    realtime.run(story)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"session_id": "no.id"}, "invalid_value"),
        ({"language": "klingonese"}, "invalid_value"),
    ],
    ids=["session-id", "language"],
)
def test_a_bad_url_is_refused(realtime: RealtimeGateway, query: dict[str, str], code: str) -> None:
    async def story() -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with bare(realtime, query=query):
                pass
        assert refusal(refused.value) == (400, code)

    realtime.run(story)


FIRST: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "another-event": ({"type": "response.create"}, "session_not_started", None),
    "no-model": (
        {"type": "session.start", "session": {}},
        "missing_required_parameter",
        "session.model",
    ),
    "odd-format": (
        {
            "type": "session.start",
            "session": {"model": "m", "audio": {"format": {"type": "audio/pcm", "rate": 44_100}}},
        },
        "invalid_value",
        "session.audio.format",
    ),
    "decisions": (
        {
            "type": "session.start",
            "session": {"model": "m", "delegation": {"type": "decisions", "decisions": {}}},
        },
        "invalid_value",
        "session.delegation.type",
    ),
}


@pytest.mark.parametrize("name", FIRST)
def test_a_session_that_cannot_start_ends(realtime: RealtimeGateway, name: str) -> None:
    event, code, param = FIRST[name]
    realtime.chat("hello")

    async def story() -> None:
        async with bare(realtime) as talk:
            await talk.connection.send({**event, "event_id": "mine"})  # type: ignore[typeddict-item, misc]
            error = await talk.refused(code)
            assert (error.get("param"), error["client_event_id"]) == (param, "mine")
            assert (await talk.ended())[0] == 1008

    realtime.run(story)


def test_without_a_chat_server_there_is_no_assistant(realtime: RealtimeGateway, peer: Peer) -> None:
    realtime.configured = True
    realtime.settings |= {"vad": "energy", "llm": "scripted", "tts_engine": "openai"}
    realtime.settings |= {"stt": "openai", "stt_url": peer.url, "tts_url": peer.url}
    realtime.settings |= {"stt_model": "plain", "tts_model": "tone", "tts_voice": "anna"}

    async def story() -> None:
        async with bare(realtime) as talk:
            await talk.session.start(session={"model": "gpt-live-1"})
            await talk.refused("model_not_found")
            assert (await talk.ended())[0] == 1008
            assert "session.closed" not in talk.types()

    realtime.run(story)


def test_a_client_that_starts_no_session_is_sent_away(
    realtime: RealtimeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.transports.websocket.entry.HELLO_S", 0.1)

    async def story() -> None:
        async with bare(realtime) as talk:
            await talk.refused("session_not_started")
            code, reason = await talk.ended()
            assert (code, reason) == (1008, "the first message is a session.start, within 0.1 s")

    realtime.run(story)


def test_what_is_wrong_is_told_and_the_session_lives(realtime: RealtimeGateway) -> None:
    realtime.chat("hello")

    async def story() -> None:
        async with live(realtime) as talk:
            await talk.connection.send_raw(b"{")
            await talk.refused("invalid_json")
            await talk.send("dance", event_id="d")
            assert (await talk.refused("unknown_event"))["client_event_id"] == "d"
            await talk.send("decision.create", event_id="e")
            await talk.refused("unsupported_event")
            await talk.session.input_audio.append(audio="AAA=")  # two bytes and a half sample
            await talk.session.input_audio.append(audio="AA==")
            assert (await talk.refused("invalid_value"))["param"] == "audio"
            changed: Any = {"model": "another"}
            await talk.session.update(session=changed)
            assert (await talk.refused("cannot_update"))["param"] == "session.model"
            await talk.session.start(session={"model": "assistant"})
            await talk.refused("session_already_started")
            await talk.session.update(session={"delegation": {"type": "client"}}, event_id="u")
            assert (await talk.until("session.updated"))["client_event_id"] == "u"
            await talk.write("Hello")
            await talk.until("session.output_transcript.delta")

    realtime.run(story)


def test_two_connections_cannot_have_one_interview(realtime: RealtimeGateway) -> None:
    async def story() -> None:
        query = {"session_id": "mine"}
        async with live(realtime, "interview", query=query), bare(realtime, query=query) as talk:
            await talk.session.start(session={"model": "interview"})
            await talk.refused("already_connected")
            assert (await talk.ended())[0] == 1008

    realtime.run(story)
