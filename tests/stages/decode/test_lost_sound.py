"""Recordings that are damaged in the middle: what can be read is heard, and the rest is told."""

import io
import re
import time
import wave
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from pipeline.frames import Samples
from stages._decode_file import Facts
from stages._decode_worker import blocks
from stages._flac_frames import is_joined_later
from stages._trailing import LENGTHS, sound_start
from tests.support import recordings
from tests.support.paths import AUDIO

pytestmark = pytest.mark.slow  # encodes and decodes seconds of sound


@pytest.fixture(scope="module")
def clip() -> Samples:
    """9 s of speech."""
    with wave.open(str(AUDIO / "software-engineer-1.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)[:144_000]


def read(data: bytes, name: str) -> tuple[float, int, bool]:
    """The milliseconds that are heard, those that are lost, and whether the end is missing."""
    container: Any = recordings.ENCODINGS.get(name, (name,))[0]
    facts = Facts(container)
    sound = b"".join(blocks(io.BytesIO(data), len(data), 600.0, facts))
    return len(sound) / 32, facts.lost_ms, facts.truncated(io.BytesIO(data), len(data))


def garbled(data: bytes, start: int, length: int, kind: str) -> bytes:
    """A file with some of its bytes overwritten, or missing."""
    chance = np.random.default_rng(7)
    new = {
        "zeros": bytes(length),
        "ones": b"\xff" * length,
        "noise": chance.integers(0, 256, length, np.uint8).tobytes(),
        "gone": b"",
    }[kind]
    return data[:start] + new + data[start + length :]


NAMES = ["flac", "mp3", "ogg-opus", "ogg-vorbis", "webm", "live", "m4a", "aac"]


def made(clip: Samples, name: str) -> bytes:
    if name == "live":
        return recordings.live_webm(clip)
    if name != "ogg-vorbis":
        return recordings.encoded(clip, name)
    buffer = io.BytesIO()  # FFmpeg's own encoder of Vorbis counts the time wrongly
    kind: Any = {"format": "OGG", "subtype": "VORBIS"}
    with soundfile.SoundFile(buffer, "w", recordings.RATE_HZ, 1, **kind) as file:
        for at in range(0, len(clip), 16_000):  # libsndfile has no stack for much at once
            file.write(clip[at : at + 16_000])
    return buffer.getvalue()


@pytest.mark.parametrize("name", [*NAMES, "wav"])
def test_of_a_whole_recording_nothing_is_lost(clip: Samples, name: str) -> None:
    heard_ms, lost_ms, truncated = read(made(clip, name), "webm" if name == "live" else name)
    assert (pytest.approx(heard_ms, abs=100), lost_ms, truncated) == (9000, 0, False)


@pytest.mark.parametrize("kind", ["zeros", "ones", "noise", "gone"])
@pytest.mark.parametrize("name", ["flac", "mp3", "ogg-opus", "ogg-vorbis", "aac"])
def test_damage_in_the_middle_is_told_in_milliseconds(clip: Samples, name: str, kind: str) -> None:
    data = made(clip, name)
    length = len(data) // 9  # a second, or so
    heard_ms, lost_ms, truncated = read(garbled(data, len(data) // 2, length, kind), name)
    assert not truncated
    least_ms = 10 if (name, kind) == ("aac", "gone") else 300  # a part of a frame is seen
    assert least_ms < lost_ms < 3100
    if name != "mp3" and name != "aac":
        assert heard_ms + lost_ms == pytest.approx(9000, abs=150)


@pytest.mark.parametrize("kind", ["zeros", "ones", "noise", "gone"])
@pytest.mark.parametrize("name", ["webm", "live"])
def test_a_webm_that_is_broken_goes_on_with_its_next_cluster(
    clip: Samples, name: str, kind: str
) -> None:
    data = made(clip, name)
    clusters = [found.start() for found in re.finditer(b"\x1f\x43\xb6\x75", data)]
    assert len(clusters) == 2  # one has 5 s
    place = clusters[0] + (clusters[1] - clusters[0]) // 2
    heard_ms, lost_ms, truncated = read(garbled(data, place, 500, kind), "webm")
    assert not truncated
    assert 1000 < lost_ms < 5000
    assert heard_ms + lost_ms == pytest.approx(9000, abs=100)


CLUSTER = b"\x1f\x43\xb6\x75"


@pytest.mark.parametrize(
    "junk",
    [b"\x42\x42\x85hello", bytes(40), b"garbage noise here" * 3],
    ids=["element", "zeros", "letters"],
)
def test_bytes_before_the_first_cluster_cost_no_sound(clip: Samples, junk: bytes) -> None:
    data = recordings.live_webm(np.tile(clip, 3))
    first = data.index(CLUSTER)
    assert read(data[:first] + junk + data[first:], "webm") == (27_000, 0, False)


@pytest.mark.parametrize("at", [-30, 0, 5, 10])
def test_noise_over_the_head_of_the_first_cluster_costs_and_tells_that_cluster(
    clip: Samples, at: int
) -> None:
    data = recordings.live_webm(np.tile(clip, 3))
    damaged = garbled(data, data.index(CLUSTER) + at, 40, "noise")
    assert read(damaged, "webm") == (22_000, 5_000, False)


@pytest.mark.parametrize("cluster", [1, 2])
@pytest.mark.parametrize("filler", [0, 1_200_000], ids=["short header", "long header"])
def test_noise_costs_no_more_behind_a_header_of_any_length(
    clip: Samples, filler: int, cluster: int
) -> None:
    data = recordings.live_webm(np.tile(clip, 3))
    clusters = [found.start() for found in re.finditer(CLUSTER, data)]
    data = garbled(data, clusters[cluster] + 20_000, 300, "noise")
    void = b"\xec\x01" + filler.to_bytes(7) + bytes(filler)
    data = data[: clusters[0]] + (void if filler else b"") + data[clusters[0] :]
    heard_ms, lost_ms, truncated = read(data, "webm")
    assert (0 < lost_ms < 5_000, truncated) == (True, False)
    assert heard_ms + lost_ms == 27_000


@pytest.mark.parametrize("failing", ["loss_of_matroska", "_next_piece", "_skipping"])
def test_what_cannot_be_told_of_where_to_read_on_leaves_it_to_ffmpeg(
    clip: Samples, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise IndexError("index out of range")

    data = recordings.live_webm(np.tile(clip, 3))
    damaged = garbled(data, data.index(CLUSTER) + 20_000, 300, "noise")
    monkeypatch.setattr(f"stages._reading_on.{failing}", fails)
    facts = Facts("webm")
    sound = b"".join(blocks(io.BytesIO(damaged), len(damaged), 600.0, facts))
    assert len(sound) / 32 > 23_000


def test_what_cannot_be_told_of_the_first_frame_of_flac_refuses_nothing(
    clip: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise IndexError("index out of range")

    monkeypatch.setattr("stages._flac_frames._number", fails)
    assert read(recordings.flac_of(clip, frames=len(clip)), "flac") == (9000, 0, False)


def test_bytes_that_look_like_a_frame_of_flac_everywhere_take_no_time(clip: Samples) -> None:
    data = recordings.flac_of(clip, frames=len(clip))
    facts, frames = bytearray(data), data.index(b"\xff\xf8")
    facts[15:18] = b"\xff\xff\xff"  # the longest frame
    filler = b"\xff\xf9\x12\x34\x01\x02" * 40_000
    started = time.process_time()
    assert not is_joined_later(io.BytesIO(bytes(facts[:frames]) + filler))
    assert time.process_time() - started < 0.2


def test_a_damaged_fragment_of_mp4_costs_only_itself(clip: Samples) -> None:
    data = recordings.fragmented_mp4(np.tile(clip, 2))
    place = data.index(b"moof", len(data) // 3) - 4
    heard_ms, lost_ms, truncated = read(garbled(data, place, 300, "noise"), "mp4")
    assert (900 < lost_ms < 1100, truncated) == (True, False)
    assert heard_ms + lost_ms == pytest.approx(18_000, abs=100)


@pytest.mark.parametrize(
    ("seed", "length", "last"),
    [(4, 5000, 5), (148, 200, 15), (194, 20_000, 15)],
    ids=["passed over", "within a cluster", "wrong times"],
)
def test_any_noise_in_a_live_recording_is_told(
    clip: Samples, seed: int, length: int, last: int
) -> None:
    data = recordings.live_webm(np.tile(clip, 13))
    clusters = [found.start() for found in re.finditer(b"\x1f\x43\xb6\x75", data)]
    chance = np.random.default_rng(seed)
    chance.integers(0, 5 if seed == 4 else 4)  # these seeds are those that found something
    place = int(chance.integers(clusters[2], clusters[last]))
    noise = chance.integers(0, 256, length, np.uint8).tobytes()
    heard_ms, lost_ms, truncated = read(data[:place] + noise + data[place + length :], "webm")
    assert (0 < lost_ms < 10_100, truncated) == (True, False)
    assert heard_ms + lost_ms == pytest.approx(117_000, abs=100)


def test_damage_in_the_second_of_two_glued_files_costs_no_more(clip: Samples) -> None:
    one = recordings.encoded(clip, "webm")
    first, _ = [found.start() for found in re.finditer(b"\x1f\x43\xb6\x75", one)]
    second = garbled(one, first + 20_000, 500, "noise")
    heard_ms, lost_ms, truncated = read(one + second, "webm")
    assert (0 < lost_ms < 5100, truncated) == (True, False)
    assert heard_ms + lost_ms == pytest.approx(18_000, abs=150)


def test_a_film_whose_sound_is_over_before_its_picture_has_lost_nothing(clip: Samples) -> None:
    data = recordings.encoded(clip, "webm")
    cluster = b"\x1f\x43\xb6\x75\x88\xe7\x86" + (20_000).to_bytes(6)
    picture = b"\x1f\x43\xb6\x75\x8f\xe7\x82\x4e\x20\xa3\x89\x82\0\0\x80abcde"
    whole = read(data, "webm")
    assert read(data + picture * 20, "webm") == whole
    assert read(data + cluster * 20, "webm") == whole


def test_a_recording_that_is_broken_everywhere_takes_no_time(clip: Samples) -> None:
    data = recordings.live_webm(clip)
    first, second = [found.start() for found in re.finditer(b"\x1f\x43\xb6\x75", data)]
    piece = data[first : first + 3_000] + b"\x2a" * 30
    started = time.process_time()
    heard_ms, *_ = read(data[:second] + piece * 500, "webm")
    assert time.process_time() - started < 10
    assert heard_ms > 5_000


@pytest.mark.parametrize("total", ["whole", "rest", "unknown"])
@pytest.mark.parametrize("rest_of_a_frame", [0, 300])
def test_a_flac_whose_beginning_was_left_out_has_lost_nothing(
    clip: Samples, rest_of_a_frame: int, total: str
) -> None:
    frames = {"whole": len(clip), "rest": len(clip) - 5 * 4096, "unknown": 0}[total]
    data = recordings.flac_of(clip, frames=frames)
    sixth = next(found.start() for found in re.finditer(rb"\xff\xf8..\x05", data, re.DOTALL))
    beginning = data.index(b"\xff\xf8")
    joined = data[:beginning] + data[sixth - rest_of_a_frame :]
    heard_ms, lost_ms, truncated = read(joined, "flac")
    assert (pytest.approx(heard_ms, abs=1), lost_ms, truncated) == (7720, 0, False)
    if total == "whole":
        assert read(joined[: len(joined) * 2 // 3], "flac")[1:] == (0, True)


@pytest.mark.parametrize("total", [144_000, 0])
@pytest.mark.parametrize(("length", "expected_ms"), [(100, 256), (3000, 512), (20_000, 1280)])
def test_damage_at_the_beginning_of_a_flac_is_told(
    clip: Samples, length: int, expected_ms: int, total: int
) -> None:
    data = recordings.flac_of(clip, frames=total)
    damaged = garbled(data, data.index(b"\xff\xf8"), length, "noise")
    assert read(damaged, "flac")[1:] == (expected_ms, False)


@pytest.mark.parametrize("seconds", [9.0, 8.3])
@pytest.mark.parametrize(("name", "near_ms"), [("ogg-opus", 1), ("ogg-vorbis", 150)])
def test_a_page_before_a_short_last_one_is_told_with_its_whole_length(
    clip: Samples, name: str, near_ms: int, seconds: float
) -> None:
    data = made(clip[: round(seconds * 16_000)], name)
    *_, start, last = [found.start() for found in re.finditer(b"OggS", data)]
    heard_ms, lost_ms, truncated = read(data[:start] + data[last:], name)
    assert heard_ms + lost_ms == pytest.approx(seconds * 1000, abs=near_ms)
    assert (lost_ms > 500, truncated) == (True, False)


def test_a_gap_in_the_times_alone_is_no_damage(clip: Samples) -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webm") as file:
        stream = file.add_stream("libopus", rate=48_000, layout="mono")
        resampler = av.AudioResampler(format="s16", layout="mono", rate=48_000, frame_size=960)
        frame = av.AudioFrame.from_ndarray(clip.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = recordings.RATE_HZ
        for number, resampled in enumerate(resampler.resample(frame)):
            resampled.pts = 960 * number
            for packet in stream.encode(resampled):
                if not 100 < number < 200:
                    file.mux(packet)
        file.mux(stream.encode(None))
    heard_ms, lost_ms, truncated = read(buffer.getvalue(), "webm")
    assert (pytest.approx(heard_ms, abs=100), lost_ms, truncated) == (7000, 0, False)


def test_a_damaged_frame_of_flac_is_not_heard(clip: Samples) -> None:
    data = bytearray(recordings.encoded(clip // 8, "flac"))
    data[len(data) // 2] ^= 0x10  # a bit of the sound: only the checksum tells
    facts = Facts("flac")
    sound = b"".join(blocks(io.BytesIO(bytes(data)), len(data), 600.0, facts))
    assert (50 < facts.lost_ms < 200) is True
    assert np.abs(np.frombuffer(sound, np.int16)).max() <= 1.1 * np.abs(clip // 8).max()


def test_a_damaged_time_makes_no_longer_loss_than_a_recording_may_have(clip: Samples) -> None:
    data = bytearray(made(clip, "live"))
    first, second = [found.start() for found in re.finditer(b"\x1f\x43\xb6\x75", data)]
    data[first + 30_000 : first + 30_200] = b"\x2a" * 200
    time = data.index(b"\xe7\x82", second) + 2  # milliseconds, in two bytes
    data[time : time + 2] = b"\x7f\x7f"  # 32 s
    facts = Facts("webm")
    sound = b"".join(blocks(io.BytesIO(bytes(data)), len(data), 10.0, facts))
    assert (pytest.approx(len(sound) / 32, abs=100), facts.lost_ms) == (7000, 10_000)


@pytest.mark.parametrize("name", ["flac", "mp3", "ogg-opus", "ogg-vorbis", "aac", "live"])
def test_damage_before_a_missing_end_is_told_beside_it(clip: Samples, name: str) -> None:
    data = made(clip, name)
    damaged = garbled(data, len(data) // 3, len(data) // 9, "noise")[: len(data) * 9 // 10]
    _, lost_ms, truncated = read(damaged, "webm" if name == "live" else name)
    assert (lost_ms > 300, truncated) == (True, True)


@pytest.mark.parametrize("name", ["mp3", "aac", "ogg-opus", "ogg-vorbis", "flac"])
def test_between_glued_files_nothing_is_lost(clip: Samples, name: str) -> None:
    one = made(clip, name)
    second = recordings.tagged(one) if name in ("mp3", "aac") else one
    heard_ms, lost_ms, truncated = read(one + second, name)
    assert (pytest.approx(heard_ms, abs=200), lost_ms, truncated) == (18_000, 0, False)


@pytest.mark.parametrize("stray", [bytes(10), b"\x2a" * 10], ids=["zeros", "letters"])
def test_a_few_bytes_between_frames_hide_no_missing_end(clip: Samples, stray: bytes) -> None:
    data = made(clip, "mp3")
    starts = [sound_start(io.BytesIO(data))]
    while starts[-1] < len(data):
        starts.append(starts[-1] + LENGTHS["mp3"](data, starts[-1]))
    tenth, half = starts[10], starts[len(starts) // 2]
    _, lost_ms, truncated = read(data[:tenth] + stray + data[tenth:half], "mp3")
    assert (lost_ms, truncated) == (0, True)


@pytest.mark.parametrize("end", [b"\xff", b"ab", b"\0\0\0", b"TAG"])
@pytest.mark.parametrize("name", [*NAMES, "wav"])
def test_a_few_bytes_behind_a_recording_change_nothing(
    clip: Samples, name: str, end: bytes
) -> None:
    kind = "webm" if name == "live" else name
    data = made(clip[:16_000], name)
    assert read(data + end, kind) == read(data, kind)
    assert read(data, kind)[1:] == (0, False)


@pytest.mark.parametrize("name", ["ogg-vorbis", "ogg-flac"])
def test_a_chain_of_hundreds_of_links_is_heard(clip: Samples, name: str) -> None:
    links = [link(clip[at : at + 1600], name) for at in range(0, 16_000, 1600)]
    expected_ms = sum(read(one, "ogg-vorbis")[0] for one in links) * 30
    heard_ms, lost_ms, truncated = read(b"".join(links * 30), "ogg-vorbis")
    assert (heard_ms >= 30_000, lost_ms, truncated) == (True, 0, False)
    assert heard_ms == pytest.approx(expected_ms, rel=0.02)


def link(pcm: Samples, name: str) -> bytes:
    if name != "ogg-flac":
        return made(pcm, name)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="ogg") as file:
        stream = file.add_stream("flac", rate=recordings.RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = recordings.RATE_HZ
        file.mux([packet for packet in stream.encode(frame) if packet.size])
        file.mux([packet for packet in stream.encode(None) if packet.size])
    return buffer.getvalue()
