"""When partial transcripts may be decoded."""

import pytest

from stages.stt._partial_budget import PartialBudget

FRAMES = 1000


def test_a_partial_waits_until_its_cost_is_saved() -> None:
    share = PartialBudget(0.0, frame_s=0.0001, token_s=0.01)
    assert not share.may_encode(0.55, 0.55, 10, FRAMES)  # 0.2 s of compute are earned in 0.6 s
    assert share.may_encode(0.65, 0.65, 10, FRAMES)


def test_partials_have_a_third_of_the_clock() -> None:
    share = PartialBudget(0.0, frame_s=0.0001, token_s=0.01)
    now_s, used_s = 0.0, 0.0
    while now_s < 60.0:
        now_s += 0.05
        if share.may_encode(now_s, now_s, 10, FRAMES):
            now_s += 0.2
            used_s += 0.2
            share.spent(now_s, 0.2)
    assert used_s == pytest.approx(20.0, abs=2.0)


def test_none_begins_when_a_final_could_be_wanted_before_its_end() -> None:
    share = PartialBudget(0.0, frame_s=0.00015, token_s=0.01)
    assert share.may_encode(10.0, 9.96, 1, FRAMES)
    assert not share.may_encode(10.0, 9.94, 1, FRAMES)
    assert share.may_decode(10.0, 10.0, 19)
    assert not share.may_decode(10.0, 10.0, 21)


def test_a_slow_machine_sends_none_until_it_is_measured_to_be_faster() -> None:
    share = PartialBudget(0.0, frame_s=0.0009, token_s=0.001)
    assert not share.may_encode(60.0, 60.0, 8, FRAMES)
    assert share.too_slow(FRAMES)
    for _ in range(12):  # finals
        share.frame.measured(0.0001)
    assert share.may_encode(60.0, 60.0, 8, FRAMES)


def test_a_dearer_decode_counts_at_once() -> None:
    share = PartialBudget(0.0, frame_s=0.0001, token_s=0.001)
    share.frame.measured(0.0003)
    assert share.frame.seconds == 0.0003
    assert not share.may_encode(60.0, 60.0, 8, FRAMES)
