"""One session's pictures during a reply: composed, encoded, at most one of them under way."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Protocol

from stages.avatar.decoding import JpegDecoder
from stages.avatar.encoding import Codec, VideoEncoder
from stages.avatar.renderer import Bytes, LayerBitmaps, Picture
from stages.avatar.timeline import Pose


class Drawing(Protocol):
    """The studio that draws for an encoding session, as far as the session uses it."""

    def layers(self, face: str, size: int) -> LayerBitmaps | None:
        """The layers if they have been made; otherwise None, and they are being made."""

    def submit(
        self, draw: Callable[[], tuple[bytes, float]]
    ) -> "Future[tuple[bytes, float]] | None":
        """Have a picture drawn in a thread; None if too many are waiting."""

    def returned(self) -> None:
        """A picture that was submitted is finished."""

    def refused(self) -> None:
        """A picture was not drawn: too many are waiting, or the one before is under way."""

    def encoded(self, late_ms: float, cost_ms: float) -> None:
        """A picture was encoded, `late_ms` after it was due, with `cost_ms` of CPU time."""

    def left(self, session: "EncodingSession") -> None:
        """The session makes no further pictures."""


class EncodingSession:
    """The pictures of one session during a reply; made by `Studio.encoding_session`."""

    def __init__(self, studio: Drawing, face: str, codec: Codec, size: int, frame_ms: int) -> None:
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
        """Compose and encode a pose, or encode a JPEG picture in its place, by `due`, in seconds of
        the loop's clock.

        Returns None if nothing was drawn: the picture before is still under way or too many are
        waiting (the ladder counts both); the face's layers are still being made; the session is
        closed. A keyframe that was asked for then comes with the next picture. After a cancellation
        the next picture is a keyframe too.

        Raises:
            av.FFmpegError: The encoder failed; the next picture gets a new one.
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
            bitmaps = studio.layers(self._face, self._size)
            if bitmaps is None:
                return None
            draw = partial(self._composed, bitmaps, shown)
        key = self._owes_keyframe
        work = None if self._busy else studio.submit(partial(self._draw, draw, key))
        if work is None:
            studio.refused()
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
        """Make no further pictures; the one under way is dropped. Idempotent."""
        self._closed = True
        self._studio.left(self)
        if not self._busy:
            self._picture = self._decoder = self._encoder = None

    def _draw(self, draw: Callable[[], Bytes], keyframe: bool) -> tuple[bytes, float]:
        """Runs in a thread; no other code uses the encoder and the canvas meanwhile."""
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
        studio.returned()
        unit, error = None, None
        if not work.cancelled():
            error = work.exception()
            if error is not None:
                self._encoder = None
            else:
                unit, cost_ms = work.result()
                late_ms = (sent.get_loop().time() - due) * 1000
                studio.encoded(late_ms, cost_ms)
        if self._closed:
            self._picture = self._decoder = self._encoder = None
        if sent.done():
            return
        if error is not None:
            sent.set_exception(error)
        else:
            sent.set_result(unit)
