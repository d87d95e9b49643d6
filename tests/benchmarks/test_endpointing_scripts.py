import random
from collections import Counter
from statistics import median, stdev

import numpy as np
import pytest

from benchmarks.endpointing_scripts import (
    ELLIPSES,
    FULL_STOPS,
    Word,
    from_scripts,
    perform,
    punctuated,
    script,
)
from benchmarks.endpointing_takes import PAUSE_MS, PAUSE_SPREAD, Take, decision_ms
from pipeline.decisions import Chunk, Understood
from pipeline.turns import TurnPolicy


def test_scripts_are_the_same_for_the_same_seed():
    one, same, other = (from_scripts(lambda: None, 20, seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_pauses_have_the_stated_distribution():
    turns = [script(random.Random(number)) for number in range(3_000)]
    pauses = [word.pause_ms for turn in turns for word in turn if word.pause_ms]
    assert len(pauses) / len(turns) == pytest.approx(1.5, abs=0.05)
    # A few of them follow a request for time and are longer.
    assert median(pauses) == pytest.approx(PAUSE_MS, rel=0.15)
    assert stdev(np.log(pauses)) == pytest.approx(PAUSE_SPREAD, rel=0.2)
    assert all(turn[-1].pause_ms == 0 for turn in turns)


# --- punctuation -----------------------------------------------------------------------------

TURN = [
    Word("i", "i"),
    Word("paused", "paused", place="sentence"),
    Word("um", "", 500, place="filler"),
    Word("and", "and", 500, place="connective"),
    Word("went", "went"),
    Word("on", "on", place="sentence"),
]


def test_a_text_is_written_with_capitals_and_with_full_stops_between_its_sentences():
    written = punctuated(TURN, random.Random(1))
    assert [word.text for word in written] == ["I", "paused.", "", "And", "went", "on."]


@pytest.mark.parametrize("place", sorted(FULL_STOPS))
def test_the_mark_after_a_last_word_is_as_frequent_as_stated(place):
    words = [Word("word", "word", place=place)] * 5_000
    written = punctuated(words, random.Random(1))
    marks = Counter(word.last.lower().removeprefix("word") for word in written)
    share = {mark: count / len(words) for mark, count in marks.items()}
    assert share.get(".", 0) == pytest.approx(FULL_STOPS[place], abs=0.03)
    assert share.get("...", 0) == pytest.approx(ELLIPSES[place], abs=0.03)


def test_a_partial_ends_with_the_mark_of_its_last_word_only():
    take = perform(TURN, punctuated(TURN, random.Random(2)), random.Random(1))
    texts = [event.text for _, event in take.events if isinstance(event, Understood)]
    first, *_, last = [text for text in texts if text]
    assert first == "I"
    assert last == "I paused. And went on."


def test_punctuated_turns_are_the_same_turns():
    scripts, written = (from_scripts(lambda: None, 5, punctuation=on) for on in (False, True))

    def audio(takes: list[Take]) -> list[list[Chunk]]:
        return [[e for _, e in take.events if isinstance(e, Chunk)] for take in takes]

    assert audio(scripts) == audio(written)
    assert scripts != written


def test_a_full_stop_where_somebody_pauses_does_not_end_the_turn_sooner():
    words = [
        Word("we", "we"),
        Word("paused", "paused", 700, place="sentence"),
        Word("again", "again", place="sentence"),
    ]
    for seed in range(20):  # nearly all of them write a full stop
        take = perform(words, punctuated(words, random.Random(seed)), random.Random(1))
        assert decision_ms(take, TurnPolicy(silence_ms=800)) > take.end_ms
