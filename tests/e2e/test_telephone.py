"""Telephone calls to `parley serve`, whose words come from a server: our double of Twilio, and a
public one.

Ours asks the webhook first, as Twilio does, and goes where that says.
"""

import asyncio
import json
import wave
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import numpy as np
import pytest
from streamdouble.api import run_scenario
from streamdouble.protocol import StreamIdentity
from streamdouble.scenario import Dtmf, Expect, Say, Scenario, Wait, WaitFor
from streamdouble.session import SessionConfig

from gateway.media.resampling import converter
from gateway.security.twilio_signature import signature
from tests.support.paths import ROOT
from tests.support.peers import Peer
from tests.support.phone import PhoneCall, mulaw, phone_call
from tests.support.served import free_port, gateway

pytestmark = pytest.mark.slow

TOKEN = "0123456789abcdef0123456789abcdef"
KEY = "a-key-of-ours"
SAID = "I would look at the numbers of every week before I believe the dashboard."
"""What the transcription server hears in any speech."""


def clip(name: str) -> bytes:
    """A fixture's speech as mu-law."""
    with wave.open(str(ROOT / f"fixtures/audio/{name}.wav")) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        narrow = converter(file.getframerate(), 8000)
    return mulaw(np.concatenate([narrow.push(pcm), narrow.flush()]).tobytes())


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, peer: Peer) -> Iterator[int]:
    port = free_port()
    settings = {
        "PARLEY_TWILIO_TOKEN": TOKEN,
        "PARLEY_API_KEYS": KEY,
        "PARLEY_STT": "openai",
        "PARLEY_STT_URL": peer.url,
        "PARLEY_STT_MODEL": f"says/{json.dumps({'text': SAID})}",
        "TTS_ENGINE": "espeak-ng",
    }
    with gateway(tmp_path_factory.mktemp("telephone"), port, **settings):
        yield port


async def ring(port: int, call: str, **query: str) -> ET.Element:
    """What Twilio is told to do with a call."""
    path = f"/twilio/voice?{urlencode(query)}".rstrip("?")
    url = f"http://127.0.0.1:{port}{path}"
    form = {"CallSid": call, "From": "+14158675309"}
    signed = signature(TOKEN, url, list(form.items()))
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        answer = await client.post(url, data=form, headers={"x-twilio-signature": signed})
    assert answer.status_code == 200, answer.text
    return ET.fromstring(answer.text)


def stream_of(told: ET.Element) -> tuple[str, dict[str, str]]:
    stream = told.find("Connect/Stream")
    assert stream is not None, ET.tostring(told)
    return stream.attrib["url"], {e.attrib["name"]: e.attrib["value"] for e in stream}


async def transcript(port: int, call: str) -> list[dict[str, Any]]:
    url = f"http://127.0.0.1:{port}/api/sessions/{call}/transcript"
    async with httpx.AsyncClient(trust_env=False, headers={"x-api-key": KEY}, timeout=30) as client:
        answer = await client.get(url)
    assert answer.status_code == 200, answer.text
    lines: list[dict[str, Any]] = answer.json()["lines"]
    return lines


async def answered(port: int, call: str, text: str = "", answers: int = 0) -> None:
    """Return when so many answers are stored, or one with this text."""
    async with asyncio.timeout(100):
        while True:
            lines = await transcript(port, call)
            spoken = [line["text"] for line in lines if line["speaker"] == "candidate"]
            if text in spoken or 0 < answers <= len(spoken):
                return
            await asyncio.sleep(0.2)


async def replied(call: PhoneCall, after: int) -> None:
    """Return when a reply has been heard to its end; `after` messages came before it."""
    await call.until(lambda: "media" in call.kinds(after))
    await call.quiet(1.0)


def test_a_call_from_its_webhook_to_its_end_and_a_line_that_breaks_off(port: int) -> None:
    call_id = "CA00000000000000000000000000000001"

    async def story() -> None:
        url, given = stream_of(await ring(port, call_id, role="Data Analyst", totalQuestions="5"))
        assert given["role"] == "Data Analyst"
        async with phone_call(url, given) as call:
            await replied(call, 0)
            at = len(call.events)
            call.say(clip("data-analyst-1"))
            await answered(port, call_id, answers=1)
            await replied(call, at)
            call.say(clip("data-analyst-2"))
            await answered(port, call_id, answers=2)
            at = len(call.events)
            await call.until(lambda: "media" in call.kinds(at))
            await asyncio.sleep(1)
            cleared = call.clears
            call.say(clip("data-analyst-3")[8_000:32_000])  # into the reply
            await call.until(lambda: call.clears > cleared)
            at = len(call.events)
            await answered(port, call_id, answers=3)
            await replied(call, at)
            before, after = call.turns_after_clears()[-1]
            assert after > before
            at = len(call.events)
            call.press("1")
            await answered(port, call_id, "Could you repeat the question?")
            await replied(call, at)
            await call.socket.close(1011)  # the line breaks off
        again, given = stream_of(await ring(port, call_id, attempt="2"))
        assert again == url
        async with phone_call(again, given) as call:
            await replied(call, 0)
        assert "Welcome back" in (await transcript(port, call_id))[-1]["text"]

    asyncio.run(story())


def test_an_interview_of_one_question_ends_the_call_and_twilio_hangs_up(port: int) -> None:
    call_id = "CA00000000000000000000000000000002"

    async def story() -> None:
        url, given = stream_of(await ring(port, call_id, role="Data Analyst", totalQuestions="1"))
        async with phone_call(url, given) as call:
            await call.until(lambda: bool(call.played))
            await call.quiet(1.0)
            call.say(clip("data-analyst-1"))
            assert (await call.ended())[0] == 1000
            unheard_s = call.played[-1].end - asyncio.get_running_loop().time()
            assert unheard_s < 0.1
        told = await ring(port, call_id, attempt="2")
        assert [child.tag for child in told] == ["Hangup"]

    asyncio.run(story())


def test_a_stream_with_another_calls_ticket_is_closed(port: int) -> None:
    async def story() -> None:
        url, given = stream_of(await ring(port, "CA00000000000000000000000000000003"))
        parts = urlsplit(url)
        other = f"{parts.scheme}://{parts.netloc}/twilio/CA00000000000000000000000000000004"
        async with phone_call(other, given) as call:
            assert (await call.ended())[0] == 1008
            assert call.events == []

    asyncio.run(story())


def test_a_public_double_of_twilio_finds_no_violation(port: int, tmp_path: Path) -> None:
    identity = StreamIdentity()
    frames = {
        n: [sound[at : at + 160] for at in range(0, len(sound) - 159, 160)]
        for n, sound in enumerate((clip("software-engineer-1"), clip("software-engineer-3")))
    }
    voice = frames[1][50:200]
    steps = [
        WaitFor("audio", 20.0),
        WaitFor("quiet", 30.0),
        Say(Path("one"), frames[0]),
        Wait(2.0),
        WaitFor("quiet", 30.0),
        Expect("clear", negated=True),
        Say(Path("two"), frames[1]),
        Wait(2.5),  # into the reply
        Say(Path("three"), voice),
        Expect("clear"),
        Wait(2.0),
        WaitFor("quiet", 30.0),
        Dtmf("1"),
        Wait(1.0),
        WaitFor("quiet", 30.0),
        Expect("mark"),
        Expect("no_violations"),
    ]

    async def story() -> Any:
        url, given = stream_of(await ring(port, identity.call_sid, role="Software Engineer"))
        config = SessionConfig(custom_parameters=given, quiet_period_s=1.0, max_call_s=150.0)
        return await run_scenario(url, Scenario("an interview", list(steps)), config=config)

    report = asyncio.run(story())
    assert report.violations == []
    assert report.result.unknown_events == []
    assert report.result.failed_expectations == []
    assert report.exit_code == 0
    assert report.time_to_first_audio_ms < 10_000
    assert report.result.closed_by is None
    flushed = report.result.clears_received * 3  # marks behind audio that was dropped
    marks = len(report.result.marks_received)
    assert marks - flushed <= len(report.result.marks_echoed) <= marks
    lines = asyncio.run(transcript(port, identity.call_sid))
    assert [line["speaker"] for line in lines].count("candidate") >= 3
    assert "Could you repeat the question?" in [line["text"] for line in lines]
