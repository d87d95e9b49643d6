"""The parts that all face streams of a process share, and `FaceService.stream`, which makes one."""

import asyncio
import logging
import zlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from gateway.faces.animation import Animation, GaveWay
from gateway.faces.loops import Loops
from gateway.faces.pictures import JpegRenderer, PictureCache
from gateway.faces.stream import FRAME_MS, FaceStream
from pipeline.frames import AvatarFrame, Degraded
from pipeline.guard import Guard
from pipeline.ladder import Ladder
from pipeline.pacer import Pacer
from pipeline.stage import Animator
from stages.avatar.quality import QualityLevel
from stages.avatar.studio import Studio

logger = logging.getLogger("parley.avatar")

SIZE = 320
FACE, VISEMES = "face", "visemes"
"""Replacements of an avatar server: the built-in face, or visemes that the client draws."""

NOT_DRAWN = "no face can be drawn here: the extra 'avatar' is missing, or video is off"


class FaceService:
    """The face streams of a process. Use it as an async context manager around all sessions.

    `studio` draws the built-in faces and `animators` are avatar servers; either may be None.
    `default` is the face of clients that name none, or none of `faces`. The streams follow the
    process's `ladder`.
    """

    def __init__(
        self,
        studio: Studio | None,
        animators: Guard[Animator] | None,
        pacer: Pacer,
        *,
        default: str,
        ladder: Ladder | None = None,
    ) -> None:
        self.default = default
        self.faces = (default,) if studio is None else tuple(sorted(studio.faces))
        self._studio = studio
        self._animators = animators
        self._pacer = pacer
        self._ladder = Ladder() if ladder is None else ladder
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="faces")
        self._pictures: dict[str, PictureCache] = {}
        self._opening = asyncio.Lock()  # one cache is made, in 0.1 s, and shared
        self._undrawable: set[str] = set()
        self._loops = None if animators is None else Loops(animators, FRAME_MS)

    async def __aenter__(self) -> "FaceService":
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._loops is not None:
            await self._loops.aclose()
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def provider(self) -> str:
        """The provider that animates the face of a client that wants pictures."""
        if self._animators is not None:
            return self._animators.candidates[0].provider
        return VISEMES if self._studio is None else FACE

    @property
    def server(self) -> str | None:
        """The first avatar server, None without one."""
        return None if self._animators is None else self._animators.candidates[0].provider

    @asynccontextmanager
    async def stream(
        self,
        wanted: str | None,
        *,
        session_id: str,
        rate_hz: int,
        show: Callable[[AvatarFrame], None],
        degraded: Callable[[Degraded], None],
        room: Callable[[], bool],
    ) -> AsyncIterator[FaceStream | None]:
        """The face stream of one session while the block lasts; None if no provider draws faces.

        `show` sends a picture, `degraded` tells the client which provider failed, and `room` says
        whether the client can take a picture now. The layers of a face are made once, in 0.3 s, in
        the background; until then its stream has no pictures.
        """
        if self._studio is None and self._animators is None:
            yield None
            return
        face = wanted if wanted in self.faces else self.default

        def gave_way(turn: int, source: str, target: str | None, reason: str) -> None:
            ours = VISEMES if self._studio is None or face in self._undrawable else FACE
            degraded(Degraded(turn, "avatar", source, target or ours, reason))

        def stepped(turn: int, old: QualityLevel, new: QualityLevel, reason: str) -> None:
            degraded(Degraded(turn, "avatar", old.name, new.name, reason))

        async with self.animated(face, gave_way) as animation:
            stream = FaceStream(
                animation,
                show=show,
                room=room,
                pacer=self._pacer,
                rate_hz=rate_hz,
                ladder=self._ladder,
                stepped=stepped,
                seed=zlib.crc32(session_id.encode()),
            )
            stream.pictures = self._pictures.get(face)
            loading = asyncio.create_task(self._load(stream, face, degraded))
            try:
                yield stream
            finally:
                stream.close()
                loading.cancel()
                await asyncio.wait([loading])

    @asynccontextmanager
    async def animated(self, face: str, gave_way: GaveWay) -> AsyncIterator[Animation | None]:
        """One session's animation by an avatar server while the block lasts; None without one."""
        if self._animators is None or self._loops is None:
            yield None
            return
        animation = Animation(
            self._animators,
            self._loops,
            face=face,
            size=SIZE,
            frame_ms=FRAME_MS,
            gave_way=gave_way,
        )
        async with animation.running():
            yield animation

    async def _load(
        self, stream: FaceStream, face: str, degraded: Callable[[Degraded], None]
    ) -> None:
        if self._studio is None or stream.pictures is not None:
            return
        try:
            bitmaps = await self._studio.bitmaps(face, SIZE)
            async with self._opening:
                if face not in self._pictures:
                    renderer = await asyncio.wrap_future(self._pool.submit(JpegRenderer, bitmaps))
                    self._pictures[face] = PictureCache(renderer, self._pool)
        except Exception as error:  # from the rasteriser, for a custom face, or the encoder
            logger.warning("the face %s cannot be drawn: %s", face, error)
            self._undrawable.add(face)
            if self._animators is None:
                degraded(Degraded(0, "avatar", FACE, VISEMES, "the face cannot be drawn"))
            return
        self._undrawable.discard(face)
        stream.pictures = self._pictures[face]
