import math

import numpy as np
import pytest

from stages.tts.loudness import (
    HIGHEST_DBFS,
    TARGET_LUFS,
    LevelStream,
    VoiceLevel,
    loudness_lufs,
    true_peak_dbfs,
)


def tone(amplitude: float, *, hz: float = 997, rate_hz: int = 48_000, seconds: float = 3) -> object:
    return amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 24_000, 48_000])
def test_a_tone_of_997_hz_at_full_scale_has_the_loudness_of_the_standard(rate_hz: int) -> None:
    assert loudness_lufs(tone(1.0, rate_hz=rate_hz), rate_hz) == pytest.approx(-3.01, abs=0.06)


def test_half_the_amplitude_is_six_units_quieter() -> None:
    quieter = loudness_lufs(tone(0.5), 48_000) - loudness_lufs(tone(1.0), 48_000)
    assert quieter == pytest.approx(-6.02, abs=0.01)


def test_low_tones_count_less_and_high_ones_more() -> None:
    low, middle, high = (loudness_lufs(tone(0.1, hz=hz), 48_000) for hz in (40, 997, 6_000))
    assert low < middle - 4
    assert high > middle + 2


def test_pauses_do_not_count() -> None:
    speech = tone(0.1)
    with_pauses = np.concatenate([speech, np.zeros(96_000), speech, tone(0.001)])
    assert loudness_lufs(with_pauses, 48_000) == pytest.approx(
        loudness_lufs(speech, 48_000), abs=0.5
    )


def test_silence_has_no_loudness_and_no_peak() -> None:
    for samples in (np.zeros(48_000), np.zeros(0)):
        assert loudness_lufs(samples, 48_000) == -math.inf
        assert true_peak_dbfs(samples) == -math.inf


def test_a_peak_between_the_samples_is_found() -> None:
    # Every sample of this tone is 3 dB below its peak.
    samples = np.tile([1.0, 1.0, -1.0, -1.0], 4_000) * math.sqrt(0.5)
    assert float(np.abs(samples).max()) == pytest.approx(math.sqrt(0.5))
    assert true_peak_dbfs(samples) == pytest.approx(0.0, abs=0.1)


def test_a_level_brings_a_voice_to_the_target() -> None:
    quiet = tone(0.05)
    level = VoiceLevel.toward_target(loudness_lufs(quiet, 48_000))
    louder = level.apply(quiet, 48_000)
    assert louder.dtype == np.int16
    assert loudness_lufs(louder / 32768, 48_000) == pytest.approx(TARGET_LUFS, abs=0.1)


def test_silence_gets_no_gain_and_a_whisper_not_any() -> None:
    assert VoiceLevel.toward_target(-math.inf) == VoiceLevel(0.0)
    assert VoiceLevel.toward_target(-60.0) == VoiceLevel(20.0)
    assert VoiceLevel.toward_target(-10.0) == VoiceLevel(-6.0)


@pytest.mark.parametrize("hz", [200, 3_000, 7_900])
def test_peaks_stay_below_minus_one_and_the_sound_round_them_is_only_louder(hz: int) -> None:
    samples = np.array(tone(0.02, hz=hz, rate_hz=24_000, seconds=1))
    samples[12_000:12_240] *= 40
    louder = VoiceLevel(20.0).apply(samples, 24_000)
    assert int(np.abs(louder.astype(int)).max()) <= round(32768 * 10 ** (HIGHEST_DBFS / 20))
    assert true_peak_dbfs(louder / 32768) < -1
    expected = np.round(samples * 327_680)
    far = np.r_[0:11_940, 12_300:24_000]
    assert louder[far].tolist() == expected[far].tolist()


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 48_000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_slices_of_any_length_join_to_the_whole(rate_hz: int, dtype: type[np.floating]) -> None:
    draw = np.random.default_rng(1)
    samples = (0.1 * draw.standard_normal(rate_hz)).astype(dtype)
    level = VoiceLevel(14.0)
    whole = level.apply(samples, rate_hz)
    assert int(np.abs(np.diff(np.abs(whole.astype(int)))).max()) > 10_000
    for _ in range(5):
        edges = np.sort(draw.integers(0, len(samples), 40))
        stream = LevelStream(level, rate_hz, 300)
        slices = [stream.add(part, last=False) for part in np.split(samples, edges)]
        assert sum(map(len, slices)) == len(samples) - 300
        slices.append(stream.add(samples[:0], last=True))
        assert np.concatenate(slices).tolist() == whole.tolist()


def test_a_stream_that_ends_at_once_gives_all() -> None:
    stream = LevelStream(VoiceLevel(0.0), 24_000, 56)
    assert len(stream.add(np.zeros(10), last=False)) == 0
    assert len(stream.add(np.zeros(5), last=True)) == 15


def test_a_stream_that_holds_back_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match="55 samples are too few: 56 count"):
        LevelStream(VoiceLevel(0.0), 24_000, 55)


def test_quiet_samples_are_only_louder() -> None:
    pcm = np.array([-1000, 0, 1000], np.int16)
    assert VoiceLevel(20 * math.log10(2)).apply_to_pcm(pcm, 24_000).tolist() == [-2000, 0, 2000]
