"""RTVI over its WebSocket, with a client that reads and writes frames by the published schema."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from stages.fakes import FakeSynthesizer
from tests.support.gateway import Gateway
from tests.support.pipecat_schema import Frame
from tests.support.realtime import clip
from tests.support.rtvi import RtviClient, rtvi_client

SAID = "I like to build things that last"


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


async def greeted(client: RtviClient) -> int:
    """Return when the first question was heard; how many messages there are."""
    await client.until("bot-stopped-speaking")
    return len(client.messages)


@pytest.mark.slow
def test_two_spoken_turns_of_a_fixture_and_a_typed_one(gateway: Gateway) -> None:
    async def story() -> None:
        async with rtvi_client(gateway.port, "/ws-client/mine?role=Data%20Analyst") as client:
            assert (await client.ready())["data"]["version"] == "2.1.0"
            assert client.types()[:2] == ["bot-ready", "server-message"]
            session = client.messages[1]["data"]["d"]
            assert (session["session_id"], session["interview"]["role"]) == ("mine", "Data Analyst")
            since = await greeted(client)
            first = client.types()
            assert first.index("bot-llm-started") < first.index("bot-tts-text")
            assert first.index("bot-started-speaking") < first.index("bot-stopped-speaking")
            for _ in range(2):
                await client.speak(clip=clip(2, rate_hz=16_000))
                said = await client.until("user-transcription", since, final=True, text=SAID)
                assert "user-started-speaking" in client.types(since)
                since = await client.until("bot-stopped-speaking", said)
                await client.until("metrics", said)
            await client.send("send-text", {"content": "I write, too"})
            started = await client.until("bot-started-speaking", since)
            await client.until("bot-stopped-speaking", started)
            progress = [
                m["data"]["d"] for m in client.messages if m.get("data", {}).get("t") == "interview"
            ]
            assert progress[-1]["currentQuestion"] > 1
            assert sum(size for size, _ in client.heard) == len(client.audio) > 24_000
            assert "error" not in client.types()

    gateway.run(story)


@pytest.mark.slow
@pytest.mark.parametrize("library", ["parley-tests", "@pipecat-ai/client-js"])
def test_nothing_of_a_reply_comes_after_its_interruption(gateway: Gateway, library: str) -> None:
    gateway.synthesizer = FakeSynthesizer(ms_per_word=400)

    async def story() -> None:
        async with rtvi_client(gateway.port) as client:
            await client.ready(library)
            await client.until("bot-started-speaking")
            await asyncio.sleep(0.5)
            await client.speak(900)
            cut = await client.until("bot-interrupted")
            answer = await client.until("bot-started-speaking", cut)
            # The reply was held, and all that had been sent of it was played, before it was cut.
            held = await client.until("bot-stopped-speaking")
            assert held < cut
            between = [size for size, after in client.heard if held < after <= answer]
            assert between == []
            assert client.interruptions == (0 if library.startswith("@pipecat-ai") else 1)

    gateway.run(story)


@pytest.mark.slow
def test_a_client_gets_at_most_a_tenth_of_a_second_in_advance(gateway: Gateway) -> None:
    gateway.synthesizer = FakeSynthesizer(ms_per_word=400)

    async def story() -> None:
        async with rtvi_client(gateway.port) as client:
            # Before the first word, so that it does not matter when it is told; what a machine
            # needs until then is little beside the 10 s that could be sent at once.
            began = asyncio.get_running_loop().time()
            await client.ready()
            await client.until("bot-started-speaking")
            await asyncio.sleep(1)
            await client.send("client-message", {"t": "interrupt"}, id="stop")
            cut = await client.until("server-response")
            passed_ms = (asyncio.get_running_loop().time() - began) * 1000
            assert client.messages[cut]["id"] == "stop"
            await client.until("bot-interrupted")
            sent_ms = len(client.audio) / 48
            assert sent_ms <= passed_ms + 100 + 60
            heard = len(client.audio)
            await asyncio.sleep(0.3)
            assert len(client.audio) == heard

    gateway.run(story)


@pytest.mark.slow
def test_who_comes_back_goes_on_with_the_interview(gateway: Gateway) -> None:
    async def story() -> None:
        async with rtvi_client(gateway.port, "/ws-client/mine") as client:
            await client.ready()
            since = await greeted(client)
            await client.speak()
            done = await client.until("user-transcription", since, final=True)
            await client.until("bot-stopped-speaking", done)
            await client.send("disconnect-bot")
            assert (await client.closed())[0] == 1000
        async with rtvi_client(gateway.port, "/ws-client/mine") as client:
            await client.ready()
            session = client.messages[await client.until("server-message")]["data"]["d"]
            assert session["interview"]["currentQuestion"] == 2

    gateway.run(story)


def test_what_is_wrong_is_told_and_the_session_lives(gateway: Gateway) -> None:
    async def story() -> None:
        async with rtvi_client(gateway.port) as client:
            await client.ready()
            await client.send("dance", id="d")
            assert client.messages[await client.until("error-response")] == {
                "type": "error-response",
                "id": "d",
                "data": {"error": "Unsupported type dance"},
            }
            await client.socket.send('{"type": "hello"}')
            await client.socket.send(b"\x0d\x00\x00\x00\x00")
            first = await client.until("error")
            second = await client.until("error", first + 1)
            texts = [client.messages[at]["data"]["error"] for at in (first, second)]
            about = "this is no frame of RTVI's protobuf schema: "
            assert texts == [
                f"{about}there is no wire type 3 in proto3",
                f"{about}there is no text, audio, transcription, message or interruption",
            ]
            odd = Frame(audio={"audio": b"abc", "sample_rate": 16_000, "num_channels": 1})
            await client.socket.send(odd.SerializeToString())
            await client.until("error", second + 1)
            await client.send("llm-function-call-result", {"result": "x" * 70_000}, id="long")
            refused = client.messages[await client.until("error-response", second + 1)]
            assert refused["id"] == "long"
            assert refused["data"]["error"].endswith("a message has at most 65536 bytes")
            await client.send("client-message", {"t": "interrupt"})
            await client.until("server-response")

    gateway.run(story)


def test_an_unknown_role_is_a_fatal_error(gateway: Gateway) -> None:
    async def story() -> None:
        async with rtvi_client(gateway.port, "/ws-client?role=Clown") as client:
            await client.send("client-ready", {"version": "2.1.0"})
            await client.until("error", fatal=True)
            assert (await client.closed())[0] == 1008

    gateway.run(story)


def test_a_client_that_says_nothing_is_asked_all_the_same(gateway: Gateway) -> None:
    async def story() -> None:
        async with rtvi_client(gateway.port) as client:
            await client.until("bot-started-speaking")
            await client.ready()

    gateway.run(story)


async def tickets(gateway: Gateway, *session_ids: str | None) -> list[str]:
    import httpx

    found = []
    async with httpx.AsyncClient(
        base_url=gateway.url, headers={"x-api-key": KEY}, timeout=30
    ) as http:
        for session_id in session_ids:
            if session_id is not None:
                async with rtvi_client(
                    gateway.port, f"/ws-client/{session_id}", additional_headers={"x-api-key": KEY}
                ) as client:
                    await client.ready()
            made = await http.post("/api/tickets", json={"session_id": session_id})
            found.append(made.json()["value"])
    return found


KEY = "a-key-of-at-least-16-letters"


def test_only_who_may_gets_a_session(gateway: Gateway) -> None:
    gateway.settings["api_keys"] = KEY

    async def closed(path: str, **headers: str) -> tuple[int | None, str | None]:
        async with rtvi_client(gateway.port, path, additional_headers=headers) as client:
            return await client.closed()

    async def story() -> None:
        new, mine, others = await tickets(gateway, None, "mine", "others")
        text = "this needs a key, a pass or a ticket in a header, or an unused ticket in ?token="
        refused = (4003, text)
        assert await closed("/ws-client") == refused
        assert await closed("/ws-client/mine", authorization="Bearer wrong") == refused
        assert await closed("/ws-client/mine", authorization=f"Bearer {others}") == refused
        assert await closed(f"/ws-client/mine?token={others}") == refused
        assert await closed(f"/ws-client/mine?token={KEY}") == refused
        for path in (f"/ws-client/mine?token={mine}", f"/ws-client?token={new}"):
            async with rtvi_client(gateway.port, path) as client:
                await client.ready()
            assert await closed(path) == refused
        headers = {"authorization": f"Bearer {KEY}"}
        async with rtvi_client(gateway.port, additional_headers=headers) as client:
            await client.ready()
        assert await closed("/ws-client/no.name", **headers) == (
            4404,
            "a session id has 1 to 64 of A-Z a-z 0-9 _ -",
        )

    gateway.run(story)


def test_another_subprotocol_is_refused(gateway: Gateway) -> None:
    async def story() -> None:
        options: Any = {"subprotocols": ["realtime"]}
        with pytest.raises(InvalidStatus) as refused:
            async with rtvi_client(gateway.port, **options):
                pass
        answer = refused.value.response
        assert (answer.status_code, answer.body) == (
            400,
            b"RTVI has no subprotocol; connect without one",
        )

    gateway.run(story)
