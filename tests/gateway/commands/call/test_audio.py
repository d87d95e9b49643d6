"""Files that a caller plays, and the microphone's schedule."""

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gateway.commands.call.audio import Microphone, UnusableAudio, frames, read
from gateway.media.codecs import decode
from gateway.media.format import AudioFormat
from tests.support.paths import AUDIO

MALFORMED = AUDIO / "malformed"
PCM = AudioFormat()

UNPLAYABLE = {
    "flac-2e36-frames.flac": "is longer than 10 minutes",
    "float-nan-inf.wav": "holds samples that are no numbers (NaN or infinity)",
    "rate-0.wav": "is not playable audio",
    "rate-2147483647.wav": "has a sample rate of 2147483647 Hz; 8000 to 192000 are possible",
    "channels-0.wav": "is not playable audio",
    "channels-1024.wav": "has 1024 channels; 1 or 2 are possible",
    "data-size-0.wav": "holds no audio",
    "truncated-header.wav": "is not playable audio",
    "empty.wav": "is not playable audio",
    "text.wav": "is not playable audio",
}
PLAYABLE = {
    "riff-size-past-end.wav": 3200,
    "riff-size-0.wav": 3200,
    "data-size-past-end.wav": 3200,
    "truncated-data.wav": 1478,
    "eight-bit.wav": 3200,
}


def tone(rate_hz: int, duration_s: float) -> np.ndarray:
    time_s = np.arange(round(rate_hz * duration_s)) / rate_hz
    return (np.sin(2 * np.pi * 440 * time_s) * 8000).astype(np.int16)


# --- files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("clip", sorted(AUDIO.glob("*.wav")), ids=lambda clip: clip.stem)
def test_every_clip_is_read_as_it_is(clip: Path) -> None:
    expected, _ = soundfile.read(clip, dtype="int16")
    assert np.array_equal(expected, read(clip))


def test_every_malformed_file_has_an_expectation() -> None:
    files = {file.name for file in MALFORMED.iterdir() if file.suffix in (".wav", ".flac")}
    assert UNPLAYABLE.keys() | PLAYABLE.keys() == files


@pytest.mark.parametrize("name", sorted(UNPLAYABLE))
def test_a_malformed_file_is_refused_with_its_name_and_little_memory(name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(UnusableAudio) as caught:
            read(MALFORMED / name)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(f"{MALFORMED / name}: {UNPLAYABLE[name]}")
    assert peak < 16 * 1024 * 1024


@pytest.mark.parametrize("name", sorted(PLAYABLE))
def test_a_harmless_oddity_plays(name: str) -> None:
    assert len(read(MALFORMED / name)) == PLAYABLE[name]


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_each_format_and_rate_becomes_16_khz(tmp_path: Path, suffix: str, rate_hz: int) -> None:
    if suffix == ".mp3" and rate_hz > 48_000:
        pytest.skip("MP3 ends at 48 kHz")
    path = tmp_path / f"tone{suffix}"
    soundfile.write(path, tone(rate_hz, 1.5), rate_hz)
    pcm = read(path)
    assert len(pcm) == pytest.approx(24_000, abs=1_600)  # MP3 pads at both ends
    spectrum = np.abs(np.fft.rfft(pcm[8000:16_000]))
    assert np.argmax(spectrum) * 16_000 / 8_000 == pytest.approx(440, abs=4)


def test_two_channels_become_their_mean(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.array([[1000, 3000]] * 320, np.int16), 16_000)
    assert np.array_equal(np.full(320, 2000, np.int16), read(path))


def test_a_float_file_beyond_full_scale_is_clipped(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.array([2.0, -2.0] * 100), 16_000, subtype="FLOAT")
    assert {32767, -32768} == set(read(path).tolist())


def test_a_file_that_is_too_long_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 8_000, 1) as sound:
        for _ in range(601):
            sound.write(np.zeros(8_000, np.int16))
    with pytest.raises(UnusableAudio, match="is longer than 10 minutes"):
        read(path)


def test_a_name_that_lies_about_the_format_does_not_matter(tmp_path: Path) -> None:
    flac = io.BytesIO()
    soundfile.write(flac, tone(16_000, 0.1), 16_000, format="FLAC")
    path = tmp_path / "sound.raw"
    path.write_bytes(flac.getvalue())
    assert np.array_equal(tone(16_000, 0.1), read(path))


@pytest.mark.parametrize("size", range(44))
def test_a_file_that_ends_within_its_header_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "cut.wav"
    path.write_bytes((MALFORMED / "eight-bit.wav").read_bytes()[:size])
    with pytest.raises(UnusableAudio):
        read(path)


# --- the microphone --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("audio", "size"),
    [(PCM, 640), (AudioFormat("mulaw", 8_000), 160), (AudioFormat("pcm_s16le", 48_000), 1920)],
)
def test_speech_is_cut_into_wire_frames_of_20_ms(audio: AudioFormat, size: int) -> None:
    cut = list(frames(tone(16_000, 0.5), audio))
    assert {len(frame) for frame in cut} == {size}
    assert len(cut) == 25


def test_the_last_frame_is_filled_up_with_silence() -> None:
    (only,) = frames(np.full(100, 7, np.int16), PCM)
    assert decode(only, PCM).tolist() == [7] * 100 + [0] * 220


def test_the_microphone_is_silent_until_it_speaks_and_again_afterwards() -> None:
    microphone = Microphone(PCM, start=5.0)
    assert microphone.take() == bytes(640)
    microphone.say(iter([b"one", b"two"]))
    assert microphone.speaking
    assert [microphone.take(), microphone.take()] == [b"one", b"two"]
    assert not microphone.speaking
    assert microphone.take() == bytes(640)


def test_the_silence_of_g711_decodes_to_silence() -> None:
    audio = AudioFormat("mulaw", 8_000)
    assert set(decode(Microphone(audio, 0).take(), audio).tolist()) == {0}


def test_the_schedule_does_not_drift() -> None:
    microphone = Microphone(PCM, start=5.0)
    due = []
    for _ in range(1000):
        due.append(microphone.due)
        microphone.take()
    assert due[:3] == pytest.approx([5.0, 5.02, 5.04])
    assert due[-1] == pytest.approx(5.0 + 999 * 0.02)
