"""Pictures of a face, on the CPU.

`LayerBitmaps` holds a face's layers, rasterised once, and the blends made from them: one object per
face and size, shared by all sessions and threads. `Picture` is one session's canvas; per frame it
copies in the rectangles that changed. The head is where it is to half a pixel, so that two drawings
of each layer do for all its places. A mouth between two shapes is drawn when it is first needed, if
the face's mouths are alike (`stages.avatar.mouths`), else mixed of both. Colours follow ITU-R
BT.601, limited range, as encoders expect of I420; chroma is the mean of four pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from pipeline.frames import VISEMES
from stages.avatar.face import Face, FaceError, Rectangle
from stages.avatar.mouths import Mouths, mouths
from stages.avatar.timeline import MAX_HEAD, MIN_HEAD, QUARTERS, Mouth, Pose, mix

Bytes: TypeAlias = npt.NDArray[np.uint8]

MAX_BLENDS = 512
"""Blends kept, some 10 MB at 320×320; the least recently used goes first."""

MAX_BETWEEN = 640
"""Mouths between two shapes that are kept, some 10 MB at 320×320: all that there are."""

HEAD_STEPS = 640
"""`Pose.head` is in steps of the picture's height divided by this."""

SIZES = range(64, 1025, 16)


class RendererMissing(RuntimeError):
    """The rasteriser is not installed: `pip install 'parley-gateway[avatar]'`."""


@dataclass(frozen=True, slots=True)
class _Window:
    """A rectangle in even pixels, so that its chroma is its own."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class _Block:
    """The pixels of a window, in both forms."""

    window: _Window
    rgb: Bytes
    y: Bytes
    u: Bytes
    v: Bytes


class _Plane:
    """A layer in a window, premultiplied, for every place of the head: `drawn` twice, half a pixel
    apart, with `margin` rows above and below.
    """

    __slots__ = ("_drawn", "_margin")

    def __init__(self, drawn: tuple[Bytes, Bytes], margin: int) -> None:
        self._drawn = drawn
        self._margin = margin

    def at(self, halves: int) -> Bytes:
        """The layer this many half pixels down; a view, not a copy."""
        down, half = divmod(halves, 2)
        drawn = self._drawn[half]
        return drawn[self._margin - down : len(drawn) - self._margin - down]


@dataclass(frozen=True, slots=True)
class _Sprites:
    """A window's layers."""

    window: _Window
    mouth: dict[str, _Plane]
    eyes: dict[str, _Plane]
    brows: dict[str, _Plane]
    front: _Plane | None


class LayerBitmaps:
    """A face's layers at one size; safe to share between threads.

    The constructor rasterises them, which takes 0.1 s at 320×320: call it in a thread.

    Args:
        face: The face.
        size: Width and height in pixels, one of `SIZES`.

    Raises:
        ValueError: The size is not one of `SIZES`.
        RendererMissing: The extra `avatar` is not installed.
        FaceError: The drawing cannot be rasterised.
    """

    def __init__(self, face: Face, size: int = 320) -> None:
        if size not in SIZES:
            raise ValueError(f"a face is a multiple of 16 pixels from 64 to 1024, not {size}")
        self.size = size
        self._rasterise = _rasteriser(face)
        self._face = face
        layers, moves = face.manifest.layers, face.manifest.moves
        self._unit = face.manifest.viewBox[2] / size
        self._margin = ceil(max(MAX_HEAD, -MIN_HEAD) * size / HEAD_STEPS) + 1
        self._wholes: dict[int, _Block] = {}
        self._blends: LRUCache[tuple[Any, ...], _Block] = LRUCache(MAX_BLENDS)
        self._between: LRUCache[Mouth, _Plane] = LRUCache(MAX_BETWEEN)
        self._mouths: Mouths | None = mouths(face.root, layers.mouth)
        self._lock = Lock()
        whole = self._whole = _Window(0, 0, size, size)
        self._base = self._drawn(layers.base, whole, 0.0)[..., :3]
        self._head = self._plane(layers.head, whole)
        self._front = self._plane(layers.front, whole) if layers.front else None
        eyes = {name: layer or layers.eyes.open for name, layer in layers.eyes}
        self._mouth = self._sprites(self._window(moves.mouth), mouth=layers.mouth)
        self._eyes = self._sprites(self._window(moves.eyes), eyes=eyes, brows=layers.brows)

    def whole(self, head: int) -> _Block:
        """The whole picture at one position of the head, with a resting face."""
        halves = self._halves(head)
        if (found := self._wholes.get(halves)) is None:
            front = None if self._front is None else self._front.at(halves)
            found = _block(self._whole, _over(self._base, self._head.at(halves), front))
            self._wholes[halves] = found
        return found

    def mouth(self, head: int, mouth: Mouth) -> _Block:
        halves = self._halves(head)
        return self._kept(
            ("mouth", halves, mouth),
            lambda: self._blend(self._mouth, halves, self._shape(mouth, halves)),
        )

    def eyes(self, head: int, eyes: str, brows: str) -> _Block:
        halves, sprites = self._halves(head), self._eyes
        return self._kept(
            ("eyes", halves, eyes, brows),
            lambda: self._blend(
                sprites, halves, sprites.eyes[eyes].at(halves), sprites.brows[brows].at(halves)
            ),
        )

    def prepare(self, shape: str) -> None:
        """Draw all mouths between this shape and those after it in `VISEMES`, for later."""
        if self._mouths is not None:
            for other in VISEMES[VISEMES.index(shape) + 1 :]:
                for quarters in range(1, QUARTERS):
                    self._between_two(mix(shape, other, quarters / QUARTERS))

    def _blend(self, sprites: _Sprites, halves: int, *layers: Bytes) -> _Block:
        window = sprites.window
        under = _over(_cut(self._base, window), _cut(self._head.at(halves), window))
        front = None if sprites.front is None else sprites.front.at(halves)
        return _block(window, _over(under, *layers, front))

    def _kept(self, key: tuple[Any, ...], blend: Callable[[], _Block]) -> _Block:
        with self._lock:
            if found := self._blends.get(key):
                return found
        made = blend()
        with self._lock:
            self._blends[key] = made
        return made

    def _shape(self, mouth: Mouth, halves: int) -> Bytes:
        shapes = self._mouth.mouth
        if len(mouth) == 1:
            return shapes[mouth[0][0]].at(halves)
        if self._mouths is None:
            return _dissolve([(shapes[shape].at(halves), weight) for shape, weight in mouth])
        return self._between_two(mouth).at(halves)

    def _between_two(self, mouth: Mouth) -> _Plane:
        with self._lock:
            if found := self._between.get(mouth):
                return found
        assert self._mouths is not None
        made = self._plane(self._mouths.markup(mouth), self._mouth.window)
        with self._lock:
            self._between[mouth] = made
        return made

    def _sprites(self, window: _Window, **names: dict[str, str]) -> _Sprites:
        planes = {
            kind: {name: self._plane(layer, window) for name, layer in of.items()}
            for kind, of in names.items()
        }
        front = self._face.manifest.layers.front
        return _Sprites(
            window,
            planes.get("mouth", {}),
            planes.get("eyes", {}),
            planes.get("brows", {}),
            self._plane(front, window) if front else None,
        )

    def _plane(self, layer: str, window: _Window) -> _Plane:
        """A layer by its id or its markup."""
        margin = self._margin
        tall = _Window(window.x, window.y - margin, window.width, window.height + 2 * margin)
        half = self._unit / 2
        return _Plane((self._drawn(layer, tall, 0.0), self._drawn(layer, tall, half)), margin)

    def _drawn(self, layer: str, window: _Window, down: float) -> Bytes:
        left, top = self._face.manifest.viewBox[:2]
        unit = self._unit
        shown = (
            left + window.x * unit,
            top + window.y * unit,
            window.width * unit,
            window.height * unit,
        )
        return _premultiplied(self._rasterise(layer, shown, down, window.width, window.height))

    def _halves(self, head: int) -> int:
        """How many half pixels the head is down."""
        return round(min(max(head, MIN_HEAD), MAX_HEAD) * 2 * self.size / HEAD_STEPS)

    def _window(self, rectangle: Rectangle) -> _Window:
        """The even pixels that a rectangle can touch, wherever the head is."""
        left, top = self._face.manifest.viewBox[:2]
        up, down = (step * self.size / HEAD_STEPS for step in (MIN_HEAD, MAX_HEAD))
        x, y = (rectangle[0] - left) / self._unit, (rectangle[1] - top) / self._unit
        right, bottom = x + rectangle[2] / self._unit, y + rectangle[3] / self._unit
        x_from, x_to = floor(x / 2) * 2, min(ceil(right / 2) * 2, self.size)
        y_from = max(floor((y + up) / 2) * 2, 0)
        y_to = min(ceil((bottom + down) / 2) * 2, self.size)
        return _Window(x_from, y_from, x_to - x_from, y_to - y_from)


class Picture:
    """One session's picture of a shared face.

    `rgb` is (size, size, 3); `i420` is (size * 3 / 2, size): the rows of Y, then U, then V, as PyAV
    takes `yuv420p`. Both are read-only, show the last pose and change with the next `show`.
    """

    def __init__(self, bitmaps: LayerBitmaps) -> None:
        self._bitmaps = bitmaps
        size = bitmaps.size
        self._rgb = np.zeros((size, size, 3), np.uint8)
        self._i420 = np.zeros((size * 3 // 2, size), np.uint8)
        half = size // 2
        self._y = self._i420[:size]
        self._u = self._i420[size : size + size // 4].reshape(half, half)
        self._v = self._i420[size + size // 4 :].reshape(half, half)
        self.rgb, self.i420 = self._rgb.view(), self._i420.view()
        self.rgb.flags.writeable = self.i420.flags.writeable = False
        self._pose: Pose | None = None

    def show(self, pose: Pose) -> bool:
        """Compose the pose; False if the picture stays as it was."""
        before = self._pose
        if pose == before:
            return False
        bitmaps, self._pose = self._bitmaps, pose
        moved = before is None or before.head != pose.head
        if moved:
            self._put(bitmaps.whole(pose.head))
        if moved or before is None or before.mouth != pose.mouth:
            self._put(bitmaps.mouth(pose.head, pose.mouth))
        if moved or before is None or (before.eyes, before.brows) != (pose.eyes, pose.brows):
            self._put(bitmaps.eyes(pose.head, pose.eyes, pose.brows))
        return True

    def _put(self, block: _Block) -> None:
        at = block.window
        rows, columns = slice(at.y, at.y + at.height), slice(at.x, at.x + at.width)
        self._rgb[rows, columns] = block.rgb
        self._y[rows, columns] = block.y
        rows = slice(at.y // 2, (at.y + at.height) // 2)
        columns = slice(at.x // 2, (at.x + at.width) // 2)
        self._u[rows, columns] = block.u
        self._v[rows, columns] = block.v


def paint_outside(face: Face, size: int = 320) -> list[str]:
    """The moving layers that paint outside their rectangle, where they would be cut off."""
    rasterise, box = _rasteriser(face), face.manifest.viewBox
    layers, moves, unit = face.manifest.layers, face.manifest.moves, box[2] / size
    eyes = [name for name in layers.eyes.model_dump().values() if name]
    groups = {
        "mouth": (moves.mouth, list(layers.mouth.values())),
        "eyes": (moves.eyes, [*eyes, *layers.brows.values()]),
    }
    found = []
    for kind, ((x, y, width, height), names) in groups.items():
        for name in names:
            alpha = rasterise(name, box, 0.0, size, size)[..., 3].copy()
            left, top = floor((x - box[0]) / unit), floor((y - box[1]) / unit)
            right, bottom = ceil((x - box[0] + width) / unit), ceil((y - box[1] + height) / unit)
            if not alpha.any():
                found.append(f"face.svg: layer {name!r} paints nothing")
            alpha[top:bottom, left:right] = 0
            if alpha.any():
                found.append(f"face.svg: layer {name!r} paints outside moves.{kind}")
    return found


Rasterise: TypeAlias = Callable[[str, Rectangle, float, int, int], Bytes]
"""Layer by id or as markup, window and shift in units, width and height in pixels to straight
RGBA."""


def _rasteriser(face: Face) -> Rasterise:
    try:
        import resvg_py
    except ImportError:
        raise RendererMissing("faces are drawn with the extra: parley-gateway[avatar]") from None
    from av import CodecContext, Packet
    from av.video.codeccontext import VideoCodecContext

    def rasterise(layer: str, window: Rectangle, down: float, width: int, height: int) -> Bytes:
        svg = face.layer(layer, window, down, (width, height))
        try:
            png = resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True)
        except ValueError as error:
            raise FaceError([f"face.svg: layer {layer!r}: {error}"]) from None
        decoder = CodecContext.create("png", "r")
        assert isinstance(decoder, VideoCodecContext)
        (frame,) = decoder.decode(Packet(bytes(png)))
        return np.asarray(frame.to_ndarray(format="rgba"), np.uint8)

    return rasterise


def _cut(plane: Bytes, window: _Window) -> Bytes:
    return plane[window.y : window.y + window.height, window.x : window.x + window.width]


def _premultiplied(rgba: Bytes) -> Bytes:
    made = rgba.copy()
    made[..., :3] = _scaled(rgba[..., :3], rgba[..., 3:])
    return made


def _scaled(plane: Bytes, by: Bytes) -> Bytes:
    """`plane * by / 255`, rounded, as integers."""
    product = plane.astype(np.uint16) * by + np.uint16(128)
    return ((product + (product >> 8)) >> 8).astype(np.uint8)


def _dissolve(planes: list[tuple[Bytes, int]]) -> Bytes:
    """The weighted sum of premultiplied planes: nothing shines through where both are opaque."""
    total = sum(plane.astype(np.uint16) * np.uint16(weight) for plane, weight in planes)
    return ((np.asarray(total) + np.uint16(QUARTERS // 2)) // QUARTERS).astype(np.uint8)


def _over(under: Bytes, *layers: Bytes | None) -> Bytes:
    """Premultiplied layers painted on an opaque picture."""
    for layer in layers:
        if layer is not None:
            under = layer[..., :3] + _scaled(under, 255 - layer[..., 3:])
    return under


def _block(window: _Window, rgb: Bytes) -> _Block:
    """Read-only pixels, with Y, U and V by BT.601 as integers."""
    red, green, blue = (rgb[..., channel].astype(np.int32) for channel in range(3))
    luma = ((66 * red + 129 * green + 25 * blue + 128) >> 8) + 16
    height, width = luma.shape
    red, green, blue = (
        plane.reshape(height // 2, 2, width // 2, 2).sum(axis=(1, 3), dtype=np.int32)
        for plane in (red, green, blue)
    )
    # Sums of four pixels, hence two bits more.
    u = ((-38 * red - 74 * green + 112 * blue + 512) >> 10) + 128
    v = ((112 * red - 94 * green - 18 * blue + 512) >> 10) + 128
    planes = [np.ascontiguousarray(plane, np.uint8) for plane in (rgb, luma, u, v)]
    for plane in planes:
        plane.flags.writeable = False
    return _Block(window, *planes)
