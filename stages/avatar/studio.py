"""Drawing and encoding of faces, for all sessions of a process.

Pictures of speaking faces are drawn in a bounded pool of threads. An `EncodingSession` makes the
pictures of one session during a reply. At most one of them is under way: the next is refused rather
than queued, so that no picture is sent out of date. Layers and loops are made once, in a thread of
their own, so that they delay no picture.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from pipeline.frames import VISEMES, AvatarMood
from pipeline.ladder import Ladder, LadderStep, PictureVerdict
from stages.avatar.encoding import Codec, codecs
from stages.avatar.encoding_session import EncodingSession
from stages.avatar.face import MOODS, Face
from stages.avatar.loops import Loop, record, record_pictures
from stages.avatar.quality import (
    QUALITY_LEVELS,
    WINDOW_S,
    PictureLoad,
    QualityLevel,
    level_at,
)
from stages.avatar.renderer import LayerBitmaps

logger = logging.getLogger("parley.avatar")

T = TypeVar("T")

MAX_THREADS = 4
"""Default limit. A thread draws and encodes 4000 pictures a second, half as many on a busy core."""

MOST_WAITING = 64
"""Pictures under way for each thread; they are drawn within the time of one picture."""

RETRY_S = 10.0
"""Seconds until layers or loops that could not be made are tried again, so not at every picture."""

LOOK_S = 1.0
"""How often `warm` looks whether the process is idle again."""

WARMING = ("warm",)

LevelListener = Callable[[QualityLevel, QualityLevel, str], None]


class StudioClosed(RuntimeError):
    """The studio was left."""


class Studio:
    """Shared by all sessions of a process. Use it as an async context manager; leaving it ends its
    threads once each has finished its present job.

    Args:
        faces: By name.
        default: The name of the face that is shown unless a session asks for another.
        threads: The number of drawing threads; by default one per core, at most `MAX_THREADS`.
        ladder: The process's, which the pictures follow; by default one of its own.
    """

    def __init__(
        self,
        faces: Mapping[str, Face],
        *,
        default: str,
        threads: int | None = None,
        ladder: Ladder | None = None,
    ) -> None:
        self.faces = dict(faces)
        self.default = default
        self._check(default)
        self.threads = threads or min(MAX_THREADS, _cores())
        self.ladder = Ladder() if ladder is None else ladder
        self._load = PictureLoad(self.threads)
        self._pool = ThreadPoolExecutor(self.threads, "face")
        self._asset_pool = ThreadPoolExecutor(1, "face-assets")
        self._made: dict[tuple[Any, ...], Any] = {}
        self._making: dict[tuple[Any, ...], asyncio.Task[Any]] = {}
        self._failed: dict[tuple[Any, ...], tuple[Exception, float]] = {}
        self._sessions: set[EncodingSession] = set()
        self._watching: asyncio.Task[None] | None = None
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._closed = False
        self._closing = asyncio.Event()

    async def __aenter__(self) -> "Studio":
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._closed = True
        self._closing.set()
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

    # --- layers and loops --------------------------------------------------------------------

    def warm(self, idle: Callable[[], bool] = lambda: True) -> None:
        """Make the default face's layers in all sizes, and in the first size its loops and the
        mouths between two shapes, in the background, while the process is `idle`. Other requests
        are served in between.

        They take seconds of a core, which conversations need while there are any. Layers and loops
        that a face needs meanwhile are made on request.
        """
        self._start(WARMING, partial(self._warm, idle))

    async def _warm(self, idle: Callable[[], bool]) -> None:
        face, sizes = (
            self.default,
            dict.fromkeys(level.size for level in QUALITY_LEVELS if level.size),
        )
        jobs: list[Callable[[], Coroutine[Any, Any, object]]] = [
            *(partial(self.bitmaps, face, size) for size in sizes),
            *(
                partial(self.loop, face, codec, QUALITY_LEVELS[0].size, mood)
                for codec in codecs()
                for mood in MOODS
            ),
            *(partial(self._prepare, face, QUALITY_LEVELS[0].size, shape) for shape in VISEMES),
        ]
        for job in jobs:
            while not (idle() or self._closed):
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), LOOK_S)
            try:
                await job()
            except Exception:  # it has been logged, or will be requested again
                logger.debug("face: not warmed", exc_info=True)

    async def bitmaps(self, face: str, size: int) -> LayerBitmaps:
        """The layers of a face, made once; concurrent calls wait for the same ones.

        Raises:
            KeyError: There is no face of that name.
            ValueError, RendererMissing, FaceError: As `LayerBitmaps` does; again for `RETRY_S`.
            StudioClosed: The studio was left meanwhile.
        """
        self._check(face)
        made: LayerBitmaps = await self._once(
            ("layers", face, size), partial(self._bitmaps, face, size)
        )
        return made

    async def loop(self, face: str, codec: Codec, size: int, mood: AvatarMood) -> Loop:
        """The loop of a face that says nothing, recorded by the first call.

        Raises as `bitmaps` does, and `av.FFmpegError` if the codec is missing.
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
        """The loop of an avatar server's face, recorded from `pictures` by the first call.

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

    async def _prepare(self, face: str, size: int, shape: str) -> None:
        bitmaps = await self.bitmaps(face, size)
        await self._work(partial(bitmaps.prepare, shape))

    async def _loop(self, face: str, codec: Codec, size: int, mood: AvatarMood) -> Loop:
        bitmaps = await self.bitmaps(face, size)
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
        # A caller that is cancelled must not cancel the work for the others.
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

    # --- the quality level -------------------------------------------------------------------

    @property
    def level(self) -> QualityLevel:
        return level_at(self.ladder.step)

    @property
    def under_way(self) -> int:
        """Pictures that are drawn or wait for a thread: at most `MOST_WAITING` per thread."""
        return self._under_way

    def changed(self, listener: LevelListener) -> Callable[[], None]:
        """A client is shown a face: call `listener(old, new, reason)` whenever the level changes,
        until the returned function is called. The listener runs on the event loop and should return
        soon.
        """

        def stepped(before: LadderStep, after: LadderStep, reason: str) -> None:
            old, new = level_at(before), level_at(after)
            if old is new:
                return
            try:
                listener(old, new, reason)
            except Exception:
                logger.exception("face: a listener failed")

        return self.ladder.shown(stepped)

    def refused(self) -> None:
        """A picture was not drawn: too many are waiting, or the one before is under way."""
        if self._counts():
            self._load.refused()

    def encoded(self, late_ms: float, cost_ms: float) -> None:
        """A picture was encoded, `late_ms` after it was due, with `cost_ms` of CPU time."""
        if self._counts():
            self._load.encoded(late_ms, cost_ms)

    def left(self, session: EncodingSession) -> None:
        """The session makes no further pictures."""
        self._sessions.discard(session)

    def _counts(self) -> bool:
        """Whether a picture counts. While layers or loops are being made it does not: for that
        short time, pictures are slow for another reason.
        """
        if self._making.keys() - {WARMING}:
            return False
        self._judge()
        self._watch_on()  # of a session that has been closed, it may be late
        return True

    def _watch_on(self) -> None:
        if self._watching is None and not self._closed:
            self._watching = asyncio.get_running_loop().create_task(self._watch())

    def _judge(self) -> None:
        now = asyncio.get_running_loop().time()
        if (verdict := self._load.judged(self.ladder.step, now)) is not None:
            self.ladder.drew(verdict, now)

    async def _watch(self) -> None:
        """Let the ladder judge every window soon after its end, even if no picture comes.

        The window in which the last session ends is judged as well: its pictures would otherwise
        count for the next session, whenever that begins.
        """
        self._judge()
        while self._sessions or self.ladder.step or self._load.pending:
            await asyncio.sleep(WINDOW_S / 4)
            self._judge()
        now = asyncio.get_running_loop().time()
        self.ladder.drew(PictureVerdict(now), now)  # nothing is drawn
        self._watching = None

    # --- pictures of speaking faces ----------------------------------------------------------

    def encoding_session(
        self, face: str, codec: Codec, size: int, frame_ms: int
    ) -> EncodingSession:
        """A new encoding session, for one reply. The caller closes it.

        Raises:
            KeyError: There is no face of that name.
            StudioClosed: The studio was left.
        """
        self._check(face)
        if self._closed:
            raise StudioClosed
        session = EncodingSession(self, face, codec, size, frame_ms)
        self._sessions.add(session)
        self._watch_on()
        return session

    def layers(self, face: str, size: int) -> LayerBitmaps | None:
        """The layers if they have been made; otherwise None, and they are being made."""
        key = ("layers", face, size)
        made: LayerBitmaps | None = self._made.get(key)
        if made is None and not self._closed:
            if (failure := self._failure(key)) is not None:
                raise failure.with_traceback(None)
            self._start(key, partial(self._bitmaps, face, size))
        return made

    def submit(
        self, draw: Callable[[], tuple[bytes, float]]
    ) -> "Future[tuple[bytes, float]] | None":
        """Have a picture drawn; None if too many are waiting."""
        if self._closed or self._under_way >= self.threads * MOST_WAITING:
            return None
        self._under_way += 1
        self._quiet.clear()
        return self._pool.submit(draw)

    def returned(self) -> None:
        """A picture that was submitted is finished."""
        self._under_way -= 1
        if not self._under_way:
            self._quiet.set()


def _cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
