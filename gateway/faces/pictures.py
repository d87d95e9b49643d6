"""A face's pictures as JPEG, drawn on first use and cached for all sessions.

A `timeline.Pose` has few possible values on purpose: nearly all poses of a conversation have been
drawn before, and then a picture costs a look-up in a dictionary.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from fractions import Fraction

from av import CodecContext, VideoFrame
from av.video.codeccontext import VideoCodecContext
from cachetools import LRUCache

from stages.avatar.renderer import LayerBitmaps, Picture
from stages.avatar.timeline import Pose

logger = logging.getLogger("parley.avatar")

MIME = "image/jpeg"

QUALITY = 4
"""FFmpeg's scale, 1 to 31. A picture of 320 × 320 takes 10 KB, without visible blocks."""

MOST_BYTES = 32 * 1024 * 1024
"""The cache of one face, some 3000 pictures; the least recently used is dropped."""

RETRY_S = 10.0
"""A picture that could not be drawn, by a bug or for lack of memory, is tried again after this."""

MOST_WANTED = 32
"""Pictures that may wait to be drawn. Each takes under a millisecond; more would be late."""


class PictureCache:
    """Pictures of one face at one size. Belongs to the event loop that it is used on.

    `draw` makes a picture in a thread of `pool`; with several threads it must be thread-safe.
    """

    def __init__(
        self, draw: Callable[[Pose], bytes], pool: Executor, *, most_bytes: int = MOST_BYTES
    ) -> None:
        self._draw = draw
        self._pool = pool
        self._kept: LRUCache[Pose, bytes] = LRUCache(most_bytes, getsizeof=len)
        self._wanted: set[Pose] = set()
        self.hits = 0
        self.misses = 0

    def get(self, pose: Pose) -> bytes | None:
        """The picture, or None if it is not drawn yet; then drawing begins. Never waits."""
        found = self._kept.get(pose)
        if found is not None:
            self.hits += 1
            return found
        self.misses += 1
        if pose not in self._wanted and len(self._wanted) < MOST_WANTED:
            try:
                drawing = asyncio.wrap_future(self._pool.submit(self._draw, pose))
            except RuntimeError:  # the pool was shut down, because the process ends
                return None
            self._wanted.add(pose)
            drawing.add_done_callback(lambda drawn: self._keep(pose, drawn))
        return None

    def _keep(self, pose: Pose, drawn: "asyncio.Future[bytes]") -> None:
        if drawn.cancelled():
            return
        if (error := drawn.exception()) is not None:
            logger.error("a picture cannot be drawn", exc_info=error)
            drawn.get_loop().call_later(RETRY_S, self._wanted.discard, pose)
            return
        picture = drawn.result()
        self._wanted.discard(pose)
        if len(picture) <= self._kept.maxsize:
            self._kept[pose] = picture


class JpegRenderer:
    """Draws poses of a face as JPEG. Not thread-safe: any thread may call it, one at a time.

    Raises `av.FFmpegError` if PyAV has no JPEG encoder.
    """

    def __init__(self, bitmaps: LayerBitmaps) -> None:
        self._picture = Picture(bitmaps)
        context = CodecContext.create("mjpeg", "w")
        assert isinstance(context, VideoCodecContext)
        context.width = context.height = bitmaps.size
        context.pix_fmt = "yuvj420p"  # full range, as JPEG requires
        context.time_base = Fraction(1, 1000)
        context.qmin = context.qmax = QUALITY
        context.thread_count = 1
        context.open()
        self._context = context

    def __call__(self, pose: Pose) -> bytes:
        self._picture.show(pose)
        frame = VideoFrame.from_ndarray(self._picture.i420, format="yuv420p")
        (packet,) = self._context.encode(frame.reformat(format="yuvj420p"))
        return bytes(packet)
