"""Where faces are drawn and encoded, for all sessions of a process.

Pictures of those who speak are drawn in a bounded pool of threads. An `EncodingSession`, the
pictures of one session while it speaks, has at most one under way: the next is refused rather than
queued, so that nobody is sent what is out of date. Layers and loops are made once in a thread of
their own, where they hold no picture up.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from pipeline.frames import AvatarMood
from stages.avatar.decoding import JpegDecoder
from stages.avatar.encoding import Codec, VideoEncoder, codecs
from stages.avatar.face import MOODS, Face
from stages.avatar.ladder import QUALITY_LEVELS, WINDOW_S, QualityLadder, QualityLevel
from stages.avatar.loops import Loop, record, record_pictures
from stages.avatar.renderer import Bytes, LayerBitmaps, Picture
from stages.avatar.timeline import Pose

logger = logging.getLogger("parley.avatar")

T = TypeVar("T")

MAX_THREADS = 4
"""By default; a thread draws and encodes 4000 pictures a second, beside other work half as many."""

MOST_WAITING = 64
"""Pictures under way for each thread, which are drawn within the time of one picture."""

RETRY_S = 10.0
"""What could not be made is tried again after this, and not for every picture."""

LevelListener = Callable[[QualityLevel, QualityLevel, str], None]


class StudioClosed(RuntimeError):
    """The studio was left."""


class Studio:
    """Shared by all sessions of a process. Use it as an async context manager; leaving it ends its
    threads, after at most what one of them is making.

    Args:
        faces: By name.
        default: The name of the face that is shown where nobody asks for another.
        threads: That draw; by default one for each core, at most `MAX_THREADS`.
        ladder: By default one for so many threads.
    """

    def __init__(
        self,
        faces: Mapping[str, Face],
        *,
        default: str,
        threads: int | None = None,
        ladder: QualityLadder | None = None,
    ) -> None:
        self.faces = dict(faces)
        self.default = default
        self._check(default)
        self.threads = threads or min(MAX_THREADS, _cores())
        self._ladder = ladder or QualityLadder(self.threads)
        self._pool = ThreadPoolExecutor(self.threads, "face")
        self._asset_pool = ThreadPoolExecutor(1, "face-assets")
        self._made: dict[tuple[Any, ...], Any] = {}
        self._making: dict[tuple[Any, ...], asyncio.Task[Any]] = {}
        self._failed: dict[tuple[Any, ...], tuple[Exception, float]] = {}
        self._listeners: list[LevelListener] = []
        self._sessions: set[EncodingSession] = set()
        self._watching: asyncio.Task[None] | None = None
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._closed = False

    async def __aenter__(self) -> "Studio":
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._closed = True
        for session in tuple(self._sessions):
            session.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._asset_pool.shutdown(wait=False, cancel_futures=True)
        try:
            if self._watching is not None:
                self._watching.cancel()
                await asyncio.wait([self._watching])
            if self._making:
                await asyncio.wait(self._making.values())
            await self._quiet.wait()
        finally:
            self._pool.shutdown()
            self._asset_pool.shutdown()

    # --- what is made once -------------------------------------------------------------------

    def warm(self) -> None:
        """Make what the default face needs, in the background: its layers in all sizes that may be
        shown and its loops in the size that is shown first. Others get in between.
        """
        self._start(("warm",), self._warm)

    async def _warm(self) -> None:
        face, sizes = (
            self.default,
            dict.fromkeys(level.size for level in QUALITY_LEVELS if level.size),
        )
        jobs: list[Callable[[], Coroutine[Any, Any, object]]] = [
            *(partial(self.plates, face, size) for size in sizes),
            *(
                partial(self.loop, face, codec, QUALITY_LEVELS[0].size, mood)
                for codec in codecs()
                for mood in MOODS
            ),
        ]
        for job in jobs:
            try:
                await job()
            except Exception:  # it has been logged, or is asked for again
                logger.debug("face: not warmed", exc_info=True)

    async def plates(self, face: str, size: int) -> LayerBitmaps:
        """The layers of a face; who asks while they are being made waits for the same ones.

        Raises:
            KeyError: There is no face of that name.
            ValueError, RendererMissing, FaceError: As `LayerBitmaps` does, for `RETRY_S`.
            StudioClosed: The studio was left meanwhile.
        """
        self._check(face)
        made: LayerBitmaps = await self._once(
            ("layers", face, size), partial(self._bitmaps, face, size)
        )
        return made

    async def loop(self, face: str, codec: Codec, size: int, mood: AvatarMood) -> Loop:
        """The loop of a face that says nothing, recorded when it is asked for first.

        Raises what `plates` does, and `av.FFmpegError` where the codec is not to be had.
        """
        self._check(face)
        key = ("loop", face, codec, size, mood)
        made: Loop = await self._once(key, partial(self._loop, face, codec, size, mood))
        return made

    async def film(
        self,
        face: str,
        codec: Codec,
        size: int,
        mood: AvatarMood,
        pictures: Sequence[tuple[int, bytes]],
        length_ms: int,
    ) -> Loop:
        """The loop of an avatar server's face: of `pictures`, where it is asked for first.

        Raises `NotJpeg` and `StudioClosed`, and `av.FFmpegError` as `loop` does.
        """
        key = ("film", face, codec, size, mood)
        make = partial(record_pictures, pictures, length_ms, mood, codec, size)
        made: Loop = await self._once(key, partial(self._work, make))
        return made

    def _check(self, face: str) -> None:
        if face not in self.faces:
            raise KeyError(face)

    async def _bitmaps(self, face: str, size: int) -> LayerBitmaps:
        return await self._work(partial(LayerBitmaps, self.faces[face], size))

    async def _loop(self, face: str, codec: Codec, size: int, mood: AvatarMood) -> Loop:
        bitmaps = await self.plates(face, size)
        return await self._work(partial(record, bitmaps, mood, codec))

    async def _work(self, make: Callable[[], T]) -> T:
        if self._closed:
            raise StudioClosed
        made = asyncio.wrap_future(self._asset_pool.submit(make))
        try:
            return await made
        except asyncio.CancelledError:
            if not self._closed:
                raise
            raise StudioClosed from None

    async def _once(
        self, key: tuple[Any, ...], make: Callable[[], Coroutine[Any, Any, Any]]
    ) -> Any:
        if key in self._made:
            return self._made[key]
        if (failure := self._failure(key)) is not None:
            raise failure.with_traceback(None)
        # Who goes away meanwhile does not take it from the others.
        return await asyncio.shield(self._start(key, make))

    def _failure(self, key: tuple[Any, ...]) -> Exception | None:
        failure, until = self._failed.get(key, (None, 0.0))
        if failure is not None and asyncio.get_running_loop().time() < until:
            return failure
        return None

    def _start(
        self, key: tuple[Any, ...], make: Callable[[], Coroutine[Any, Any, Any]]
    ) -> asyncio.Task[Any]:
        if (running := self._making.get(key)) is not None:
            return running
        if self._closed:
            raise StudioClosed
        task = asyncio.get_running_loop().create_task(make())
        self._making[key] = task
        task.add_done_callback(partial(self._finished, key))
        return task

    def _finished(self, key: tuple[Any, ...], task: asyncio.Task[Any]) -> None:
        del self._making[key]
        error = task.exception() if not task.cancelled() else None
        if isinstance(error, Exception) and not isinstance(error, StudioClosed):
            logger.warning("face: no %s: %s", " ".join(map(str, key)), error)
            self._failed[key] = error, task.get_loop().time() + RETRY_S
        elif error is None and not task.cancelled():
            self._failed.pop(key, None)
            self._made[key] = task.result()

    # --- what speaking pictures may cost -----------------------------------------------------

    @property
    def rung(self) -> QualityLevel:
        return self._ladder.level

    @property
    def under_way(self) -> int:
        """Pictures that are being drawn or wait for a thread: at most `MOST_WAITING` for each."""
        return self._under_way

    def changed(self, listener: LevelListener) -> Callable[[], None]:
        """Call `listener(old, new, reason)` when the rung changes, until the returned function is
        called. It is called in the event loop and should return soon.
        """
        self._listeners.append(listener)

        def forget() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return forget

    def _feed(self, feed: Callable[[float], None]) -> None:
        """Tell the ladder of a picture, unless layers or loops are being made meanwhile: that is
        over soon and says nothing of what pictures cost.
        """
        if not self._making:
            self._judge(feed)

    def _judge(self, feed: Callable[[float], None]) -> None:
        before = self._ladder.level
        feed(asyncio.get_running_loop().time())
        after = self._ladder.level
        if after is before:
            return
        logger.info("face: from %s to %s: %s", before.name, after.name, self._ladder.reason)
        for listener in tuple(self._listeners):
            try:
                listener(before, after, self._ladder.reason)
            except Exception:
                logger.exception("face: a listener failed")

    async def _watch(self) -> None:
        """Let the ladder judge every window soon after it is over, also where no picture comes."""
        self._judge(self._ladder.tick)
        while self._sessions or not self._ladder.top:
            await asyncio.sleep(WINDOW_S / 4)
            self._judge(self._ladder.tick)
        self._watching = None

    # --- pictures of those who speak ---------------------------------------------------------

    def take(self, face: str, codec: Codec, size: int, frame_ms: int) -> "EncodingSession":
        """An encoder of one's own, while somebody speaks. To be closed.

        Raises:
            KeyError: There is no face of that name.
            StudioClosed: The studio was left.
        """
        self._check(face)
        if self._closed:
            raise StudioClosed
        session = EncodingSession(self, face, codec, size, frame_ms)
        self._sessions.add(session)
        if self._watching is None:
            self._watching = asyncio.get_running_loop().create_task(self._watch())
        return session

    def _ready(self, face: str, size: int) -> LayerBitmaps | None:
        """Layers that are there already; else they are being made."""
        key = ("layers", face, size)
        made: LayerBitmaps | None = self._made.get(key)
        if made is None and not self._closed:
            if (failure := self._failure(key)) is not None:
                raise failure.with_traceback(None)
            self._start(key, partial(self._bitmaps, face, size))
        return made

    def _submit(
        self, draw: Callable[[], tuple[bytes, float]]
    ) -> "Future[tuple[bytes, float]] | None":
        """Have a picture drawn, unless there is no room."""
        if self._closed or self._under_way >= self.threads * MOST_WAITING:
            return None
        self._under_way += 1
        self._quiet.clear()
        return self._pool.submit(draw)

    def _returned(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._quiet.set()


def _cores() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class EncodingSession:
    """The pictures of one session while it speaks; made by `Studio.take`."""

    def __init__(self, studio: Studio, face: str, codec: Codec, size: int, frame_ms: int) -> None:
        self._studio = studio
        self._face, self._size = face, size
        self._new_encoder = partial(VideoEncoder, codec, size, frame_ms)
        self._picture: Picture | None = None
        self._decoder: JpegDecoder | None = None
        self._encoder: VideoEncoder | None = None
        self._busy = False
        self._owes_keyframe = True
        self._closed = False

    async def picture(
        self, shown: Pose | bytes, *, due: float, keyframe: bool = False
    ) -> bytes | None:
        """Compose and encode a pose, or encode a JPEG picture in its place; `due`, in seconds of
        the loop's clock, is when it is wanted.

        None where it was not drawn: the picture before it is still under way or the studio has too
        many, which the ladder hears of; the face's layers are still being made; the take is closed.
        A keyframe that was wanted then comes with the next picture. So does one after a picture
        that was drawn and, because of a cancellation, not sent.

        Raises:
            av.FFmpegError: The encoder failed; the next picture begins with another.
            RendererMissing, FaceError: The face cannot be drawn.
            NotJpeg: The picture cannot be decoded.
        """
        self._owes_keyframe |= keyframe
        if self._closed:
            return None
        studio = self._studio
        draw: Callable[[], Bytes]
        if isinstance(shown, bytes):
            draw = partial(self._decoded, shown)
        else:
            bitmaps = studio._ready(self._face, self._size)
            if bitmaps is None:
                return None
            draw = partial(self._composed, bitmaps, shown)
        key = self._owes_keyframe
        work = None if self._busy else studio._submit(partial(self._draw, draw, key))
        if work is None:
            studio._feed(studio._ladder.refused)
            return None
        self._busy, self._owes_keyframe = True, False
        loop = asyncio.get_running_loop()
        sent: asyncio.Future[bytes | None] = loop.create_future()
        work.add_done_callback(lambda work: loop.call_soon_threadsafe(self._drawn, work, sent, due))
        try:
            return await sent
        except BaseException:
            self._owes_keyframe = True
            raise

    def close(self) -> None:
        """No further pictures; one that is under way is let go. Closing twice does nothing."""
        self._closed = True
        self._studio._sessions.discard(self)
        if not self._busy:
            self._picture = self._decoder = self._encoder = None

    def _draw(self, draw: Callable[[], Bytes], keyframe: bool) -> tuple[bytes, float]:
        """In a thread; nobody else touches what this and `draw` use meanwhile."""
        begun = time.thread_time()
        if self._encoder is None:
            self._encoder = self._new_encoder()
        unit = self._encoder.encode(draw(), keyframe=keyframe)
        return unit, (time.thread_time() - begun) * 1000

    def _composed(self, bitmaps: LayerBitmaps, pose: Pose) -> Bytes:
        if self._picture is None:
            self._picture = Picture(bitmaps)
        self._picture.show(pose)
        return self._picture.i420

    def _decoded(self, jpeg: bytes) -> Bytes:
        if self._decoder is None:
            self._decoder = JpegDecoder(self._size)
        return self._decoder.decode(jpeg)

    def _drawn(
        self,
        work: "Future[tuple[bytes, float]]",
        sent: "asyncio.Future[bytes | None]",
        due: float,
    ) -> None:
        self._busy = False
        studio = self._studio
        studio._returned()
        unit, error = None, None
        if not work.cancelled():
            error = work.exception()
            if error is not None:
                self._encoder = None
            else:
                unit, cost_ms = work.result()
                late_ms = (sent.get_loop().time() - due) * 1000
                studio._feed(partial(studio._ladder.encoded, late_ms, cost_ms))
        if self._closed:
            self._picture = self._decoder = self._encoder = None
        if sent.done():
            return
        if error is not None:
            sent.set_exception(error)
        else:
            sent.set_result(unit)
