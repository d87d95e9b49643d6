"""Voice detection by loudness over the background: the fallback that needs numpy only.

Each chunk of 512 samples (32 ms at 16 kHz) has a level in dB. The background is followed by minimum
statistics (R. Martin, "Noise power spectral density estimation based on optimal smoothing and
minimum statistics", IEEE Trans. Speech and Audio Processing 9(5), 2001) over the whole band: it is
the smallest power of the last 3 s, kept as the minima of eight parts. Speech falls back to the
background between syllables, so the minimum survives it; a new steady noise is learnt within 3 s.
The power is not smoothed first, as Martin's is: a chunk averages 512 samples already, and smoothing
over several would fill the gaps between syllables. The probability is a logistic function of the
level over the background. Deterministic.

It measures loudness, not voice: a slammed door counts as speech.
"""

import asyncio
import logging
import math
from collections import deque

import numpy as np
import numpy.typing as npt

from pipeline.errors import PipelineError
from pipeline.frames import Samples
from pipeline.stage import OnChunk

CHUNK = 512

PARTS = 8
PART_CHUNKS = 12
"""The window is 8 × 12 chunks = 3.1 s."""

BIAS_DB = 1.0
"""The minimum of a fluctuating power lies below its mean; measured on white noise."""

QUIETEST_DB = 20.0
"""The background's lower limit (rms 10 of 32768): dither over silence is not speech."""

MIDDLE_DB = 9.0
"""Level over the background at which the probability is one half."""

SLOPE_DB = 1.5
"""dB per unit of the logistic function's argument."""

UNDELIVERED = 64
"""Probabilities of one session waiting for the event loop (2 s); older ones are dropped."""

_log = logging.getLogger(__name__)


def check() -> str | None:
    """None: this detector works everywhere."""
    return None


class EnergyDetector:
    """Voice detection without dependencies (implements `pipeline.stage.Detector`).

    Belongs to the event loop on which `feed` is called; not thread-safe. `on_chunk` is called by
    `call_soon`, never from inside `feed`, and may close any stream; when it raises, the error is
    logged once and its stream is closed.
    """

    provider = "energy"

    def __init__(self, *, max_sessions: int = 1024) -> None:
        self._max_sessions = max_sessions
        self._streams: set[_Stream] = set()
        self._closed = False

    def open(self, on_chunk: OnChunk) -> "_Stream":
        """A stream for one session; positions count from its first sample.

        Raises `PipelineError` when `max_sessions` are open or the detector is closed.
        """
        if self._closed:
            raise PipelineError("voice detection is closed")
        if len(self._streams) >= self._max_sessions:
            raise PipelineError(f"voice detection has no place left: {self._max_sessions} sessions")
        stream = _Stream(self._streams, on_chunk)
        self._streams.add(stream)
        return stream

    async def aclose(self) -> None:
        """Close every stream; probabilities still under way are dropped. Idempotent."""
        self._closed = True
        for stream in tuple(self._streams):
            stream.close()


class NoiseFloor:
    """The background's level in dB, by minimum statistics. Pure."""

    def __init__(self) -> None:
        self._minima: deque[float] = deque(maxlen=PARTS)
        self._count = 0

    def update(self, power: float) -> float:
        """Take one chunk's mean square; return the background's level in dB."""
        if self._count % PART_CHUNKS == 0:
            self._minima.append(power)
        else:
            self._minima[-1] = min(self._minima[-1], power)
        self._count += 1
        return max(_decibels(min(self._minima)) + BIAS_DB, QUIETEST_DB)


class _Stream:
    def __init__(self, streams: "set[_Stream]", on_chunk: OnChunk) -> None:
        self._streams = streams
        self._on_chunk: OnChunk | None = on_chunk
        self._rest: npt.NDArray[np.int16] = np.zeros(0, np.int16)
        self._position = 0
        self._floor = NoiseFloor()
        self._undelivered: deque[tuple[int, float]] = deque(maxlen=UNDELIVERED)
        self._handle: asyncio.Handle | None = None

    def feed(self, pcm: Samples) -> None:
        """Take input audio (16 kHz). Call it on the event loop. Does nothing once closed."""
        if self._on_chunk is None:
            return
        pcm = np.concatenate((self._rest, pcm))
        whole = len(pcm) // CHUNK * CHUNK
        self._rest = pcm[whole:].copy()
        for chunk in pcm[:whole].astype(np.float32).reshape(-1, CHUNK):
            self._position += CHUNK
            self._undelivered.append((self._position, self._judge(chunk)))
        if self._undelivered and self._handle is None:
            self._handle = asyncio.get_running_loop().call_soon(self._deliver)

    def close(self) -> None:
        """Free the stream's place. Idempotent."""
        self._on_chunk = None
        self._undelivered.clear()
        self._streams.discard(self)
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _judge(self, chunk: npt.NDArray[np.float32]) -> float:
        mean = float(chunk.mean())
        power = max(float(chunk @ chunk) / CHUNK - mean * mean, 0.0)
        over_db = _decibels(power) - self._floor.update(power)
        return 1 / (1 + math.exp(-(over_db - MIDDLE_DB) / SLOPE_DB))

    def _deliver(self) -> None:
        self._handle = None
        # A callback may feed this stream again: such chunks wait for the loop's next turn.
        for _ in range(len(self._undelivered)):
            if self._on_chunk is None:
                return
            position, probability = self._undelivered.popleft()
            try:
                self._on_chunk(position, probability)
            except Exception:  # any bug of the callback; it would fail 31 times a second
                _log.exception("voice detection: a session's callback raised; its stream is closed")
                self.close()


def _decibels(power: float) -> float:
    return 10 * math.log10(power + 1)
