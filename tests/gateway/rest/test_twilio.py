"""`POST /twilio/voice`: who is answered, and what Twilio is to do with a call."""

import asyncio
import xml.etree.ElementTree as ET
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from gateway.interviews import sessions
from gateway.security.twilio_signature import signature
from stages.interview import InterviewConfig
from tests.support.gateway import Gateway
from tests.support.phone import CALL

TOKEN = "0123456789abcdef0123456789abcdef"
KEY = "a-key-of-ours"


@pytest.fixture
def phone(gateway: Gateway) -> Gateway:
    gateway.settings["twilio_token"] = TOKEN
    return gateway


async def ask(
    gateway: Gateway,
    query: str = "",
    *,
    base: str = "",
    token: str = TOKEN,
    headers: dict[str, str] | None = None,
    **fields: str,
) -> httpx.Response:
    """Twilio's request; `base` is the URL of the gateway as Twilio has it."""
    form = {"CallSid": CALL, "From": "+14158675309", "To": "+18005551212"} | fields
    path = "/twilio/voice" + (f"?{query}" if query else "")
    signed = signature(token, (base or gateway.url) + path, list(form.items()))
    sent = {
        "x-twilio-signature": signed,
        "content-type": "application/x-www-form-urlencoded; charset=UTF-8",
        **(headers or {}),
    }
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        return await client.post(path, content=urlencode(form), headers=sent)


def told(response: httpx.Response) -> tuple[str, dict[str, str], str]:
    """The stream's URL, its parameters, and what is asked afterwards."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/xml; charset=utf-8"
    root = ET.fromstring(response.content)
    assert [child.tag for child in root] == ["Connect", "Redirect"]
    stream = root.find("Connect/Stream")
    assert stream is not None
    given = {each.attrib["name"]: each.attrib["value"] for each in stream}
    redirect = root.find("Redirect")
    assert redirect is not None
    assert redirect.attrib == {"method": "POST"}
    return stream.attrib["url"], given, str(redirect.text)


def verbs(response: httpx.Response) -> list[tuple[str, dict[str, str]]]:
    assert response.status_code == 200, response.text
    return [(child.tag, child.attrib) for child in ET.fromstring(response.content)]


def test_a_call_is_connected_to_a_session_of_its_own(phone: Gateway) -> None:
    async def story() -> None:
        query = "role=data+analyst&totalQuestions=3&language=de-DE&silence_ms=600&model=qwen3:4b"
        stream, given, afterwards = told(await ask(phone, query))
        assert stream == f"ws://127.0.0.1:{phone.port}/twilio/{CALL}"
        assert given == {
            "role": "Data Analyst",
            "totalQuestions": "3",
            "language": "de",
            "silence_ms": "600",
            "model": "qwen3:4b",
        }
        parts = urlsplit(afterwards)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{phone.url}/twilio/voice"
        again = dict(parse_qsl(parts.query))
        assert again == dict(parse_qsl(query)) | {"attempt": "2"}
        _, same, _ = told(await ask(phone, parts.query))
        assert same == given

    phone.run(story)


def test_behind_a_proxy_the_public_url_is_what_is_signed_and_told(phone: Gateway) -> None:
    base = "https://parley.example.org/voice"
    phone.settings["public_url"] = base

    async def story() -> None:
        stream, _, afterwards = told(await ask(phone, base=base))
        assert stream == f"wss://parley.example.org/voice/twilio/{CALL}"
        assert afterwards == f"{base}/twilio/voice?attempt=2"
        assert (await ask(phone)).json()["code"] == "bad_signature"

    phone.run(story)


def test_where_keys_are_set_the_stream_brings_a_ticket_for_its_session_alone(
    phone: Gateway,
) -> None:
    phone.settings["api_keys"] = KEY

    async def story() -> None:
        _, given, _ = told(await ask(phone))
        access = phone.app.state.runtime.access
        grant = await access.look(given["ticket"])
        assert grant.session_id == CALL
        assert not await access.enter(grant, "another")
        assert await access.enter(grant, CALL)
        assert not await access.enter(grant, CALL), "it is used"

    phone.run(story)


def test_only_twilio_is_answered(phone: Gateway) -> None:
    async def story() -> None:
        bad = {"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}
        for refused in (
            await ask(phone, token="another"),
            await ask(phone, headers=bad),
            await ask(phone, headers={"x-twilio-signature": ""}),
            await ask(phone, base="https://elsewhere.example"),
        ):
            assert (refused.status_code, refused.json()["code"]) == (403, "bad_signature")
            assert TOKEN not in refused.text

    phone.run(story)


def test_without_the_accounts_token_no_call_is_taken(gateway: Gateway) -> None:
    async def story() -> None:
        refused = await ask(gateway)
        assert (refused.status_code, refused.json()["code"]) == (404, "twilio_off")

    gateway.run(story)


@pytest.mark.parametrize(
    ("query", "fields", "headers", "wanted"),
    [
        ("role=Astronaut", {}, {}, (400, "unknown_role")),
        ("totalQuestions=99", {}, {}, (400, "invalid_count")),
        ("totalQuestions=many", {}, {}, (400, "invalid_parameter")),
        ("language=xx", {}, {}, (400, "unknown_language")),
        ("silence_ms=1", {}, {}, (400, "invalid_parameter")),
        ("attempt=7", {}, {}, (400, "invalid_parameter")),
        ("rôle=1", {}, {}, (400, "invalid_parameter")),
        ("model=a%00b", {}, {}, (400, "invalid_parameter")),
        ("", {"CallSid": ""}, {}, (400, "invalid_form")),
        ("", {"CallSid": "../../x"}, {}, (400, "invalid_form")),
        ("", {}, {"content-type": "application/json"}, (415, "unsupported_media_type")),
        ("", {f"F{n}": "" for n in range(120)}, {}, (400, "invalid_form")),
        ("", {"Body": "x" * 17_000}, {}, (413, "body_too_large")),
    ],
    ids=[
        *("role", "count", "many", "language", "silence", "attempt", "unknown", "control"),
        *("no call", "odd call", "json", "fields", "long"),
    ],
)
def test_what_cannot_be_done_is_refused(
    phone: Gateway, query: str, fields: Any, headers: Any, wanted: tuple[int, str]
) -> None:
    async def story() -> None:
        refused = await ask(phone, query, headers=headers, **fields)
        assert (refused.status_code, refused.json()["code"]) == wanted

    phone.run(story)


def test_a_form_that_is_not_text_is_refused(phone: Gateway) -> None:
    async def story() -> None:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        async with httpx.AsyncClient(base_url=phone.url) as client:
            for body in (b"\xff", b"CallSid=%ff"):
                refused = await client.post("/twilio/voice", content=body, headers=headers)
                assert (refused.status_code, refused.json()["code"]) == (400, "invalid_form")

    phone.run(story)


def test_a_call_whose_interview_is_over_is_hung_up(phone: Gateway) -> None:
    async def story() -> None:
        store = phone.app.state.runtime.store
        config = InterviewConfig("Data Analyst", "auto", 1)
        record, version = await sessions.create(
            store, config, mode="voice", ttl_s=60, session_id=CALL
        )
        told(await ask(phone))  # it is not over
        await sessions.save(store, record.model_copy(update={"finished": True}), version)
        assert verbs(await ask(phone, "attempt=2")) == [("Hangup", {})]
        await sessions.delete(store, CALL)
        assert verbs(await ask(phone, "attempt=2")) == [("Hangup", {})]

    phone.run(story)


def test_a_call_that_never_holds_is_given_up(phone: Gateway) -> None:
    async def story() -> None:
        told(await ask(phone, "attempt=5"))
        assert verbs(await ask(phone, "attempt=6")) == [("Hangup", {})]

    phone.run(story)


def test_a_full_gateway_is_busy_and_keeps_a_call_that_comes_back(phone: Gateway) -> None:
    phone.settings["max_sessions"] = 1

    async def story() -> None:
        async with phone.call("other") as caller:
            await caller.until("ready")
            assert verbs(await ask(phone)) == [("Reject", {"reason": "busy"})]
            waits = await ask(phone, "role=Data+Analyst&attempt=2")
            pause, redirect = ET.fromstring(waits.content)
            assert (pause.tag, pause.attrib) == ("Pause", {"length": "5"})
            asked = "role=Data+Analyst&attempt=3"
            assert redirect.text == f"{phone.url}/twilio/voice?{asked}"
        async with asyncio.timeout(10):
            while phone.app.state.runtime.live.connections:
                await asyncio.sleep(0.01)
        told(await ask(phone, asked))

    phone.run(story)
