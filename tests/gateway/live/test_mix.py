"""Both voices of a session as one track, 20 ms at a time."""

import numpy as np
import pytest

from gateway.live.mix import BEGINS_AT, FRAME, MOST_HEARD, VoiceMix
from pipeline.frames import ReplyAudio, Samples


def level(value: int, samples: int = FRAME) -> Samples:
    return np.full(samples, value, np.int16)


def reply(value: int, at_ms: int = 0, samples: int = FRAME) -> ReplyAudio:
    return ReplyAudio(1, level(value, samples), at_ms)


def taken(mix: VoiceMix) -> int | None:
    """The level of the next 20 ms, which is the same all the time."""
    pcm = mix.take()
    if pcm is None:
        return None
    assert (len(pcm), len(set(pcm.tolist()))) == (FRAME, 1)
    return int(pcm[0])


def test_both_are_heard_at_a_time_and_none_where_nobody_speaks() -> None:
    mix = VoiceMix()
    assert taken(mix) is None
    mix.reply(reply(1000))
    assert taken(mix) == 1000
    mix.hear(level(400, BEGINS_AT))
    assert taken(mix) == 400
    mix.reply(reply(1000))
    assert taken(mix) == 1400
    assert [taken(mix), taken(mix)] == [400, None]


def test_a_sum_that_is_too_loud_is_cut_and_does_not_turn_over() -> None:
    mix = VoiceMix()
    mix.hear(level(30_000, BEGINS_AT))
    mix.reply(reply(30_000))
    mix.reply(reply(-31_000))
    assert [taken(mix), taken(mix)] == [32_767, -1000]


def test_a_frame_that_is_short_is_followed_by_the_other_voice_alone() -> None:
    mix = VoiceMix()
    mix.hear(level(100, BEGINS_AT))
    mix.reply(reply(1000, samples=FRAME // 2))
    pcm = mix.take()
    assert pcm is not None
    assert [int(pcm[0]), int(pcm[FRAME // 2]), len(pcm)] == [1100, 100, FRAME]


def test_an_interrupted_reply_is_dropped_and_the_person_is_not() -> None:
    mix = VoiceMix()
    mix.hear(level(100, BEGINS_AT))
    mix.reply(reply(1000))
    mix.reply(reply(1000, 20))
    assert taken(mix) == 1100
    assert mix.playing is not None
    mix.clear()
    assert mix.playing is None
    assert taken(mix) == 100


def test_the_person_is_heard_once_a_little_waits_and_to_the_last_sample() -> None:
    mix = VoiceMix()
    mix.hear(level(0, 0))
    mix.hear(level(400, BEGINS_AT - 1))
    assert taken(mix) is None
    mix.hear(level(400, 1 + FRAME // 2))
    assert [taken(mix) for _ in range(3)] == [400, 400, 400]
    last = mix.take()
    assert last is not None
    assert (int(last[0]), int(last[-1])) == (400, 0)
    assert taken(mix) is None


def test_what_waits_is_bounded_and_a_delay_is_made_good_in_silence() -> None:
    mix = VoiceMix()
    for _ in range(100):
        mix.hear(level(400))
    assert [taken(mix) for _ in range(MOST_HEARD // FRAME + 1)].count(400) == MOST_HEARD // FRAME
    for _ in range(12):
        mix.hear(level(5))
    mix.hear(level(400))
    found = [taken(mix) for _ in range(13)]
    assert found.index(400) == pytest.approx(9, abs=1)
    assert found[-1] is None


def test_replies_that_wait_are_bounded() -> None:
    mix = VoiceMix()
    for number in range(60):
        mix.reply(reply(number + 1))
    assert taken(mix) == 11
