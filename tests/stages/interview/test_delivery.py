import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.frames import Word
from stages.interview.answers import AnswerSpeech, InterviewAnswer
from stages.interview.delivery import (
    Delivery,
    Filler,
    Pace,
    Pause,
    delivery_of,
)
from tests.support.conversation import DEMO, WHISPER, words


def measured(text: str, speech: AnswerSpeech) -> Delivery:
    found = delivery_of(InterviewAnswer("Why?", text, speech=speech))
    assert found is not None
    return found


def test_what_was_typed_has_no_delivery() -> None:
    assert delivery_of(InterviewAnswer("Why?", "Because.")) is None


def test_an_answer_is_measured_from_its_word_times() -> None:
    text = "I built a small cache and it helped everybody"
    timed = words(text, each_ms=300, gap_ms=100, first_ms=800)
    timed = (*timed[:5], *(Word(w.text, w.start_ms + 900, w.end_ms + 900) for w in timed[5:]))
    found = measured(text, AnswerSpeech(WHISPER, timed, 6_000, wait_ms=1_200))
    assert found.words == 9
    assert found.duration_ms == 6_000
    assert found.words_per_minute == round(9 * 60_000 / 4_400)
    assert found.time_to_first_word_ms == 2_000
    assert found.pauses == (Pause(800 + 5 * 400 - 100, 1_000),)
    assert (found.pause_count, found.pause_total_ms, found.pause_longest_ms) == (1, 1_000, 1_000)
    assert found.talk_ratio == round((4_400 - 1_000) / 6_000, 3)
    assert (found.fillers, found.fillers_per_minute) == ((), 0.0)


@pytest.mark.parametrize(("gap_ms", "count"), [(499, 0), (500, 0), (501, 3)])
def test_a_pause_is_silence_of_more_than_half_a_second(gap_ms: int, count: int) -> None:
    speech = AnswerSpeech(WHISPER, words("one two three four", gap_ms=gap_ms))
    assert measured("one two three four", speech).pause_count == count


def test_words_that_overlap_make_no_pause() -> None:
    timed = (Word("long", 0, 5_000), Word("inside", 1_000, 1_200), Word("next", 5_100, 5_400))
    assert measured("long inside next", AnswerSpeech(WHISPER, timed)).pause_count == 0


def test_fillers_are_counted_most_frequent_first() -> None:
    text = "Um I think, um, you know, it was uhm the index"
    found = measured(text, AnswerSpeech(WHISPER, words(text, each_ms=500)))
    assert found.fillers == (Filler("um", 2), Filler("you know", 1), Filler("uhm", 1))
    assert found.fillers_per_minute == round(4 * 60 / (11 * 0.5), 1)


def test_demo_recognition_has_a_pace_but_no_fillers() -> None:
    text = "um i built a small cache and um it helped"
    found = measured(text, AnswerSpeech(DEMO, words(text)))
    assert found.words_per_minute == 150
    assert (found.fillers, found.fillers_per_minute) == (None, None)
    assert found.recognition is DEMO


def test_without_word_times_the_audio_gives_the_pace_and_nothing_else() -> None:
    found = measured("one two three four five six", AnswerSpeech(WHISPER, duration_ms=3_000))
    assert found.words_per_minute == 120
    assert found.pause_count is None
    assert found.time_to_first_word_ms is None
    assert found.talk_ratio is None
    assert found.pace == ()


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [("one two three four", 60_000), ("one two three four five", 1_999), ("", None)],
)
def test_too_little_gives_no_pace(text: str, duration_ms: float | None) -> None:
    assert measured(text, AnswerSpeech(WHISPER, duration_ms=duration_ms)).words_per_minute is None


def test_the_pace_over_time_has_windows_of_ten_seconds() -> None:
    quick = words("w " * 20, each_ms=400, gap_ms=100)
    slow = words("w " * 10, each_ms=400, gap_ms=600, first_ms=10_000)
    found = measured("w " * 30, AnswerSpeech(WHISPER, (*quick, *slow)))
    assert found.pace == (Pace(0, 120), Pace(10_000, round(10 * 60_000 / 9_400)))


@given(
    st.lists(st.tuples(st.floats() | st.integers(), st.floats() | st.integers()), max_size=40),
    st.none() | st.floats(),
    st.text(max_size=200),
)
def test_whatever_comes_the_numbers_can_be(
    times: list[tuple[Any, Any]], duration: float | None, text: str
) -> None:
    timed = tuple(Word("a", *pair) for pair in times)
    found = measured(text, AnswerSpeech(WHISPER, timed, duration, duration))
    numbers = (
        found.duration_ms,
        found.words_per_minute,
        found.time_to_first_word_ms,
        found.pause_total_ms,
        found.pause_longest_ms,
        found.fillers_per_minute,
        *(pace.words_per_minute for pace in found.pace),
    )
    assert all(n is None or (math.isfinite(n) and n >= 0) for n in numbers)
    assert found.talk_ratio is None or 0 <= found.talk_ratio <= 1
