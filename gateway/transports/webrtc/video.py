"""The interviewer's face as RTP: pictures of shared loops, and pictures of its own while it speaks.

aiortc's sender keeps its RTCP reports, statistics, retransmissions and lifetime; only its send loop
is replaced, as in `gateway.transports.webrtc.sending`. Nothing is queued: a picture is composed
when its slot is due, for the audio that plays then, and late slots are left out. Both tracks use
one clock, and the sender reports map a picture's timestamp to the time of its slot, however long
encoding took. So the receiver plays a picture with the audio that it was composed for.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable

from aiortc import RTCRtpCodecParameters, RTCRtpSender

from gateway.faces.animation import Animation
from gateway.faces.loops import LOOP_MS
from gateway.faces.service import FACE
from gateway.transports.webrtc.aiortc_private import VideoSenderPort
from gateway.transports.webrtc.schedule import Drawn, VideoSchedule
from gateway.transports.webrtc.video_codecs import Packetizer, codec_of
from pipeline.frames import AvatarMood, Visemes
from stages.avatar.encoding import Codec
from stages.avatar.encoding_session import EncodingSession
from stages.avatar.face import MOODS
from stages.avatar.jpeg import NotJpeg
from stages.avatar.loops import Loop
from stages.avatar.quality import QUALITY_LEVELS, QualityLevel
from stages.avatar.studio import RETRY_S, Studio, StudioClosed
from stages.avatar.timeline import Pose

logger = logging.getLogger("parley.webrtc")

CLOCK_HZ = 90_000

RESOLUTION_S = 0.001
"""A picture that is due within this is due now: the loop's clock ticks in milliseconds, so timers
fire a little early, and waiting for the rest would only spin."""

MAX_RETRY_S = 320.0
"""A failing encoder is tried again after `RETRY_S`, then twice that, and so on up to this."""

MOST_RESENT = 64
"""Packets that are sent again between two pictures: several pictures' worth. One NACK can name
thousands, with which a peer could make the server flood a network."""

Cursor = Callable[[float], tuple[int, float] | None]
"""The turn and the position in ms of the audio that plays at a time of the loop's clock."""


class Video:
    """One outgoing video track; nothing is sent before `begin`.

    Args:
        sender: aiortc's sender of the track.
        studio: Makes the loops and encodes the pictures.
        cursor: `Transmission.cursor` of the peer's audio track.
        stepped: Called with the old and the new quality level, and the reason.
        replaced: Called with the turn, the old and the new source of the pictures (an avatar server
            or the built-in face), and the reason.
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
        """The latest turn of the session."""
        self._stepped = stepped
        self._replaced = replaced
        self.animation: Animation | None = None
        """The pictures of an avatar server, if there is one; to be set before `begin`."""
        self._left_server: str | None = None  # the server that gave way to the built-in face
        self._lacking = False  # built-in loops are shown in place of the server's
        self._schedule = VideoSchedule(studio.level, QUALITY_LEVELS[0])
        self._port = VideoSenderPort(sender, self._run, self._schedule.want_keyframe, MOST_RESENT)
        self._face = studio.default
        self._codec: Codec = "h264"
        self._begun = asyncio.Event()
        self._loops_wanted = asyncio.Event()
        self._waiter: asyncio.Future[None] | None = None
        self._encoding: EncodingSession | None = None
        self._encoding_of: tuple[int, int] = 0, 0  # frame_ms and size of `_encoding`
        self._server_picture: bytes | None = None  # the last encoded picture, if the server's
        self._broken = False  # the last attempt to draw a picture failed; loops are shown
        self._retry: asyncio.TimerHandle | None = None  # set while no attempt is made
        self._retry_s = RETRY_S
        self._t0 = self._loop.time()
        self._timestamp = secrets.randbits(32)
        self._packetizer = Packetizer()
        self.pictures = 0

    @property
    def drawing(self) -> bool:
        """Whether pictures are drawn for this track alone."""
        return self._encoding is not None

    # --- what the session says ---------------------------------------------------------------

    def begin(self, face: str) -> None:
        """Show one of the studio's faces from now on."""
        self._face = face
        self._begun.set()

    def add(self, visemes: Visemes) -> None:
        self._schedule.add(visemes)

    def mood(self, mood: AvatarMood) -> None:
        self._schedule.mood(mood, self._now_ms())
        self._wake()

    def clear(self) -> None:
        """Close the mouth: the reply was interrupted."""
        self._schedule.clear(self._now_ms())
        self._wake()

    def gave_way(self, turn: int, source: str, target: str | None, reason: str) -> None:
        """The avatar server `source` failed: the server `target` draws the rest of the turn or, if
        that is None, the built-in face.
        """
        if self._left_server is None:
            self._replaced(turn, source, target or FACE, reason)
            if target is None:
                self._left_server = source
                self._loops_wanted.set()

    def _came_back(self, turn: int) -> None:
        """A picture of the server is encoded; the server may have failed meanwhile."""
        assert self.animation is not None
        if self._left_server is not None and self.animation.follows(turn):
            self._replaced(turn, FACE, self._left_server, "its pictures are there again")
            self._left_server = None
            self._loops_wanted.set()

    def _step(self, old: QualityLevel, new: QualityLevel, reason: str) -> None:
        if self._retry is not None or not self._begun.is_set():
            return
        self._change_level(new)
        if not self._broken:
            self._stepped(old, new, reason)

    def _change_level(self, level: QualityLevel) -> None:
        self._schedule.step(level)
        self._loops_wanted.set()
        self._wake()

    # --- the loop in aiortc's sender ---------------------------------------------------------

    async def _run(self, codec: RTCRtpCodecParameters) -> None:
        """The send loop. Ends when it is cancelled and when the transport is closed."""
        self._port.started(codec)
        self._codec = codec_of(codec)
        forget = self._studio.changed(self._step)
        try:
            await self._begun.wait()
            self._schedule.step(self._studio.level)
            if self._studio.level != QUALITY_LEVELS[0]:
                self._stepped(QUALITY_LEVELS[0], self._studio.level, "the server is busy")
            async with asyncio.TaskGroup() as tasks:
                fetching = tasks.create_task(self._fetch())
                await self._stream()
                fetching.cancel()
        finally:
            forget()
            if self._retry is not None:
                self._retry.cancel()
            self._end_encoding()
            self._port.exited()

    async def _stream(self) -> None:
        try:
            while True:
                await self._show()
        except (ConnectionError, StudioClosed):
            pass
        except Exception:  # aiortc awaits no result of its task
            logger.exception("no pictures are sent any more")

    async def _fetch(self) -> None:
        """Fetch the loops of all moods, and again whenever their size or source changes."""
        while True:
            self._loops_wanted.clear()
            self._lacking = False
            try:
                for mood in MOODS:
                    loop = await self._loop_of(mood, self._schedule.size)
                    if self._loops_wanted.is_set():
                        break
                    self._schedule.have(loop)
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
        if self.animation is not None and self._left_server is None:
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
        """Wait for the next slot, or show its picture if it is due."""
        due_ms = self._schedule.due_ms(self._now_ms())
        due = self._t0 + due_ms / 1000
        if self._loop.time() + RESOLUTION_S < due:
            await self._until(due)
            return  # a wake-up may have changed the slot
        now = self._loop.time()
        cursor = self._cursor(now)
        if cursor is not None:
            cursor = cursor[0], cursor[1] - (now - due) * 1000
        picture = self._schedule.picture(due_ms, cursor)
        if isinstance(picture, Drawn):
            unit = await self._drawn(picture, due, cursor)
        else:
            self._end_encoding()
            unit = None if picture is None else picture.unit
        if picture is not None and unit:
            await self._send(unit, due_ms)
            self._schedule.sent(picture)

    async def _drawn(
        self, picture: Drawn, due: float, cursor: tuple[int, float] | None
    ) -> bytes | None:
        if self._retry is not None:
            return None
        wanted = picture.frame_ms, picture.size
        if self._encoding is None or self._encoding_of != wanted:
            self._end_encoding()
            self._encoding = self._studio.encoding_session(
                self._face, self._codec, picture.size, picture.frame_ms
            )
            self._encoding_of = wanted
        shown = self._content(picture, cursor)
        if shown is None:
            return None
        jpeg = shown if isinstance(shown, bytes) else None
        keyframe = picture.keyframe or (jpeg is None) != (self._server_picture is None)
        try:
            unit = await self._encoding.picture(shown, due=due, keyframe=keyframe)
        except NotJpeg as error:
            if self.animation is not None and cursor is not None:
                self.animation.reject(cursor[0], f"a picture cannot be shown: {error}")
            return None
        except Exception as error:  # FFmpeg fails, or the face cannot be drawn
            self._failed(error)
            return None
        if unit:
            self._server_picture, self._schedule.seamless = jpeg, jpeg is None
            if jpeg is not None and cursor is not None:
                self._came_back(cursor[0])
            if self._broken:
                self._mended()
        return unit

    def _content(self, picture: Drawn, cursor: tuple[int, float] | None) -> Pose | bytes | None:
        """The pose, or the server's picture in its place; None if the last picture stays."""
        animation = self.animation
        if animation is None:
            return picture.pose
        jpeg = None
        if cursor is not None:
            if not animation.follows(cursor[0]):
                return picture.pose
            frame = animation.frame_at(cursor[0], int(cursor[1] + picture.frame_ms / 2))
            if not animation.follows(cursor[0]):  # `frame_at` may give it up
                return picture.pose
            jpeg = None if frame is None else frame.data
        elif self._left_server is not None:
            return picture.pose
        if jpeg is None or jpeg is self._server_picture:
            return self._server_picture if picture.keyframe else None
        return jpeg

    def _failed(self, error: Exception) -> None:
        logger.error("no pictures can be drawn for %g s: %r", self._retry_s, error)
        self._end_encoding()
        self._change_level(QUALITY_LEVELS[-1])
        self._retry = self._loop.call_later(self._retry_s, self._try_again)
        self._retry_s = min(self._retry_s * 2, MAX_RETRY_S)
        if not self._broken:
            self._stepped(self._studio.level, QUALITY_LEVELS[-1], "pictures cannot be drawn")
        self._broken = True

    def _try_again(self) -> None:
        """Let the next picture be drawn, which shows whether that works again."""
        self._retry = None
        self._change_level(self._studio.level)

    def _mended(self) -> None:
        self._broken, self._retry_s = False, RETRY_S
        self._stepped(QUALITY_LEVELS[-1], self._studio.level, "pictures are drawn again")

    def _end_encoding(self) -> None:
        if self._encoding is not None:
            self._encoding.close()
            self._encoding = self._server_picture = None
            self._schedule.seamless = True

    def _now_ms(self) -> float:
        return (self._loop.time() - self._t0) * 1000

    async def _until(self, when: float) -> None:
        """Return at this time, or when `_wake` is called."""
        self._waiter = waiter = self._loop.create_future()
        timer = self._loop.call_at(when, self._wake)
        try:
            await waiter
        finally:
            timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _send(self, unit: bytes, due_ms: int) -> None:
        timestamp = self._timestamp + due_ms * CLOCK_HZ // 1000 & 0xFFFFFFFF
        payloads = self._packetizer.payloads(self._codec, unit)
        due = self._t0 + due_ms / 1000
        await self._port.send_picture(payloads, timestamp=timestamp, due=due)
        self.pictures += 1
