"""`Viewer`: a listener of another client's session, who also sees the interviewer's face."""

import asyncio
from contextlib import AsyncExitStack

from gateway.live.audience import Audience, Voices
from gateway.live.reply_rate import ReplyRate
from gateway.runtime import Runtime
from gateway.transports.webrtc.both_voices import Relay, both_voices
from gateway.transports.webrtc.face import VideoFace
from gateway.transports.webrtc.link import LINGER_S, Network, PeerLink
from gateway.transports.webrtc.offers import Offer
from gateway.transports.webrtc.opus import SEND_RATE_HZ
from gateway.transports.webrtc.rejected import mids_of
from gateway.transports.webrtc.sending import Transmission
from gateway.transports.webrtc.video import Cursor, Video
from pipeline.frames import Clear, ReplyAudio
from pipeline.stage import Observed
from stages.avatar.quality import QualityLevel


class Viewer(PeerLink):
    """A `gateway.live.audience.Listener` over a peer connection: media goes to the peer, and none
    is taken from it. `until` (a Unix time) is the end that its credential sets. The `person` of the
    session does not count as an observer. The peer hears these `voices`.

    It belongs to the `audience` from now on, until `close`. Raises `AudienceFull`.
    """

    purpose = "playback"

    def __init__(
        self,
        session_id: str,
        runtime: Runtime,
        network: Network,
        audience: Audience,
        *,
        until: float | None = None,
        person: bool = False,
        voices: Voices = "interviewer",
    ) -> None:
        self._gone, self._ended = asyncio.Event(), asyncio.Event()
        super().__init__(session_id, network)
        self._runtime = runtime
        self._audience = audience
        self._until = until
        self._rate = ReplyRate(audience.rate_hz)
        self._rate.use(SEND_RATE_HZ)
        self._sent: Transmission | None = None  # the track of the interviewer's voice alone
        self._both = both_voices(audience) if voices == "both" else None
        self._relay: Relay | None = None  # the track of both voices
        self._pictures: Video | None = None
        self._face: VideoFace | None = None  # once there is something to see
        self._begun = False
        audience.join(self, person=person)

    @property
    def open(self) -> bool:
        return not self._gone.is_set()

    def hang_up(self) -> None:
        self._gone.set()
        self._ended.set()
        self._ready.set()

    async def close(self) -> None:
        self._audience.leave(self)
        if self._both is not None and self._relay is not None:
            self._both.leave(self._relay)
        await super().close()

    # --- what the session says ---------------------------------------------------------------

    def observe(self, output: Observed, now: float) -> None:
        """See `Listener.observe`. The hot path: no task, no queue."""
        if not self._begun:
            return
        if isinstance(output, ReplyAudio):
            if self._sent is not None:
                self._sent.push(self._rate.convert(output))
            return
        if isinstance(output, Clear) and self._sent is not None:
            self._rate.clear()
            self._sent.flush()
        if self._face is not None:
            self._face.observe(output, now)

    def over(self) -> None:
        """See `Listener.over`."""
        self._ended.set()
        self._ready.set()

    # --- what travels ------------------------------------------------------------------------

    def _refused(self, offer: Offer) -> set[str]:
        return {*super()._refused(offer), *mids_of(offer, "application")}

    def _prepare(self) -> None:
        for transceiver in self._pc.getTransceivers():
            if transceiver.kind == "audio":
                self._choose_opus(transceiver)
                transceiver.direction = "sendonly"
                if self._both is None:
                    self._sent = Transmission(transceiver.sender, failed=self.hang_up)
                else:
                    self._relay = Relay(transceiver.sender, self.hang_up)
        for transceiver in self._pc.getTransceivers():
            if transceiver.kind == "video":
                self._pictures = self._video(
                    transceiver,
                    self._runtime.studio,
                    self._cursor(),
                    _stepped,
                    _replaced,
                )

    def _cursor(self) -> Cursor | None:
        """Return a function that tells where the interviewer's voice is in the sound of this
        listener."""
        if self._both is not None:
            return self._both.cursor
        return None if self._sent is None else self._sent.cursor

    async def _hold(self) -> None:
        calls = self._runtime.calls()
        _, left_s = calls.session_ends(self._until)
        async with AsyncExitStack() as stack:
            if self._pictures is not None:
                face = VideoFace(self._pictures, calls.faces, self._audience.face)
                self._face = await stack.enter_async_context(face.running())
                self._face.start()
            self._begun = True
            if self._both is not None and self._relay is not None and self.open:
                self._both.join(self._relay)
            try:
                async with asyncio.timeout(left_s):
                    await self._ended.wait()
                async with asyncio.timeout(LINGER_S):
                    await self._gone.wait()
            except TimeoutError:
                pass


def _stepped(old: QualityLevel, new: QualityLevel, reason: str) -> None:
    """Does nothing: a viewer has no channel for messages."""


def _replaced(turn: int, source: str, target: str, reason: str) -> None:
    """Does nothing: a viewer has no channel for messages."""
