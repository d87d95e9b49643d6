"""Clients of WHIP and WHEP, of aiortc: an encoder that only speaks, a player that only listens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from tests.support.gateway import PATIENCE_S
from tests.support.webrtc import Doorway, Microphone

SDP = {"content-type": "application/sdp"}
FRAGMENT = {"content-type": "application/trickle-ice-sdpfrag"}

SECURITY = [
    "a=ice-ufrag:abcd",
    "a=ice-pwd:abcdefghijklmnopqrstuv",
    "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
    "a=setup:actpass",
    "a=rtcp-mux",
]


def section(kind: str, mid: str, direction: str, *codecs: str) -> list[str]:
    return [
        f"m={kind} 9 UDP/TLS/RTP/SAVPF 96",
        "c=IN IP4 0.0.0.0",
        f"a=mid:{mid}",
        f"a={direction}",
        *(f"a=rtpmap:96 {codec}" for codec in codecs),
        *SECURITY,
    ]


def offered(*sections: list[str]) -> str:
    """An offer as an encoder or a player writes it, which nobody stands behind."""
    mids = [line[6:] for one in sections for line in one if line.startswith("a=mid:")]
    head = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", f"a=group:BUNDLE {' '.join(mids)}"]
    return "\r\n".join([*head, *(line for one in sections for line in one), ""])


def sound(direction: str, mid: str = "0") -> list[str]:
    return section("audio", mid, direction, "opus/48000/2")


class WhipPeer:
    """One connection by WHIP or WHEP."""

    def __init__(self, doorway: Doorway, credential: str = "") -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.doorway = doorway
        self.headers = {"authorization": f"Bearer {credential}"} if credential else {}
        self.location = ""
        self.etag = ""
        self.loudness: list[int] = []  # the peak of each 20 ms that was heard
        self.pictures = 0
        self.ended = asyncio.Event()
        self._senses: list[asyncio.Task[None]] = []
        self.pc.on("track", self._on_track)
        self.pc.on("connectionstatechange", self._changed)

    def _changed(self) -> None:
        if self.pc.connectionState in ("closed", "failed"):
            self.ended.set()

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._senses.append(asyncio.create_task(self._sense(track)))

    async def _sense(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame: Any = await track.recv()
                if track.kind == "audio":
                    self.loudness.append(int(np.abs(frame.to_ndarray().astype(np.int32)).max()))
                else:
                    self.pictures += 1
        except MediaStreamError:
            pass

    async def post(self, path: str) -> httpx.Response:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        async with httpx.AsyncClient(base_url=self.doorway.url, trust_env=False) as http:
            return await http.post(
                path, content=self.pc.localDescription.sdp, headers=SDP | self.headers
            )

    async def connect(self, path: str) -> None:
        made = await self.post(path)
        assert made.status_code == 201, made.text
        self.location, self.etag = made.headers["location"], made.headers["etag"]
        await self.pc.setRemoteDescription(RTCSessionDescription(made.text, "answer"))
        async with asyncio.timeout(PATIENCE_S):
            while self.pc.connectionState != "connected":
                await asyncio.sleep(0.01)

    async def asked(self, method: str, **about: Any) -> httpx.Response:
        """A request about this connection."""
        headers = self.headers | about.pop("headers", {})
        async with httpx.AsyncClient(base_url=self.doorway.url, trust_env=False) as http:
            return await http.request(method, self.location, headers=headers, **about)

    async def hears(self, since: int = 0) -> None:
        """Return when speech was heard that came after so many pieces."""
        async with asyncio.timeout(PATIENCE_S):
            while not any(peak > 1000 for peak in self.loudness[since:]):
                await asyncio.sleep(0.02)

    async def hears_nothing(self, pieces: int = 25) -> None:
        """Return when so many pieces in a row were silent."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.loudness) < pieces or max(self.loudness[-pieces:]) > 200:
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        await self.pc.close()
        if self._senses:
            await asyncio.wait(self._senses)


@asynccontextmanager
async def encoder(
    doorway: Doorway, session_id: str, credential: str = ""
) -> AsyncIterator[tuple[WhipPeer, Microphone]]:
    """An encoder that has connected, and what it sends."""
    peer, microphone = WhipPeer(doorway, credential), Microphone()
    peer.pc.addTransceiver(microphone, direction="sendonly")
    try:
        await peer.connect(f"/whip/{session_id}")
        yield peer, microphone
    finally:
        await peer.close()


@asynccontextmanager
async def player(
    doorway: Doorway,
    session_id: str,
    credential: str = "",
    *,
    video: bool = False,
    voices: str | None = None,
) -> AsyncIterator[WhipPeer]:
    """A player that has connected, and asks for these voices if it says so."""
    peer = WhipPeer(doorway, credential)
    for kind in ("audio", *["video"] * video):
        peer.pc.addTransceiver(kind, direction="recvonly")
    try:
        asked = "" if voices is None else f"?voices={voices}"
        await peer.connect(f"/whep/{session_id}{asked}")
        yield peer
    finally:
        await peer.close()
