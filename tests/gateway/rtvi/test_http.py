"""`/start`, `/status` and SmallWebRTC's offers, as Pipecat's clients send them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from tests.support.gateway import PATIENCE_S
from tests.support.rtvi import rtvi_client
from tests.support.webrtc import Doorway, Microphone, emptied

KEY = "a-key-of-at-least-16-letters"
Story = Callable[[httpx.AsyncClient], Coroutine[Any, Any, None]]


@pytest.fixture
def doorway(tmp_path: Path) -> Doorway:
    return Doorway(tmp_path)


def run(doorway: Doorway, story: Story, **headers: str) -> None:
    async def whole() -> None:
        async with httpx.AsyncClient(base_url=doorway.url, headers=headers, timeout=30) as http:
            await story(http)

    doorway.run(whole)


# --- /start ----------------------------------------------------------------------------------


def test_a_websocket_client_is_told_where_to_connect(doorway: Doorway) -> None:
    async def story(http: httpx.AsyncClient) -> None:
        status = (await http.get("/status")).json()
        assert status == {"status": "ready", "transports": ["webrtc", "websocket"]}
        wanted = {"role": "Data Analyst", "totalQuestions": 3, "language": "de", "mine": 1}
        body = {"transport": "websocket", "enableDefaultIceServers": True, "body": wanted}
        made = await http.post("/start", json=body)
        assert made.status_code == 200
        (url,) = made.json().values()
        base = f"ws://127.0.0.1:{doorway.port}"
        assert url.startswith(f"{base}/ws-client/")
        async with rtvi_client(doorway.port, url.removeprefix(base)) as client:
            await client.ready()
            session = client.messages[1]["data"]["d"]
            assert (session["interview"]["role"], session["language"]) == ("Data Analyst", "de")
            assert session["interview"]["totalQuestions"] == 3
        again = {"transport": "websocket", "body": {"sessionId": session["session_id"]}}
        assert (await http.post("/start", json=again)).json() == {"wsUrl": url}

    run(doorway, story)


def test_a_webrtc_client_gets_its_session_and_ice_servers(doorway: Doorway) -> None:
    doorway.settings["ice_servers"] = "stun:127.0.0.1:3478,turn:me:secret@127.0.0.1:3479"

    async def story(http: httpx.AsyncClient) -> None:
        made = (await http.post("/start", json={})).json()
        assert made.keys() == {"sessionId", "iceConfig"}
        assert made["iceConfig"] == {
            "iceServers": [
                {"urls": "stun:127.0.0.1:3478"},
                {"urls": "turn:127.0.0.1:3479", "username": "me", "credential": "secret"},
            ]
        }

    run(doorway, story)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"transport": "daily"}, 400, "unknown_transport"),
        ({"transport": 7}, 400, "invalid_field"),
        ({"body": {"role": "Clown"}}, 400, "unknown_role"),
        ({"body": {"role": "Data Analyst", "totalQuestions": 0}}, 400, "invalid_count"),
        ({"body": {"language": "tlh"}}, 400, "unknown_language"),
        ({"body": {"tools": [{"name": "a b"}]}}, 400, "invalid_field"),
        ({"body": {"tools": [{"name": "a"}] * 33}}, 400, "invalid_field"),
        ({"body": {"sessionId": "not here"}}, 400, "invalid_field"),
        ({"body": {"sessionId": "nobodys"}}, 404, "no_such_session"),
        ([], 400, "invalid_json"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_start_refuses(doorway: Doorway, body: Any, status: int, code: str) -> None:
    async def story(http: httpx.AsyncClient) -> None:
        refused = await http.post("/start", json=body)
        assert (refused.status_code, refused.json()["code"]) == (status, code)

    run(doorway, story)


def test_with_keys_the_new_session_comes_with_a_token(doorway: Doorway) -> None:
    doorway.settings["api_keys"] = KEY

    async def story(http: httpx.AsyncClient) -> None:
        assert (await http.post("/start", json={})).status_code == 401
        key = {"authorization": f"Bearer {KEY}"}
        made = (await http.post("/start", json={"transport": "websocket"}, headers=key)).json()
        path = made["wsUrl"].removeprefix(f"ws://127.0.0.1:{doorway.port}")
        async with rtvi_client(doorway.port, f"{path}?token={made['token']}") as client:
            await client.ready()
        made = (await http.post("/start", json={}, headers=key)).json()
        endpoint, _, token = made["webrtcRequestParams"]["endpoint"].partition("?token=")
        assert endpoint == f"{doorway.url}/sessions/{made['sessionId']}/api/offer"
        assert token.startswith("pt_")
        ticket = (await http.post("/api/tickets", json={}, headers=key)).json()["value"]
        begins = {"authorization": f"Bearer {ticket}"}
        other = {"transport": "websocket", "body": {"sessionId": made["sessionId"]}}
        assert (await http.post("/start", json=other, headers=begins)).status_code == 404

    run(doorway, story)


def test_a_session_ends_with_the_ticket_that_started_it(doorway: Doorway) -> None:
    doorway.settings["api_keys"] = KEY

    async def story(http: httpx.AsyncClient) -> None:
        key = {"authorization": f"Bearer {KEY}"}
        asked = await http.post("/api/tickets", json={"lasts_s": 120}, headers=key)
        begins = {"authorization": f"Bearer {asked.json()['value']}"}
        body = {"transport": "websocket"}
        made = (await http.post("/start", json=body, headers=begins)).json()
        grant = await doorway.app.state.runtime.access.look(made["token"])
        assert 100 <= grant.ticket.lasts_s <= 120

    run(doorway, story)


# --- offers ----------------------------------------------------------------------------------


class SmallWebRtc:
    """A peer that does what Pipecat's client does, with aiortc."""

    def __init__(self, *, screens: int = 0) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = Microphone()
        self.pc.addTrack(self.microphone)
        for direction in ("sendrecv", *["sendonly"] * screens):
            self.pc.addTransceiver("video", direction=direction)
        self.channel = self.pc.createDataChannel("chat", ordered=True)
        self.channel.on("message", self._on_message)
        self.messages: list[dict[str, Any]] = []
        self.pc_id = ""
        self._more = asyncio.Event()

    def _on_message(self, text: str) -> None:
        self.messages.append(json.loads(text))
        self._more.set()

    async def connect(
        self, http: httpx.AsyncClient, path: str, pc_id: str | None = None, **headers: str
    ) -> None:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        body = {
            "sdp": self.pc.localDescription.sdp,
            "type": "offer",
            "pc_id": pc_id,
            "restart_pc": pc_id is not None,
            "requestData": {"mine": 1},
        }
        made = await http.post(path, json=body, headers=headers)
        assert made.status_code == 200, made.text
        answer = made.json()
        self.pc_id = answer["pc_id"]
        await self.pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        async with asyncio.timeout(PATIENCE_S):
            while self.channel.readyState != "open":
                await asyncio.sleep(0.01)

    def say(self, **message: Any) -> None:
        self.channel.send(json.dumps(message))

    def ready(self) -> None:
        signal = {"type": "trackStatus", "receiver_index": 0, "enabled": True}
        self.say(type="signalling", message=signal)
        self.say(label="rtvi-ai", type="client-ready", id="r", data={"version": "2.1.0"})

    async def until(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for message in self.messages:
                    if message["type"] == kind:
                        return message
                self._more.clear()
                await self._more.wait()


@pytest.mark.slow
def test_the_section_for_the_screen_is_rejected_alone(doorway: Doorway) -> None:
    async def story(http: httpx.AsyncClient) -> None:
        peer = SmallWebRtc(screens=1)
        await peer.pc.setLocalDescription(await peer.pc.createOffer())
        offer = {"sdp": peer.pc.localDescription.sdp, "type": "offer", "restart_pc": False}
        made = await http.post("/sessions/mine/api/offer", json=offer)
        lines = made.json()["sdp"].splitlines()
        sections = [line.split()[:2] for line in lines if line.startswith("m=")]
        assert [(kind, port == "0") for kind, port in sections] == [
            ("m=audio", False),
            ("m=video", False),
            ("m=video", True),
            ("m=application", False),
        ]
        await peer.pc.close()

    run(doorway, story)


@pytest.mark.slow
def test_a_lost_connection_is_replaced_although_all_places_are_taken(doorway: Doorway) -> None:
    doorway.settings["max_sessions"] = 1

    async def story(http: httpx.AsyncClient) -> None:
        async with small_webrtc() as first, small_webrtc() as second, small_webrtc() as other:
            await first.connect(http, "/sessions/mine/api/offer")
            await first.until("bot-started-speaking")
            await other.pc.setLocalDescription(await other.pc.createOffer())
            offer = {"sdp": other.pc.localDescription.sdp, "type": "offer"}
            full = await http.post("/sessions/others/api/offer", json=offer)
            assert (full.status_code, full.json()["code"]) == (503, "no_place")
            await second.connect(http, "/sessions/mine/api/offer", first.pc_id)
            await second.until("bot-started-speaking")
        await emptied(doorway)

    run(doorway, story)


@asynccontextmanager
async def small_webrtc() -> AsyncIterator[SmallWebRtc]:
    peer = SmallWebRtc()
    try:
        yield peer
    finally:
        await peer.pc.close()


@pytest.mark.slow
def test_a_peer_connects_trickles_speaks_and_comes_back(doorway: Doorway) -> None:
    async def story(http: httpx.AsyncClient) -> None:
        session_id = (await http.post("/start", json={})).json()["sessionId"]
        path = f"/sessions/{session_id}/api/offer"
        async with small_webrtc() as first:
            await first.connect(http, path)
            candidates = [
                {"candidate": "candidate:1 1 udp 1 127.0.0.1 5000 typ host", "sdp_mid": "0"},
                {"candidate": "candidate:2 1 udp 1 127.0.0.1 5001 typ host", "sdp_mid": "9"},
                {"candidate": "", "sdp_mid": "0", "sdp_mline_index": 0},
            ]
            sent = {"pc_id": first.pc_id, "candidates": candidates}
            for to in (path, "/api/offer"):
                done = await http.patch(to, json=sent)
                assert (done.status_code, done.json()) == (200, {"status": "success"})
            first.channel.send("ping: 1795943278250")
            first.ready()
            assert (await first.until("bot-ready"))["id"] == "r"
            await first.until("bot-started-speaking")
            await first.until("bot-stopped-speaking")
            first.microphone.speak(600)
            said = await first.until("user-llm-text")
            assert said["data"]["text"] == "I like to build things that last"
            first.say(label="rtvi-ai", type="dance", id="d")
            assert (await first.until("error-response"))["id"] == "d"
            async with small_webrtc() as second:
                await second.connect(http, path, first.pc_id)
                assert second.pc_id != first.pc_id
                await second.until("bot-started-speaking")
                old = {"pc_id": first.pc_id, "candidates": []}
                assert (await http.patch(path, json=old)).status_code == 404
        await emptied(doorway)

    run(doorway, story)


@pytest.mark.slow
def test_without_start_the_offer_goes_to_the_common_path(doorway: Doorway) -> None:
    async def story(http: httpx.AsyncClient) -> None:
        async with small_webrtc() as peer:
            await peer.connect(http, "/api/offer")
            peer.ready()
            await peer.until("bot-ready")

    run(doorway, story)


@pytest.mark.slow
def test_with_keys_only_the_sessions_own_credentials_open_it(doorway: Doorway) -> None:
    doorway.settings |= {"api_keys": KEY, "limit_key": "50/h"}

    async def story(http: httpx.AsyncClient) -> None:
        key = {"authorization": f"Bearer {KEY}"}
        mine, other = [(await http.post("/start", json={}, headers=key)).json() for _ in "ab"]
        endpoint = mine["webrtcRequestParams"]["endpoint"].removeprefix(doorway.url)
        path, _, _ = endpoint.partition("?token=")
        offer = {"sdp": "v=0", "type": "offer", "pc_id": None, "restart_pc": False}
        _, _, foreign = other["webrtcRequestParams"]["endpoint"].partition("?token=")

        async def refused(status: int, to: str, **headers: str) -> None:
            assert (await http.post(to, json=offer, headers=headers)).status_code == status

        await refused(401, path)
        await refused(401, path, authorization="Bearer wrong")
        await refused(404, path, authorization=f"Bearer {foreign}")
        await refused(401, f"{path}?token={KEY}")
        await refused(403, path, origin="https://evil.example", **key)
        async with small_webrtc() as first:
            await first.connect(http, endpoint)
            trickled = {"pc_id": first.pc_id, "candidates": []}
            trickles = [await http.patch(endpoint, json=trickled) for _ in range(2)]
            assert [answer.status_code for answer in trickles] == [200, 200]
            # The used ticket counts as it did when it made the connection, with the first request.
            left = [answer.headers["ratelimit"].partition(";t=")[0] for answer in trickles]
            assert left == ['"key";r=48', '"key";r=47']
            assert (await http.patch(path, json=trickled)).status_code == 401
            assert (await http.patch(path, json=trickled, headers=key)).status_code == 200
            wrong = f"/sessions/{other['sessionId']}/api/offer"
            assert (await http.patch(wrong, json=trickled, headers=key)).status_code == 404
            await refused(401, endpoint)  # the token was used
            async with small_webrtc() as second:  # but it made this connection
                await second.connect(http, endpoint, first.pc_id)
        async with small_webrtc() as third:
            await third.connect(http, path, **key)

    run(doorway, story)


@pytest.mark.parametrize(
    ("offer", "status", "code"),
    [
        ({"sdp": "hello", "type": "offer"}, 400, "invalid_offer"),
        ({"sdp": "v=0", "type": "answer"}, 400, "invalid_field"),
        ({"sdp": "a" * 16_385, "type": "offer"}, 400, "invalid_field"),
        ({"type": "offer"}, 400, "invalid_field"),
    ],
    ids=["no SDP", "an answer", "too long", "nothing"],
)
def test_an_offer_that_is_none_is_refused(
    doorway: Doorway, offer: Any, status: int, code: str
) -> None:
    async def story(http: httpx.AsyncClient) -> None:
        for path in ("/sessions/mine/api/offer", "/api/offer"):
            refused = await http.post(path, json={**offer, "pc_id": None, "restart_pc": False})
            assert (refused.status_code, refused.json()["code"]) == (status, code)

    run(doorway, story)


def test_candidates_of_no_connection_are_refused(doorway: Doorway) -> None:
    async def story(http: httpx.AsyncClient) -> None:
        for path in ("/sessions/mine/api/offer", "/api/offer"):
            refused = await http.patch(path, json={"pc_id": "none", "candidates": []})
            assert (refused.status_code, refused.json()["code"]) == (404, "no_such_peer")
        many = {"pc_id": "none", "candidates": [{"candidate": ""}] * 129}
        assert (await http.patch("/api/offer", json=many)).status_code == 400

    run(doorway, story)
