"""An uploaded file as decoded frames: its parts, its tracks, and what its header claims.

Used inside the worker process of `stages._decode_worker` only.

Of several audio tracks, as screen recorders and cameras write them, the loudest is taken: the first
may be the silent one of a microphone that was not plugged in. Files that were glued together are
decoded one after the other.
"""

import logging
import time
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import av
import numpy as np

from stages._containers import Container, is_cut, is_mp3_frame
from stages._glued import parts, states_length
from stages._lost_sound import LostSound

log = logging.getLogger("stages.decode")

RATES_HZ = (4_000, 192_000)
MOST_CHANNELS = 8
MOST_TRACKS = 16
MOST_PARTS = 1000
"""Files that may be glued together. Each is opened for itself, which takes up to 2 ms."""

MEASURED_S = 600.0
"""Sound that is decoded to find the loudest track, of all tracks together."""

_FORMATS: dict[Container, str] = {
    "wav": "wav",
    "flac": "flac",
    "ogg": "ogg",
    "mp3": "mp3",
    "aac": "aac",
    "mp4": "mov",
    "webm": "matroska",
}

_PCM = (
    "pcm_s16le,pcm_s16be,pcm_u8,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be"
    ",pcm_f64le,pcm_mulaw,pcm_alaw"
)
_CODECS = f"{_PCM},flac,opus,vorbis,mp3float,mp3,aac,alac"

_EXACT: frozenset[Container] = frozenset({"flac", "mp4", "webm"})
"""Containers whose header states the duration; for the others FFmpeg estimates it."""

_SLACK_S = 0.2
"""A file is whole if it has at most this much less sound than claimed: codecs drop a little at
either end."""

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


class FilePart:
    """A part of a file, which reads and seeks like a file of its own."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file = file
        self._start = start
        self._end = end
        self._at = 0

    @property
    def size(self) -> int:
        return self._end - self._start

    def again(self) -> "FilePart":
        """The same part for another reader, with a position of its own."""
        return FilePart(self._file, self._start, self._end)

    def read(self, size: int = -1) -> bytes:
        left = max(0, self.size - self._at)
        self._file.seek(self._start + self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, self.size)[whence])
        return self._at

    def tell(self) -> int:
        return self._at


class Source:
    """A part as FFmpeg sees it: it can read and seek, but there is no name.

    `read` returns nothing once too much processor time has gone without any sound.
    """

    def __init__(self, part: FilePart) -> None:
        part.seek(0)
        self._part = part
        self.seek = part.seek
        self.tell = part.tell
        self.sound()

    def sound(self) -> None:
        """Sound was found: the time limit of the search starts again."""
        self._until_s = time.process_time() + SEARCH_S

    @property
    def given_up(self) -> bool:
        return time.process_time() > self._until_s

    def read(self, size: int) -> bytes:
        """The next bytes; none once the search has taken too long."""
        return b"" if self.given_up else self._part.read(size)


class Facts:
    """Facts collected while decoding."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.codec = ""
        self.rate_hz = 0
        self.channels = 0
        self.claimed_s: float | None = None  # of the part under way
        self.short = False  # a part has less sound than it claims, or is cut
        self.lost_s = 0.0  # sound that could not be read, with sound behind it
        self.samples = 0
        self.ends_badly = False

    @property
    def lost_ms(self) -> int:
        """Sound that could not be read, in milliseconds."""
        return round(self.lost_s * 1000)

    def truncated(self, file: BinaryIO, size: int) -> bool:
        """Whether sound is missing at the end of the file, or of one of its parts."""
        if self.short or self.ends_badly:
            return True
        if self.container in ("ogg", "mp3", "aac"):
            return False  # their pages and frames have been looked at
        found = [FilePart(file, *span) for span in parts(file, size, self.container)]
        return any(is_cut(cast("BinaryIO", part), part.size, self.container) for part in found)


def frames(file: BinaryIO, size: int, longest_s: float, facts: Facts) -> Iterator[Any]:
    """The decoded frames of all parts. Fills in `facts`; raises `RecordingRefused`.

    Sound that cannot be decoded is left out, and its length noted.
    """
    spans = parts(file, size, facts.container)
    if len(spans) > MOST_PARTS:
        raise RecordingRefused(
            "too_costly",
            f"It was glued together from over {MOST_PARTS} files, which is the most that is taken:"
            " encode it anew as one",
        )
    for number, span in enumerate(spans):
        facts.claimed_s = None
        try:
            yield from _part_frames(FilePart(file, *span), longest_s, facts)
        except RecordingRefused as error:
            if not number or error.code not in ("damaged", "no_audio_track"):
                raise
            facts.ends_badly = True  # what came before it is good
            return


def _part_frames(part: FilePart, longest_s: float, facts: Facts) -> Iterator[Any]:
    source, container = _opened(part, facts.container)
    with container:
        tracks = _tracks(container, longest_s, facts)
        at = 0 if len(tracks) == 1 else _loudest(part, [track.index for track in tracks], facts)
        stream = tracks[at]
        _check(stream, container, longest_s, facts)
        stream.codec_context.thread_count = 1  # threads cost memory, and cores that sessions need
        if facts.codec == "flac":  # otherwise a frame with a wrong checksum is heard as noise
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
        unit_s = float(stream.time_base or 0)
        lost = LostSound(
            cast("BinaryIO", part.again()),
            part.size,
            facts.container,
            unit_s,
            from_0=facts.container == "flac" and facts.claimed_s is not None,
            track=stream.index,
        )
        decoded_s = 0.0
        for _, frame in _decoded(source, container, [stream], facts, lost):
            decoded_s += frame.samples / max(1, frame.sample_rate)
            yield frame
    lost_s, cut = lost.total(decoded_s)
    if _claims(part, facts.container) and facts.claimed_s is not None:
        missing_s = facts.claimed_s - decoded_s - lost_s
        if missing_s > _SLACK_S and facts.container == "mp3" and lost_s and not cut:
            lost_s += missing_s  # the file ends with a whole frame: bytes are missing in between
        else:
            cut |= missing_s > _SLACK_S
    facts.lost_s += min(lost_s, longest_s)  # a damaged time may be years away
    facts.short |= cut
    facts.short |= facts.ends_badly  # the next part's sound would hide it


def _claims(part: FilePart, container: Container) -> bool:
    """Whether a part says how long its sound is, and nothing else that shows if it is cut."""
    return container == "flac" or (container == "mp3" and states_length(cast("BinaryIO", part)))


def _opened(part: FilePart, container: Container) -> tuple[Source, Any]:
    source = Source(part)
    options = {"codec_whitelist": _CODECS, "probesize": str(_PROBE_BYTES)}
    try:
        return source, av.open(
            source,
            format=_FORMATS[container],
            options=options,
            metadata_errors="replace",
        )
    except MemoryError:
        raise
    except Exception as error:  # a bad file can make the library raise anything
        raise _damaged(error) from None


def _decoded(
    source: Source,
    container: Any,
    streams: list[Any],
    facts: Facts,
    lost: LostSound | None = None,
) -> Iterator[tuple[int, Any]]:
    """The decoded frames of some tracks, each with its track's index."""
    indexes = [stream.index for stream in streams]
    packets = container.demux(streams)
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
        if packet.stream_index not in indexes:
            continue
        try:
            found = packet.decode()
        except MemoryError:
            raise
        except Exception:  # one bad packet; a decoder goes on with the next
            if facts.container == "mp3" and not is_mp3_frame(bytes(packet)[:4]):
                continue  # damage if sound follows, else padding or a tag of an unknown kind
            facts.ends_badly = True
            if lost is not None:
                lost.failed()
            continue
        if lost is not None and packet.size:  # not the one that ends the track
            lost.decoded(packet, found)
        if found:
            facts.ends_badly = False
            source.sound()
        for frame in found:
            yield packet.stream_index, frame


# --- tracks ----------------------------------------------------------------------------------


def _tracks(container: Any, longest_s: float, facts: Facts) -> list[Any]:
    """The audio tracks whose headers are possible. Raises what is wrong with the first."""
    if len(container.streams) > MOST_TRACKS:
        raise RecordingRefused("damaged", f"It claims to hold {len(container.streams)} tracks")
    if not container.streams.audio:
        raise RecordingRefused(
            "no_audio_track", "It holds no audio track, or is cut before it names one"
        )
    possible = []
    refusals = []
    for stream in container.streams.audio:
        try:
            _check(stream, container, longest_s, facts)
            possible.append(stream)
        except RecordingRefused as error:
            refusals.append(error)
    if not possible:
        raise refusals[0]
    return possible


def _loudest(part: FilePart, indexes: list[int], facts: Facts) -> int:
    """Which of these tracks has the most energy; the first of equals."""
    energy = dict.fromkeys(indexes, 0.0)
    measured_s = dict.fromkeys(indexes, 0.0)
    most_s = MEASURED_S / len(indexes)
    source, container = _opened(part.again(), facts.container)
    with container:
        streams = [stream for stream in container.streams.audio if stream.index in energy]
        for stream in streams:
            stream.codec_context.thread_count = 1
        for at, frame in _decoded(source, container, streams, Facts(facts.container)):
            length_s = frame.samples / max(1, frame.sample_rate)
            if measured_s[at] < most_s:
                measured_s[at] += length_s
                energy[at] += length_s * _power(frame)
            elif min(measured_s.values()) >= most_s:
                break
    return indexes.index(max(indexes, key=lambda index: energy[index]))


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


def _power(frame: Any) -> float:
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


def _check(stream: Any, container: Any, longest_s: float, facts: Facts) -> None:
    """Check what a track's header claims, and note it. Raises `RecordingRefused`."""
    context = stream.codec_context
    if context is None or context.name.split(",")[0] not in _CODECS.split(","):
        raise RecordingRefused("unsupported_codec", "It is encoded in a way that is not taken here")
    facts.codec = context.name.removesuffix("float")
    if facts.container == "flac":
        # FFmpeg believes the frames and ignores a header that contradicts them.
        claimed_hz = int.from_bytes((context.extradata or b"")[10:13]) >> 4
        possible(claimed_hz, context.channels, facts)
        if claimed_hz != context.sample_rate:
            raise RecordingRefused(
                "damaged", "Its header and its sound have different sample rates"
            )
    possible(context.sample_rate, context.channels, facts)
    if stream.duration is not None and stream.time_base is not None:
        facts.claimed_s = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        facts.claimed_s = container.duration / 1e6
    if facts.container in _EXACT and (facts.claimed_s or 0) > longest_s + 1:
        claim = f"{facts.claimed_s / 60:.0f} minutes" if facts.claimed_s else ""
        raise RecordingRefused(
            "too_long", f"Its header claims {claim}; {longest_s / 60:g} minutes are possible"
        )


def possible(rate_hz: int, channels: int, facts: Facts) -> None:
    """Note the sound's shape. Raises `RecordingRefused` if it is not taken."""
    if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
        reason = f"Its sample rate is {rate_hz} Hz; {RATES_HZ[0]} to {RATES_HZ[1]} are possible"
        raise RecordingRefused("unsupported_rate", reason)
    if not 1 <= channels <= MOST_CHANNELS:
        known = f"{channels} channels" if channels > 0 else "an impossible number of channels"
        raise RecordingRefused(
            "unsupported_channels", f"It has {known}; 1 to {MOST_CHANNELS} are possible"
        )
    facts.rate_hz, facts.channels = rate_hz, channels


def _damaged(error: Exception) -> RecordingRefused:
    log.info("not opened: %r", error)
    return RecordingRefused(
        "damaged", "It is damaged or cut short within its header: it cannot be decoded"
    )
