"""The log at its most talkative, /health and refusals tell no secret and no word of a person."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.logs import QUIET, configure
from stages.fakes import FakeTranscriber
from tests.support.gateway import Gateway

KEY = "canary-of-the-api-key"
TOKEN = "canary-of-the-webrtc-token"
GUESS = "canary-of-a-wrong-key"
TYPED = "canarytyped"
SPOKEN = "canaryspoken"
ICE = "canaryOfTheIcePassword22"

SDP = f"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-pwd:{ICE}\r\n"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What `parley serve` writes to its log at level debug."""
    root = logging.getLogger()
    kept = root.level, root.handlers[:], {name: logging.getLogger(name).level for name in QUIET}
    configure("debug")
    written = io.StringIO()
    handler = root.handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(written)
    yield written
    root.setLevel(kept[0])
    root.handlers[:] = kept[1]
    for name, level in kept[2].items():
        logging.getLogger(name).setLevel(level)


def test_no_secret_is_told_to_anybody(gateway: Gateway, log: io.StringIO) -> None:
    gateway.settings |= {"api_keys": KEY, "webrtc_token": TOKEN}
    gateway.transcriber = FakeTranscriber(texts=(f"I am {SPOKEN} and like it",))
    told: list[str] = []
    given: list[str] = []

    async def refused(path: str, **options: Any) -> None:
        with pytest.raises(InvalidStatus) as error:
            await connect(f"ws://127.0.0.1:{gateway.port}{path}", **options)
        told.append(str(error.value.response.body))

    async def story() -> None:
        logging.getLogger("parley.test").debug("the log is open")
        header = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
            made = await client.post("/api/tickets", json={}, headers=header)
            ticket = made.json()["value"]
            session = await client.post(
                "/api/sessions", json={"role": "Data Analyst"}, headers=header
            )
            secret = await client.post(
                "/v1/realtime/client_secrets",
                json={"session": {"type": "realtime", "model": "interview"}},
                headers=header,
            )
            given.extend([ticket, session.json()["access"]["value"], secret.json()["value"]])
            for wrong in (GUESS, f"pt_{GUESS}"):
                bearer = {"authorization": f"Bearer {wrong}"}
                told.append((await client.get(f"/api/sessions?token={wrong}", headers=bearer)).text)
                told.append((await client.post("/webrtc/a", content=SDP, headers=bearer)).text)
                await refused("/ws/a", additional_headers=bearer)
                offered: Any = ["realtime", f"openai-insecure-api-key.{wrong}"]
                await refused("/v1/realtime?model=x", subprotocols=offered)
            await refused(f"/ws/a?token={given[0]}")
            sdp = {"content-type": "application/sdp", "authorization": f"Bearer {TOKEN}"}
            told.append((await client.post("/webrtc/a", content=SDP, headers=sdp)).text)
            async with gateway.call("a") as caller:
                await caller.say(type="hello", version=1, ticket=ticket)
                await caller.until("ready")
                await caller.say(type="text", text=f"My {TYPED} answer")
                await caller.until("transcript", turn=1)
                await caller.until("reply.done", turn=1)
                await caller.speak()
                assert SPOKEN in (await caller.until("transcript", turn=2))["text"]
            async with gateway.call("a") as caller:
                await caller.say(type="hello", version=1, ticket=ticket)
                told.append(json.dumps(await caller.closed()))
            told.append((await client.get("/health")).text)
            told.append((await client.get("/health/ready")).text)

    gateway.run(story)
    secrets = [KEY, TOKEN, GUESS, ICE, *given]
    assert len(given) == 3
    assert "the log is open" in log.getvalue()
    assert [secret for secret in [*secrets, TYPED, SPOKEN] if secret in log.getvalue()] == []
    assert [secret for secret in secrets if secret in "".join(told)] == []


def test_liveness_and_readiness_tell_no_version_no_host_and_no_address(gateway: Gateway) -> None:
    async def story() -> None:
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
            assert (await client.get("/health/live")).json() == {"status": "alive"}
            ready = await client.get("/health/ready")
            assert ready.json() == {"status": "ready", "reasons": []}
            assert "server" not in ready.headers

    gateway.run(story)
