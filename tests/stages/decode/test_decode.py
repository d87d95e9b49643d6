"""Files decoded in a process of their own: good ones, cut ones, and those that mean harm."""

import asyncio
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from pipeline.frames import Samples
from stages import _decode
from stages._decode import Decoded, DecodeLimits, DecoderFailed, Undecodable, decode
from stages._decode_file import Facts, RecordingRefused
from stages._decode_worker import blocks
from stages._worker import Worker
from tests.support import recordings
from tests.support.examples import examples
from tests.support.paths import AUDIO, ROOT

pytestmark = pytest.mark.slow

MALFORMED = AUDIO / "malformed"
EVERY = ["wav", "wav-24", "wav-float", "wav-mulaw", "flac", "mp3", "ogg-opus", "ogg-vorbis"]
EVERY += ["webm", "m4a", "aac"]


@pytest.fixture(scope="module")
def clip() -> Samples:
    with wave.open(str(AUDIO / "software-engineer-1.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)[:48_000]


def decoded(data: bytes, **limits: Any) -> tuple[Decoded, Samples]:
    """By way of a process, as the gateway does it."""
    sink = io.BytesIO()
    found = asyncio.run(decode(io.BytesIO(data), sink, DecodeLimits(**limits)))
    return found, np.frombuffer(sink.getvalue(), np.int16)


def refusal(data: bytes, **limits: Any) -> str:
    with pytest.raises(Undecodable) as caught:
        decoded(data, **limits)
    assert str(caught.value) == caught.value.reason
    return caught.value.code


def here(data: bytes, container: Any, longest_s: float = 600.0) -> tuple[Facts, Samples]:
    """In this process: quick, for files that are known to be harmless."""
    facts = Facts(container)
    parts = list(blocks(io.BytesIO(data), len(data), longest_s, facts))
    assert all(len(part) <= 256_000 for part in parts)
    return facts, np.frombuffer(b"".join(parts), np.int16)


def likeness(a: Samples, b: Samples) -> float:
    """The correlation of two recordings at the best of the shifts that codecs cause."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    n = min(len(x), len(y)) - 2000
    shifts = range(0, 1600, 4)
    best = 0.0
    for p, q in ((x, y), (y, x)):
        for shift in shifts:
            u, v = p[shift : shift + n], q[:n]
            best = max(best, float(u @ v / np.sqrt((u @ u) * (v @ v))))
    return best


# --- good files ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_each_format_becomes_the_same_sound(clip: Samples, name: str) -> None:
    container, _, _, codec, rate_hz = recordings.ENCODINGS[name]
    found, pcm = decoded(recordings.encoded(clip, name))
    channels = 2 if name == "ogg-vorbis" else 1
    assert (container, codec, rate_hz, channels) == (
        found.container, found.codec, found.rate_hz, found.channels,
    )  # fmt: skip
    assert (len(pcm), False) == (found.samples, found.truncated)
    assert found.duration_ms == pytest.approx(3000, abs=100)
    assert likeness(clip, pcm) > 0.9


def test_a_browsers_live_recording_is_whole(clip: Samples) -> None:
    facts, pcm = here(recordings.live_webm(clip), "webm")
    assert (facts.lost_ms, pytest.approx(len(pcm) / 16, abs=100)) == (0, 3000)


def test_16_khz_mono_is_left_alone(clip: Samples) -> None:
    assert np.array_equal(clip, decoded(recordings.wav(clip))[1])


def test_two_channels_are_mixed(clip: Samples) -> None:
    both = np.stack((clip, np.zeros_like(clip)), axis=1)
    facts, pcm = here(recordings.wav(both, channels=2), "wav")
    assert (2, len(clip)) == (facts.channels, len(pcm))
    assert likeness(clip, pcm) > 0.99
    assert np.abs(pcm).max() == pytest.approx(np.abs(clip).max() / 2, rel=0.05)


def test_long_sound_comes_in_blocks(clip: Samples) -> None:
    long = np.tile(clip, 7)
    assert np.array_equal(long, here(recordings.wav(long), "wav")[1])


@pytest.mark.parametrize("name", ["wav", "wav-float", "flac", "ogg-vorbis"])
def test_channels_that_cancel_each_other_out_are_heard(clip: Samples, name: str) -> None:
    opposite = recordings.stereo(clip, -clip, name)
    facts, pcm = here(opposite, recordings.ENCODINGS[name][0])
    assert facts.channels == 2
    assert likeness(clip, pcm) > 0.75  # FFmpeg's Vorbis encoder spoils such sound
    assert np.abs(pcm).max() == pytest.approx(np.abs(clip).max(), rel=0.1)


@pytest.mark.parametrize("at", [0, 3, 7])
def test_of_a_recorders_many_inputs_the_one_with_the_microphone_is_heard(
    clip: Samples, at: int
) -> None:
    inputs = np.zeros((len(clip), 8), np.int16)
    inputs[:, at] = clip
    facts, pcm = here(recordings.wav(inputs, channels=8), "wav")
    assert (facts.channels, len(pcm)) == (8, len(clip))
    assert likeness(clip, pcm) > 0.99
    assert np.abs(pcm).max() == pytest.approx(np.abs(clip).max(), rel=0.05)


@pytest.mark.parametrize("name", ["flac", "aac", "wav", "mp3"])
def test_a_tag_before_a_recording_is_left_out(clip: Samples, name: str) -> None:
    data = recordings.tagged(recordings.encoded(clip, name), 300_000)
    found, pcm = decoded(data)
    assert (found.container, found.truncated) == (recordings.ENCODINGS[name][0], False)
    assert likeness(clip, pcm) > 0.9


TAGS = {
    "id3v1": recordings.id3v1(),
    "ape": recordings.ape(200),
    "ape-id3v1": recordings.ape(3000) + recordings.id3v1(),
    "lyrics-id3v1": recordings.lyrics() + recordings.id3v1(),
    "id3v2": recordings.tagged(b""),
    "zeros": bytes(500),
    "more zeros": bytes(4096),
    "flash": b"\xff" * 2000,
    "line": b"\n",
    "id3v1-line": recordings.id3v1() + b"\r\n",
}


@pytest.mark.parametrize("tag", TAGS.values(), ids=TAGS)
@pytest.mark.parametrize("name", ["mp3", "mp3-low", "aac", "m4a"])
def test_a_tag_behind_a_recording_makes_no_cut_file_of_it(
    clip: Samples, name: str, tag: bytes
) -> None:
    container, data = recordings.ENCODINGS[name][0], recordings.encoded(clip, name)
    _, untagged = here(data, container)
    facts, pcm = here(data + tag, container)
    assert facts.truncated(io.BytesIO(data + tag), len(data + tag)) is False
    assert (facts.lost_ms, np.array_equal(untagged, pcm)) == (0, True)


@pytest.mark.parametrize("name", ["mp3", "mp3-low", "aac"])
def test_a_cut_recording_is_marked_although_a_tag_was_put_behind_it(
    clip: Samples, name: str
) -> None:
    data = recordings.encoded(clip, name)
    data = data[: len(data) * 2 // 3] + recordings.ape(200) + recordings.id3v1()
    facts, pcm = here(data, recordings.ENCODINGS[name][0])
    assert 1900 < len(pcm) / 16 < 2100
    assert facts.truncated(io.BytesIO(data), len(data)) is True


@pytest.mark.parametrize("end", [b"\r\n", bytes(70_000)], ids=["line", "zeros"])
def test_padding_behind_ogg_makes_no_cut_file_of_it(clip: Samples, end: bytes) -> None:
    data = recordings.encoded(clip, "ogg-opus") + end
    facts, pcm = here(data, "ogg")
    assert (len(pcm) / 16, facts.lost_ms) == (pytest.approx(3000, abs=50), 0)
    assert facts.truncated(io.BytesIO(data), len(data)) is False


@pytest.mark.parametrize("quality", [0, 4, 9])
def test_an_mp3_that_begins_quietly_and_states_no_length_is_whole(
    clip: Samples, quality: int
) -> None:
    data = recordings.uncounted(np.concatenate((np.zeros_like(clip), clip)), quality)
    facts, pcm = here(data, "mp3")
    assert len(pcm) / 16 == pytest.approx(6000, abs=100)
    assert (facts.truncated(io.BytesIO(data), len(data)), facts.lost_ms) == (False, 0)
    facts, pcm = here(data[:-100], "mp3")
    assert facts.truncated(io.BytesIO(data[:-100]), len(data) - 100) is True


@pytest.mark.parametrize("damage", [b"\x2a" * 3000, bytes(3000), b"\xff" * 3000, b""])
def test_damage_in_the_middle_of_an_mp3_is_counted(clip: Samples, damage: bytes) -> None:
    data = recordings.uncounted(np.tile(clip, 2), 4)
    middle = len(data) // 2
    data = data[:middle] + damage + data[middle + 3000 :]
    facts, pcm = here(data, "mp3")
    assert 5300 < len(pcm) / 16 < 6000
    assert 10 < facts.lost_ms < 600
    assert facts.truncated(io.BytesIO(data), len(data)) is False


def test_bytes_of_0_before_a_recording_are_left_out(clip: Samples) -> None:
    found, pcm = decoded(bytes(1000) + recordings.wav(clip))
    assert (found.truncated, np.array_equal(clip, pcm)) == (False, True)


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
def test_a_wav_that_may_be_longer_than_4_gb_is_heard_and_a_cut_one_marked(
    clip: Samples, magic: bytes
) -> None:
    whole = recordings.long_wav(clip, magic)
    for data, samples, truncated in ((whole, 48_000, False), (whole[:-32_000], 32_000, True)):
        facts, pcm = here(data, "wav")
        assert np.array_equal(clip[:samples], pcm)
        assert facts.truncated(io.BytesIO(data), len(data)) is truncated


def test_a_recording_of_eight_channels_with_a_plane_each_is_heard(clip: Samples) -> None:
    tone = (9000 * np.sin(np.arange(48_000) / 30)).astype(np.int16)
    found, pcm = decoded(recordings.surround(tone, "7.1"))
    assert (found.channels, found.codec) == (8, "aac")
    assert found.duration_ms == pytest.approx(1000, abs=60)
    assert np.abs(pcm).max() > 4000


# --- several tracks, several files -----------------------------------------------------------


@pytest.mark.parametrize(("container", "codec"), [("mp4", "aac"), ("matroska", "libopus")])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_of_several_tracks_the_one_with_the_voice_is_taken(
    clip: Samples, container: str, codec: str, at: int
) -> None:
    sounds = [np.zeros_like(clip), clip // 100, np.zeros_like(clip)[:8000]]
    sounds[at] = clip
    data = recordings.tracks(container, codec, *sounds)
    found, pcm = decoded(data)
    assert likeness(clip, pcm) > 0.9
    assert np.abs(pcm).max() == pytest.approx(np.abs(clip).max(), rel=0.2)
    assert (len(pcm) / 16, found.truncated) == (pytest.approx(3000, abs=50), False)


def test_several_tracks_of_silence_are_silence(clip: Samples) -> None:
    silence = np.zeros_like(clip)
    found, pcm = decoded(recordings.tracks("mp4", "aac", silence, silence))
    assert (np.abs(pcm).max(), found.truncated) == (0, False)


def test_a_track_that_cannot_be_taken_does_not_hide_one_that_can(clip: Samples) -> None:
    data = bytearray(recordings.tracks("matroska", "libopus", clip, clip // 4))
    at = data.index(b"A_OPUS")
    data[at : at + 6] = b"A_NONE"
    _, pcm = here(bytes(data), "webm")
    assert np.abs(pcm).max() == pytest.approx(np.abs(clip).max() / 4, rel=0.2)


@pytest.mark.parametrize("name", [*EVERY, "live"])
def test_files_that_were_glued_together_are_heard_to_the_end(clip: Samples, name: str) -> None:
    one, other = clip, clip[::-1].copy()
    if name == "live":
        container, data = "webm", recordings.live_webm(one) + recordings.live_webm(other)
    else:
        container = recordings.ENCODINGS[name][0]
        data = recordings.encoded(one, name) + recordings.encoded(other, name)
    facts, pcm = here(data, container)
    assert len(pcm) / 16 == pytest.approx(6000, abs=200)
    assert likeness(one, pcm[:48_000]) > 0.9
    assert likeness(other, pcm[-48_000:]) > 0.85
    assert not facts.truncated(io.BytesIO(data), len(data))


@pytest.mark.parametrize("second", ["ogg-opus", "ogg-vorbis", "stereo"])
@pytest.mark.parametrize("first", ["ogg-opus", "ogg-vorbis", "stereo"])
def test_a_chain_of_ogg_is_heard_whatever_its_codecs(
    clip: Samples, first: str, second: str
) -> None:
    def link(pcm: Samples, name: str) -> bytes:
        if name == "stereo":
            return recordings.stereo(pcm, pcm, "ogg-opus")
        return recordings.encoded(pcm, name)

    other = clip[::-1].copy()
    data = link(clip, first) + link(other, second)
    facts, pcm = here(data, "ogg")
    assert len(pcm) / 16 == pytest.approx(6000, abs=100)
    assert likeness(clip, pcm[:48_000]) > 0.9
    assert likeness(other, pcm[-48_000:]) > 0.85
    assert facts.truncated(io.BytesIO(data), len(data)) is False


def test_files_of_matroska_are_heard_one_after_the_other_whatever_their_codecs(
    clip: Samples,
) -> None:
    one = recordings.encoded(clip, "webm")
    data = one + recordings.tracks("matroska", "aac", clip) + one
    facts, pcm = here(data, "webm")
    assert len(pcm) / 16 == pytest.approx(9000, abs=100)
    assert likeness(clip, pcm[48_000:96_000]) > 0.9
    assert facts.truncated(io.BytesIO(data), len(data)) is False


@pytest.mark.parametrize(
    ("name", "first"),
    [("wav", False), ("m4a", False), *((n, first) for n in ("flac", "mp3") for first in (0, 1))],
)
def test_of_glued_files_one_that_is_cut_is_noticed(clip: Samples, name: str, first: bool) -> None:
    container = recordings.ENCODINGS[name][0]
    whole = recordings.encoded(clip, name)
    cut = whole[: len(whole) * 2 // 3]
    data = cut + whole if first else whole + cut
    facts, pcm = here(data, container)
    assert len(pcm) >= 47_000
    assert facts.truncated(io.BytesIO(data), len(data))


def test_an_mp3_with_padding_behind_two_tags_is_one_file(clip: Samples) -> None:
    whole = recordings.encoded(clip, "mp3")
    tag = b"ID3\x04\0\0\0\0\0\x14" + bytes(20)
    data = tag + tag + bytes(1000) + whole[whole.index(b"\xff\xfb") :]
    facts, pcm = here(data, "mp3")
    assert len(pcm) / 16 == pytest.approx(3000, abs=100)
    assert not facts.truncated(io.BytesIO(data), len(data))


def test_what_is_glued_on_and_is_no_recording_is_noticed(clip: Samples) -> None:
    whole = recordings.wav(clip)
    data = whole + b"RIFF\x24\0\0\0WAVE" + b"junk" * 20
    facts, pcm = here(data, "wav")
    assert (len(clip), True) == (len(pcm), facts.truncated(io.BytesIO(data), len(data)))


def test_too_many_glued_files_are_refused(clip: Samples) -> None:
    with pytest.raises(RecordingRefused, match="over 1000 files"):
        here(recordings.wav(clip[:160]) * 1001, "wav")


# --- cut files -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "ogg-opus", "ogg-vorbis", "webm", "aac"])
def test_what_there_is_of_a_cut_file_is_decoded_and_marked(clip: Samples, name: str) -> None:
    whole = recordings.encoded(np.tile(clip, 5), name)
    data = whole[: len(whole) * 6 // 10]
    facts, pcm = here(data, recordings.ENCODINGS[name][0])
    assert len(pcm) / 16 == pytest.approx(9000, abs=3000)  # a page of Ogg may be seconds
    assert facts.truncated(io.BytesIO(data), len(data))


def test_the_mark_reaches_the_caller(clip: Samples) -> None:
    found, _ = decoded(recordings.encoded(clip, "webm")[:-2000])
    assert found.truncated


def test_a_webm_cut_inside_its_header_is_refused() -> None:
    assert refusal((MALFORMED / "cut-in-header.webm").read_bytes()) == "damaged"


@pytest.mark.slow
def test_a_webm_is_refused_or_marked_wherever_it_is_cut(clip: Samples) -> None:
    data = recordings.encoded(clip, "webm")
    outcomes = []
    for size in range(4, len(data), 97):
        try:
            facts, _ = here(data[:size], "webm")
            outcomes.append(facts.truncated(io.BytesIO(data[:size]), size))
        except RecordingRefused as error:
            outcomes.append(error.code)
    first = outcomes.index(True)
    assert set(outcomes[:first]) <= {"damaged", "no_audio_track", "no_sound"}
    assert {True} == set(outcomes[first:])
    assert 0 < first < len(outcomes) // 3


# --- bad files -------------------------------------------------------------------------------

EXPECTED = {
    "flac-2e36-frames.flac": "too_long",
    "float-nan-inf.wav": "not_numbers",
    "rate-0.wav": "damaged",
    "rate-2147483647.wav": "unsupported_rate",
    "channels-0.wav": "unsupported_channels",
    "channels-1024.wav": "unsupported_channels",
    "truncated-header.wav": "damaged",
    "cut-in-header.webm": "damaged",
    "empty.wav": "empty",
    "text.wav": "not_audio",
    "riff-size-past-end.wav": (3200, False),
    "riff-size-0.wav": (3200, False),
    "data-size-past-end.wav": (3200, False),
    "data-size-0.wav": (3200, True),
    "truncated-data.wav": (1478, True),
    "eight-bit.wav": (3200, False),
}


def test_every_malformed_file_has_an_expectation() -> None:
    files = {file.name for file in MALFORMED.iterdir() if file.suffix not in (".py", ".md")}
    assert EXPECTED.keys() == files


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_malformed_file_is_refused_or_harmless(name: str) -> None:
    data = (MALFORMED / name).read_bytes()
    expected = EXPECTED[name]
    if isinstance(expected, str):
        assert expected == refusal(data)
    else:
        found, _ = decoded(data)
        assert expected == (found.samples, found.truncated)


@pytest.mark.parametrize(
    ("channels", "rate_hz", "expected"),
    [
        (192, 48_000, "unsupported_channels"),
        (9, 48_000, "unsupported_channels"),
        (192, 768_000, "unsupported_rate"),
        (2, 768_000, "unsupported_rate"),
        (1, 100, "unsupported_rate"),
    ],
)
def test_an_impossible_shape_is_refused(channels: int, rate_hz: int, expected: str) -> None:
    with pytest.raises(RecordingRefused) as caught:
        here(recordings.lying_wav(channels=channels, rate_hz=rate_hz), "wav")
    assert expected == caught.value.code


def test_a_flac_header_that_lies_about_its_rate_is_refused(clip: Samples) -> None:
    assert refusal(recordings.flac_of(clip, rate_hz=768_000)) == "unsupported_rate"


def test_a_flac_that_claims_more_than_it_holds_is_truncated(clip: Samples) -> None:
    data = recordings.flac_of(clip, frames=2 * len(clip))
    facts, pcm = here(data, "flac")
    assert (len(clip), True) == (len(pcm), facts.truncated(io.BytesIO(data), len(data)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_single_sample_that_is_no_number_is_refused(value: float) -> None:
    samples = np.zeros(160_000, np.float32)
    samples[150_000] = value
    assert refusal(recordings.float_wav(samples)) == "not_numbers"


def test_floats_beyond_full_scale_are_clipped() -> None:
    _, pcm = here(recordings.float_wav(np.full(16_000, 1e30, np.float32)), "wav")
    assert {32767} == set(pcm.tolist())


def test_silence_for_longer_than_the_limit_is_refused() -> None:
    data = recordings.silent_flac(12)
    with pytest.raises(RecordingRefused) as caught:
        here(data, "flac")
    assert caught.value.code == "too_long"
    assert caught.value.reason.startswith("Its header claims 12 minutes")


def test_a_header_that_claims_less_than_it_holds_gains_nothing() -> None:
    data = bytearray(recordings.silent_flac(3))
    data[21] &= 0xF0
    data[22:26] = bytes(4)  # unknown
    with pytest.raises(RecordingRefused) as caught:
        here(bytes(data), "flac", longest_s=60)
    assert (
        caught.value.code, caught.value.reason,
    ) == ("too_long", "It lasts longer than 1 minutes")  # fmt: skip


def test_a_file_without_a_sample_is_refused() -> None:
    assert refusal(recordings.wav(np.zeros(0, np.int16))) == "no_sound"


def test_a_playlist_opens_nothing(clip: Samples, tmp_path: Path) -> None:
    target = tmp_path / "secret.wav"
    target.write_bytes(recordings.wav(clip))
    assert refusal(f"#EXTM3U\n#EXTINF:3\n{target}\n".encode()) == "not_audio"
    assert refusal(f"ffconcat version 1.0\nfile {target}\n".encode()) == "not_audio"


def test_more_bytes_than_allowed_are_refused(clip: Samples) -> None:
    assert refusal(recordings.wav(clip), most_bytes=50_000) == "too_large"


def test_a_film_without_sound_is_refused() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webm") as file:
        stream = file.add_stream("libvpx", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    with pytest.raises(RecordingRefused) as caught:
        here(buffer.getvalue(), "webm")
    assert caught.value.code == "no_audio_track"


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "GSM610"])
def test_unwanted_codecs_are_not_opened(clip: Samples, subtype: str) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, clip, 16_000, format="WAV", subtype=subtype)
    with pytest.raises(RecordingRefused) as caught:
        here(buffer.getvalue(), "wav")
    assert caught.value.code == "unsupported_codec"


def test_a_format_that_changes_midway_goes_on(clip: Samples) -> None:
    two = recordings.encoded(clip, "mp3") + recordings.encoded(clip, "mp3-low")
    _, pcm = here(two, "mp3")
    assert len(pcm) / 16 == pytest.approx(6000, abs=300)


def test_a_name_in_metadata_that_is_no_text_does_no_harm(clip: Samples) -> None:
    info = b"LIST\x14\0\0\0INFOINAM\x08\0\0\0\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8"
    data = recordings.wav(clip)
    assert np.array_equal(clip, here(data[:36] + info + data[36:], "wav")[1])


# --- limits ----------------------------------------------------------------------------------


class Recording(Worker):
    """Remembers the processes that were started."""

    pids: list[int]

    async def start(self) -> Any:
        report = await super().start()
        pid = self.stats().pid
        assert pid is not None
        Recording.pids.append(pid)
        return report


@pytest.fixture
def pids(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.setattr(_decode, "Worker", Recording)
    Recording.pids = []
    return Recording.pids


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_every_file_has_a_process_of_its_own_that_is_gone_afterwards(
    clip: Samples, pids: list[int]
) -> None:
    decoded(recordings.wav(clip))
    refusal(MALFORMED.joinpath("rate-0.wav").read_bytes())
    assert len(set(pids)) == 2
    assert all(gone(pid) for pid in pids)


def test_cancelling_ends_the_process(clip: Samples, pids: list[int]) -> None:
    class Slow(io.BytesIO):
        def write(self, data: Any) -> int:
            task.get_loop().call_soon_threadsafe(task.cancel)
            return super().write(data)

    async def main() -> None:
        nonlocal task
        file = io.BytesIO(recordings.wav(np.tile(clip, 20)))
        task = asyncio.create_task(decode(file, Slow()))
        await asyncio.wait([task])

    task: asyncio.Task[Decoded]
    asyncio.run(main())
    assert task.cancelled()
    assert [gone(pid) for pid in pids] == [True]


@pytest.mark.slow
def test_a_decoder_that_takes_too_long_is_ended(clip: Samples, pids: list[int]) -> None:
    class Stuck(io.BytesIO):
        """The second block never comes, as with a decoder that does not return."""

        def write(self, data: Any) -> int:
            os.kill(pids[0], 19)  # SIGSTOP
            return super().write(data)

    async def main() -> None:
        file = io.BytesIO(recordings.wav(np.tile(clip, 20)))
        await decode(file, Stuck(), DecodeLimits(wall_s=1))  # before its heartbeat is missed

    with pytest.raises(Undecodable) as caught:
        asyncio.run(main())
    assert (
        caught.value.code, caught.value.reason,
    ) == ("too_costly", "Decoding it takes longer than 1 s")  # fmt: skip
    assert gone(pids[0])


def test_a_decoder_that_dies_says_so(clip: Samples, pids: list[int]) -> None:
    class Deadly(io.BytesIO):
        def write(self, data: Any) -> int:
            os.kill(pids[0], 9)
            return super().write(data)

    with pytest.raises(Undecodable) as caught:
        asyncio.run(decode(io.BytesIO(recordings.wav(np.tile(clip, 20))), Deadly()))
    assert caught.value.code == "crashed"


def test_memory_beyond_the_limit_is_not_given() -> None:
    packets = b"\xff\xf1\x50\x80\x00\xff\xfc" * (1 << 17)  # empty ones: some 40 MB to keep
    assert refusal(packets) == "unsupported_rate"
    assert refusal(packets, memory_bytes=8 << 20) == "too_costly"


def test_no_process_is_the_machines_fault(clip: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(DecoderFailed):
        decoded(recordings.wav(clip))


def bombs() -> Iterator[tuple[str, bytes]]:
    """Files that cost others much memory or time."""
    chance = random.Random(4)
    silence = recordings.silent_flac(12)
    clip = np.zeros(16_000, np.int16)
    webm = recordings.encoded(clip, "webm")
    m4a = recordings.encoded(clip, "m4a")
    mp3 = recordings.encoded(clip, "mp3")
    unknown = bytearray(silence)
    unknown[21] &= 0xF0
    unknown[22:26] = bytes(4)
    yield "flac-2e36", recordings.flac_of(clip, frames=2**36 - 1)
    yield "flac-silence-unsaid", bytes(unknown)
    yield "wav-of-eight-channels", recordings.lying_wav(channels=8, rate_hz=192_000, size=20 << 20)
    yield "webm-then-noise", webm[:500] + chance.randbytes(20 << 20)
    yield "webm-of-a-huge-element", webm[:300] + b"\xa3\x11\xff\xff\xff\xff" + bytes(20 << 20)
    at = m4a.index(b"stts")
    yield "m4a-of-2e32-entries", m4a[: at + 8] + b"\xff\xff\xff\xff" + m4a[at + 12 :]
    at = m4a.index(b"stsz")
    yield "m4a-of-2e32-samples", m4a[: at + 12] + b"\xff\xff\xff\xff" + m4a[at + 16 :]
    yield "mp3-then-noise", mp3 + chance.randbytes(20 << 20)
    yield "mp3-of-a-huge-tag", b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(20 << 20)
    yield "ogg-of-nothing", b"OggS" * (5 << 20)
    opus = b"\x01\x13OpusHead\x01"
    pages = [b"OggS\0\x02" + bytes(20) + opus + bytes([n]) + bytes(9) for n in (1, 2)]
    yield "ogg-of-beginnings", b"".join(pages) * (250 << 10)
    yield "webm-of-beginnings", webm[:4] * (5 << 20)
    yield "webm-of-headers", webm[:300] * (60 << 10)
    yield "mp3-then-blanks", mp3 + (b"TAG" + bytes(125)) * (150 << 10)
    yield "aac-headers", b"\xff\xf1\x50\x80\x00\xff\xfc" * (3 << 20)


@pytest.mark.realtime
def test_bombs_cost_little_memory_and_time(tmp_path: Path) -> None:
    names = ["plain"]
    (tmp_path / "plain").write_bytes(recordings.wav(np.zeros(16_000, np.int16)))
    for name, data in bombs():
        (tmp_path / name).write_bytes(data)
        names.append(name)
    program = [sys.executable, str(Path(__file__).with_name("measure.py"))]
    run = subprocess.run(
        [*program, *(str(tmp_path / name) for name in names)],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    plain, *costs = (json.loads(line) for line in run.stdout.splitlines())
    assert plain["result"] == "1000 ms"
    assert len(names) - 1 == len(costs)
    before = plain
    for name, cost in zip(names[1:], costs, strict=True):
        assert cost["peak_kb"] - plain["peak_kb"] < 64 * 1024, name
        # Of the processor, which others cannot take away; 0.2 s are the process's start.
        assert cost["cpu_s"] - before["cpu_s"] < 1, name
        before = cost


# --- every header ----------------------------------------------------------------------------


REASONS = {"damaged", "not_audio", "no_audio_track", "no_sound", "not_numbers", "too_long"}
REASONS |= {"unsupported_codec", "unsupported_rate", "unsupported_channels"}


@pytest.fixture(scope="module")
def originals() -> dict[str, bytes]:
    pcm = (6000 * np.sin(np.arange(4_800) / 20)).astype(np.int16)
    return {name: recordings.encoded(pcm, name) for name in EVERY}


@pytest.mark.slow
@examples(40)
@given(
    name=st.sampled_from(EVERY),
    changes=st.lists(
        st.tuples(st.integers(0, 400), st.one_of(st.just(b"\xff" * 4), st.binary(max_size=8))),
        min_size=1,
        max_size=4,
    ),
    cut=st.one_of(st.none(), st.integers(12, 2_000)),
)
def test_a_mutated_header_gives_sound_or_a_reason(
    originals: dict[str, bytes],
    name: str,
    changes: list[tuple[int, bytes]],
    cut: int | None,
) -> None:
    data = bytearray(originals[name])
    for at, change in changes:
        data[at : at + len(change)] = change
    codes = set[str]()
    with tempfile.TemporaryFile() as sink:
        try:
            found = asyncio.run(
                decode(io.BytesIO(bytes(data[:cut])), sink, DecodeLimits(wall_s=20))
            )
        except Undecodable as error:
            codes.add(error.code)
        else:
            assert 0 < found.samples <= 600 * 16_000
            assert 2 * found.samples == sink.tell()
    assert codes <= REASONS
