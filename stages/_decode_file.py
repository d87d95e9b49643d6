"""An uploaded file as decoded frames: its parts, its tracks, and what its header claims.

Used inside the worker process of `stages._decode_worker` only.

Of several audio tracks, as screen recorders and cameras write them, the loudest is taken: the first
may be the silent one of a microphone that was not plugged in. Files that were glued together are
decoded one after the other.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, cast

import av

from stages._containers import Container, is_cut, is_mp3_frame
from stages._decoded_frames import kept_beginning, power, to_break
from stages._file_part import FilePart, Source
from stages._flac_frames import is_joined_later
from stages._glued import parts, states_length
from stages._lost_sound import LostSound
from stages._reading_on import breaks, can_skip, next_piece, skipping

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

MOST_READ_ON = 200
"""Places in an upload behind which reading goes on. Each is opened anew, which takes up to 5 ms."""

_MOST_FRUITLESS = 8
"""Such places in a row without sound. A film may go on when its sound is over."""

_PROBE_BYTES = 1 << 19
"""Bytes that FFmpeg may read to identify the tracks. If packets are tiny, it keeps many times as
much in memory."""


class RecordingRefused(Exception):
    """The file cannot be used: a code for programs and a sentence for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


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
        self.breaks: Sequence[tuple[int, int]] = ()  # damaged places of the part under way
        self.reads_on = False  # whether the part under way can be read behind damage
        self.read_on = 0  # places behind damage from which the file was read on

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
    file = cast("BinaryIO", part.again())
    facts.breaks = breaks(file, part.size, facts.container)
    facts.reads_on = bool(facts.breaks) and can_skip(file, part.size, facts.container)
    source = Source(part, facts.breaks)
    container = _opened(source, facts)
    with container:
        tracks = _tracks(container, longest_s, facts)
        at = 0 if len(tracks) == 1 else _loudest(part, [track.index for track in tracks], facts)
        stream = tracks[at]
        _check(stream, container, longest_s, facts)
        lost = LostSound(
            file,
            part.size,
            facts.container,
            float(stream.time_base or 0),
            from_0=facts.container == "flac" and not is_joined_later(file),
            track=stream.index,
        )
        decoded_s = 0.0
        for frame in _read_through(part, source, container, stream, facts, lost):
            decoded_s += frame.samples / max(1, frame.sample_rate)
            yield frame
    lost_s, cut = lost.total(decoded_s)
    if _claims(part, facts.container) and facts.claimed_s is not None:
        missing_s = facts.claimed_s - lost.begin_s - decoded_s - lost_s
        if missing_s > _SLACK_S and facts.container == "mp3" and lost_s and not cut:
            lost_s += missing_s  # the file ends with a whole frame: bytes are missing in between
        else:
            cut |= missing_s > _SLACK_S
    facts.lost_s += min(lost_s, longest_s)  # a damaged time may be years away
    facts.short |= cut
    facts.short |= facts.ends_badly  # the next part's sound would hide it


def _read_through(
    part: FilePart, source: Source, container: Any, stream: Any, facts: Facts, lost: LostSound
) -> Iterator[Any]:
    """The frames of a track, also those behind damage that FFmpeg does not get over."""
    whole, first_run = source, _prepared(source, container, stream, facts, lost)
    at_break = yield from to_break(first_run)
    read_on = False
    file, kind, track = cast("BinaryIO", part.again()), facts.container, stream.index
    first: int | None = None
    fruitless = 0
    while fruitless < _MOST_FRUITLESS and not source.given_up:
        start = next_piece(file, part.size, kind, source.at + 1)
        if start is None:
            break
        if facts.read_on == MOST_READ_ON:
            facts.ends_badly = True
            break
        facts.read_on, fruitless = facts.read_on + 1, fruitless + 1
        lost.interrupted()
        first = next_piece(file, part.size, kind, 0) if first is None else first
        beginning = skipping(file, kind, first, start)
        source = Source(part.beginning(beginning or b""), facts.breaks, start)
        if beginning is None:
            continue
        try:
            container = _opened(source, facts)
        except RecordingRefused:
            continue
        with container:
            stream = container.streams[track] if track < len(container.streams) else None
            if stream is None or stream.type != "audio":
                continue
            run = kept_beginning(stream, _prepared(source, container, stream, facts, lost))
            if (frame := next(run, None)) is not None:
                fruitless, read_on = 0, True
                yield frame
                at_break = yield from to_break(run)
    if at_break and read_on:
        facts.ends_badly = True
    elif at_break:  # then FFmpeg goes on by itself, as far as it gets
        whole.sound()
        facts.reads_on = False
        yield from first_run


def _prepared(
    source: Source, container: Any, stream: Any, facts: Facts, lost: LostSound
) -> Iterator[Any]:
    """The frames of a track as far as FFmpeg gets; None is a pause, as in `_decoded`."""
    stream.codec_context.thread_count = 1  # threads cost memory, and cores that sessions need
    if facts.codec == "flac":  # otherwise a frame with a wrong checksum is heard as noise
        stream.codec_context.options = {"err_detect": "crccheck+explode"}
    for _, frame in _decoded(source, container, [stream], facts, lost):
        yield frame


def _claims(part: FilePart, container: Container) -> bool:
    """Whether a part says how long its sound is, and nothing else that shows if it is cut."""
    return container == "flac" or (container == "mp3" and states_length(cast("BinaryIO", part)))


def _opened(source: Source, facts: Facts) -> Any:
    options = {"codec_whitelist": _CODECS, "probesize": str(_PROBE_BYTES)}
    try:
        return av.open(
            source,
            format=_FORMATS[facts.container],
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
    """The decoded frames of some tracks, each with its track's index.

    None instead of a frame: the file may be read on better behind the damage that is here. FFmpeg
    goes on by itself if it is asked for more.
    """
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
        place = source.at
        if packet.size:  # where no position is known, nothing can be read on
            place = packet.pos or place or source.size
            if place < source.start:
                return  # FFmpeg does not take this file's beginning
        if lost is not None and (end := source.damage_before(place)) is not None:
            lost.interrupted()
            given = source.at > source.start  # otherwise FFmpeg has just been opened for this place
            if end <= place and given and facts.reads_on and facts.read_on < MOST_READ_ON:
                # FFmpeg may have passed over good sound, and count its time from before.
                yield packet.stream_index, None
        source.at = max(source.at, place)
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
    source = Source(part.again())
    container = _opened(source, facts)
    with container:
        streams = [stream for stream in container.streams.audio if stream.index in energy]
        for stream in streams:
            stream.codec_context.thread_count = 1
        for at, frame in _decoded(source, container, streams, Facts(facts.container)):
            length_s = frame.samples / max(1, frame.sample_rate)
            if measured_s[at] < most_s:
                measured_s[at] += length_s
                energy[at] += length_s * power(frame)
            elif min(measured_s.values()) >= most_s:
                break
    return indexes.index(max(indexes, key=lambda index: energy[index]))


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
