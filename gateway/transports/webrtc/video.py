"""The interviewer's face as RTP: pictures of shared loops, and its own while it speaks.

aiortc's sender keeps its RTCP reports, statistics, retransmissions and life; only the loop in it is
replaced, as in `gateway.transports.webrtc.sending`. Nothing is queued: a picture is composed when
its slot has come, for what audio plays then, and one that comes too late is left out. Both tracks
count one clock, and the sender reports map a picture's timestamp to the time of its slot, however
long it took to encode: what the receiver plays together was meant together.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence

from aiortc import RTCRtpCodecParameters, RTCRtpSender

from gateway.faces.animation import Animation
from gateway.faces.loops import LOOP_MS
from gateway.faces.service import FACE
from gateway.transports.webrtc.aiortc_private import (
    VideoSenderPort,
    h264_payloads,
    vp8_payloads,
)
from gateway.transports.webrtc.schedule import Drawn, VideoSchedule
from pipeline.frames import AvatarMood, Visemes
from stages.avatar.encoding import Codec
from stages.avatar.encoding import codecs as encodable
from stages.avatar.face import MOODS
from stages.avatar.jpeg import NotJpeg
from stages.avatar.ladder import QUALITY_LEVELS, QualityLevel
from stages.avatar.loops import Loop
from stages.avatar.studio import RETRY_S, EncodingSession, Studio, StudioClosed
from stages.avatar.timeline import Pose

logger = logging.getLogger("parley.webrtc")

CLOCK_HZ = 90_000
PICTURE_IDS = 1 << 15

RESOLUTION_S = 0.001
"""A picture that is due within this is due now: timers fire a little early by the loop's clock,
which ticks in milliseconds, and waiting for the rest would only spin."""

MAX_RETRY_S = 320.0
"""An encoder that fails is tried again after `RETRY_S`, then twice that, and so on up to this."""

MOST_RESENT = 64
"""Packets sent again between two pictures, several times what a picture has. One request can name
thousands, and with it a peer could have us fill its line, or another's."""

Cursor = Callable[[float], tuple[int, float] | None]
"""The turn and the position in ms of what audio plays at a time of the loop's clock."""


def choose(codecs: Sequence[RTCRtpCodecParameters]) -> list[RTCRtpCodecParameters]:
    """What to answer of an offer's codecs: one, and its retransmissions where they are offered.

    H.264 of constrained baseline, or of baseline, which contains it; else VP8; else nothing.
    """
    possible = encodable()
    for codec, profile in (("h264", "42e01f"), ("h264", "42001f"), ("vp8", None)):
        for base in codecs if codec in possible else ():
            given = str(base.parameters.get("profile-level-id", "42e01f")).lower()
            if base.mimeType.lower() == f"video/{codec}" and profile in (None, given):
                again = (c for c in codecs if c.parameters.get("apt") == base.payloadType)
                return [base, *again]
    return []


class Video:
    """One outgoing video track; nothing is sent before `begin`.

    Args:
        sender: aiortc's.
        studio: Where the pictures come from.
        cursor: `Transmission.cursor` of the audio track beside it.
        stepped: Is told what rung gave way to which, and why.
        replaced: Is told the turn, who gave way to whom, an avatar server to the built-in face or
            that to the server, and why.
    """

    def __init__(
        self,
        sender: RTCRtpSender,
        studio: Studio,
        cursor: Cursor,
        stepped: Callable[[QualityLevel, QualityLevel, str], None],
        replaced: Callable[[int, str, str, str], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._studio = studio
        self._cursor = cursor
        self.turn = 0
        """The latest turn of the session, for what `stepped` tells."""
        self._stepped = stepped
        self._replaced = replaced
        self.animation: Animation | None = None
        """The face at an avatar server, if there is one; to be set before `begin`."""
        self._left: str | None = None  # the server that gave way to the built-in face
        self._lacking = False  # built-in loops are shown where the server's are wanted
        self._play = VideoSchedule(studio.rung, QUALITY_LEVELS[0])
        self._port = VideoSenderPort(sender, self._run, self._play.want_keyframe, MOST_RESENT)
        self._face = studio.default
        self._codec: Codec = "h264"
        self._begun = asyncio.Event()
        self._loops_wanted = asyncio.Event()
        self._waiter: asyncio.Future[None] | None = None
        self._take: EncodingSession | None = None
        self._taken: tuple[int, int] = 0, 0  # the take's frame_ms and size
        self._photo: bytes | None = None  # the server's picture, if the take's last was one
        self._broken = False  # the last attempt to draw a picture failed; loops are shown
        self._retry: asyncio.TimerHandle | None = None  # set while none is attempted
        self._retry_s = RETRY_S
        self._t0 = self._loop.time()
        self._timestamp = secrets.randbits(32)
        self._picture_id = secrets.randbits(15)
        self.pictures = 0

    @property
    def drawing(self) -> bool:
        """Whether pictures are drawn for this track alone."""
        return self._take is not None

    # --- what the session says ---------------------------------------------------------------

    def begin(self, face: str) -> None:
        """Show a face, one of the studio's, from now on."""
        self._face = face
        self._begun.set()

    def add(self, visemes: Visemes) -> None:
        self._play.add(visemes)

    def mood(self, mood: AvatarMood) -> None:
        self._play.mood(mood, self._now_ms())
        self._wake()

    def clear(self) -> None:
        """The reply was interrupted: its mouth closes."""
        self._play.clear(self._now_ms())
        self._wake()

    def gave_way(self, turn: int, source: str, target: str | None, reason: str) -> None:
        """An avatar server gave way to the next or, where that is None, left the rest of the turn
        to the built-in face.
        """
        if self._left is None:
            self._replaced(turn, source, target or FACE, reason)
            if target is None:
                self._left = source
                self._loops_wanted.set()

    def _came_back(self, turn: int) -> None:
        """A picture of the server's was shown; it may have failed while that was encoded."""
        assert self.animation is not None
        if self._left is not None and self.animation.follows(turn):
            self._replaced(turn, FACE, self._left, "its pictures are there again")
            self._left = None
            self._loops_wanted.set()

    def _step(self, old: QualityLevel, new: QualityLevel, reason: str) -> None:
        if self._retry is not None or not self._begun.is_set():
            return
        self._hold(new)
        if not self._broken:
            self._stepped(old, new, reason)

    def _hold(self, rung: QualityLevel) -> None:
        self._play.step(rung)
        self._loops_wanted.set()
        self._wake()

    # --- the loop in aiortc's sender ---------------------------------------------------------

    async def _run(self, codec: RTCRtpCodecParameters) -> None:
        """In place of aiortc's own loop. Ends when cancelled and when the transport is closed."""
        self._port.started(codec)
        self._codec = "h264" if codec.mimeType.lower() == "video/h264" else "vp8"
        forget = self._studio.changed(self._step)
        try:
            await self._begun.wait()
            self._play.step(self._studio.rung)
            if self._studio.rung != QUALITY_LEVELS[0]:
                self._stepped(QUALITY_LEVELS[0], self._studio.rung, "the server is busy")
            async with asyncio.TaskGroup() as tasks:
                fetching = tasks.create_task(self._fetch())
                await self._stream()
                fetching.cancel()
        finally:
            forget()
            if self._retry is not None:
                self._retry.cancel()
            self._end_take()
            self._port.exited()

    async def _stream(self) -> None:
        try:
            while True:
                await self._show()
        except (ConnectionError, StudioClosed):
            pass
        except Exception:  # nobody awaits aiortc's task
            logger.exception("no pictures are sent any more")

    async def _fetch(self) -> None:
        """Have the loops there, those of the size that holds."""
        while True:
            self._loops_wanted.clear()
            self._lacking = False
            try:
                for mood in MOODS:
                    loop = await self._loop_of(mood, self._play.size)
                    if self._loops_wanted.is_set():
                        break
                    self._play.have(loop)
                    self._wake()
            except StudioClosed:
                return
            except Exception as error:  # the studio has logged it
                logger.debug("no loops yet: %r", error)
                await asyncio.sleep(RETRY_S)
                continue
            try:
                async with asyncio.timeout(RETRY_S if self._lacking else None):
                    await self._loops_wanted.wait()
            except TimeoutError:
                pass

    async def _loop_of(self, mood: AvatarMood, size: int) -> Loop:
        if self.animation is not None and self._left is None:
            pictures = await self.animation.silence(mood)
            if pictures:
                try:
                    return await self._studio.film(
                        self._face, self._codec, size, mood, pictures, LOOP_MS
                    )
                except NotJpeg as error:  # the studio has logged it
                    logger.debug("no loop of pictures: %s", error)
                    self.animation.reject_silence(mood)
            self._lacking = True
        return await self._studio.loop(self._face, self._codec, size, mood)

    async def _show(self) -> None:
        """One picture, in its slot."""
        due_ms = self._play.due_ms(self._now_ms())
        due = self._t0 + due_ms / 1000
        if self._loop.time() + RESOLUTION_S < due:
            await self._until(due)
            return  # something may have come between
        now = self._loop.time()
        cursor = self._cursor(now)
        if cursor is not None:
            cursor = cursor[0], cursor[1] - (now - due) * 1000
        picture = self._play.picture(due_ms, cursor)
        if isinstance(picture, Drawn):
            unit = await self._drawn(picture, due, cursor)
        else:
            self._end_take()
            unit = None if picture is None else picture.unit
        if picture is not None and unit:
            await self._send(unit, due_ms)
            self._play.sent(picture)

    async def _drawn(
        self, picture: Drawn, due: float, cursor: tuple[int, float] | None
    ) -> bytes | None:
        if self._retry is not None:
            return None
        wanted = picture.frame_ms, picture.size
        if self._take is None or self._taken != wanted:
            self._end_take()
            self._take = self._studio.take(self._face, self._codec, picture.size, picture.frame_ms)
            self._taken = wanted
        shown = self._sitting(picture, cursor)
        if shown is None:
            return None
        photo = shown if isinstance(shown, bytes) else None
        keyframe = picture.keyframe or (photo is None) != (self._photo is None)
        try:
            unit = await self._take.picture(shown, due=due, keyframe=keyframe)
        except NotJpeg as error:
            if self.animation is not None and cursor is not None:
                self.animation.reject(cursor[0], f"a picture cannot be shown: {error}")
            return None
        except Exception as error:  # of FFmpeg's, or the face cannot be drawn
            self._failed(error)
            return None
        if unit:
            self._photo, self._play.seamless = photo, photo is None
            if photo is not None and cursor is not None:
                self._came_back(cursor[0])
            if self._broken:
                self._mended()
        return unit

    def _sitting(self, picture: Drawn, cursor: tuple[int, float] | None) -> Pose | bytes | None:
        """The pose, or the server's picture in its place; None where the last picture stands."""
        animation = self.animation
        if animation is None:
            return picture.pose
        photo = None
        if cursor is not None:
            if not animation.follows(cursor[0]):
                return picture.pose
            frame = animation.frame_at(cursor[0], int(cursor[1] + picture.frame_ms / 2))
            if not animation.follows(cursor[0]):  # it has just been given up
                return picture.pose
            photo = None if frame is None else frame.data
        elif self._left is not None:
            return picture.pose
        if photo is None or photo is self._photo:
            return self._photo if picture.keyframe else None
        return photo

    def _failed(self, error: Exception) -> None:
        logger.error("no pictures can be drawn for %g s: %r", self._retry_s, error)
        self._end_take()
        self._hold(QUALITY_LEVELS[-1])
        self._retry = self._loop.call_later(self._retry_s, self._try_again)
        self._retry_s = min(self._retry_s * 2, MAX_RETRY_S)
        if not self._broken:
            self._stepped(self._studio.rung, QUALITY_LEVELS[-1], "pictures cannot be drawn")
        self._broken = True

    def _try_again(self) -> None:
        """The next picture that is wanted shows whether it can be drawn."""
        self._retry = None
        self._hold(self._studio.rung)

    def _mended(self) -> None:
        self._broken, self._retry_s = False, RETRY_S
        self._stepped(QUALITY_LEVELS[-1], self._studio.rung, "pictures are drawn again")

    def _end_take(self) -> None:
        if self._take is not None:
            self._take.close()
            self._take = self._photo = None
            self._play.seamless = True

    def _now_ms(self) -> float:
        return (self._loop.time() - self._t0) * 1000

    async def _until(self, when: float) -> None:
        """Return then, or when `_wake` is called."""
        self._waiter = waiter = self._loop.create_future()
        timer = self._loop.call_at(when, self._wake)
        try:
            await waiter
        finally:
            timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- packets -----------------------------------------------------------------------------

    async def _send(self, unit: bytes, at_ms: int) -> None:
        if self._codec == "h264":
            payloads = h264_payloads(unit)
        else:
            payloads = vp8_payloads(unit, self._picture_id)
            self._picture_id = (self._picture_id + 1) % PICTURE_IDS
        timestamp = self._timestamp + at_ms * CLOCK_HZ // 1000 & 0xFFFFFFFF
        # For the sender reports: when the picture was due, not when it was ready.
        due = self._t0 + at_ms / 1000
        await self._port.send_picture(payloads, timestamp=timestamp, due=due)
        self.pictures += 1
