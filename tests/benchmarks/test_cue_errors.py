import numpy as np
import pytest

from benchmarks.cue_errors import PAUSE_SEARCH_MS, pause_errors_ms, release_errors_ms
from pipeline.frames import Samples, Viseme

RATE_HZ = 24_000


def sound(*parts: tuple[int, float]) -> Samples:
    """Stretches of a tone, each with its length in ms and its level in dB."""
    pieces = []
    for length_ms, db in parts:
        times = np.arange(RATE_HZ * length_ms // 1000) / RATE_HZ
        pieces.append(10 ** (db / 20) * np.sin(2 * np.pi * 300 * times))
    return np.round(np.concatenate(pieces) * 32767).astype(np.int16)


def cues(*parts: tuple[int, int, str]) -> list[Viseme]:
    return [Viseme(at_ms, duration_ms, shape) for at_ms, duration_ms, shape in parts]


# "ah (pause) ah": 500 ms of sound, 300 ms of pause, 500 ms of sound.
PAUSE = sound((500, -10), (300, -80), (500, -10))
# "apa": a vowel, a closure of 80 ms, a vowel.
STOP = sound((300, -10), (80, -50), (300, -10))


@pytest.mark.parametrize("late_ms", [-60, 0, 25, 60])
def test_a_cue_after_a_pause_is_off_by_its_distance_from_the_sound(late_ms: int) -> None:
    at_ms = 800 + late_ms
    found = pause_errors_ms(
        PAUSE, RATE_HZ, cues((0, 500, "aa"), (500, at_ms - 500, "sil"), (at_ms, 500, "aa"))
    )
    assert found == pytest.approx([abs(late_ms)], abs=6)


def test_a_plosive_after_a_pause_may_be_silent_before_its_release() -> None:
    found = pause_errors_ms(
        PAUSE, RATE_HZ, cues((0, 500, "aa"), (500, 230, "sil"), (730, 80, "PP"), (810, 490, "aa"))
    )
    assert found == [0.0]


def test_a_pause_after_which_nothing_sounds_has_the_largest_error() -> None:
    quiet = sound((500, -10), (800, -80))
    found = pause_errors_ms(quiet, RATE_HZ, cues((500, 300, "sil"), (800, 400, "aa")))
    assert found == [PAUSE_SEARCH_MS]


def test_pauses_before_a_breathed_sound_are_left_out() -> None:
    parts = cues((0, 500, "aa"), (500, 370, "sil"), (870, 430, "aa"))
    assert pause_errors_ms(PAUSE, RATE_HZ, parts) == pytest.approx([70], abs=6)
    assert pause_errors_ms(PAUSE, RATE_HZ, parts, [805.0]) == []
    assert len(pause_errors_ms(PAUSE, RATE_HZ, parts, [100.0])) == 1


def test_short_silences_and_the_last_one_are_no_pauses() -> None:
    found = pause_errors_ms(
        PAUSE, RATE_HZ, cues((0, 79, "sil"), (79, 700, "aa"), (800, 500, "sil"))
    )
    assert found == []


@pytest.mark.parametrize(("late_ms", "expected"), [(0, [0]), (30, [30]), (-30, [30]), (90, [])])
def test_a_release_is_off_by_its_distance_from_the_plosive(
    late_ms: int, expected: list[float]
) -> None:
    # The cue ends with the release; a late one begins after it.
    start_ms = 380 + late_ms if late_ms > 0 else 300 + late_ms
    found = release_errors_ms(
        STOP, RATE_HZ, cues((0, start_ms, "aa"), (start_ms, 80, "DD"), (start_ms + 80, 300, "aa"))
    )
    assert found == pytest.approx(expected, abs=6)


def test_a_nasal_has_no_release_to_be_measured() -> None:
    hummed = sound((300, -10), (80, -16), (300, -10))
    assert release_errors_ms(hummed, RATE_HZ, cues((0, 300, "aa"), (300, 80, "PP"))) == []


def test_a_rise_counts_for_the_nearest_plosive_only() -> None:
    found = release_errors_ms(
        STOP, RATE_HZ, cues((250, 40, "DD"), (300, 85, "PP"), (385, 100, "aa"), (400, 50, "kk"))
    )
    assert found == [0.0]


def test_the_end_of_a_pause_is_no_release() -> None:
    found = release_errors_ms(
        PAUSE, RATE_HZ, cues((500, 300, "sil"), (800, 40, "aa"), (840, 80, "DD"))
    )
    assert found == []


@pytest.mark.parametrize("length_ms", [0, 5])
def test_hardly_any_sound_has_no_errors(length_ms: int) -> None:
    pcm = np.zeros(RATE_HZ * length_ms // 1000, np.int16)
    assert release_errors_ms(pcm, RATE_HZ, cues((0, 5, "PP"))) == []
    assert pause_errors_ms(pcm, RATE_HZ, []) == []
