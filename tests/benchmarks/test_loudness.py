import math

import numpy as np
import pytest

from benchmarks.loudness import loudness, true_peak_db
from pipeline.frames import Samples


def tone(hz: float, db: float, rate_hz: int, seconds: float = 4.0, phase: float = 0.0) -> Samples:
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    sound = 10 ** (db / 20) * np.sin(2 * np.pi * hz * times + phase)
    return np.round(sound * 32767).astype(np.int16)


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 24_000, 48_000])
def test_the_standards_tone_has_the_standards_loudness(rate_hz: int) -> None:
    # BS.1770-4: 997 Hz at 0 dB in one channel is -3.01 LUFS.
    assert loudness(tone(997, 0, rate_hz), rate_hz) == pytest.approx(-3.01, abs=0.04)
    assert loudness(tone(997, -20, rate_hz), rate_hz) == pytest.approx(-23.01, abs=0.04)


def test_low_tones_count_less_and_high_ones_more() -> None:
    assert loudness(tone(40, -20, 24_000), 24_000) == pytest.approx(-29.2, abs=0.5)
    assert loudness(tone(5_000, -20, 24_000), 24_000) == pytest.approx(-19.7, abs=0.3)


def test_pauses_do_not_make_speech_less_loud() -> None:
    spoken = tone(997, -20, 24_000)
    paused = np.concatenate([spoken, np.zeros(24_000 * 8, np.int16), spoken])
    assert loudness(paused, 24_000) == pytest.approx(loudness(spoken, 24_000), abs=0.3)


@pytest.mark.parametrize("pcm", [np.zeros(48_000, np.int16), np.zeros(0, np.int16)])
def test_silence_has_no_loudness_and_no_peak(pcm: Samples) -> None:
    assert loudness(pcm, 24_000) == -math.inf
    assert true_peak_db(pcm) == -math.inf


def test_a_peak_between_two_samples_is_found() -> None:
    # At a quarter of the rate and 45 degrees every sample is 3 dB below the peak.
    quarter = tone(6_000, -1, 24_000, phase=math.pi / 4)
    assert 20 * math.log10(np.max(np.abs(quarter)) / 32768) == pytest.approx(-4.01, abs=0.01)
    assert true_peak_db(quarter) == pytest.approx(-1, abs=0.05)
