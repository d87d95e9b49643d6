"""The face as video: I420 pictures become access units of H.264 or VP8, on the CPU.

Both encoders hold the quantiser and let the bit rate follow: before a still background, only the
moving mouth costs bits, and keyframes look like the pictures between them, so that nothing pulses.
`bit_rate` is a cap for drawings full of detail. There is no lookahead and there are no B-pictures:
each picture gives its unit at once. Measured: `docs/faces.md`.
"""

from fractions import Fraction
from typing import Literal, cast

import numpy as np
from av import CodecContext, VideoFrame, codecs_available
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace

from stages.avatar.renderer import SIZES, Bytes

Codec = Literal["h264", "vp8"]

BIT_RATE = 1_000_000
"""In bits a second, over a second. Parley's own faces speak at 150 000."""

_ENCODERS: dict[Codec, str] = {"h264": "libx264", "vp8": "libvpx"}
_NEVER = 1 << 20
"""Keyframes are made on request, not by count."""


def codecs() -> tuple[Codec, ...]:
    """The codecs that can be encoded here; a distribution's PyAV may lack x264."""
    return tuple(codec for codec, name in _ENCODERS.items() if name in codecs_available)


class VideoEncoder:
    """One stream. Not thread-safe: calls may come from different threads, one at a time.

    H.264 is constrained baseline (`profile-level-id=42e01f` holds up to 720 × 720), Annex B, with
    parameter sets before each IDR picture. VP8 is profile 0 without alternative references.

    Args:
        codec: One of `codecs()`.
        size: Width and height in pixels, one of `renderer.SIZES`.
        frame_ms: From one picture to the next.
        bit_rate: The most over a second, in bits a second; of VP8, up to ten times that for noise.
        patient: Search longer for fewer bits. For video that is encoded once and sent often.

    Raises:
        ValueError: The size or the time cannot be encoded.
        av.FFmpegError: PyAV has no such encoder, or it does not start.
    """

    def __init__(
        self,
        codec: Codec,
        size: int,
        frame_ms: int,
        bit_rate: int = BIT_RATE,
        *,
        patient: bool = False,
    ) -> None:
        if size not in SIZES:
            raise ValueError(f"a picture is a multiple of 16 pixels from 64 to 1024, not {size}")
        if not 10 <= frame_ms <= 1000:
            raise ValueError(f"a picture stays for 10 to 1000 ms, not {frame_ms}")
        self._shape = (size * 3 // 2, size)
        self._next = 0
        context = cast("VideoCodecContext", CodecContext.create(_ENCODERS[codec], "w"))
        context.width = context.height = size
        context.pix_fmt = "yuv420p"
        context.time_base = Fraction(frame_ms, 1000)
        context.framerate = Fraction(1000, frame_ms)
        context.color_range = ColorRange.MPEG
        context.colorspace = Colorspace.ITU601
        context.gop_size = _NEVER
        # One thread: pictures of many sessions are encoded side by side, never parts of one.
        context.thread_count = 1
        if codec == "h264":
            context.profile = "Baseline"
            context.options = _x264(bit_rate, patient)
        else:
            context.bit_rate = bit_rate
            context.options = _vpx(bit_rate, patient)
        context.open()
        self._context = context

    def encode(self, i420: Bytes, *, keyframe: bool = False) -> bytes:
        """One picture as one access unit; the first is a keyframe.

        Takes the rows of Y, U and V as `renderer.Picture.i420` has them, which may change again
        once this has returned.

        Raises:
            ValueError: The picture has another size.
            av.FFmpegError: The encoder failed; it is of no further use.
        """
        if i420.shape != self._shape or i420.dtype != np.uint8:
            raise ValueError(f"a picture is {self._shape} of uint8, not {i420.shape}")
        # Without a copy: both encoders make their own before they return.
        frame = VideoFrame.from_numpy_buffer(i420, format="yuv420p")
        frame.pts, frame.time_base = self._next, self._context.time_base
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        self._next += 1
        return b"".join(map(bytes, self._context.encode(frame)))


def _x264(bit_rate: int, patient: bool) -> dict[str, str]:
    return {
        "preset": "veryfast" if patient else "ultrafast",
        "tune": "zerolatency",
        # The quality asked for is better than the finest quantiser allowed, so that it is the one
        # used everywhere until the bit rate forbids it.
        "crf": "16",
        "qmin": "22" if patient else "20",
        "x264-params": "ipratio=1.0:aq-mode=0",
        "maxrate": str(bit_rate),
        "bufsize": str(bit_rate),
        "forced-idr": "1",
    }


def _vpx(bit_rate: int, patient: bool) -> dict[str, str]:
    return {
        "deadline": "good" if patient else "realtime",
        # Below 0 the speed is fixed; above it, libvpx goes by the clock.
        "cpu-used": "2" if patient else "-8",
        # Skip the search in parts that hardly change: half the work, and 1 dB.
        "static-thresh": "0" if patient else "1000",
        "lag-in-frames": "0",
        "auto-alt-ref": "0",
        "qmin": "10" if patient else "8",
        # Without a limit, libvpx now and then spends half on a keyframe, which is visible.
        "qmax": "40",
        "maxrate": str(bit_rate),
        "bufsize": str(bit_rate),
    }
