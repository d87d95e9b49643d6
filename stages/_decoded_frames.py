"""Decoded frames of an upload: their samples, and where they begin and pause.

Used inside the worker process of `stages._decode_worker` only.
"""

from collections.abc import Generator, Iterator
from typing import Any

import av
import numpy as np

_SKIP_MANUAL = 1 << 29
"""`AV_CODEC_FLAG2_SKIP_MANUAL` of FFmpeg: the cuts at either end are left to the caller."""


def readable(frame: Any) -> Any:
    """The frame in a form whose samples PyAV reads: of eight channels with a plane each it would
    read a ninth, which is not there."""
    if not frame.format.is_planar or frame.layout.nb_channels < 8:
        return frame
    interleaving = av.AudioResampler(
        format=frame.format.packed.name, layout=frame.layout.name, rate=frame.sample_rate
    )
    [interleaved] = interleaving.resample(frame)
    return interleaved


def power(frame: Any) -> float:
    """The mean square of a frame's samples, in shares of full scale; 0 if they are no numbers."""
    samples = readable(frame).to_ndarray()
    if samples.dtype == np.uint8:
        scaled = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        scaled = samples.astype(np.float32) / np.iinfo(samples.dtype).max
    else:
        scaled = samples.clip(-1, 1).astype(np.float32)
    power = float(np.square(scaled).mean())
    return power if np.isfinite(power) else 0.0


def to_break(run: Iterator[Any]) -> Generator[Any, None, bool]:
    """Its frames up to damage behind which the file can be read on; returns whether it came."""
    for frame in run:
        if frame is None:
            return True
        yield frame
    return False


def kept_beginning(stream: Any, run: Iterator[Any]) -> Iterator[Any]:
    """A track's frames without the cut that is made at the beginning of a file: that of what the
    encoder put before the sound."""
    context = stream.codec_context
    context.flags2 |= _SKIP_MANUAL
    for frame in run:
        context.flags2 &= ~_SKIP_MANUAL
        yield frame
