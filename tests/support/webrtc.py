"""A WebRTC client of aiortc's in this process, on the loopback address."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import numpy as np
import numpy.typing as npt
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

from gateway.transports.webrtc.peers import Peers
from tests.support.gateway import PATIENCE_S, Gateway
from tests.support.paths import ROOT


class Microphone(MediaStreamTrack):
    """48 kHz in real time: silence, and a tone for as long as `speak` says, or what `say` says."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._at: float | None = None
        self._sent = 0
        self._speech = 0
        self._clip = b""

    def speak(self, ms: int) -> None:
        self._speech = ms // 20

    def say(self, clip: bytes) -> None:
        """Send this clip of 16 bits, mono, from now on."""
        self._clip = clip

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
        elif len(self._clip) >= 1920:
            pcm = np.frombuffer(self._clip[:1920], np.int16)
            self._clip = self._clip[1920:]
        frame = AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = 48000
        frame.pts = self._sent
        self._sent += 960
        return frame


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture: when it came, its RTP timestamp in ms, and its Y, U and V."""

    at: float
    stamp_ms: float
    keyframe: bool
    i420: npt.NDArray[np.uint8]


class Reached(Protocol):
    """A gateway that is served at `url`."""

    @property
    def url(self) -> str: ...


class Browser:
    """One peer: collects messages, the loudness of what it hears, 20 ms each, and what it sees.

    `video` is the codec that it wants pictures in, such as `video/VP8`.
    """

    def __init__(self, gateway: Reached, *, channel: bool = True, video: str | None = None) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = Microphone()
        self.pc.addTrack(self.microphone)
        if video is not None:
            offered = RTCRtpReceiver.getCapabilities("video")
            assert offered is not None
            wanted = [codec for codec in offered.codecs if codec.mimeType in (video, "video/rtx")]
            transceiver = self.pc.addTransceiver("video", direction="recvonly")
            transceiver.setCodecPreferences(wanted)
        self.pictures: list[Seen] = []
        self.channel = self.pc.createDataChannel("parley") if channel else None
        self.messages: list[dict[str, Any]] = []
        self.loudness: list[tuple[float, int]] = []
        self.answer = ""
        self.location = ""
        self.closed = asyncio.Event()
        self.conceal: Callable[[str], str] = str  # what becomes of the offer on its way
        self.reveal: Callable[[str], str] = str  # and of the answer
        self.credential: dict[str, str] = {}  # headers that show who it is
        self._gateway = gateway
        self._more = asyncio.Event()
        self._senses: list[asyncio.Task[None]] = []
        self.pc.on("track", self._on_track)
        if self.channel is not None:
            self.channel.on("message", self._on_message)
            self.channel.on("close", self._on_close)

    def _on_message(self, text: str) -> None:
        self.messages.append(json.loads(text))
        self._more.set()

    def _on_close(self) -> None:
        self.closed.set()
        self._more.set()

    def _on_track(self, track: MediaStreamTrack) -> None:
        sense = self._listen if track.kind == "audio" else self._watch
        self._senses.append(asyncio.create_task(sense(track)))

    async def _listen(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame: Any = await track.recv()
                peak = int(np.abs(frame.to_ndarray().astype(np.int32)).max())
                self.loudness.append((asyncio.get_running_loop().time(), peak))
        except MediaStreamError:
            pass

    async def _watch(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame: Any = await track.recv()
                now, stamp_ms = asyncio.get_running_loop().time(), frame.pts / 90
                picture = frame.to_ndarray(format="yuv420p")
                self.pictures.append(Seen(now, stamp_ms, bool(frame.key_frame), picture))
        except MediaStreamError:
            pass

    async def offer(self) -> str:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return str(self.pc.localDescription.sdp)

    async def connect(self, session_id: str = "test", **hello: Any) -> None:
        """Connect by WHIP, and say hello where there is a channel to say it."""
        async with httpx.AsyncClient(base_url=self._gateway.url) as client:
            headers = {"content-type": "application/sdp", **self.credential}
            offer = self.conceal(await self.offer())
            made = await client.post(f"/webrtc/{session_id}", content=offer, headers=headers)
        assert made.status_code == 201, made.text
        self.answer, self.location = self.reveal(made.text), made.headers["location"]
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
                assert not self.closed.is_set(), f"closed before {kind} {fields}: {self.messages}"
                self._more.clear()
                await self._more.wait()

    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]

    async def close(self) -> None:
        await self.pc.close()
        if self._senses:
            await asyncio.wait(self._senses)


class Doorway(Gateway):
    """A gateway that peers reach over the loopback address."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.settings["webrtc_addresses"] = "127.0.0.1"

    def peers(self) -> Peers:
        """The server's."""
        peers = self.app.state.webrtc._peers
        assert isinstance(peers, Peers)
        return peers

    @asynccontextmanager
    async def browser(
        self, session_id: str = "test", *, video: str | None = None, **hello: Any
    ) -> AsyncIterator[Browser]:
        browser = Browser(self, video=video)
        try:
            await browser.connect(session_id, **hello)
            yield browser
        finally:
            await browser.close()


async def emptied(doorway: Doorway) -> None:
    """Return when no peer and no session is left."""
    async with asyncio.timeout(20):
        while len(doorway.peers()) or doorway.app.state.runtime.live.connections:
            await asyncio.sleep(0.02)


async def said(module: str, *arguments: str) -> Any:
    """What a module of this package prints as JSON, run in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.support.{module}", *arguments),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, (module, arguments)
    return json.loads(printed)
