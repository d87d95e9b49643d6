"""Decoding inside a worker process, the only place where FFmpeg parses uploaded files.

Its limits:

- The container (found by `stages._containers`) and the codecs are prescribed to FFmpeg, and it
  reads through a Python object: no playlist, reference or protocol can make it open anything.
- The process limits itself before it reads a byte: added memory, processor time, file size.
- Each request decodes one block of sound, so nothing piles up.
- The claims of a header are checked before any codec is opened.
"""

import logging
import os
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from typing import Any, BinaryIO

import av
import numpy as np

from pipeline.frames import INPUT_RATE_HZ, Samples
from stages._containers import Container, is_cut
from stages._worker_main import Header, WorkerReply

if sys.platform != "win32":
    import resource

log = logging.getLogger("stages.decode")

BLOCK_SAMPLES = 8 * INPUT_RATE_HZ
"""Sound in one reply at most, 256 kB; decoding it takes some 30 ms."""

RATES_HZ = (4_000, 192_000)
MOST_CHANNELS = 8
MOST_TRACKS = 16

_FORMATS: dict[Container, str] = {
    "wav": "wav",
    "flac": "flac",
    "ogg": "ogg",
    "mp3": "mp3",
    "aac": "aac",
    "mp4": "mov",
    "webm": "matroska",
}

_PCM = "pcm_s16le,pcm_s16be,pcm_u8,pcm_s24le,pcm_s32le,pcm_f32le,pcm_f64le,pcm_mulaw,pcm_alaw"
_CODECS = f"{_PCM},flac,opus,vorbis,mp3float,mp3,aac,alac"

_EXACT: frozenset[Container] = frozenset({"flac", "mp4", "webm"})
"""Containers whose header states the duration; for the others FFmpeg estimates it."""

_SLACK_S = 0.2
"""A file is whole if it has at most this much less sound than claimed: codecs drop a little at
either end."""

_SPARE_BYTES = 1 << 16

SEARCH_S = 0.5
"""Processor time for finding the first sound, and the next one in a damaged part."""

_PROBE_BYTES = 1 << 19
"""Bytes that FFmpeg may read to identify the tracks. If packets are tiny, it keeps many times as
much in memory."""


class RecordingRefused(Exception):
    """The file cannot be used: a code for programs and a sentence for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Source:
    """The file as FFmpeg sees it: it can read and seek, but there is no name.

    `read` returns nothing once too much processor time has gone without any sound.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell
        self.sound()

    def sound(self) -> None:
        """Sound was found: the time limit of the search starts again."""
        self._until_s = time.process_time() + SEARCH_S

    @property
    def given_up(self) -> bool:
        return time.process_time() > self._until_s

    def read(self, size: int) -> bytes:
        """The next bytes; none once the search has taken too long."""
        return b"" if self.given_up else self._file.read(size)


class Facts:
    """Facts collected while decoding."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.codec = ""
        self.rate_hz = 0
        self.channels = 0
        self.claimed_s: float | None = None
        self.samples = 0
        self.skipped = 0
        self.ends_badly = False

    def truncated(self, file: BinaryIO, size: int) -> bool:
        """Whether sound is missing at the end."""
        short = False
        if self.claimed_s is not None and self.container in ("flac", "mp3"):
            short = self.samples / INPUT_RATE_HZ < self.claimed_s - _SLACK_S
        return short or self.ends_badly or is_cut(file, size, self.container)


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
    for pcm in _resampled(_frames(file, longest_s, facts), facts):
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


def _frames(file: BinaryIO, longest_s: float, facts: Facts) -> Iterator[Any]:
    """Decoded frames. Packets that cannot be decoded are skipped and counted."""
    source = Source(file)
    options = {"codec_whitelist": _CODECS, "probesize": str(_PROBE_BYTES)}
    try:
        container: Any = av.open(
            source,
            format=_FORMATS[facts.container],
            options=options,
            metadata_errors="replace",
        )
    except MemoryError:
        raise
    except Exception as error:  # a bad file can make the library raise anything
        raise _damaged(error) from None
    with container:
        stream = _track(container, longest_s, facts)
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                facts.ends_badly |= source.given_up
                return
            except MemoryError:
                raise
            except Exception as error:  # the demuxer cannot go on; the packets so far count
                log.info("demuxing ended: %r", error)
                facts.ends_badly = True
                return
            if packet.stream_index != stream.index:
                continue
            try:
                frames = packet.decode()
            except MemoryError:
                raise
            except Exception:  # one bad packet; a decoder goes on with the next
                facts.skipped += 1
                facts.ends_badly = True
                continue
            if frames:
                facts.ends_badly = False
                source.sound()
            yield from frames


def _track(container: Any, longest_s: float, facts: Facts) -> Any:
    """The first audio track, once its header has been found possible."""
    if len(container.streams) > MOST_TRACKS:
        raise RecordingRefused("damaged", f"It claims to hold {len(container.streams)} tracks")
    if not container.streams.audio:
        raise RecordingRefused(
            "no_audio_track", "It holds no audio track, or is cut before it names one"
        )
    stream = container.streams.audio[0]
    context = stream.codec_context
    if context is None or context.name.split(",")[0] not in _CODECS.split(","):
        raise RecordingRefused("unsupported_codec", "It is encoded in a way that is not taken here")
    facts.codec = context.name.removesuffix("float")
    if facts.container == "flac":
        # FFmpeg believes the frames and ignores a header that contradicts them.
        claimed_hz = int.from_bytes((context.extradata or b"")[10:13]) >> 4
        _possible(claimed_hz, context.channels, facts)
        if claimed_hz != context.sample_rate:
            raise RecordingRefused(
                "damaged", "Its header and its sound have different sample rates"
            )
    _possible(context.sample_rate, context.channels, facts)
    if stream.duration is not None and stream.time_base is not None:
        facts.claimed_s = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        facts.claimed_s = container.duration / 1e6
    if facts.container in _EXACT and (facts.claimed_s or 0) > longest_s + 1:
        claim = f"{facts.claimed_s / 60:.0f} minutes" if facts.claimed_s else ""
        raise RecordingRefused(
            "too_long", f"Its header claims {claim}; {longest_s / 60:g} minutes are possible"
        )
    context.thread_count = 1  # threads cost memory, and cores that live sessions need
    return stream


def _possible(rate_hz: int, channels: int, facts: Facts) -> None:
    if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
        reason = f"Its sample rate is {rate_hz} Hz; {RATES_HZ[0]} to {RATES_HZ[1]} are possible"
        raise RecordingRefused("unsupported_rate", reason)
    if not 1 <= channels <= MOST_CHANNELS:
        known = f"{channels} channels" if channels > 0 else "an impossible number of channels"
        raise RecordingRefused(
            "unsupported_channels", f"It has {known}; 1 to {MOST_CHANNELS} are possible"
        )
    facts.rate_hz, facts.channels = rate_hz, channels


def _resampled(frames: Iterator[Any], facts: Facts) -> Iterator[Samples]:
    """Frames as 16 kHz mono samples; the format may change from one frame to the next."""
    shape: tuple[Any, ...] | None = None
    resampler: Any = None
    for frame in frames:
        channels = frame.layout.nb_channels
        changed = (frame.format.name, frame.sample_rate, channels)
        if changed != shape:
            if resampler is not None:
                yield from _pcm(resampler.resample(None))
            _possible(frame.sample_rate, channels, facts)
            resampler = av.AudioResampler(format="s16", layout="mono", rate=INPUT_RATE_HZ)
            shape = changed
        if frame.format.name.startswith(("flt", "dbl")):
            frame = _finite(frame)
        frame.pts = None  # a gap in the time stamps is no reason to fill it
        yield from _pcm(resampler.resample(frame))
    if resampler is not None:
        yield from _pcm(resampler.resample(None))


def _finite(frame: Any) -> Any:
    """A frame of floats, clipped: FFmpeg's conversion to 16 bits wraps round values far outside."""
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


def _pcm(frames: list[Any]) -> Iterator[Samples]:
    for frame in frames:
        yield frame.to_ndarray()[0]


def _damaged(error: Exception) -> RecordingRefused:
    log.info("not opened: %r", error)
    return RecordingRefused(
        "damaged", "It is damaged or cut short within its header: it cannot be decoded"
    )


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
            "skipped": facts.skipped,
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
