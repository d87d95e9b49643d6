"""A WebRTC client of aiortc's in this process, on the loopback address."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

from gateway.transports.webrtc.peers import Peers
from tests.gateway.conftest import PATIENCE_S, Gateway


class Microphone(MediaStreamTrack):  # type: ignore[misc]
    """48 kHz in real time: silence, and a tone for as long as `speak` says."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._at: float | None = None
        self._sent = 0
        self._speech = 0

    def speak(self, ms: int) -> None:
        self._speech = ms // 20

    async def recv(self) -> AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        if self._at is None:
            self._at = loop.time()
        self._at += 0.02
        await asyncio.sleep(max(0.0, self._at - loop.time()))
        pcm = np.zeros(960, np.int16)
        if self._speech:
            self._speech -= 1
            pcm = (6000 * np.sin(2 * np.pi * np.arange(960) / 240)).astype(np.int16)
        frame = AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = 48000
        frame.pts = self._sent
        self._sent += 960
        return frame


class Browser:
    """One peer: collects messages and the loudness of what it hears, 20 ms each."""

    def __init__(self, gateway: Gateway, *, channel: bool = True) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = Microphone()
        self.pc.addTrack(self.microphone)
        self.channel = self.pc.createDataChannel("parley") if channel else None
        self.messages: list[dict[str, Any]] = []
        self.loudness: list[tuple[float, int]] = []
        self.answer = ""
        self.location = ""
        self.closed = asyncio.Event()
        self.conceal: Callable[[str], str] = str  # what becomes of the offer on its way
        self._gateway = gateway
        self._more = asyncio.Event()
        self._ear: asyncio.Task[None] | None = None
        self.pc.on("track", self._on_track)
        if self.channel is not None:
            self.channel.on("message", self._on_message)
            self.channel.on("close", self.closed.set)

    def _on_message(self, text: str) -> None:
        self.messages.append(json.loads(text))
        self._more.set()

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._ear = asyncio.create_task(self._listen(track))

    async def _listen(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                peak = int(np.abs(frame.to_ndarray().astype(np.int32)).max())
                self.loudness.append((asyncio.get_running_loop().time(), peak))
        except MediaStreamError:
            pass

    async def offer(self) -> str:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return str(self.pc.localDescription.sdp)

    async def connect(self, session_id: str = "test", **hello: Any) -> None:
        """Connect by WHIP, and say hello where there is a channel to say it."""
        async with httpx.AsyncClient(base_url=self._gateway.url) as client:
            headers = {"content-type": "application/sdp"}
            offer = self.conceal(await self.offer())
            made = await client.post(f"/webrtc/{session_id}", content=offer, headers=headers)
        assert made.status_code == 201, made.text
        self.answer, self.location = made.text, made.headers["location"]
        await self.pc.setRemoteDescription(RTCSessionDescription(self.answer, "answer"))
        if self.channel is not None:
            async with asyncio.timeout(PATIENCE_S):
                while self.channel.readyState != "open":
                    await asyncio.sleep(0.01)
            self.say(type="hello", version=1, **hello)

    def say(self, **message: Any) -> None:
        assert self.channel is not None
        self.channel.send(json.dumps(message))

    async def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for message in self.messages:
                    if message["type"] == kind and fields.items() <= message.items():
                        return message
                self._more.clear()
                await self._more.wait()

    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]

    async def close(self) -> None:
        await self.pc.close()
        if self._ear is not None:
            await asyncio.wait([self._ear])


class Doorway(Gateway):
    """A gateway that peers reach over the loopback address."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.settings["webrtc_addresses"] = "127.0.0.1"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def peers(self) -> Peers:
        """The server's."""
        peers = self.app.state.doors._peers
        assert isinstance(peers, Peers)
        return peers

    @asynccontextmanager
    async def browser(self, session_id: str = "test", **hello: Any) -> AsyncIterator[Browser]:
        browser = Browser(self)
        try:
            await browser.connect(session_id, **hello)
            yield browser
        finally:
            await browser.close()


@pytest.fixture
def doorway(tmp_path: Path) -> Doorway:
    return Doorway(tmp_path)
