import numpy as np
import pytest

from benchmarks.endpointing_clips import ROOM_MS, hear, places, probabilities, spoken_turns
from benchmarks.endpointing_takes import TAIL_MS, decision_ms
from benchmarks.speech import Clip, answers
from pipeline.decisions import Understood
from pipeline.turns import TurnPolicy


@pytest.fixture(scope="module")
def clip() -> Clip:
    return next(clip for clip in answers() if clip.name == "data-analyst-3")


def test_places_lie_between_the_words_and_know_what_was_said_before_them(clip):
    found = places(clip)
    start_ms, end_ms = clip.segments[0]
    assert all(start_ms < place.at_ms < end_ms for place in found)
    at = [place.at_ms for place in found]
    assert at == sorted(at)
    sentence = next(place for place in found if place.kind == "sentence")
    assert sentence.at_ms == pytest.approx(1_860, abs=80)  # "I like simple charts."
    (clause,) = (place for place in found if place.kind == "clause")
    assert clause.at_ms == pytest.approx(5_350, abs=80)  # "… what to do next,"


def test_spoken_turns_hold_the_clip_its_pause_and_silence(clip):
    whole, *paused = spoken_turns([clip])
    assert [turn.name.rpartition(" ")[2] for turn in paused] == [
        "phrase",
        "sentence",
        "conjunction",
        "clause",
    ]
    for turn in paused:
        assert len(turn.pcm) == pytest.approx((turn.end_ms + TAIL_MS) * 16, abs=16)
        assert turn.end_ms > whole.end_ms + 150
        room = clip.pcm[: ROOM_MS * 16]
        assert np.abs(turn.pcm[-16_000:]).max() <= np.abs(room).max()


@pytest.mark.slow
def test_a_clip_is_heard_by_the_real_stages(clip):
    whole = spoken_turns([clip])[0]
    (judged,) = probabilities([whole])
    heard = hear(whole, judged)
    texts = [event.text for _, event in heard.events if isinstance(event, Understood)]
    assert {"simple", "manager", "seconds"} <= set(texts[-1].split())
    policy = TurnPolicy(silence_ms=800, adaptive=False)
    assert 800 <= decision_ms(heard, policy) - heard.end_ms <= 1_000
