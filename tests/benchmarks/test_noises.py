import numpy as np
import pytest

from benchmarks.noises import NOISES, level_db, quiet, restless, steady, typing
from pipeline.frames import INPUT_RATE_HZ


@pytest.mark.parametrize("name", NOISES)
def test_a_noise_is_as_long_as_asked_for_and_the_same_for_the_same_seed(name: str) -> None:
    noise = NOISES[name]
    sound = noise(12.5, 3)
    assert len(sound) == round(12.5 * INPUT_RATE_HZ)
    assert np.array_equal(sound, noise(12.5, 3))
    assert not np.array_equal(sound, noise(12.5, 4))


@pytest.mark.parametrize("name", NOISES)
def test_no_noise_is_clipped_or_silent(name: str) -> None:
    sound = NOISES[name](30, 3)
    assert int(np.max(np.abs(sound.astype(int)))) < 32_000
    assert level_db(sound) > -65


def test_steady_noise_has_the_level_that_it_is_named_for() -> None:
    sound = steady(40, 1)
    for start in range(0, len(sound), 10 * INPUT_RATE_HZ):
        assert level_db(sound[start : start + 10 * INPUT_RATE_HZ]) == pytest.approx(-40, abs=0.1)


def test_the_quiet_room_hums_at_the_frequency_of_the_mains() -> None:
    spectrum = np.abs(np.fft.rfft(quiet(10, 1)))
    loudest_hz = np.argmax(spectrum) / 10
    assert loudest_hz == 50


def test_key_strokes_stand_out_of_the_room() -> None:
    assert np.max(np.abs(typing(20, 1))) > 10 * np.max(np.abs(quiet(20, 1)))


def test_coughs_are_the_loudest_of_the_restless_room() -> None:
    sound = restless(60, 1)
    assert 20 * np.log10(np.max(np.abs(sound)) / 32768) == pytest.approx(-10, abs=2)


def test_nothing_has_no_level() -> None:
    assert level_db(np.zeros(100, np.int16)) == -float("inf")
    assert level_db(np.zeros(0, np.int16)) == -float("inf")
