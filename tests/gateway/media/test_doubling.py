"""Twice the sample rate of a telephone's audio."""

import numpy as np
import pytest

from gateway.media.doubling import TAPS, Doubler
from gateway.media.resampling import converter
from pipeline.frames import Samples


def tone(hz: float, amplitude: float = 8000.0) -> Samples:
    """A second at 8 kHz."""
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(8000) / 8000)).astype(np.int16)


def doubled(pcm: Samples, piece: int = 160) -> Samples:
    doubler = Doubler()
    parts = [doubler.push(pcm[at : at + piece]) for at in range(0, len(pcm), piece)]
    return np.concatenate([*parts, doubler.flush()])


def level_db(pcm: Samples, hz: float) -> float:
    """The level of a tone at 16 kHz, in dB of full scale, without the edges of the audio."""
    inside = pcm[2000:14000].astype(float)
    window = np.blackman(len(inside))
    spectrum = np.abs(np.fft.rfft(inside * window)) / window.sum() * 2
    found = np.fft.rfftfreq(len(inside), 1 / 16_000)
    return float(20 * np.log10(spectrum[np.abs(found - hz) < 20].max() / 32768))


@pytest.mark.parametrize("hz", [300, 1000, 2000, 3000, 3300])
def test_a_tone_keeps_its_level_and_its_mirror_image_is_far_below(hz: int) -> None:
    wide = doubled(tone(hz))
    level = level_db(wide, hz)
    assert level == pytest.approx(level_db(tone_at_16k(hz), hz), abs=0.05)
    assert level_db(wide, 8000 - hz) < level - 50


def tone_at_16k(hz: float) -> Samples:
    return (8000 * np.sin(2 * np.pi * hz * np.arange(16_000) / 16_000)).astype(np.int16)


def test_every_sample_is_kept_and_those_between_are_interpolated() -> None:
    pcm = tone(500)
    wide = doubled(pcm)
    assert len(wide) == 2 * (len(pcm) + TAPS // 2)
    begin = 2 * (TAPS // 2)
    assert np.array_equal(wide[begin : begin + 2 * len(pcm) : 2], pcm)
    inside = wide[begin + 200 : begin + 15_000].astype(int)
    wanted = tone_at_16k(500)[200:15_000].astype(int)
    assert np.abs(inside - wanted).max() <= 2


@pytest.mark.parametrize("piece", [1, 7, 80, 800])
def test_the_pieces_in_which_it_comes_make_no_difference(piece: int) -> None:
    pcm = tone(700)
    assert np.array_equal(doubled(pcm, piece), doubled(pcm, 160))


def test_what_is_louder_than_16_bits_is_cut_and_does_not_turn_over() -> None:
    square = np.tile(np.repeat(np.array([32767, -32768], np.int16), 4), 1000)
    wide = doubled(square).astype(int)
    assert wide.max() == 32767
    assert wide.min() == -32768
    assert np.abs(np.diff(wide)).max() <= 65535
    held = wide[2 * (TAPS // 2) :: 2][: len(square)]
    assert np.array_equal(held, square)
    between = wide[2 * (TAPS // 2) + 1 :: 2][100 : len(square) - 100]
    inner = np.array([n % 4 != 3 for n in range(100, len(square) - 100)])
    assert np.array_equal(np.sign(between[inner]), np.sign(square[100:-100].astype(int)[inner]))


def test_after_a_flush_nothing_of_the_last_audio_is_left() -> None:
    doubler = Doubler()
    doubler.push(tone(700))
    assert doubler.flush().any()
    assert not doubler.push(np.zeros(160, np.int16)).any()
    assert len(doubler.push(np.zeros(0, np.int16))) == 0


def test_a_telephones_audio_is_converted_so() -> None:
    assert isinstance(converter(8_000, 16_000), Doubler)
    assert not isinstance(converter(8_000, 24_000), Doubler)
