"""The time that an answer of hostile words takes to search for cues."""

import re
import time
from dataclasses import fields

import pytest

from stages.interview.cue_lists import CUES
from stages.interview.cues import Cues

CHARACTERS = 4_000

BEGINNINGS = ["", "i ", "ich habe " * 5, "ich habe " * 50, "ich würde " * 4]

REPEATED = [
    *("ge", "get ", "überge", "ver", "iert", "te", "ed", "a", "u", "h", "äh", "1", "1 komma "),
    *("zwanzig", "tausend", "zwei komma ", "twenty ", "twenty point ", "a hundred "),
    *("ich ", "ich habe ", "hab ich g ", "ich auch ", "ich würde ", "würde ich ", "te ich "),
    *("i ", "i also ", "i then also "),
]


def patterns(cues: Cues) -> dict[str, re.Pattern[str]]:
    values = {field.name: getattr(cues, field.name) for field in fields(cues)}
    return {name: value for name, value in values.items() if isinstance(value, re.Pattern)}


def cpu_s(pattern: re.Pattern[str], words: str) -> float:
    """The processor time that the search takes; the least of three, without what disturbed it."""
    times = []
    for _ in range(3):
        began = time.process_time()
        list(pattern.finditer(words))
        times.append(time.process_time() - began)
    return min(times)


@pytest.mark.parametrize("language", sorted(CUES))
def test_the_search_for_cues_takes_time_in_proportion_to_the_answer(language: str) -> None:
    slow = []
    for name, pattern in patterns(CUES[language]).items():
        for beginning in BEGINNINGS:
            for repeated in REPEATED:
                long = beginning + repeated * (CHARACTERS // len(repeated))
                short = long[: CHARACTERS // 4]
                # A quarter of the characters take a quarter of the time; by squares, a sixteenth.
                # A search of less than 10 ms is too short to be compared, and to matter.
                if (took := cpu_s(pattern, long)) > 0.01 and took > 8 * cpu_s(pattern, short):
                    slow.append((name, beginning[:10], repeated, took))
    assert slow == []


def test_a_german_deed_is_found_in_long_words_still() -> None:
    deeds = ["ich habe zusammengearbeitet", "hab ich die datenbank auseinandergenommen"]
    found = [hit[0] for deed in deeds for hit in CUES["de"].action.finditer(deed)]
    assert found == deeds
