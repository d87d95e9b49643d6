"""People who speak by WHIP and listen by WHEP, with clients of aiortc's on a real server."""

import asyncio
import os
import signal
import wave
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from aiortc.sdp import candidate_from_sdp, candidate_to_sdp

from gateway.transports.webrtc import link
from gateway.transports.webrtc.aioice_private import IceRestart
from stages.fakes import FakeSynthesizer
from tests.support.gateway import PATIENCE_S
from tests.support.realtime import clip
from tests.support.webrtc import Doorway, emptied
from tests.support.whip import FRAGMENT, WhipPeer, encoder, player

KEY = "a-key-of-at-least-16-letters"
HEADERS = {"authorization": f"Bearer {KEY}"}

pytestmark = pytest.mark.slow


async def made(http: httpx.AsyncClient) -> tuple[str, str, str]:
    """A new session, its candidate's pass, and an observer's token."""
    answer = await http.post("/api/sessions", json={"role": "Data Analyst"}, headers=HEADERS)
    session_id, held = answer.json()["session_id"], answer.json()["access"]["value"]
    given = await http.post(f"/api/sessions/{session_id}/observers", json={}, headers=HEADERS)
    return session_id, held, given.json()["access"]["value"]


async def said(http: httpx.AsyncClient, session_id: str, turns: int) -> list[dict[str, Any]]:
    """The transcript, once it has so many spoken answers."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await http.get(f"/api/sessions/{session_id}/transcript", headers=HEADERS)
            found: list[dict[str, Any]] = answer.json()["lines"] if answer.is_success else []
            if sum(line["speaker"] == "candidate" for line in found) >= turns:
                return found
            await asyncio.sleep(0.1)


@pytest.mark.realtime
def test_two_turns_are_spoken_by_whip_and_heard_by_the_candidate_and_an_observer(
    doorway: Doorway,
) -> None:
    doorway.settings["api_keys"] = KEY

    async def story() -> None:
        async with httpx.AsyncClient(base_url=doorway.url, trust_env=False, timeout=30) as http:
            session_id, held, token = await made(http)
            async with encoder(doorway, session_id, held) as (spoken, microphone):
                async with asyncio.timeout(PATIENCE_S):
                    while doorway.app.state.runtime.live.audience(session_id) is None:
                        await asyncio.sleep(0.01)
                async with (
                    player(doorway, session_id, held) as candidate,
                    player(doorway, session_id, token, video=True) as observer,
                ):
                    for turn in range(1, 3):
                        for listener in (candidate, observer):
                            await listener.hears()
                            await listener.hears_nothing()
                            listener.loudness.clear()
                        microphone.say(clip(2, rate_hz=48_000))
                        await said(http, session_id, turn)
                    for listener in (candidate, observer):
                        await listener.hears()
                    assert spoken.loudness == [], "an encoder is sent nothing"
                    assert candidate.pictures == 0
                    async with asyncio.timeout(PATIENCE_S):
                        while observer.pictures < 10:
                            await asyncio.sleep(0.05)
                    assert (await spoken.asked("DELETE")).status_code == 200
                    for listener in (candidate, observer):
                        async with asyncio.timeout(PATIENCE_S):
                            await listener.ended.wait()
            await emptied(doorway)

    doorway.run(story)


def test_an_observer_who_vanishes_costs_the_conversation_nothing(
    doorway: Doorway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(link, "GONE_S", 3.0)
    doorway.synthesizer = FakeSynthesizer(ms_per_word=200)

    async def story() -> None:
        async with doorway.call("x") as caller:
            await caller.until("ready")
            async with player(doorway, "x") as observer:
                await observer.hears()
                (receiver,) = observer.pc.getReceivers()
                inside: Any = receiver.transport.transport
                for protocol in inside._connection._protocols:  # as if its cable was pulled
                    protocol.transport.abort()
                await caller.until("reply.done", turn=0)
                await caller.speak()
                await caller.until("reply.done", turn=1)
                audience = doorway.app.state.runtime.live.audience("x")
                async with asyncio.timeout(PATIENCE_S):
                    while len(audience):
                        await asyncio.sleep(0.05)
                assert len(doorway.peers()) == 0
                await caller.speak()
                assert (await caller.until("reply.done", turn=2))["interrupted"] is False

    doorway.run(story)


def test_an_interruption_silences_the_observers_too(doorway: Doorway) -> None:
    doorway.synthesizer = FakeSynthesizer(ms_per_word=400)

    async def story() -> None:
        async with doorway.call("x") as caller:
            await caller.until("ready")
            async with player(doorway, "x") as observer:
                await observer.hears()
                await caller.say(type="interrupt")
                await caller.until("clear", turn=0)
                heard = len(observer.loudness)
                await caller.until("reply.done", turn=0)
                async with asyncio.timeout(PATIENCE_S):
                    while len(observer.loudness) < heard + 25:
                        await asyncio.sleep(0.02)
                # aiortc's receiver holds some 100 ms, and an Opus decoder rings for a little.
                assert max(observer.loudness[heard + 12 :]) < 200

    doorway.run(story)


def test_an_observer_hears_the_person_too_unless_only_the_interviewer_is_wanted(
    doorway: Doorway,
) -> None:
    doorway.synthesizer = FakeSynthesizer(ms_per_word=200)

    async def story() -> None:
        async with doorway.call("x") as caller:
            await caller.say(type="hello", version=1, turn_detection={"mode": "manual"})
            await caller.until("ready")
            async with (
                player(doorway, "x") as observer,
                player(doorway, "x", voices="interviewer") as other,
            ):
                await observer.hears()
                await other.hears()
                await caller.until("reply.done", turn=0)
                await observer.hears_nothing()
                await other.hears_nothing()
                heard, before = len(observer.loudness), len(other.loudness)
                await caller.speak(1500)
                await observer.hears(heard)
                await observer.hears_nothing()
                assert max(other.loudness[before:], default=0) < 200
                await caller.say(type="commit")
                await caller.until("reply.started", turn=1)
                heard, before = len(observer.loudness), len(other.loudness)
                await observer.hears(heard)
                await other.hears(before)

    doorway.run(story)


def test_who_joins_with_a_token_leaves_when_it_expires(doorway: Doorway) -> None:
    doorway.settings["api_keys"] = KEY

    async def story() -> None:
        async with doorway.call("x", additional_headers=HEADERS) as caller:
            await caller.until("ready")
            access = doorway.app.state.runtime.access
            token = (await access.observer_token("x", 2)).value
            async with player(doorway, "x", token) as observer:
                async with asyncio.timeout(10):
                    await observer.ended.wait()
            again = await WhipPeer(doorway, token).post("/whep/x")
            assert again.status_code in (401, 422)
            await caller.say(type="ping", t=1)
            await caller.until("pong")

    doorway.run(story)


def test_who_only_listens_is_not_heard(doorway: Doorway) -> None:
    """A player that sends in spite of the answer."""

    async def story() -> None:
        async with doorway.call("x") as caller:
            await caller.until("ready")
            async with player(doorway, "x"):
                (viewer, _), *_ = doorway.peers()._live.values()
                (transceiver,) = viewer._pc.getTransceivers()
                assert transceiver.currentDirection == "sendonly"
                assert not hasattr(viewer, "_reception")
            await caller.until("reply.done", turn=0)
            assert "speech.started" not in caller.types()

    doorway.run(story)


WHIP_CLIENT = os.environ.get("TEST_WHIP_CLIENT")
"""Debian's `simple-whip-client`, with GStreamer's webrtcbin: see `docs/whip.md`."""

ENCODED = (
    "filesrc location={} ! wavparse ! identity sync=true ! audioconvert ! audioresample ! opusenc"
    " ! rtpopuspay pt=100 ssrc=1 ! queue"
    " ! application/x-rtp,media=audio,encoding-name=OPUS,payload=100"
)
PICTURED = (
    "videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=10/1"
    " ! vp8enc deadline=1"
    " ! rtpvp8pay pt=96 ssrc=2 ! queue"
    " ! application/x-rtp,media=video,encoding-name=VP8,payload=96"
)


@pytest.mark.realtime
@pytest.mark.skipif(WHIP_CLIENT is None, reason="needs TEST_WHIP_CLIENT: docs/whip.md")
@pytest.mark.parametrize("options", [[], ["-V", PICTURED], ["-n"]], ids=["trickle", "video", "all"])
def test_a_gstreamer_encoder_is_heard_and_answered(
    doorway: Doorway, tmp_path: Path, options: list[str]
) -> None:
    doorway.settings |= {"api_keys": KEY, "webrtc_addresses": ""}  # libnice has no 127.0.0.1
    assert WHIP_CLIENT is not None
    tone = (6000 * np.sin(2 * np.pi * np.arange(480 * 60) / 240)).astype(np.int16)
    pause = np.zeros(48_000 * 6, np.int16)
    with wave.open(str(tmp_path / "said.wav"), "wb") as file:
        file.setparams((1, 2, 48_000, 0, "NONE", ""))
        file.writeframes(np.concatenate([pause, tone, pause, tone, pause]).tobytes())

    async def story() -> None:
        async with httpx.AsyncClient(base_url=doorway.url, trust_env=False, timeout=30) as http:
            session_id, held, _ = await made(http)
            arguments = ["-u", f"{doorway.url}/whip/{session_id}", "-t", held]
            arguments += ["-A", ENCODED.format(tmp_path / "said.wav"), *options]
            process = await asyncio.create_subprocess_exec(
                str(WHIP_CLIENT), *arguments, stdout=asyncio.subprocess.DEVNULL
            )
            try:
                async with asyncio.timeout(PATIENCE_S):
                    while doorway.app.state.runtime.live.audience(session_id) is None:
                        assert process.returncode is None
                        await asyncio.sleep(0.02)
                async with player(doorway, session_id, held) as candidate:
                    await candidate.hears()
                    await said(http, session_id, 2)
                process.send_signal(signal.SIGINT)
                await process.wait()
                await emptied(doorway)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    doorway.run(story)


ANY_VERSION = FRAGMENT | {"if-match": "*"}


class Renewal:
    """A player's own restart of ICE, which aiortc has not."""

    def __init__(self, observer: WhipPeer) -> None:
        (receiver,) = observer.pc.getReceivers()
        self.ice: Any = receiver.transport.transport
        self.began = IceRestart(receiver.transport)
        own = [candidate_to_sdp(one) for one in self.ice.iceGatherer.getLocalCandidates()]
        lines = [f"a=ice-ufrag:{self.began.ufrag}", f"a=ice-pwd:{self.began.password}"]
        lines += [f"a=candidate:{one}" for one in own]
        self.fragment = "\r\n".join([*lines, ""])

    async def connect(self, answer: str) -> None:
        told = dict(line.split(":", 1) for line in answer.splitlines() if ":" in line)
        connecting = asyncio.create_task(self.began.connect(told["a=ice-ufrag"], told["a=ice-pwd"]))
        for line in answer.splitlines():
            if line.startswith("a=candidate:"):
                found = candidate_from_sdp(line.removeprefix("a=candidate:"))
                await self.ice.addRemoteCandidate(found)
        async with asyncio.timeout(PATIENCE_S):
            await connecting


async def answers_checks(observer: WhipPeer) -> None:
    """Check the pair in use as a player does every few seconds; raises where there is no answer."""
    (receiver,) = observer.pc.getReceivers()
    inside: Any = receiver.transport.transport
    connection = inside._connection
    (pair,) = connection._nominated.values()
    request = connection.build_request(pair, nominate=False)
    key = connection.remote_password.encode()
    await pair.protocol.request(request, pair.remote_addr, integrity_key=key, retransmissions=1)


def pairs_of(doorway: Doorway) -> Any:
    """The pairs of the only listener's connection on the server."""
    (viewer, _), *_ = doorway.peers()._live.values()
    (dtls,) = viewer._transports()
    assert dtls.state == "connected"
    inside: Any = dtls.transport
    return inside._connection._nominated


@pytest.mark.parametrize("lost", [0, 2], ids=["answered", "answers lost"])
def test_ice_begins_anew_and_the_conversation_goes_on(doorway: Doorway, lost: int) -> None:
    doorway.synthesizer = FakeSynthesizer(ms_per_word=200)

    async def story() -> None:
        async with doorway.call("x") as caller:
            await caller.until("ready")
            async with player(doorway, "x") as observer:
                await observer.hears()
                old, before = observer.etag, pairs_of(doorway)[1]
                anew = Renewal(observer)
                answer = await observer.asked("PATCH", content=anew.fragment, headers=ANY_VERSION)
                assert answer.status_code == 200, answer.text
                assert answer.headers["content-type"] == FRAGMENT["content-type"]
                assert answer.headers["etag"] != old
                for _ in range(lost):
                    again = await observer.asked(
                        "PATCH", content=anew.fragment, headers=ANY_VERSION
                    )
                    assert (again.status_code, again.text) == (200, answer.text)
                    assert again.headers["etag"] == answer.headers["etag"]
                await anew.connect(answer.text)
                passed = FRAGMENT | {"if-match": old}
                late = await observer.asked("PATCH", content=anew.fragment, headers=passed)
                assert (late.status_code, late.json()["code"]) == (412, "version_passed")
                known = FRAGMENT | {"if-match": answer.headers["etag"]}
                more = await observer.asked("PATCH", content=anew.fragment, headers=known)
                assert more.status_code == 204
                await caller.until("reply.done", turn=0)
                await observer.hears_nothing()
                heard = len(observer.loudness)
                await caller.speak()
                await observer.hears(heard)
                async with asyncio.timeout(PATIENCE_S):
                    while len(pairs_of(doorway)) != 1:
                        await asyncio.sleep(0.02)
                assert pairs_of(doorway)[1] is not before, "by the new checks"

    doorway.run(story)


def test_a_restart_of_ice_that_fails_leaves_the_old_pair(
    doorway: Doorway, monkeypatch: pytest.MonkeyPatch
) -> None:
    doorway.synthesizer = FakeSynthesizer(ms_per_word=200)

    async def story() -> None:
        async with doorway.call("x") as caller:
            await caller.until("ready")
            async with player(doorway, "x") as observer:
                await observer.hears()
                before = pairs_of(doorway)[1]
                monkeypatch.setattr(link, "CONNECT_S", 1.0)
                for name in ("lost", "lost2"):  # the second while the first is tried
                    fragment = f"a=ice-ufrag:{name}\r\na=ice-pwd:{'abcdefghijklmnopqrstuv'}\r\n"
                    answer = await observer.asked("PATCH", content=fragment, headers=ANY_VERSION)
                    assert answer.status_code == 200, answer.text
                await answers_checks(observer)
                known = FRAGMENT | {"if-match": observer.etag}
                async with asyncio.timeout(PATIENCE_S):
                    while (await observer.asked("PATCH", content="a=x:1", headers=known)).is_error:
                        await asyncio.sleep(0.1)
                assert pairs_of(doorway) == {1: before}
                await answers_checks(observer)
                await caller.until("reply.done", turn=0)
                await observer.hears_nothing()
                heard = len(observer.loudness)
                await caller.speak()
                await observer.hears(heard)
                anew = Renewal(observer)
                answer = await observer.asked("PATCH", content=anew.fragment, headers=ANY_VERSION)
                await anew.connect(answer.text)
                heard = len(observer.loudness)
                await caller.until("reply.done", turn=1)
                await caller.speak()
                await observer.hears(heard)

    doorway.run(story)
