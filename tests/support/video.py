"""Helpers of the video tests: decoded pictures, and the parts of units."""

from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from typing import Any

import av
import numpy as np
from av import CodecContext, VideoFrame
from av.video.codeccontext import VideoCodecContext

from stages.avatar.encoding import Codec
from stages.avatar.renderer import Bytes


def decoded(codec: Codec, units: Iterable[bytes]) -> list[Bytes]:
    """The I420 picture of every unit; one decoder sees them all. A unit that decodes to none, or
    to several, is an error.
    """
    decoder = CodecContext.create(codec, "r")
    assert isinstance(decoder, VideoCodecContext)
    pictures = []
    for unit in units:
        (frame,) = decoder.decode(av.Packet(unit))
        pictures.append(np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8))
    return pictures


def psnr(one: Bytes, other: Bytes) -> float:
    """How alike two pictures are, in dB; from 40 on, people see no difference."""
    error = float(np.mean((one.astype(float) - other) ** 2))
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def nal_types(unit: bytes) -> list[int]:
    """The types of the NAL units in an access unit of H.264: 5 IDR, 1 other, 7 and 8 parameters."""
    return [part[0] & 31 for part in unit.split(b"\0\0\1")[1:]]


def is_keyframe(codec: Codec, unit: bytes) -> bool:
    """By the bytes: an IDR picture, or the frame tag of RFC 6386, section 9.1."""
    return 5 in nal_types(unit) if codec == "h264" else not unit[0] & 1


@cache
def jpeg(grey: int, size: int = 320) -> bytes:
    """A picture of one shade, 0 to 255."""
    encoder: Any = CodecContext.create("mjpeg", "w")
    encoder.width = encoder.height = size
    encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
    planes = np.full((size * 3 // 2, size), 128, np.uint8)
    planes[:size] = grey
    return b"".join(map(bytes, encoder.encode(VideoFrame.from_ndarray(planes, "yuvj420p"))))


def luma(grey: int) -> float:
    """How light a shade is in video, whose black is 16 and white 235."""
    return 16 + grey * 219 / 255
