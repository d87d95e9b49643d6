"""`BothVoices`: interviewer and person as one track, encoded once for all listeners of a session.

While somebody listens, a timer takes, encodes and passes on 20 ms at a time. Each listener has a
`Relay`, which sends the packets over its own connection.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable

import numpy as np
from aiortc import RTCRtpCodecParameters, RTCRtpSender

from gateway.live.audience import Audience
from gateway.live.mix import FRAME, MIX_HZ, VoiceMix
from gateway.live.reply_rate import ReplyRate
from gateway.media.opus import OpusEncoder
from gateway.media.resampling import Resampler
from gateway.transports.webrtc.aiortc_private import RtpSenderPort
from gateway.transports.webrtc.jitter import CLOCK_HZ
from gateway.transports.webrtc.sending import FRAME_S, LATE_S, QUIET_S, TAIL
from pipeline.frames import INPUT_RATE_HZ, Clear, ReplyAudio, Samples
from pipeline.stage import Observed

logger = logging.getLogger("parley.webrtc")

QUIET_EVERY = round(QUIET_S / FRAME_S)
"""While nobody speaks and no audio comes, one packet in this many is sent, as with Opus's DTX."""


class BothVoices:
    """A `gateway.live.audience.Mixed`. Does nothing while nobody listens."""

    def __init__(self, rate_hz: int) -> None:
        self._mix = VoiceMix()
        self._rate = ReplyRate(rate_hz)
        self._rate.use(MIX_HZ)
        self._heard = Resampler(INPUT_RATE_HZ, MIX_HZ)
        self._encoder = OpusEncoder(MIX_HZ)
        self._loop = asyncio.get_running_loop()
        self._relays: list[Relay] = []  # as many as may listen
        self._timer: asyncio.TimerHandle | None = None
        self._silence = np.zeros(FRAME, np.int16)
        self._due = 0.0
        self._timestamp = 0
        self._quiet = TAIL  # frames since somebody was heard

    # --- from the session --------------------------------------------------------------------

    def observe(self, output: Observed, now: float) -> None:
        """Take an output of the session: audio of a reply, or the order to drop it."""
        if not self._relays:
            return
        if isinstance(output, ReplyAudio):
            self._mix.reply(self._rate.convert(output))
        elif isinstance(output, Clear):
            self._rate.clear()
            self._mix.clear()

    def hear(self, pcm: Samples) -> None:
        """Take audio of the person, at 16 kHz."""
        if self._relays:
            self._mix.hear(self._heard.push(pcm))

    def over(self) -> None:
        """Make all relays leave and fail: the mix has failed."""
        for relay in tuple(self._relays):
            self.leave(relay)
            relay.failed()

    # --- those who listen --------------------------------------------------------------------

    def join(self, relay: "Relay") -> None:
        """Send the mix to this relay, too, until it leaves."""
        self._relays.append(relay)
        if self._timer is None:
            self._mix, self._quiet = VoiceMix(), TAIL
            self._due = self._loop.time()
            self._timer = self._loop.call_at(self._due, self._send)

    def leave(self, relay: "Relay") -> None:
        """Send nothing more to this relay. Idempotent."""
        if relay in self._relays:
            self._relays.remove(relay)
        if not self._relays and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def cursor(self, now: float) -> tuple[int, float] | None:
        """The position in the reply that is played at `now`, as `Transmission.cursor` gives it."""
        playing, since = self._mix.playing, now - (self._due - FRAME_S)
        if playing is None or not 0 <= since < 2 * FRAME_S:
            return None
        return playing.turn, playing.at_ms + since * 1000

    # --- the clock ---------------------------------------------------------------------------

    def _send(self) -> None:
        late_s = self._loop.time() - self._due
        if late_s > LATE_S:  # the process stood still: what was missed is not sent in a burst
            self._advance(late_s)
        try:
            pcm = self._mix.take()
            begins = pcm is not None and self._quiet >= TAIL
            self._quiet = 0 if pcm is not None else self._quiet + 1
            if self._quiet <= TAIL or self._quiet % QUIET_EVERY == 0:
                payload = self._encoder.encode(self._silence if pcm is None else pcm)
                for relay in tuple(self._relays):
                    relay.send(payload, begins, self._timestamp, self._due)
        except Exception:
            logger.exception("the voices of a session are mixed no longer")
            self._timer = None
            self.over()
            return
        self._advance(FRAME_S)
        self._timer = self._loop.call_at(self._due, self._send)

    def _advance(self, seconds: float) -> None:
        self._due += seconds
        self._timestamp = self._timestamp + round(seconds * CLOCK_HZ) & 0xFFFFFFFF


class Relay:
    """One listener's outgoing track: packets that were encoded for all.

    `failed` is called when sending has ended for another reason than a closed transport.
    """

    def __init__(self, sender: RTCRtpSender, failed: Callable[[], None]) -> None:
        self.failed = failed
        self._port = RtpSenderPort(sender, self._run)
        self._first = secrets.randbits(32)  # of the RTP timestamps
        self._broken: asyncio.Future[None] | None = None  # set while aiortc's sender runs

    async def _run(self, codec: RTCRtpCodecParameters) -> None:
        """Wait for the end of aiortc's sender. It is the sender's send loop, and has nothing else
        to do."""
        self._port.started(codec)
        self._broken = asyncio.get_running_loop().create_future()
        try:
            await self._broken
        except ConnectionError:
            pass
        except Exception:  # aiortc awaits no result of its task
            logger.exception("no audio is sent any more")
            self.failed()
        finally:
            self._broken = None
            self._port.exited()

    def send(self, payload: bytes, marker: bool, timestamp: int, due: float) -> None:
        """Send a packet if the sender runs. Does not raise."""
        broken = self._broken
        if broken is None or broken.done():
            return
        at = self._first + timestamp & 0xFFFFFFFF
        try:
            self._port.send(payload, marker=marker, timestamp=at, due=due)
        except Exception as error:
            broken.set_exception(error)


def both_voices(audience: Audience) -> BothVoices:
    """The track of one session, which all listeners of both voices share."""
    if not isinstance(audience.mixed, BothVoices):
        audience.mixed = BothVoices(audience.rate_hz)
    return audience.mixed
