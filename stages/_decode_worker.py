"""Decoding inside a worker process, the only place where FFmpeg parses uploaded files.

Its limits:

- The container (found by `stages._containers`) and the codecs are prescribed to FFmpeg, and it
  reads through a Python object: no playlist, reference or protocol can make it open anything.
- The process limits itself before it reads a byte: added memory, processor time, file size.
- Each request decodes one block of sound, so nothing piles up.
- The claims of a header are checked before any codec is opened.
"""

import os
import sys
import tempfile
from collections.abc import Generator, Iterator
from typing import Any, BinaryIO

import av
import numpy as np

from pipeline.downmix import Downmix
from pipeline.frames import INPUT_RATE_HZ, Samples
from stages._containers import Container
from stages._decode_file import Facts, RecordingRefused, frames, possible
from stages._decoded_frames import readable
from stages._worker_main import Header, WorkerReply

if sys.platform != "win32":
    import resource

BLOCK_SAMPLES = 8 * INPUT_RATE_HZ
"""Sound in one reply at most, 256 kB; decoding it takes some 30 ms."""

_SPARE_BYTES = 1 << 16

# --- the sound -------------------------------------------------------------------------------


def blocks(
    file: BinaryIO, size: int, longest_s: float, facts: Facts
) -> Generator[bytes, None, None]:
    """The file's sound as 16 kHz mono 16-bit samples in blocks. Fills in `facts`.

    Raises `RecordingRefused`.
    """
    limit = round(longest_s * INPUT_RATE_HZ)
    kept: list[Samples] = []
    waiting = 0
    for pcm in _resampled(frames(file, size, longest_s, facts), facts):
        facts.samples += len(pcm)
        if facts.samples > limit:
            raise RecordingRefused("too_long", f"It lasts longer than {longest_s / 60:g} minutes")
        kept.append(pcm)
        waiting += len(pcm)
        if waiting >= BLOCK_SAMPLES:
            block = np.concatenate(kept)
            for start in range(0, waiting - BLOCK_SAMPLES + 1, BLOCK_SAMPLES):
                yield block[start : start + BLOCK_SAMPLES].tobytes()
            kept = [block[waiting - waiting % BLOCK_SAMPLES :]]
            waiting %= BLOCK_SAMPLES
    if not facts.samples:
        raise RecordingRefused("no_sound", "It holds no sound that could be decoded")
    if waiting:
        yield np.concatenate(kept).tobytes()


def _resampled(decoded: Iterator[Any], facts: Facts) -> Iterator[Samples]:
    """Frames as 16 kHz mono samples; the format may change from one frame to the next."""
    shape: tuple[Any, ...] | None = None
    resampler = _Resampler(1, "mono")
    for frame in decoded:
        channels = frame.layout.nb_channels
        changed = (frame.format.name, frame.sample_rate, channels)
        if changed != shape:
            if shape is not None:
                yield from resampler.push(None)
            possible(frame.sample_rate, channels, facts)
            resampler = _Resampler(channels, frame.layout.name)
            shape = changed
        if frame.format.name.startswith(("flt", "dbl")):
            frame = _finite(frame)
        frame.pts = None  # a gap in the time stamps is no reason to fill it
        yield from resampler.push(frame)
    if shape is not None:
        yield from resampler.push(None)


class _Resampler:
    """Frames of one shape to 16 kHz mono samples."""

    def __init__(self, channels: int, layout: str) -> None:
        # FFmpeg's own mix leaves out a channel that it takes for the bass, with the microphone
        # of a recorder that has many inputs.
        self._channels = channels
        self._mix = Downmix(INPUT_RATE_HZ, channels) if channels > 1 else None
        layout = {1: "mono", 2: "stereo"}.get(channels, layout)
        self._resampler = av.AudioResampler(format="s16", layout=layout, rate=INPUT_RATE_HZ)

    def push(self, frame: Any) -> Iterator[Samples]:
        """The samples of a frame; those that are left for None, after which nothing may follow."""
        for resampled in self._resampler.resample(frame):
            pcm = resampled.to_ndarray()[0]
            yield pcm if self._mix is None else self._mix.push(pcm.reshape(-1, self._channels))


def _finite(frame: Any) -> Any:
    """A frame of floats, clipped: FFmpeg's conversion to 16 bits wraps round values far outside."""
    frame = readable(frame)
    floats = frame.to_ndarray()
    peak = float(np.abs(floats).max(initial=0.0))
    if not np.isfinite(peak):
        raise RecordingRefused(
            "not_numbers", "It holds samples that are no numbers (NaN or infinity)"
        )
    if peak <= 4:
        return frame
    clipped = av.AudioFrame.from_ndarray(
        floats.clip(-1, 1), format=frame.format.name, layout=frame.layout.name
    )
    clipped.sample_rate = frame.sample_rate
    return clipped


# --- the handler -----------------------------------------------------------------------------


class RecordingDecoder:
    """The worker's handler, for one file: "data" …, then "next" until the reply is the last one.

    Replies are "ok", "sound" (samples), "done" (the file's facts) and "refused" (`code`,
    `reason`).
    """

    def __init__(self, options: Header) -> None:
        self._container: Container = options["container"]
        self._longest_s: float = options["longest_s"]
        self._file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115
        self._size = 0
        self._facts = Facts(self._container)
        self._blocks: Generator[bytes, None, None] | None = None
        self.report: Header = {"memory_limited": limit(options)}

    def handle(
        self, job: int, kind: str, header: Header, payload: bytes, reply: WorkerReply
    ) -> None:
        if kind == "data":
            self._file.write(payload)
            self._size += len(payload)
            reply("ok")
            return
        if kind != "next":
            raise ValueError(f"unknown message {kind!r}")
        try:
            self._next(reply)
        except RecordingRefused as error:
            reply("refused", {"code": error.code, "reason": error.reason}, last=True)
        except MemoryError:
            reason = "Decoding it takes more memory than it may have"
            reply("refused", {"code": "too_costly", "reason": reason}, last=True)

    def cancel(self, job: int) -> None:
        """Nothing to do: the process is about to end."""

    def work(self) -> bool:
        return False

    def _next(self, reply: WorkerReply) -> None:
        facts = self._facts
        if self._blocks is None:
            self._file.seek(0)
            self._blocks = blocks(self._file, self._size, self._longest_s, facts)
        block = next(self._blocks, None)
        if block is not None:
            reply("sound", None, block)
            return
        found = {
            "container": facts.container,
            "codec": facts.codec,
            "rate_hz": facts.rate_hz,
            "channels": facts.channels,
            "truncated": facts.truncated(self._file, self._size),
            "lost_ms": facts.lost_ms,
        }
        reply("done", found, last=True)


def limit(options: Header) -> bool:
    """Limit this process from now on; returns whether its memory could be limited.

    Where the system has no such limits, only the parent's timeout remains. The process also lowers
    its own priority, so that live sessions go first.
    """
    if sys.platform == "win32":
        return False
    os.nice(options["nice"])
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_CPU, int(options["cpu_s"]) + 1)
    _set(resource.RLIMIT_FSIZE, options["most_bytes"] + _SPARE_BYTES)
    try:
        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # not Linux: RLIMIT_AS means something else there, or nothing
        return False
    _set(resource.RLIMIT_AS, now + options["memory_bytes"])
    return True


def _set(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(what, (most, most))


def handler(options: Header) -> RecordingDecoder:
    """The worker's factory."""
    av.logging.set_level(None)
    # FFmpeg and numpy allocate some memory once: let them do it before the limit counts.
    av.AudioResampler(format="s16", layout="mono", rate=INPUT_RATE_HZ)
    return RecordingDecoder(options)
