from itertools import pairwise

import numpy as np
import pytest

from pipeline.frames import AvatarMood
from stages.avatar.encoding import Codec
from stages.avatar.face import FACES, load
from stages.avatar.loops import GROUP, LOOP_FRAME_MS, LOOP_PICTURES, Loop, record
from stages.avatar.renderer import Bytes, LayerBitmaps, Picture
from stages.avatar.timeline import LOOP_MS, idle_pose
from tests.support.video import decoded, is_keyframe, psnr

pytestmark = pytest.mark.slow  # draws and encodes whole loops

CODECS: tuple[Codec, ...] = ("h264", "vp8")
MOODS: tuple[AvatarMood, ...] = ("idle", "listening", "thinking")


@pytest.fixture(scope="module")
def bitmaps() -> LayerBitmaps:
    return LayerBitmaps(load(FACES / "mira"), 320)


@pytest.fixture(scope="module", params=CODECS)
def loops(request: pytest.FixtureRequest, bitmaps: LayerBitmaps) -> dict[AvatarMood, Loop]:
    return {mood: record(bitmaps, mood, request.param) for mood in MOODS}


def drawn(bitmaps: LayerBitmaps, mood: AvatarMood) -> list[Bytes]:
    picture = Picture(bitmaps)
    pictures = []
    for number in range(LOOP_PICTURES):
        picture.show(idle_pose(mood, number * LOOP_FRAME_MS))
        pictures.append(picture.i420.copy())
    return pictures


def test_a_loop_is_as_long_as_the_motion_of_the_face_and_whole_groups() -> None:
    assert LOOP_PICTURES * LOOP_FRAME_MS == LOOP_MS
    assert LOOP_PICTURES % GROUP == 0


@pytest.mark.parametrize("mood", MOODS)
def test_a_picture_of_a_loop_looks_like_the_pose_it_stands_for(
    loops: dict[AvatarMood, Loop], bitmaps: LayerBitmaps, mood: AvatarMood
) -> None:
    loop = loops[mood]
    assert (loop.mood, loop.size, len(loop.units)) == (mood, 320, LOOP_PICTURES)
    pictures = zip(decoded(loop.codec, loop.units), drawn(bitmaps, mood), strict=True)
    assert min(psnr(*pair) for pair in pictures) > 44


def test_every_group_decodes_alone_to_the_same_pictures(loops: dict[AvatarMood, Loop]) -> None:
    loop = loops["listening"]
    through = decoded(loop.codec, loop.units)
    for start in range(0, LOOP_PICTURES, GROUP):
        group = decoded(loop.codec, loop.units[start : start + GROUP])
        assert np.array_equal(group, through[start : start + GROUP])


def test_keyframes_begin_the_groups_and_stand_nowhere_else(loops: dict[AvatarMood, Loop]) -> None:
    for loop in loops.values():
        found = [n for n, unit in enumerate(loop.units) if is_keyframe(loop.codec, unit)]
        assert found == list(range(0, LOOP_PICTURES, GROUP))


def test_a_face_may_change_its_mood_at_any_group(loops: dict[AvatarMood, Loop]) -> None:
    codec = loops["idle"].codec
    idle, thinking = loops["idle"].units, loops["thinking"].units
    changed = decoded(codec, (*idle[:30], *thinking[30:50], *idle[50:60]))
    assert np.array_equal(changed[30:50], decoded(codec, thinking)[30:50])
    assert np.array_equal(changed[50:], decoded(codec, idle)[50:60])


def test_a_loop_goes_on_from_its_end_to_its_beginning(loops: dict[AvatarMood, Loop]) -> None:
    loop = loops["idle"]
    twice = decoded(loop.codec, loop.units * 2)
    assert np.array_equal(twice[:LOOP_PICTURES], twice[LOOP_PICTURES:])


@pytest.mark.parametrize("name", ["jonas", "mira"])
@pytest.mark.parametrize("codec", CODECS)
def test_a_loop_costs_120_kilobits_a_second_at_most(name: str, codec: Codec) -> None:
    loop = record(LayerBitmaps(load(FACES / name), 320), "listening", codec)
    assert sum(map(len, loop.units)) * 8 * 1000 / LOOP_MS < 120_000


def test_nothing_pulses_with_the_keyframes(
    loops: dict[AvatarMood, Loop], bitmaps: LayerBitmaps
) -> None:
    """What coding does to the picture changes by less than a level in the mean, and by no more
    than an edge's blur in one pixel of a hundred.
    """
    loop = loops["idle"]
    coded = decoded(loop.codec, loop.units)
    errors = [
        one.astype(int) - other for one, other in zip(coded, drawn(bitmaps, "idle"), strict=True)
    ]
    flicker = [np.abs(after - before) for before, after in pairwise(errors)]
    keyframes = flicker[GROUP - 1 :: GROUP]
    assert max(change.mean() for change in keyframes) < 1
    assert max(np.percentile(change, 99) for change in keyframes) <= 8
