"""Whole conversations over WebRTC: a client of aiortc's, a real server, scripted stages."""

import asyncio
import re
from typing import Any

import httpx
import numpy as np
import pytest
from aiortc import RTCSessionDescription
from aiortc.rtcsctptransport import DataChunk, serialize_packet
from pydantic import SecretStr

from gateway.ice import Addresses
from gateway.live.connection import MOST_ERRORS
from gateway.transports.webrtc import link, peer, transport
from gateway.transports.webrtc.link import Network
from gateway.transports.webrtc.peers import Answered, Peers
from stages.fakes import FakeSynthesizer
from tests.support.webrtc import Browser, Doorway, emptied

pytestmark = pytest.mark.slow  # spoken in real time

SDP = {"content-type": "application/sdp"}
FRAGMENT = {"content-type": "application/trickle-ice-sdpfrag"}


def test_two_turns_are_held_over_webrtc(doorway: Doorway) -> None:
    async def story() -> None:
        async with doorway.browser() as browser:
            ready = await browser.until("ready")
            assert (ready["audio_in"], ready["audio_out"]) == (
                {"encoding": "opus", "rate": 48000, "channels": 1},
                {"encoding": "opus", "rate": 48000},
            )
            assert "Question 1" in (await browser.until("reply.done", turn=0))["heard"]
            browser.microphone.speak(500)
            transcript = await browser.until("transcript", turn=1, final=True)
            assert transcript["text"] == "I like to build things that last"
            assert (await browser.until("reply.done", turn=1))["interrupted"] is False
            assert await browser.until("interview", currentQuestion=2)
            browser.microphone.speak(500)
            assert (await browser.until("reply.done", turn=2))["interrupted"] is False
            assert max(peak for _, peak in browser.loudness) > 1000
            assert [m["seq"] for m in browser.messages] == [*range(1, len(browser.messages) + 1)]

    doorway.run(story)


def test_an_interrupted_reply_falls_silent_and_nothing_of_it_follows(doorway: Doorway) -> None:
    doorway.synthesizer = FakeSynthesizer(ms_per_word=400)

    async def story() -> None:
        async with doorway.browser() as browser:
            await browser.until("reply.started", turn=0)
            while not any(peak > 1000 for _, peak in browser.loudness[-3:]):
                await asyncio.sleep(0.02)
            (live, _), *_ = doorway.peers()._live.values()
            transmission = live._transport.transmission
            assert transmission is not None
            browser.say(type="interrupt")
            await browser.until("clear", turn=0)
            assert transmission.waiting == 0
            heard = len(browser.loudness)
            while len(browser.loudness) < heard + 12:
                await asyncio.sleep(0.02)
            # aiortc's receiver holds 80 ms, and an Opus decoder rings for a little.
            assert max(peak for _, peak in browser.loudness[heard + 8 :]) < 200

    doorway.run(story)


def test_an_interview_that_is_over_ends_the_connection(doorway: Doorway) -> None:
    async def story() -> None:
        interview = {"role": "data analyst", "totalQuestions": 1}
        async with doorway.browser(interview=interview) as browser:
            await browser.until("reply.done", turn=0)
            browser.say(type="text", text="I would look at the raw numbers first of all")
            await browser.until("interview", isComplete=True)
            await asyncio.wait_for(browser.closed.wait(), 10)
            await emptied(doorway)

    doorway.run(story)


def test_what_is_no_message_is_answered_and_the_conversation_goes_on(doorway: Doorway) -> None:
    async def story() -> None:
        async with doorway.browser() as browser:
            await browser.until("ready")
            assert browser.channel is not None
            browser.channel.send(b"\x00\x01")
            await browser.until("error", code="bad_json")
            browser.say(type="hello", version=1)
            await browser.until("error", code="unexpected_hello")
            browser.say(type="ping", t=7)
            assert (await browser.until("pong"))["t"] == 7

    doorway.run(story)


def test_a_message_that_is_too_long_is_refused_and_many_end_the_connection(
    doorway: Doorway,
) -> None:
    async def story() -> None:
        async with doorway.browser() as browser:
            await browser.until("ready")
            browser.say(type="text", text="x" * 70_000)
            await browser.until("error", code="message_too_long")
            browser.say(type="ping", t=7)
            assert (await browser.until("pong"))["t"] == 7
            for _ in range(MOST_ERRORS):
                browser.say(type="text", text="x" * 70_000)
            await browser.until("error", code="flooding")
            await emptied(doorway)

    doorway.run(story)


def test_who_has_no_channel_is_heard_and_spoken_to(doorway: Doorway) -> None:
    async def story() -> None:
        browser = Browser(doorway, channel=False)
        try:
            await browser.connect()
            while not any(peak > 1000 for _, peak in browser.loudness):
                await asyncio.sleep(0.02)
        finally:
            await browser.close()
        await emptied(doorway)

    doorway.run(story)


def test_a_browser_that_hides_its_addresses_is_reached(doorway: Doorway) -> None:
    """Before it may use the microphone, a browser names only mDNS hosts."""

    async def story() -> None:
        browser = Browser(doorway)
        browser.conceal = lambda offer: re.sub(
            r"(udp \d+ )[0-9.]+( \d+ typ)", r"\1x.local\2", offer
        )
        try:
            await browser.connect()
            await browser.until("ready")
        finally:
            await browser.close()

    doorway.run(story)


def test_a_server_that_ends_hangs_up(doorway: Doorway) -> None:
    async def story() -> None:
        browser = Browser(doorway)
        runtime = doorway.app.state.runtime
        async with Peers(runtime, Addresses(("127.0.0.1",))) as peers:
            answered = await peers.answer("e", await browser.offer())
            answer = RTCSessionDescription(answered.sdp, "answer")
            await browser.pc.setRemoteDescription(answer)
            await browser.until("ready")
            assert (len(peers), runtime.live.connections) == (1, 1)
        assert (len(peers), runtime.live.connections) == (0, 0)
        await asyncio.wait_for(browser.closed.wait(), 10)
        await browser.close()

    doorway.run(story)


def test_a_peer_that_does_not_read_is_dropped(
    doorway: Doorway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MOST_BUFFERED_BYTES", -1)

    async def story() -> None:
        async with doorway.browser() as browser:
            await asyncio.wait_for(browser.closed.wait(), 10)
        await emptied(doorway)

    doorway.run(story)


def test_a_session_that_is_taken_says_so(doorway: Doorway) -> None:
    async def story() -> None:
        async with doorway.browser("one") as first:
            await first.until("ready")
            async with doorway.browser("one") as second:
                error = await second.until("error")
                assert (error["code"], error["fatal"]) == ("already_connected", True)

    doorway.run(story)


# --- signalling --------------------------------------------------------------------------------


def test_the_json_form_answers_and_replaces(doorway: Doorway) -> None:
    async def story() -> None:
        browser = Browser(doorway)
        async with httpx.AsyncClient(base_url=doorway.url, timeout=30) as client:
            body = {"sdp": await browser.offer(), "type": "offer"}
            made = (await client.post("/api/offer", json=body)).json()
            assert made["type"] == "answer"
            assert "127.0.0.1" in made["sdp"]
            path = f"/webrtc/{made['session_id']}"
            worse = {"sdp": "x", "type": "offer", "pc_id": made["pc_id"]}
            assert (await client.post("/api/offer", json=worse)).status_code == 400
            await asyncio.sleep(0.2)
            assert (await client.get(f"{path}/{made['pc_id']}")).status_code == 204
            again = (await client.post("/api/offer", json=body | {"pc_id": made["pc_id"]})).json()
            assert again["session_id"] == made["session_id"]
            assert again["pc_id"] != made["pc_id"]
            assert (await client.delete(f"{path}/{again['pc_id']}")).status_code == 200
            await emptied(doorway)
            assert (await client.delete(f"{path}/{again['pc_id']}")).status_code == 404
        await browser.close()

    doorway.run(story)


def test_a_client_that_closes_its_connection_and_asks_for_its_end_gets_no_error(
    doorway: Doorway,
) -> None:
    async def story() -> None:
        browser = Browser(doorway)
        async with httpx.AsyncClient(base_url=doorway.url, timeout=30) as client:
            await browser.connect("leaves")
            where = browser.location
            await browser.close()
            await emptied(doorway)
            other = where.replace("/leaves/", "/another/")
            told = [(await client.delete(path)).status_code for path in (other, where, where)]
            assert told == [404, 200, 404]

    doorway.run(story)


@pytest.mark.slow
def test_candidates_may_trickle_in(doorway: Doorway) -> None:
    async def story() -> None:
        browser = Browser(doorway)
        lines = (await browser.offer()).splitlines()
        trickle = [line for line in lines if line.startswith("a=candidate")][:1]
        ufrag = next(line for line in lines if line.startswith("a=ice-ufrag"))
        bare = [x for x in lines if not x.startswith(("a=candidate", "a=end-of"))]
        async with httpx.AsyncClient(base_url=doorway.url, timeout=30) as client:
            made = await client.post("/webrtc/t", content="\r\n".join([*bare, ""]), headers=SDP)
            assert made.status_code == 201
            where = made.headers["location"]
            body = "\r\n".join([ufrag, *trickle, ""])
            added = await client.patch(where, content=body, headers=FRAGMENT)
            assert (added.status_code, added.content) == (204, b"")
            restart = await client.patch(where, content="a=ice-ufrag:other\r\n", headers=FRAGMENT)
            assert restart.status_code == 422
            (live, _), *_ = doorway.peers()._live.values()
            inside: Any = live._pc.getTransceivers()[0].receiver.transport.transport
            assert "127.0.0.1" in [c.ip for c in inside.getRemoteCandidates()]
        await browser.close()

    doorway.run(story)


def test_how_whip_is_spoken(doorway: Doorway) -> None:
    async def story() -> None:
        async with httpx.AsyncClient(base_url=doorway.url, timeout=30) as client:
            options = await client.options("/webrtc/x")
            assert options.status_code == 204
            assert options.headers["accept-post"] == "application/sdp"
            plain = await client.post("/webrtc/x", content="v=0")
            assert plain.status_code == 415
            large = await client.post("/webrtc/x", content="v" * 20_000, headers=SDP)
            assert large.status_code == 413
            nobody = await client.post("/webrtc/a b", content="v=0", headers=SDP)
            assert nobody.status_code == 404
            bad = await client.post("/webrtc/x", content="v=0\r\n", headers=SDP)
            assert (bad.status_code, bad.json()["code"]) == (400, "invalid_offer")
            binary = await client.post("/webrtc/x", content=b"\xff\xfe", headers=SDP)
            assert binary.status_code == 400

    doorway.run(story)


def test_a_gateway_without_the_extra_says_what_to_install(
    doorway: Doorway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.rest.signalling.find_spec", lambda name: None)

    async def story() -> None:
        async with httpx.AsyncClient(base_url=doorway.url, timeout=30) as client:
            refused = await client.post("/webrtc/x", content="v=0", headers=SDP)
            assert (refused.status_code, refused.json()["code"]) == (503, "webrtc_not_installed")
            assert "parley-gateway[webrtc]" in refused.json()["detail"]

    doorway.run(story)


def test_ice_servers_are_told_with_the_answer(
    doorway: Doorway, monkeypatch: pytest.MonkeyPatch
) -> None:
    doorway.settings["ice_servers"] = SecretStr("stun:127.0.0.1:9")

    async def answered(*_: object, **__: object) -> Answered:
        """A real answer would wait five seconds for the server that is not there."""
        return Answered("p", "v=0")

    monkeypatch.setattr(Peers, "answer", answered)

    async def story() -> None:
        async with httpx.AsyncClient(base_url=doorway.url, timeout=30) as client:
            made = await client.post("/webrtc/x", content="v=0", headers=SDP)
            assert made.headers["location"] == "/webrtc/x/p"
            assert made.headers["link"] == '<stun:127.0.0.1:9>; rel="ice-server"'

    doorway.run(story)


def test_an_answer_that_takes_too_long_is_given_up(
    doorway: Doorway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def for_ever(self: peer.Peer, sdp: str) -> str:
        await asyncio.Event().wait()
        return sdp

    monkeypatch.setattr(peer.Peer, "answer", for_ever)
    monkeypatch.setattr("gateway.transports.webrtc.peers.ANSWER_S", 0.05)

    async def story() -> None:
        async with httpx.AsyncClient(base_url=doorway.url, timeout=30) as client:
            late = await client.post("/webrtc/x", content="v=0", headers=SDP)
            assert (late.status_code, late.json()["code"]) == (503, "no_place")
        await emptied(doorway)

    doorway.run(story)


def test_a_peer_that_fails_gives_its_place_back(
    doorway: Doorway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: peer.Peer) -> None:
        await self.close()
        raise RuntimeError("a bug")

    monkeypatch.setattr(peer.Peer, "run", broken)

    async def story() -> None:
        browser = Browser(doorway)
        async with httpx.AsyncClient(base_url=doorway.url, timeout=30) as client:
            await client.post("/webrtc/x", content=await browser.offer(), headers=SDP)
        await emptied(doorway)
        await browser.close()

    doorway.run(story)
    assert "session x: the peer failed" in caplog.text


@pytest.mark.slow
def test_a_server_that_is_full_says_when_to_come_again(doorway: Doorway) -> None:
    doorway.settings["max_sessions"] = 1

    async def story() -> None:
        browser = Browser(doorway)
        offer = await browser.offer()
        async with httpx.AsyncClient(base_url=doorway.url, timeout=30) as client:
            first = await client.post("/webrtc/a", content=offer, headers=SDP)
            second = await client.post("/webrtc/b", content=offer, headers=SDP)
            assert (first.status_code, second.status_code) == (201, 503)
            assert (second.json()["code"], second.headers["retry-after"]) == ("no_place", "5")
        await browser.close()

    doorway.run(story)


def test_what_comes_before_the_conversation_is_bounded(doorway: Doorway) -> None:
    async def story() -> None:
        one = peer.Peer("s", doorway.app.state.runtime, Network(Addresses(("127.0.0.1",))))
        before = one._transport
        for number in range(500):
            before.send(str(number))
        for number in range(50):
            before._on_message(str(number))
        before.receive_audio(np.zeros(320, np.int16))
        assert (len(before._unsent), len(before._early)) == (50, 50)
        assert before.open
        before._on_message("50")
        assert (len(before._early), before._early[0]) == (50, "0")
        assert not before.open
        await one.close()
        await one.close()


def test_a_message_that_is_too_long_before_the_conversation_ends_the_call(
    doorway: Doorway,
) -> None:
    async def story() -> None:
        one = peer.Peer("s", doorway.app.state.runtime, Network(Addresses(("127.0.0.1",))))
        before = one._transport
        before._on_message("x" * transport.LONGEST_MESSAGE_CHARS)
        assert before.open
        before._on_message("x" * (transport.LONGEST_MESSAGE_CHARS + 1))
        assert (len(before._early), before.open) == (1, False)
        await one.close()

    doorway.run(story)


@pytest.mark.parametrize("data", [b"", b"\x80\xc8".ljust(4000)], ids=["empty", "long"])
def test_a_datagram_from_anybody_does_not_end_a_call(doorway: Doorway, data: bytes) -> None:
    async def story() -> None:
        async with doorway.browser() as browser:
            await browser.until("ready")
            (live, _), *_ = doorway.peers()._live.values()
            (dtls,) = live._transports()
            inside: Any = dtls.transport
            inside._connection.data_received(data, 1)
            await asyncio.sleep(0.1)
            assert dtls.state == "connected"
            browser.say(type="ping", t=7)
            assert (await browser.until("pong"))["t"] == 7

    doorway.run(story)


def test_what_is_long_is_dropped_before_the_handshake_too(doorway: Doorway) -> None:
    async def story() -> None:
        one = peer.Peer("s", doorway.app.state.runtime, Network(Addresses(("127.0.0.1",))))
        browser = Browser(doorway)
        await one.answer(await browser.offer())
        for dtls in one._transports():
            inside: Any = dtls.transport
            inside._connection.data_received(bytes([22]) * 4000, 1)
            assert inside._connection._queue.empty()
        await one.close()
        await browser.close()

    doorway.run(story)


def piece(tsn: int, data: bytes) -> DataChunk:
    """A part of a message whose beginning never comes."""
    chunk = DataChunk(flags=0)
    chunk.tsn, chunk.stream_id, chunk.user_data = tsn, 1, data
    return chunk


@pytest.mark.parametrize(
    ("count", "size"), [(1000, 1200), (2000, 1)], ids=["more than the window", "crumbs"]
)
def test_who_sends_messages_without_a_beginning_is_hung_up(
    doorway: Doorway, count: int, size: int
) -> None:
    async def story() -> None:
        async with doorway.browser() as browser:
            await browser.until("ready")
            (live, _), *_ = doorway.peers()._live.values()
            sctp: Any = live._pc.sctp
            tag = sctp._local_verification_tag
            for _ in range(count):
                chunk = piece((sctp._last_received_tsn + 1) % 2**32, bytes(size))
                await sctp._handle_data(serialize_packet(5000, 5000, tag, chunk))
            waiting = [len(stream.reassembly) for stream in sctp._inbound_streams.values()]
            assert not live._transport.open
            assert 0 < sum(waiting) < count
            await emptied(doorway)

    doorway.run(story)


def test_a_part_that_does_not_stop_leaves_no_socket_open(
    doorway: Doorway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(link, "CLOSE_S", 0.3)

    async def story() -> None:
        async with doorway.browser() as browser:
            await browser.until("ready")
            (live, _), *_ = doorway.peers()._live.values()
            (dtls,) = live._transports()
            receiver: Any = live._pc.getTransceivers()[0].receiver
            receiver.stop = asyncio.Event().wait
            live.hang_up()
            await emptied(doorway)
            assert (dtls.state, dtls.transport.state) == ("closed", "closed")
            await asyncio.wait_for(browser.closed.wait(), 10)

    doorway.run(story)
    assert "session test: the connection does not close" in caplog.text
