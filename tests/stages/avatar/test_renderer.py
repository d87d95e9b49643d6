import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from av import VideoFrame

from pipeline.frames import VISEMES
from stages.avatar import renderer
from stages.avatar.face import FACES, Face, FaceError, load, shipped
from stages.avatar.renderer import Bytes, LayerBitmaps, Picture, RendererMissing
from stages.avatar.timeline import MAX_HEAD, Mouth, Pose, mix
from tests.stages.avatar.sheet import golden, sheet

TOLERANCE = 8
"""Of 255: a newer rasteriser may round edges otherwise."""


@pytest.fixture(scope="module")
def face() -> Face:
    return load(FACES / "jonas")


@pytest.fixture(scope="module")
def bitmaps(face: Face) -> LayerBitmaps:
    return LayerBitmaps(face, 160)


def shown(bitmaps: LayerBitmaps, pose: Pose) -> Bytes:
    picture = Picture(bitmaps)
    picture.show(pose)
    return picture.rgb


def differing(one: Bytes, other: Bytes) -> tuple[int, int, int, int]:
    """The rectangle (left, top, right, bottom) in which two pictures differ."""
    rows, columns = np.nonzero((one != other).any(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("name", shipped())
def test_the_faces_look_as_they_did(name: str) -> None:
    """After a change that is meant: `python -m tests.stages.avatar.sheet`, and look at them."""
    now, before = sheet(name), golden(name)
    assert before.shape == now.shape
    difference = np.abs(now.astype(int) - before)
    assert difference.mean() < 0.2
    assert difference.max() <= TOLERANCE


@pytest.mark.parametrize("name", shipped())
def test_every_mouth_shape_looks_different(name: str) -> None:
    bitmaps = LayerBitmaps(load(FACES / name), 160)
    pictures = {shape: shown(bitmaps, Pose(((shape, 4),))).astype(int) for shape in VISEMES}
    alike = [
        (one, other)
        for one in VISEMES
        for other in VISEMES
        if one < other and np.abs(pictures[one] - pictures[other]).max() < 4 * TOLERANCE
    ]
    assert alike == []


def half_way(bitmaps: LayerBitmaps) -> list[Bytes]:
    """Closed lips, a mouth that is half open, and an open one."""
    mouths: list[Mouth] = [(("PP", 4),), mix("PP", "aa", 0.5), (("aa", 4),)]
    return [shown(bitmaps, Pose(mouth)).astype(int) for mouth in mouths]


@pytest.mark.parametrize("name", shipped())
def test_a_half_way_mouth_is_half_open(name: str) -> None:
    pictures = half_way(LayerBitmaps(load(FACES / name), 320))
    # How much is seen of the inside: of a mixed picture none would have its colour.
    inside = (0x4A, 0x16, 0x20)
    none, half, whole = (int((np.abs(p - inside).max(axis=2) < 4).sum()) for p in pictures)
    assert none == 0
    assert whole / 4 < half < whole * 3 / 4


def test_mouths_that_are_not_alike_are_mixed(face: Face) -> None:
    other = face.svg.replace('<g id="mouth-kk"', '<g fill="#000" id="mouth-kk"')
    closed, half, wide = half_way(LayerBitmaps(Face(face.manifest, other), 160))
    assert np.abs(half - (closed + wide) / 2).max() <= 1.5


def test_mouths_that_were_prepared_are_drawn_no_more(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    bitmaps = LayerBitmaps(face, 64)
    for shape in VISEMES:
        bitmaps.prepare(shape)

    def forbidden(*_: object) -> Bytes:
        raise AssertionError("it was drawn again")

    monkeypatch.setattr(bitmaps, "_rasterise", forbidden)
    for one in VISEMES:
        for other in VISEMES:
            shown(bitmaps, Pose(mix(one, other, 0.25), head=2))


def test_only_the_rectangle_of_the_mouth_changes_with_it(bitmaps: LayerBitmaps, face: Face) -> None:
    x, y, width, height = (edge / 2 for edge in face.manifest.moves.mouth)
    left, top, right, bottom = differing(shown(bitmaps, Pose()), shown(bitmaps, Pose((("aa", 4),))))
    assert x <= left < right <= x + width
    assert y <= top < bottom <= y + height


def test_a_picture_does_not_depend_on_what_was_shown_before(bitmaps: LayerBitmaps) -> None:
    poses = [
        Pose((("aa", 4),), "half", "idle", 2),
        Pose((("aa", 4),), "closed", "thinking", 2),
        Pose(mix("oh", "ou", 0.25), "closed", "thinking", 2),
        Pose(mix("oh", "ou", 0.25), "aside", "speaking", -3),
        Pose((("PP", 4),), "aside", "speaking", 0),
    ]
    picture = Picture(bitmaps)
    for pose in poses:
        picture.show(pose)
        fresh = Picture(bitmaps)
        fresh.show(pose)
        assert np.array_equal(fresh.rgb, picture.rgb)
        assert np.array_equal(fresh.i420, picture.i420)


def test_the_same_pose_again_changes_nothing(bitmaps: LayerBitmaps) -> None:
    picture = Picture(bitmaps)
    assert [picture.show(Pose()), picture.show(Pose()), picture.show(Pose(head=1))] == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("size", [64, 112, 320])
def test_i420_is_the_same_picture_for_an_encoder(face: Face, size: int) -> None:
    picture = Picture(LayerBitmaps(face, size))
    for pose in (Pose(), Pose(mix("aa", "oh", 0.5), "half", "thinking", -3)):
        picture.show(pose)
        assert (size * 3 // 2, size) == picture.i420.shape
        back = VideoFrame.from_ndarray(picture.i420, "yuv420p").to_ndarray(format="rgb24")
        ours = picture.rgb.astype(int)
        # Chroma has a quarter of the pixels: brightness is compared, and colour in blocks of 16.
        luma = np.array([0.299, 0.587, 0.114])
        assert np.abs((back - ours) @ luma).mean() < 2
        blocks = (back - ours).reshape(size // 16, 16, size // 16, 16, 3).mean(axis=(1, 3))
        assert np.abs(blocks).max() < 8


def test_pure_colours_are_bt601(face: Face) -> None:
    """White, black, red, green, blue as in ITU-R BT.601, limited range."""
    window = renderer._Window(0, 0, 2, 2)
    known = {
        (255, 255, 255): (235, 128, 128),
        (0, 0, 0): (16, 128, 128),
        (255, 0, 0): (82, 90, 240),
        (0, 255, 0): (144, 54, 34),
        (0, 0, 255): (41, 240, 110),
    }
    for rgb, yuv in known.items():
        block = renderer._block(window, np.full((2, 2, 3), rgb, np.uint8))
        assert yuv == (block.y[0, 0], block.u[0, 0], block.v[0, 0])


def test_the_head_moves_and_the_background_does_not(bitmaps: LayerBitmaps) -> None:
    up, down = shown(bitmaps, Pose(head=-3)), shown(bitmaps, Pose(head=3))
    left, top, right, bottom = differing(up, down)
    assert left > 20
    assert top > 5
    assert right < 140
    assert bottom < 130
    lowest, beyond = shown(bitmaps, Pose(head=MAX_HEAD)), shown(bitmaps, Pose(head=40))
    assert np.array_equal(lowest, beyond)
    assert not np.array_equal(lowest, down)


def test_pictures_are_for_reading(bitmaps: LayerBitmaps) -> None:
    picture = Picture(bitmaps)
    picture.show(Pose())
    for plane in (picture.rgb, picture.i420):
        with pytest.raises(ValueError, match="read-only"):
            plane[0] = 0


def test_blends_are_made_once_and_bounded(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer, "MAX_BLENDS", 3)
    bitmaps = LayerBitmaps(face, 64)
    first = bitmaps.mouth(0, (("aa", 4),))
    assert bitmaps.mouth(0, (("aa", 4),)) is first
    second, third = (bitmaps.mouth(0, ((shape, 4),)) for shape in ("oh", "ou"))
    assert bitmaps.mouth(0, (("aa", 4),)) is first
    eyes = bitmaps.eyes(0, "open", "idle")  # the least recently used, the second, makes room
    assert bitmaps.mouth(0, (("ou", 4),)) is third
    assert bitmaps.mouth(0, (("aa", 4),)) is first
    assert bitmaps.eyes(0, "open", "idle") is eyes
    assert bitmaps.mouth(0, (("oh", 4),)) is not second


def test_one_face_is_shared_by_threads(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer, "MAX_BLENDS", 8)
    bitmaps = LayerBitmaps(face, 64)
    poses = [
        Pose(mix(VISEMES[i % 15], VISEMES[i * 7 % 15], i % 5 / 4), "open", "idle", i % 7 - 3)
        for i in range(200)
    ]

    def run(_: int) -> list[bytes]:
        picture = Picture(bitmaps)
        frames = []
        for pose in poses:
            picture.show(pose)
            frames.append(picture.i420.tobytes())
        return frames

    expected = run(0)
    with ThreadPoolExecutor(4) as pool:
        assert all(expected == frames for frames in pool.map(run, range(4)))


@pytest.mark.parametrize("size", [0, 63, 100, 1040, -64])
def test_a_size_that_encoders_do_not_take_is_refused(face: Face, size: int) -> None:
    with pytest.raises(ValueError, match="multiple of 16 pixels"):
        LayerBitmaps(face, size)


def test_without_the_rasteriser_the_extra_is_named(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(RendererMissing, match=r"parley-gateway\[avatar\]"):
        LayerBitmaps(face, 64)


def test_a_face_that_cannot_look_aside_keeps_its_eyes_open(face: Face) -> None:
    manifest = face.manifest
    eyes = manifest.layers.eyes.model_copy(update={"aside": None})
    layers = manifest.layers.model_copy(update={"eyes": eyes, "front": None})
    bitmaps = LayerBitmaps(Face(manifest.model_copy(update={"layers": layers}), face.svg), 64)
    assert np.array_equal(shown(bitmaps, Pose(eyes="open")), shown(bitmaps, Pose(eyes="aside")))


def test_a_drawing_that_the_rasteriser_refuses_is_a_bad_face(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> bytes:
        raise ValueError("too many elements")

    monkeypatch.setattr("resvg_py.svg_to_bytes", refuse)
    with pytest.raises(FaceError, match="layer 'base': too many elements"):
        LayerBitmaps(face, 64)
