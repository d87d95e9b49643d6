"""One WebRTC peer: a connection of aiortc's, and the conversation over it.

Everything that the peer starts ends with `run`: its tasks, timers, sockets and the session.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCDtlsTransport,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidStateError
from aiortc.sdp import candidate_from_sdp
from OpenSSL import SSL

from gateway.ice import Addresses, IceServer, with_public
from gateway.live.connection import READY_AFTER_S, Connection, Media, SpeechTap
from gateway.media.format import LONGEST_MESSAGE_MS, AudioFormat
from gateway.protocols.native.messages import Hello, ProtocolError
from gateway.runtime import Runtime
from gateway.transports.webrtc.aiortc_private import receive_at_once
from gateway.transports.webrtc.jitter import CLOCK_HZ
from gateway.transports.webrtc.offers import MOST_CANDIDATES, Offer, OfferError, screen, trickled
from gateway.transports.webrtc.opus import SEND_RATE_HZ
from gateway.transports.webrtc.receiving import Reception
from gateway.transports.webrtc.sending import Transmission
from gateway.transports.webrtc.video import Video, choose
from gateway.transports.websocket.protocol import Receiver
from pipeline.frames import (
    INPUT_RATE_HZ,
    AvatarState,
    Clear,
    Output,
    ReplyAudio,
    ReplyDone,
    Samples,
    Visemes,
)
from stages.avatar.ladder import QualityLevel

logger = logging.getLogger("parley.webrtc")

CONNECT_S = 10.0
"""A peer that is not connected so long after the answer never will be."""

LOOK_EVERY_S = 5.0
GONE_S = 15.0
"""A peer of which no packet comes for so long has gone; ICE alone would take 30 s to notice."""

LINGER_S = 0.3
"""After the last word, what is on its way is still to be played and the last messages read."""

CLOSE_S = 5.0
MOST_HELD_MESSAGES = 50
MOST_BUFFERED_BYTES = 1024 * 1024
"""A peer that leaves so much of the data channel unread is dropped."""

LONGEST_MESSAGE_CHARS = 64 * 1024

MOST_FRAGMENTS = 1024
MOST_STREAMS = 64
"""Of the data channel: so much may wait for what is missing of it. As many fragments of 1200 bytes
are what aiortc's window holds; small ones would cost far more than their bytes."""


class Peer:
    """One peer. `answer` its offer, then `run` until it or the session is over.

    It is the `Carrier` of its `Connection`: text goes over the data channel, audio as RTP.
    """

    def __init__(
        self,
        session_id: str,
        engine: Runtime,
        addresses: Addresses,
        ice_servers: Sequence[IceServer] = (),
    ) -> None:
        self.session_id = session_id
        self._engine = engine
        self._addresses = addresses
        # aiortc asks Google's STUN server where none is named.
        servers = [RTCIceServer(s.url, s.user, s.password) for s in ice_servers]
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        _end_quietly(self._pc, "_RTCPeerConnection__connect", InvalidStateError)
        self._offer: Offer | None = None
        self._trickled = 0
        self._channel: RTCDataChannel | None = None
        self._before_channel: deque[str] = deque(maxlen=MOST_HELD_MESSAGES)
        self._early: deque[str] = deque(maxlen=MOST_HELD_MESSAGES)
        self._connection: Connection | None = None
        self._receiver: Receiver | None = None
        self._heard_from = 0.0  # the microphone counts from this time on
        self._reception: Reception | None = None
        self._transmission: Transmission | None = None
        self._video: Video | None = None
        self._turn = 0  # the latest
        self._ready = asyncio.Event()
        self._gone = asyncio.Event()

    # --- signalling --------------------------------------------------------------------------

    async def answer(self, sdp: str) -> str:
        """The answer to an offer, with all candidates in it. Raises `OfferError`."""
        pc = self._pc
        self._offer = offer = screen(sdp, public=self._addresses.is_public)
        pc.on("connectionstatechange", self._changed)
        pc.on("datachannel", self._opened)
        try:
            await pc.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
            self._prepare()
            await pc.setLocalDescription(await pc.createAnswer())
        except OSError as error:
            raise OfferError(f"no candidate could be gathered: {error.strerror}") from None
        except Exception as error:  # aiortc's parser raises whatever comes to pass
            logger.info("an offer was refused: %r", error)
            raise OfferError("the offer cannot be understood") from None
        return with_public(str(pc.localDescription.sdp), self._addresses.public)

    def _prepare(self) -> None:
        if self._pc.sctp is not None:
            _end_quietly(self._pc.sctp, "_transmit", ConnectionError, SSL.Error)
            _keep_window(self._pc.sctp, self._overrun)
        for transport in self._transports():
            receive_at_once(transport)
        opus = [
            codec
            for codec in RTCRtpSender.getCapabilities("audio").codecs
            if codec.mimeType.lower() == "audio/opus"
        ]
        for transceiver in self._pc.getTransceivers():
            if transceiver.kind != "audio":
                continue
            inside: Any = transceiver
            transceiver.setCodecPreferences(opus)
            inside._codecs = [c for c in inside._codecs if c.mimeType.lower() == "audio/opus"]
            transceiver.direction = "sendrecv"
            self._transmission = Transmission(transceiver.sender, self._began, self.hang_up)
            self._reception = Reception(transceiver.receiver, self._hear)
        for transceiver in self._pc.getTransceivers():
            if transceiver.kind == "video":
                self._prepare_video(transceiver)

    def _prepare_video(self, transceiver: RTCRtpTransceiver) -> None:
        inside: Any = transceiver
        studio, transmission = self._engine.studio, self._transmission
        codecs = choose(inside._codecs)
        if studio is None or transmission is None or not codecs:
            transceiver.direction = "inactive"
            return
        inside._codecs = codecs
        transceiver.direction = "sendonly"
        if inside._offerDirection in ("sendonly", "sendrecv"):  # as seen from here
            self._video = Video(
                transceiver.sender, studio, transmission.cursor, self._stepped, self._degraded
            )

    async def trickle(self, fragment: str) -> None:
        """More candidates of the peer's. Raises `OfferError`."""
        assert self._offer is not None
        public = self._addresses.is_public
        for text in trickled(fragment, ufrag=self._offer.ufrag, public=public):
            self._trickled += 1
            if self._trickled > MOST_CANDIDATES or self._gone.is_set():
                return
            try:
                candidate = candidate_from_sdp(text)
                candidate.sdpMid = self._offer.mid
                await self._pc.addIceCandidate(candidate)
            except ValueError as error:  # it said before that no more would come
                logger.debug("a candidate was left out: %s", error)

    def _changed(self) -> None:
        state = self._pc.connectionState
        if state in ("failed", "closed"):
            self.hang_up()
        elif state == "connected" and self._offer is not None and not self._offer.has_channel:
            self._ready.set()

    def _opened(self, channel: RTCDataChannel) -> None:
        if self._channel is not None:
            return  # one is enough
        self._channel = channel
        channel.on("message", self._told)
        channel.on("close", self.hang_up)
        while self._before_channel:
            self.send_text(self._before_channel.popleft())
        self._ready.set()

    # --- life --------------------------------------------------------------------------------

    def hang_up(self) -> None:
        """End it; `run` returns when what was said has been stored. Idempotent."""
        self._gone.set()
        self._ready.set()

    async def run(self) -> None:
        """Hold the conversation and close the connection, however it ends."""
        try:
            try:
                async with asyncio.timeout(CONNECT_S):
                    await self._ready.wait()
            except TimeoutError:
                if self._pc.connectionState != "connected":
                    logger.info("session %s: the peer never connected", self.session_id)
                    return
            if self._gone.is_set():
                return
            watch = asyncio.create_task(self._watch())
            try:
                await self._converse()
            finally:
                watch.cancel()
                await asyncio.wait([watch])
        finally:
            await self.close()

    async def _converse(self) -> None:
        transmission = self._transmission
        assert transmission is not None
        media = Media(
            audio_in=AudioFormat("pcm_s16le", INPUT_RATE_HZ),
            audio_out=AudioFormat("pcm_s16le", SEND_RATE_HZ),
            encoding="opus",
            rate_hz=CLOCK_HZ,
            play=transmission.push,
            watch=self._watched,
            flush=transmission.flush,
            greet=self._greeted,
            animate=self._animated,
            face=None if self._video is None else self._engine.gallery().server or "face",
        )
        self._connection = Connection(self, self.session_id, self._engine, media)
        await self._connection.run(self._disconnected)
        try:
            async with asyncio.timeout(LINGER_S):
                await self._gone.wait()
        except TimeoutError:
            pass

    async def _disconnected(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "websocket.disconnect"}

    async def _watch(self) -> None:
        """Hang up where nothing at all has come for `GONE_S`."""
        loop = asyncio.get_running_loop()
        seen, at = -1, loop.time()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            packets = self._packets()
            if packets != seen:
                seen, at = packets, loop.time()
            elif loop.time() - at >= GONE_S:
                logger.info("session %s: nothing comes from the peer", self.session_id)
                self.hang_up()
                return

    def _packets(self) -> int:
        inside: Any = self._pc.getTransceivers()[0].receiver.transport
        return int(inside._RTCDtlsTransport__rx_packets)

    async def close(self) -> None:
        """Give back everything: timers, tasks, sockets. Idempotent."""
        self.hang_up()
        if self._reception is not None:
            self._reception.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._pc.close()
        except TimeoutError:
            logger.error("session %s: the connection does not close", self.session_id)
            await self._tear()

    async def _tear(self) -> None:
        """Stop each part by itself: one of them hangs, and the sockets shall go nevertheless."""
        transceivers, transports = self._pc.getTransceivers(), self._transports()
        stops = [part.stop() for t in transceivers for part in (t.sender, t.receiver)]
        if self._pc.sctp is not None:
            stops.append(self._pc.sctp.stop())
        stops += [stop() for dtls in transports for stop in (dtls.stop, dtls.transport.stop)]
        try:
            async with asyncio.timeout(CLOSE_S):
                await asyncio.gather(*stops, return_exceptions=True)
        except TimeoutError:
            pass

    def _transports(self) -> list[RTCDtlsTransport]:
        """Of audio, video and the channel: one, where they are bundled."""
        found = [transceiver.receiver.transport for transceiver in self._pc.getTransceivers()]
        if self._pc.sctp is not None:
            found.append(self._pc.sctp.transport)
        return list(dict.fromkeys(found))

    # --- from the peer -----------------------------------------------------------------------

    def attach(self, receiver: Receiver) -> None:
        """Messages go to `receiver` from now on, those that came before at once."""
        self._receiver = receiver
        if self._early:
            self._heard_from = 0.0
        else:  # audio is faster than `hello`, and would count as the first message
            self._heard_from = asyncio.get_running_loop().time() + READY_AFTER_S
        while self._early:
            self._tell(receiver, self._early.popleft())

    def _told(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            message = "audio does not travel on the data channel"  # and that is not JSON
        if len(message) > LONGEST_MESSAGE_CHARS:
            logger.info("session %s: a message is too long", self.session_id)
            self.hang_up()
        elif self._receiver is None:
            self._early.append(message)
        else:
            self._tell(self._receiver, message)

    def _tell(self, receiver: Receiver, message: str) -> None:
        self._heard_from = 0.0
        receiver.on_text(message.encode(errors="replace"))

    def _overrun(self) -> None:
        if self.open:  # a flood shall not fill the log as well
            logger.info("session %s: the peer sends more than it was allowed", self.session_id)
        self.hang_up()

    def _hear(self, pcm: Samples) -> None:
        if self._receiver is None or asyncio.get_running_loop().time() < self._heard_from:
            return  # nothing is asked yet
        longest = INPUT_RATE_HZ * LONGEST_MESSAGE_MS // 1000
        for start in range(0, len(pcm), longest):
            self._receiver.on_audio(pcm[start : start + longest].astype("<i2").tobytes())

    def pause(self) -> None:
        """RTP cannot be held back; the inlet is bounded."""

    def resume(self) -> None:
        pass

    # --- to the peer -------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        return not self._gone.is_set()

    @property
    def unsent(self) -> int:
        """Bytes that wait for the data channel."""
        return 0 if self._channel is None else self._channel.bufferedAmount

    def send_text(self, text: str) -> None:
        """Send a message, or keep the last of them until there is a channel."""
        channel = self._channel
        if channel is None:
            self._before_channel.append(text)
        elif channel.readyState == "open" and self.open:
            if channel.bufferedAmount > MOST_BUFFERED_BYTES:
                logger.info("session %s: the peer does not read", self.session_id)
                self.hang_up()
                return
            channel.send(text)

    def send_audio(self, data: bytes) -> None:
        """Reply audio goes by `Media.play`."""
        raise NotImplementedError

    def _began(self, frame: ReplyAudio, timestamp: int) -> None:
        """A stretch of reply audio leaves: which RTP timestamp is which place in the reply."""
        if self._connection is not None:
            fields = {"turn": frame.turn, "at_ms": frame.at_ms, "rtp": timestamp}
            self._connection.tell("reply.audio", fields)

    def _watched(self, frame: Output) -> None:
        """A frame of the session's, on its way to the data channel."""
        self._turn = max(self._turn, frame.turn)
        video = self._video
        if video is None:
            return
        match frame:
            case Visemes():
                video.add(frame)
            case AvatarState(_, mood):
                video.mood(mood)
            case Clear():
                video.clear()
            case ReplyDone(turn, interrupted=True) if video.animation is not None:
                video.animation.drop(turn)

    @asynccontextmanager
    async def _animated(self, hello: Hello) -> AsyncIterator[SpeechTap | None]:
        """An avatar server, where there is one, gets the speech; the video shows its pictures."""
        studio, video = self._engine.studio, self._video
        if studio is None or video is None:
            yield None
            return
        face = hello.face if hello.face in studio.faces else studio.default
        async with self._engine.gallery().animated(face, video.gave_way) as animation:
            video.animation = animation
            yield None if animation is None else animation.hear

    def _greeted(self, hello: Hello) -> None:
        studio, video = self._engine.studio, self._video
        if studio is None or video is None:
            return
        face = studio.default if hello.face is None else hello.face
        if face not in studio.faces:
            video.begin(studio.default)
            known = ", ".join(sorted(studio.faces))
            raise ProtocolError(
                "unknown_face",
                f"face: {face[:40]!r} is not one of {known}; {studio.default} is shown",
            )
        video.begin(face)

    def _stepped(self, old: QualityLevel, new: QualityLevel, reason: str) -> None:
        self._degraded(self._turn, old.name, new.name, reason)

    def _degraded(self, turn: int, source: str, target: str, reason: str) -> None:
        if self._connection is not None:
            fields = {"turn": turn, "stage": "avatar", "from": source, "to": target}
            self._connection.tell("degraded", fields | {"reason": reason})


def _end_quietly(owner: object, name: str, *errors: type[Exception]) -> None:
    """Let a coroutine of aiortc's, whose task nobody awaits, end where the connection was closed
    meanwhile; asyncio would report what it raises then.
    """
    inside: Any = owner
    method = getattr(inside, name)

    async def quietly() -> None:
        try:
            await method()
        except errors as error:
            logger.debug("closed meanwhile: %r", error)

    setattr(inside, name, quietly)


def _keep_window(sctp: object, overrun: Callable[[], None]) -> None:
    """Take no more in pieces than may wait: aiortc tells its peer a window, and does not hold it to
    that. `overrun` is called for each datagram that is dropped.
    """
    inside: Any = sctp
    handle = inside._handle_data

    async def bounded(data: bytes) -> None:
        streams = inside._inbound_streams
        if (
            inside._advertised_rwnd <= 0
            or len(streams) > MOST_STREAMS
            or sum(len(stream.reassembly) for stream in streams.values()) > MOST_FRAGMENTS
        ):
            overrun()
        else:
            await handle(data)

    inside._handle_data = bounded
