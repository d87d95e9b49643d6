import numpy as np
import pytest

from pipeline.frames import VISEMES, Viseme, Visemes
from stages.avatar.encoding import BIT_RATE, Codec, VideoEncoder, codecs
from stages.avatar.face import FACES, load
from stages.avatar.renderer import Bytes, LayerBitmaps, Picture
from stages.avatar.timeline import Pose, Timeline
from tests.support.video import decoded, is_keyframe, nal_types, psnr

CODECS: tuple[Codec, ...] = ("h264", "vp8")


@pytest.fixture(scope="module", params=["jonas", "mira"])
def bitmaps(request: pytest.FixtureRequest) -> LayerBitmaps:
    return LayerBitmaps(load(FACES / request.param), 320)


def speech(seconds: int) -> list[Pose]:
    """The poses of a face that speaks, ten shapes a second, at 25 pictures a second."""
    timeline = Timeline()
    cues = (Viseme(n * 100, 100, VISEMES[n * 7 % 15]) for n in range(seconds * 10))
    timeline.add(Visemes(1, 0, tuple(cues)))
    timeline.mood("speaking", 0)
    return [timeline.pose(n * 40, n * 40) for n in range(seconds * 25)]


def shown(bitmaps: LayerBitmaps, poses: list[Pose]) -> list[Bytes]:
    picture = Picture(bitmaps)
    pictures = []
    for pose in poses:
        picture.show(pose)
        pictures.append(picture.i420.copy())
    return pictures


def noise(pictures: int, size: int = 64) -> list[Bytes]:
    chance = np.random.default_rng(1)
    return [chance.integers(0, 255, (size * 3 // 2, size), np.uint8) for _ in range(pictures)]


def test_both_codecs_are_in_the_wheels_of_pyav() -> None:
    assert codecs() == CODECS


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [320, 192])
def test_the_decoded_pictures_look_like_those_that_were_drawn(codec: Codec, size: int) -> None:
    bitmaps = LayerBitmaps(load(FACES / "mira"), size)
    poses = speech(2)
    encoder, picture = VideoEncoder(codec, size, 40), Picture(bitmaps)
    units = []
    for pose in poses:  # on one canvas, which goes on changing: nothing of it may be kept
        picture.show(pose)
        units.append(encoder.encode(picture.i420))
    likeness = [
        psnr(*pair) for pair in zip(decoded(codec, units), shown(bitmaps, poses), strict=True)
    ]
    assert min(likeness) > 44


@pytest.mark.parametrize("codec", CODECS)
def test_a_face_speaks_at_less_than_200_kilobits_a_second(
    codec: Codec, bitmaps: LayerBitmaps
) -> None:
    encoder = VideoEncoder(codec, 320, 40)
    units = [encoder.encode(picture) for picture in shown(bitmaps, speech(4))]
    assert 50_000 < sum(map(len, units)) * 8 / 4 < 200_000
    assert len(units[0]) < 16_000


@pytest.mark.parametrize("codec", CODECS)
def test_keyframes_come_first_and_where_they_are_asked_for(codec: Codec) -> None:
    encoder = VideoEncoder(codec, 64, 40)
    units = [
        encoder.encode(picture, keyframe=number in (3, 4, 9))
        for number, picture in enumerate(noise(12))
    ]
    found = [number for number, unit in enumerate(units) if is_keyframe(codec, unit)]
    assert found == [0, 3, 4, 9]
    for number in found:
        assert len(decoded(codec, units[number:])) == 12 - number


def test_parameter_sets_come_with_every_keyframe_of_h264() -> None:
    encoder = VideoEncoder("h264", 64, 40)
    units = [encoder.encode(picture, keyframe=n == 2) for n, picture in enumerate(noise(4))]
    assert [kind for kind in nal_types(units[0]) if kind != 6] == [7, 8, 5]  # 6: which x264
    assert [nal_types(unit) for unit in units[1:]] == [[1], [7, 8, 5], [1]]


@pytest.mark.parametrize("patient", [False, True])
def test_h264_is_what_42e01f_promises(patient: bool) -> None:
    """RFC 6184, section 8.1: profile 66 with constraint 1 is constrained baseline."""
    unit = VideoEncoder("h264", 320, 40, patient=patient).encode(noise(1, 320)[0])
    (parameters,) = [part for part in unit.split(b"\0\0\1") if part and part[0] & 31 == 7]
    profile, constraints, level = parameters[1:4]
    assert (profile, constraints & 0x40) == (66, 0x40)
    assert level <= 31


def test_a_picture_full_of_detail_does_not_flood_the_line() -> None:
    """Noise is the worst there is: some 25 Mb/s in the quality that faces have."""
    encoder = VideoEncoder("h264", 320, 40)
    units = [encoder.encode(picture) for picture in noise(50, 320)]
    assert sum(map(len, units[:25])) * 8 < 2 * BIT_RATE
    assert sum(map(len, units[25:])) * 8 < 1.1 * BIT_RATE


def test_a_unit_comes_with_its_own_picture() -> None:
    for codec in CODECS:
        dark, bright = (np.full((96, 64), level, np.uint8) for level in (30, 220))
        encoder = VideoEncoder(codec, 64, 40)
        units = [encoder.encode(picture) for picture in (dark, bright, dark)]
        assert [round(picture[:64].mean(), -1) for picture in decoded(codec, units)] == [
            30,
            220,
            30,
        ]


@pytest.mark.parametrize(("size", "frame_ms"), [(100, 40), (48, 40), (2048, 40), (320, 0)])
def test_what_cannot_be_encoded_is_refused(size: int, frame_ms: int) -> None:
    with pytest.raises(ValueError, match="a picture"):
        VideoEncoder("h264", size, frame_ms)


def test_a_picture_of_another_size_is_refused_and_the_stream_goes_on() -> None:
    encoder = VideoEncoder("vp8", 64, 40)
    with pytest.raises(ValueError, match=r"a picture is \(96, 64\) of uint8, not \(480, 320\)"):
        encoder.encode(noise(1, 320)[0])
    assert is_keyframe("vp8", encoder.encode(noise(1)[0]))


@pytest.mark.parametrize("codec", CODECS)
def test_a_late_keyframe_looks_like_the_first(codec: Codec, bitmaps: LayerBitmaps) -> None:
    pictures = shown(bitmaps, speech(10))
    asked = range(30, 250, 40)
    encoder = VideoEncoder(codec, 320, 40)
    units = [encoder.encode(picture, keyframe=n in asked) for n, picture in enumerate(pictures)]
    likeness = [psnr(*pair) for pair in zip(decoded(codec, units), pictures, strict=True)]
    assert min(likeness[number] for number in asked) > likeness[0] - 3
