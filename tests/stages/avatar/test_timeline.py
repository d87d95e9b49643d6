from itertools import pairwise

import pytest

from pipeline.frames import VISEMES, AvatarMood, Viseme, Visemes
from stages.avatar.timeline import (
    ATTACK_MS,
    BLINK_MS,
    CLOSED,
    LOOP_MS,
    MAX_SHAPES,
    Mouth,
    Pose,
    Timeline,
    Track,
    idle_pose,
    mix,
)

AAH = (("aa", 4),)


def cues(*parts: tuple[int, int, str]) -> tuple[Viseme, ...]:
    return tuple(Viseme(*part) for part in parts)


def speaking(position_ms: float | None = None, *parts: Viseme) -> Timeline:
    timeline = Timeline()
    timeline.add(Visemes(1, 0, parts or cues((0, 2000, "aa"))))
    if position_ms is not None:
        timeline.pose(1000, position_ms - 40)
        timeline.pose(1040, position_ms)
    return timeline


@pytest.mark.parametrize(
    ("position_ms", "mouth"),
    [
        (0, CLOSED),
        (149, CLOSED),
        (150, CLOSED),
        (168, (("sil", 3), ("aa", 1))),
        (185, (("sil", 2), ("aa", 2))),
        (202, (("sil", 1), ("aa", 3))),
        (220, AAH),
        (350, AAH),
        (385, (("aa", 2), ("ou", 2))),
        (420, (("ou", 4),)),
        (599, (("ou", 4),)),
        (635, (("sil", 2), ("ou", 2))),
        (670, CLOSED),
    ],
)
def test_a_shape_is_complete_20_ms_into_its_sound_after_70_ms_of_movement(
    position_ms: int, mouth: Mouth
) -> None:
    track = Track(cues((0, 200, "sil"), (200, 200, "aa"), (400, 200, "ou")))
    assert mouth == track.at(position_ms)


@pytest.mark.parametrize("lips", ["PP", "FF"])
def test_lips_meet_when_their_sound_begins_and_stay_for_a_picture(lips: str) -> None:
    track = Track(cues((0, 200, "aa"), (200, 15, lips), (215, 200, "aa")))
    assert track.at(165) == mix("aa", lips, 0.5)
    assert [((lips, 4),)] * 5 == [track.at(at_ms) for at_ms in (200, 210, 220, 230, 240)]
    assert track.at(260) == mix(lips, "aa", 0.5)
    assert track.at(280) == AAH


def test_a_sound_too_short_to_be_made_is_left_out_but_lips_still_meet() -> None:
    track = Track(cues((0, 200, "aa"), (200, 10, "DD"), (210, 60, "PP"), (270, 100, "aa")))
    shown = {shape for at_ms in range(400) for shape, _ in track.at(at_ms)}
    assert {"sil", "aa", "PP"} == shown
    assert track.at(210) == (("PP", 4),)


def test_two_closures_closer_than_a_picture_are_both_made() -> None:
    track = Track(cues((100, 20, "PP"), (120, 20, "FF"), (140, 200, "aa")))
    assert track.at(119) == (("PP", 4),)
    assert track.at(120) == (("FF", 4),)


def test_a_gap_between_cues_closes_the_mouth() -> None:
    track = Track(cues((0, 200, "aa"), (500, 200, "oh")))
    assert track.at(350) == CLOSED
    assert track.at(600) == (("oh", 4),)


def test_cues_that_arrive_in_pieces_are_the_same_as_those_that_come_at_once() -> None:
    parts = cues((0, 90, "sil"), (90, 70, "E"), (160, 80, "PP"), (240, 120, "aa"), (360, 50, "SS"))
    pieces = Track()
    for part in parts:
        pieces.add([part])
    whole = Track(parts)
    assert [whole.at(at_ms) for at_ms in range(600)] == [pieces.at(at_ms) for at_ms in range(600)]


@pytest.mark.parametrize(
    ("shape", "weight", "shown"),
    [
        ("aa", 1.0, "aa"),
        ("aa", 0.5, "aa"),
        ("aa", 0.4, "E"),
        ("E", 0.2, "ih"),
        ("oh", 0.3, "ou"),
        ("DD", 0.3, "DD"),
        ("aa", 0.05, "sil"),
        ("PP", 0.05, "PP"),
    ],
)
def test_a_faint_vowel_opens_the_mouth_less(shape: str, weight: float, shown: str) -> None:
    assert Track([Viseme(0, 300, shape, weight)]).at(150) == ((shown, 4),)


def test_cues_that_make_no_sense_are_left_out() -> None:
    track = Track(cues((100, 200, "aa"), (50, 200, "oh"), (300, 0, "ou"), (310, 90, "smile")))
    assert {"sil", "aa"} == {shape for at_ms in range(800) for shape, _ in track.at(at_ms)}


def test_an_endless_reply_takes_bounded_memory() -> None:
    shapes = ("aa", "DD")
    track = Track(Viseme(i * 100, 100, shapes[i % 2]) for i in range(MAX_SHAPES + 500))
    end_ms = (MAX_SHAPES + 500) * 100
    assert track.at(end_ms - 10) == (("DD", 4),)
    assert track.at(0) == CLOSED
    assert len(track._targets) == len(track._starts) == MAX_SHAPES


# --- a session's face --------------------------------------------------------------------------


def test_an_interrupted_mouth_is_closed_80_ms_after_the_interruption() -> None:
    for frame_ms in (20, 33, 40, 80):
        for phase_ms in range(0, frame_ms, 3):
            timeline = speaking()
            for now_ms in range(1000, 1401, frame_ms):
                shown = timeline.pose(now_ms, now_ms - 800).mouth
            assert shown == AAH
            interrupted_ms = now_ms + phase_ms
            late = [
                at_ms
                for at_ms in range(now_ms + frame_ms, now_ms + 500, frame_ms)
                if timeline.pose(at_ms, None).mouth != CLOSED and at_ms >= interrupted_ms + 80
            ]
            assert late == []


def test_the_mouth_closes_by_a_way_between() -> None:
    timeline = speaking(500)
    assert timeline.pose(1080, None).mouth == (("sil", 3), ("aa", 1))
    assert timeline.pose(1100, None).mouth == CLOSED
    assert timeline.pose(9000, None).mouth == CLOSED


def test_a_resumed_reply_opens_the_mouth_in_the_middle_of_the_word() -> None:
    timeline = speaking(500)
    timeline.pose(2000, None)
    shown = [timeline.pose(2040 + since_ms, 480 + since_ms).mouth for since_ms in (0, 35, 70)]
    assert shown == [CLOSED, (("sil", 2), ("aa", 2)), AAH]


def test_the_reply_s_first_word_is_not_held_back() -> None:
    timeline = Timeline()
    timeline.add(Visemes(1, 0, cues((0, 200, "aa"))))
    assert timeline.pose(1000, 0).mouth == mix("sil", "aa", 50 / ATTACK_MS)
    assert timeline.pose(1020, 20).mouth == AAH


def test_another_turn_forgets_the_cues_of_the_turn_before() -> None:
    timeline = speaking(500)
    timeline.add(Visemes(2, 0, cues((0, 100, "sil"), (100, 300, "ou"))))
    timeline.pose(3000, 0)
    assert timeline.pose(3250, 250).mouth == (("ou", 4),)


@pytest.mark.parametrize("mood", ["idle", "listening", "thinking", "speaking"])
def test_the_brows_show_the_mood(mood: AvatarMood) -> None:
    timeline = Timeline()
    timeline.mood(mood, 0)
    assert timeline.pose(500, None).brows == mood


def test_a_thinking_face_looks_aside_and_blinks_on_the_way() -> None:
    timeline = Timeline()
    timeline.mood("listening", 0)
    timeline.mood("thinking", 1000)
    timeline.mood("thinking", 1100)
    shown = [timeline.pose(1000 + at, None) for at in (0, 40, 80, 120, 130, 169)]
    assert [pose.eyes for pose in shown] == ["half", "closed", "closed", "closed", "half", "half"]
    assert [pose.brows for pose in shown] == ["listening"] + ["thinking"] * 5
    eyes = [timeline.pose(at, None).eyes for at in range(1200, 1200 + LOOP_MS, 40)]
    assert eyes.count("aside") > 0.9 * len(eyes)
    assert "open" not in eyes


@pytest.mark.parametrize("seed", range(20))
def test_a_face_blinks_once_in_four_seconds(seed: int) -> None:
    for slot in range(4):
        eyes = [idle_pose("idle", slot * 4000 + at, seed).eyes for at in range(4000)]
        changes = [eye for at, eye in enumerate(eyes) if at == 0 or eyes[at - 1] != eye]
        assert changes in (
            ["open", "half", "closed", "half", "open"],
            ["half", "closed", "half", "open"],
        )
        assert 4000 - eyes.count("open") == BLINK_MS


def test_faces_of_other_seeds_blink_at_other_times() -> None:
    def blinks(seed: int) -> tuple[int, ...]:
        times = range(0, LOOP_MS, 10)
        return tuple(at for at in times if idle_pose("idle", at, seed).eyes == "closed")

    assert len({blinks(seed) for seed in range(50)}) == 50


def test_an_idle_face_breathes_and_repeats_without_a_seam() -> None:
    poses = [idle_pose("idle", at, 3) for at in range(0, LOOP_MS, 40)]
    again = [idle_pose("idle", at, 3) for at in range(LOOP_MS, 2 * LOOP_MS, 40)]
    assert poses == again
    heads = [pose.head for pose in [*poses, poses[0]]]
    assert (min(heads), max(heads)) == (-3, 3)
    assert max(abs(a - b) for a, b in pairwise(heads)) == 1


def test_a_face_at_rest_is_the_idle_face() -> None:
    """So the change between a loop and a live picture is invisible."""
    timeline = Timeline(seed=5)
    for now_ms in range(0, LOOP_MS, 40):
        assert idle_pose("idle", now_ms, 5) == timeline.pose(now_ms, None)


def test_a_pose_at_rest_is_open_eyed_and_closed_mouthed() -> None:
    assert Pose() == Pose((("sil", 4),), "open", "idle", 0)
    assert VISEMES[0] == "sil"
