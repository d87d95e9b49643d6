"""What the pictures of a process's sessions share, and where a session gets its stream."""

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
from pipeline.pacer import Pacer
from pipeline.stage import Animator
from stages.avatar.studio import Studio

logger = logging.getLogger("parley.avatar")

SIZE = 320
FACE, VISEMES = "face", "visemes"
"""The built-in face, and the client's own: who draws where no server does."""

NOT_DRAWN = "no face can be drawn here: the extra 'avatar' is missing, or video is off"


class FaceService:
    """Use it as an async context manager; sessions are left before it is.

    `studio` draws the built-in faces, `animators` are avatar servers; None where there are none.
    `default` is the face of clients that name none, or none of `faces`.
    """

    def __init__(
        self,
        studio: Studio | None,
        animators: Guard[Animator] | None,
        pacer: Pacer,
        *,
        default: str,
    ) -> None:
        self.default = default
        self.faces = (default,) if studio is None else tuple(sorted(studio.faces))
        self._studio = studio
        self._animators = animators
        self._pacer = pacer
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
        """Who animates the face of a client that wants pictures."""
        if self._animators is not None:
            return self._animators.candidates[0].provider
        return VISEMES if self._studio is None else FACE

    @property
    def server(self) -> str | None:
        """The avatar server that animates, if there is one."""
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
        """The pictures of one session while the block lasts; None where nobody draws any.

        `show` sends a picture, `degraded` tells the client of who gave way, `room` says whether the
        client has room for a picture. A face whose layers are yet to be made, which takes 0.3 s
        once, has its pictures when they are there; nobody waits for it.
        """
        if self._studio is None and self._animators is None:
            yield None
            return
        face = wanted if wanted in self.faces else self.default

        def gave_way(turn: int, source: str, target: str | None, reason: str) -> None:
            ours = VISEMES if self._studio is None or face in self._undrawable else FACE
            degraded(Degraded(turn, "avatar", source, target or ours, reason))

        async with self.animated(face, gave_way) as animation:
            stream = FaceStream(
                animation,
                show=show,
                room=room,
                pacer=self._pacer,
                rate_hz=rate_hz,
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
        """One session's face at the avatar server while the block lasts; None without a server."""
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
            bitmaps = await self._studio.plates(face, SIZE)
            async with self._opening:
                if face not in self._pictures:
                    renderer = await asyncio.wrap_future(self._pool.submit(JpegRenderer, bitmaps))
                    self._pictures[face] = PictureCache(renderer, self._pool)
        except Exception as error:  # of a rasteriser over somebody's drawing, or of an encoder
            logger.warning("the face %s cannot be drawn: %s", face, error)
            self._undrawable.add(face)
            if self._animators is None:
                degraded(Degraded(0, "avatar", FACE, VISEMES, "the face cannot be drawn"))
            return
        self._undrawable.discard(face)
        stream.pictures = self._pictures[face]
