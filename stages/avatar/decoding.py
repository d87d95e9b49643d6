"""JPEG pictures of an avatar server as I420, of the size that is encoded.

A picture is bounded before it is decoded: by its header, by the number of its scans (each costs a
pass over the whole picture), and by the decoder's own limit, which also holds for later headers in
the file.
"""

import numpy as np
from av import CodecContext, FFmpegError, Packet
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from stages.avatar.jpeg import NotJpeg, dimensions
from stages.avatar.renderer import Bytes

LARGEST = 1024
"""Pixels, in width and height."""

MOST_SCANS = 32
"""Progressive encoders make ten."""

_SCAN = b"\xff\xda"


class JpegDecoder:
    """Not thread-safe: calls may come from different threads, one at a time.

    `size` is the width and height of the result; a picture of another shape is stretched.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        context = CodecContext.create("mjpeg", "r")
        context.thread_count = 1
        context.options = {"max_pixels": str(LARGEST * LARGEST)}
        self._context = context
        self._scaler = VideoReformatter()

    def decode(self, jpeg: bytes) -> Bytes:
        """The rows of Y, U and V as `renderer.Picture.i420` has them. Takes 1 ms at 320 × 320.

        Raises `NotJpeg` for a picture that is too large, incomplete or no JPEG.
        """
        width, height = dimensions(jpeg)
        if max(width, height) > LARGEST or jpeg.count(_SCAN) > MOST_SCANS:
            raise NotJpeg(f"{width} × {height} pixels in {jpeg.count(_SCAN)} scans")
        try:
            frames = self._context.decode(Packet(jpeg))
        except FFmpegError as error:
            raise NotJpeg(f"it cannot be decoded: {error.strerror}") from None
        if len(frames) != 1:
            raise NotJpeg(f"{len(frames)} pictures in one")
        scaled = self._scaler.reformat(
            frames[0],
            self._size,
            self._size,
            "yuv420p",
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
        )
        return scaled.to_ndarray().astype(np.uint8, copy=False)
