"""A line over WebRTC: Opus both ways, messages on a data channel, pictures. Needs aiortc.

Audio arrives when it is to be played. It goes through the gateway's own jitter buffer and keeps its
position on the sender's clock, so that sound and pictures of a saved call are in step.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpCodecParameters,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtcpSrPacket, RtpPacket
from av.error import FFmpegError

from gateway.commands.call.clock import StreamClock
from gateway.commands.call.film import CLOCK_HZ as VIDEO_HZ
from gateway.commands.call.film import Film
from gateway.commands.call.line import LineClosed, Sound
from gateway.commands.call.server import CONNECT_S
from gateway.media.opus import OpusEncoder
from gateway.protocols.dialect import CloseCode
from gateway.transports.webrtc.aioice_private import selected_pair
from gateway.transports.webrtc.aiortc_private import (
    RtpSenderPort,
    first_timestamp,
    observe_receiver,
)
from gateway.transports.webrtc.jitter import CLOCK_HZ as AUDIO_HZ
from gateway.transports.webrtc.receiving import Reception
from pipeline.frames import INPUT_RATE_HZ, Samples

QUIET = 100
"""Samples beyond this are audible; a codec's silence stays below."""

MOST_WAITING = 1_000
"""Messages and pieces of sound that have not been read: 20 seconds."""

GONE_S = 15.0
"""After this time without packets the server is gone: even silence is sent twice a second."""

CLOSE_S = 5.0


class NotAnAnswer(Exception):
    """The server's response is no answer to the offer."""


class WebRtcLine:
    """One peer connection; a `Line`. `offer`, then `dial`, then use; `close` it in any case."""

    def __init__(self, film: Film | None = None) -> None:
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self._film = film
        # Without a list aiortc would ask Google's STUN server.
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._inbox: asyncio.Queue[str | Sound | None] = asyncio.Queue(MOST_WAITING)
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._up = asyncio.Event()
        self._ended = False
        self._watching: asyncio.Task[None] | None = None
        self._channel = self._pc.createDataChannel("parley")
        self._channel.on("open", self._up.set)
        self._channel.on("message", self._received)
        self._channel.on("close", self._left)
        self._pc.on("connectionstatechange", self._changed)
        self._pc.on("track", self._shown)
        audio = self._pc.addTransceiver("audio")
        codecs = RTCRtpSender.getCapabilities("audio").codecs
        audio.setCodecPreferences([c for c in codecs if c.mimeType.lower() == "audio/opus"])
        self._receiver = audio.receiver
        self._voice = RtpMicrophone(audio.sender)
        self._reception = Reception(audio.receiver, self._hear)
        self._sound_clock = StreamClock(AUDIO_HZ)
        self._picture_clock = StreamClock(VIDEO_HZ)
        self._follow(audio.receiver, self._sound_clock)
        if film is not None:
            video = self._pc.addTransceiver("video", direction="recvonly")
            self._follow(video.receiver, self._picture_clock)
            self._video = video.receiver
            film.place = lambda at: self._picture_clock.beside(self._sound_clock, at)

    # --- connecting --------------------------------------------------------------------------

    async def offer(self) -> str:
        """The offer, with all candidates of this machine."""
        await self._pc.setLocalDescription(await self._pc.createOffer())
        return str(self._pc.localDescription.sdp)

    async def dial(self, answer: str) -> None:
        """Return when messages can be sent. Raises `NotAnAnswer` and `TimeoutError`."""
        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        except Exception as error:  # aiortc's parser may raise anything
            raise NotAnAnswer from error
        async with asyncio.timeout(CONNECT_S):
            await self._up.wait()
        if self._channel.readyState != "open":
            raise TimeoutError

    def route(self) -> str:
        """Where the server was reached, for people."""
        pair = selected_pair(self._receiver.transport)
        if pair is None:
            return "over UDP"
        remote, through = pair.remote_candidate, ""
        if "relay" in (remote.type, pair.local_candidate.type):
            through = " through a relay"
        return f"over UDP with {remote.host}, port {remote.port}{through}"

    def pictures(self) -> str:
        """Whether the server sends pictures, for people."""
        return "sound alone: this server sends no pictures" if self._watching is None else "video"

    # --- a line ------------------------------------------------------------------------------

    async def __aiter__(self) -> AsyncIterator[str | bytes | Sound]:
        while (item := await self._inbox.get()) is not None:
            yield item

    async def send(self, data: str | bytes) -> None:
        """Send a message, or 20 ms of the microphone: PCM16 at 16 kHz. Raises `LineClosed`."""
        if self._loop.time() - self._heard_at > GONE_S:
            self._end(None, f"nothing has come for {GONE_S:.0f} s")
        if self._ended or self._channel.readyState != "open":
            raise LineClosed
        if isinstance(data, str):
            self._channel.send(data)
            return
        try:
            self._voice.send(np.frombuffer(data, "<i2").astype(np.int16))
        except ConnectionError as error:
            raise LineClosed from error

    async def close(self) -> None:
        """Close the connection and free its resources. Idempotent."""
        self._end(None, None)
        self._reception.close()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._pc.close()
        except TimeoutError:
            pass

    def _end(self, code: int | None, reason: str | None) -> None:
        if self._ended:
            return
        self._ended = True
        self.close_code, self.close_reason = code, reason
        if self._inbox.full():
            self._inbox.get_nowait()
        self._inbox.put_nowait(None)

    # --- from the server ---------------------------------------------------------------------

    def _received(self, message: str | bytes) -> None:
        self._heard_at = self._loop.time()
        # Binary data is no message; the conversation reports it.
        self._put(message if isinstance(message, str) else "")

    def _put(self, item: str | Sound) -> None:
        if self._ended:
            return
        try:
            self._inbox.put_nowait(item)
        except asyncio.QueueFull:
            self._end(None, "this program does not keep up")

    def _hear(self, pcm: Samples) -> None:
        clock = self._sound_clock
        if not clock.known or not pcm.any():
            return
        audible = int(np.abs(pcm.astype(np.int32)).max()) > QUIET
        if audible:
            clock.hold()
        end = clock.at(clock.unwrapped(self._reception.jitter.position))
        self._put(Sound(pcm, end - len(pcm) / INPUT_RATE_HZ, audible))

    def _left(self) -> None:
        """The server has closed the channel, as it does after an orderly end."""
        self._up.set()
        self._end(CloseCode.FINISHED, None)

    def _changed(self) -> None:
        if self._pc.connectionState in ("failed", "closed"):
            self._up.set()
            self._end(None, None)

    def _follow(self, receiver: RTCRtpReceiver, clock: StreamClock) -> None:
        """Let a clock see a stream's packets and reports."""

        def arrived(packet: RtpPacket) -> None:
            self._heard_at = self._loop.time()
            clock.arrived(packet.timestamp, self._heard_at)

        def report(packet: RtcpSrPacket) -> None:
            clock.report(packet.sender_info.ntp_timestamp, packet.sender_info.rtp_timestamp)

        observe_receiver(receiver, arrived, report)

    def _shown(self, track: MediaStreamTrack) -> None:
        if track.kind == "video" and self._film is not None:
            self._watching = asyncio.create_task(self._watch(track, self._film))

    async def _watch(self, track: MediaStreamTrack, film: Film) -> None:
        """Keep the pictures until there are no more."""
        try:
            while True:
                picture: Any = await track.recv()
                # Their clock begins with the first of them; the packets' does not.
                first = first_timestamp(self._video)
                at = self._picture_clock.unwrapped(picture.pts + first & 0xFFFFFFFF)
                await asyncio.to_thread(film.add, picture, at)
        except (MediaStreamError, FFmpegError, OSError):
            pass  # the pictures so far are kept; `write` reports a full disk


class RtpMicrophone:
    """The microphone as RTP: each frame is sent at once as a packet, so the caller keeps the time.

    It replaces aiortc's own loop, which encodes in a thread and marks every packet.
    """

    def __init__(self, sender: RTCRtpSender) -> None:
        self._port = RtpSenderPort(sender, self._run)
        self._loop = asyncio.get_running_loop()
        self._encoder = OpusEncoder(INPUT_RATE_HZ)
        self._timestamp = secrets.randbits(32)
        self._packets = 0

    async def _run(self, codec: RTCRtpCodecParameters) -> None:
        self._port.started(codec)
        try:
            await asyncio.Event().wait()
        finally:
            self._port.exited()

    def send(self, pcm: Samples) -> None:
        """20 ms at 16 kHz. Raises `ConnectionError`."""
        now = self._loop.time()
        payload = self._encoder.encode(pcm)
        marker = not self._packets
        self._port.send(payload, marker=marker, timestamp=self._timestamp, due=now)
        self._timestamp = self._timestamp + AUDIO_HZ // 50 & 0xFFFFFFFF
        self._packets += 1
