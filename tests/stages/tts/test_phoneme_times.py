from typing import Any

import numpy as np
import pytest

from stages.tts._misaki import SILENCE, shapes
from stages.tts._phoneme_times import Times, times


def energies(*runs: tuple[int, float]) -> Any:
    """Values for rows: how many, and which."""
    return np.concatenate([np.full(count, level) for count, level in runs])


def mouth(found: Times) -> list[tuple[str, int]]:
    return list(found.mouth)


def test_a_sound_begins_two_rows_before_its_phoneme() -> None:
    found = times("_ɑi_", [10, 10, 10, 10], energies((8, -2), (24, 1), (8, -2)))
    assert mouth(found) == [(SILENCE, 0), ("ɑ", 8), ("i", 18), (SILENCE, 32)]


def test_silence_at_both_ends_is_cut_to_50_and_300_ms() -> None:
    found = times("_ɑi_", [30, 10, 10, 50], energies((28, -2), (22, 1), (50, -2)))
    assert (found.first, found.after) == (24, 50 + 24)


def test_short_silence_at_the_ends_is_kept() -> None:
    found = times("_ɑ_", [2, 10, 2], energies((14, 1)))
    assert (found.first, found.after) == (0, 14)
    assert mouth(found) == [("ɑ", 0)]


def test_the_first_sound_after_a_pause_ends_it_and_the_second_keeps_its_time() -> None:
    found = times("_ɑ, ni_", [0, 20, 2, 4, 4, 10, 0], energies((10, 1), (10, -1), (20, 1)))
    # "n" would begin at row 24, which is four rows after the end of the pause.
    assert mouth(found) == [("ɑ", 0), (SILENCE, 10), ("n", 20), ("i", 28)]


def test_a_phoneme_in_a_pause_begins_at_its_end() -> None:
    found = times("_ɑ ni_", [0, 14, 2, 8, 10, 0], energies((10, 1), (10, -1), (14, 1)))
    assert mouth(found) == [("ɑ", 0), (SILENCE, 10), ("n", 20), ("i", 22)]


def test_the_mouth_closes_before_a_plosive_that_ends_a_pause() -> None:
    found = times("_ɑ pi_", [0, 16, 2, 4, 8, 0], energies((10, 1), (8, -1), (12, 1)))
    assert mouth(found) == [("ɑ", 0), (SILENCE, 10), ("p", 16), ("i", 20)]


def test_a_plosive_begins_with_its_closure_and_not_before_the_sound_before_it() -> None:
    energy = energies((7, 1), (1, -1), (12, 1))
    assert mouth(times("_ɑti_", [0, 12, 4, 4, 0], energy)) == [("ɑ", 0), ("t", 7), ("i", 14)]
    assert mouth(times("_ɑnti_", [0, 8, 4, 4, 4, 0], energy)) == [
        ("ɑ", 0),
        ("n", 6),
        ("t", 7),
        ("i", 14),
    ]


def test_marks_and_the_h_give_their_time_to_the_vowel() -> None:
    found = times("_lˈɑhˌi_", [0, 6, 4, 4, 4, 4, 4, 0], energies((26, 1)))
    assert mouth(found) == [("l", 0), ("ɑ", 4), ("i", 12)]


def test_all_silence_is_a_closed_mouth() -> None:
    found = times("_ɑ_", [10, 10, 10], energies((30, -2)))
    assert (found.first, found.after) == (0, 24)
    assert mouth(found)[0] == (SILENCE, 0)


def test_every_symbol_of_the_voice_has_a_shape_or_leaves_the_mouth_as_it_was() -> None:
    english = 'AIOQWYbdfhijklmnpstuvwzæðŋɐɑɒɔəɛɜɡɪɹʃʊʌʒʤʧʔθᵊᵻT .,!?;:—…"()“”ˈˌː'
    assert [symbol for symbol in english if shapes(symbol) is None] == []
    assert shapes("χ") is None


@pytest.mark.parametrize(
    ("symbol", "shape"), [("p", ("PP",)), ("A", ("E", "ih")), (".", ("sil",)), ("h", ())]
)
def test_shapes(symbol: str, shape: tuple[str, ...]) -> None:
    assert shapes(symbol) == shape
