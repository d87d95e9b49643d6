"""A face: one layered SVG and a manifest that names its layers (`docs/faces.md`).

A face may come from anywhere and the page shows it inline, so everything that could run, load or
blow up is refused here, before it is rendered.

    FaceError(ValueError)   the folder holds no usable face; `problems` lists everything wrong
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.frames import VISEMES, AvatarMood

FORMAT = "parley-face/1"
FACES = Path(__file__).parent / "faces"
"""Parley's own faces, a folder each."""

MAX_SVG_BYTES = 512 * 1024
MAX_MANIFEST_BYTES = 64 * 1024
MAX_DEPTH = 32

SVG = "{http://www.w3.org/2000/svg}"
MOODS: tuple[AvatarMood, ...] = ("idle", "listening", "thinking", "speaking")

_ALLOWED = {
    SVG + name
    for name in (
        *("svg", "g", "defs", "title", "desc", "style"),
        *("path", "rect", "circle", "ellipse", "line", "polyline", "polygon"),
        *("clipPath", "mask", "linearGradient", "radialGradient", "stop"),
        *("filter", "feGaussianBlur", "feOffset", "feBlend", "feColorMatrix"),
        *("feMerge", "feMergeNode", "feFlood", "feComposite"),
    )
}
"""Shapes and paint. No text (fonts differ), no images, no `use` (it multiplies), no scripts."""

_TOP = {SVG + name for name in ("g", "defs", "title", "desc", "style")}

_OUTSIDE = re.compile(r"url\(\s*['\"]?(?!#)|@import|javascript:|expression\(", re.IGNORECASE)

Rectangle = tuple[float, float, float, float]
"""x, y, width, height in the units of the view box."""


class FaceError(ValueError):
    """The folder holds no usable face."""

    code = "invalid_face"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EyeLayers(_Part):
    """May be missing: `aside`, a look into the distance for a face that thinks, and `down`, one at
    the notes of a face that listens.
    """

    open: str
    half: str
    closed: str
    aside: str | None = None
    down: str | None = None


class Layers(_Part):
    """The ids of the layers."""

    base: str
    head: str
    mouth: dict[str, str]
    eyes: EyeLayers
    brows: dict[str, str]
    front: str | None = None

    def ids(self) -> Iterator[str]:
        """All ids in the order of painting."""
        yield self.base
        yield self.head
        yield from self.mouth.values()
        yield from filter(None, self.eyes.model_dump().values())
        yield from self.brows.values()
        if self.front:
            yield self.front


class Moves(_Part):
    """The rectangles outside which nothing changes; that of the eyes holds the brows too."""

    mouth: Rectangle
    eyes: Rectangle


class Manifest(_Part):
    """The file `face.json`."""

    format: Literal["parley-face/1"]
    name: str = Field(min_length=1, max_length=80)
    description: str = Field(min_length=1, max_length=300)
    license: str = Field(min_length=1, max_length=80)
    author: str | None = Field(None, max_length=200)
    viewBox: Rectangle
    layers: Layers
    moves: Moves


@dataclass(frozen=True)
class Face:
    """A face that has been checked; immutable."""

    manifest: Manifest
    svg: str

    @cached_property
    def root(self) -> ElementTree.Element:
        return ElementTree.fromstring(self.svg)

    @cached_property
    def _shared(self) -> str:
        """The elements that all layers may refer to, as markup."""
        shared = (child for child in self.root if child.tag != SVG + "g")
        return "".join(ElementTree.tostring(child, encoding="unicode") for child in shared)

    def layer(self, layer: str, window: Rectangle, down: float, size: tuple[int, int]) -> str:
        """An SVG of one layer alone, moved `down`, of which `window` shows, both in units; `size`
        is its width and height in pixels. The layer is one of the drawing's, by its id, or markup.
        """
        if layer.startswith("<"):
            wide, high = size
            return (
                f'<svg xmlns="{SVG[1:-1]}" viewBox="{" ".join(map(repr, window))}" width="{wide}"'
                f' height="{high}" preserveAspectRatio="none">{self._shared}'
                f'<g transform="translate(0 {down:g})">{layer}</g></svg>'
            )
        root = ElementTree.Element(
            SVG + "svg",
            viewBox=" ".join(map(repr, window)),
            width=str(size[0]),
            height=str(size[1]),
            preserveAspectRatio="none",
        )
        root.extend(child for child in self.root if child.tag != SVG + "g")
        shift = ElementTree.SubElement(root, SVG + "g", transform=f"translate(0 {down:g})")
        shift.extend(child for child in self.root if child.get("id") == layer)
        return ElementTree.tostring(root, encoding="unicode")


def shipped() -> tuple[str, ...]:
    """The names of the faces that come with Parley."""
    return tuple(sorted(path.parent.name for path in FACES.glob("*/face.json")))


def find(face: str) -> Face:
    """A face by name, or by the folder where it is.

    Raises:
        FaceError: There is no such name or folder, or the folder holds no usable face.
    """
    if face in shipped():
        return load(FACES / face)
    folder = Path(face)
    if not folder.is_dir():
        raise FaceError([f"{face!r} is neither a folder nor one of {', '.join(shipped())}"])
    return load(folder)


def name(face: str) -> str:
    """The name that clients use for `find`'s face: its folder's name."""
    return Path(face).resolve().name


def load(folder: Path) -> Face:
    """The face in a folder; reads its two files.

    Raises:
        FaceError: Files are missing, too large or not as `docs/faces.md` says.
    """
    problems: list[str] = []
    text = _read(folder / "face.json", MAX_MANIFEST_BYTES, problems)
    svg = _read(folder / "face.svg", MAX_SVG_BYTES, problems)
    manifest = _manifest(text, problems) if text is not None else None
    root = _parse(svg, problems) if svg is not None else None
    if root is not None:
        problems.extend(_drawing_problems(root))
        if manifest is not None:
            problems.extend(_layer_problems(root, manifest))
    if manifest is None or svg is None or problems:
        raise FaceError(problems)
    return Face(manifest, svg)


def _read(path: Path, most: int, problems: list[str]) -> str | None:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            problems.append(f"{path.name} is larger than {most // 1024} KiB")
            return None
        return content.decode()
    except OSError as error:
        problems.append(f"{path.name}: {error.strerror}")
    except UnicodeDecodeError:
        problems.append(f"{path.name} is not UTF-8")
    return None


def _manifest(text: str, problems: list[str]) -> Manifest | None:
    try:
        manifest = Manifest.model_validate(json.loads(text))
    except ValidationError as error:
        problems.extend(
            f"face.json: {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors()
        )
        return None
    except (ValueError, RecursionError) as error:
        problems.append(f"face.json is not JSON: {error}")
        return None
    problems.extend(f"face.json: {problem}" for problem in _manifest_problems(manifest))
    return manifest


def _manifest_problems(manifest: Manifest) -> Iterator[str]:
    layers, moves = manifest.layers, manifest.moves
    yield from _names("layers.mouth", layers.mouth, VISEMES)
    yield from _names("layers.brows", layers.brows, MOODS)
    ids = list(layers.ids())
    yield from (f"layer {name!r} is named twice" for name in sorted(_twice(ids)))
    left, top, width, height = manifest.viewBox
    if width <= 0 or width != height:
        yield "viewBox is not a square"
        return
    for name, (x, y, w, h) in (("mouth", moves.mouth), ("eyes", moves.eyes)):
        inside = left <= x < x + w <= left + width and top <= y < y + h <= top + height
        if not inside:
            yield f"moves.{name} is empty or not inside the viewBox"
    gap = width / 40
    (x1, y1, w1, h1), (x2, y2, w2, h2) = moves.mouth, moves.eyes
    if x1 < x2 + w2 + gap and x2 < x1 + w1 + gap and y1 < y2 + h2 + gap and y2 < y1 + h1 + gap:
        yield f"moves.mouth and moves.eyes are less than {gap:g} units apart"


def _names(where: str, given: dict[str, str], wanted: tuple[str, ...]) -> Iterator[str]:
    yield from (f"{where}.{name} is missing" for name in wanted if name not in given)
    yield from (f"{where}.{name} is not known" for name in given if name not in wanted)


def _parse(svg: str, problems: list[str]) -> ElementTree.Element | None:
    if "<!DOCTYPE" in svg or "<!ENTITY" in svg:
        # Entities can multiply to gigabytes.
        problems.append("face.svg has a document type or entities: save it as plain SVG")
        return None
    try:
        root = ElementTree.fromstring(svg)
    except ElementTree.ParseError as error:
        problems.append(f"face.svg is not XML: {error}")
        return None
    if root.tag != SVG + "svg":
        problems.append("face.svg is not an SVG")
        return None
    return root


def _drawing_problems(root: ElementTree.Element) -> Iterator[str]:
    seen = set()
    elements = [(root, 0)]
    while elements:
        element, depth = elements.pop()
        if depth > MAX_DEPTH:
            yield f"face.svg: elements are nested more than {MAX_DEPTH} deep"
            return
        elements.extend((child, depth + 1) for child in element)
        name = str(element.tag).rpartition("}")[2]
        found = [f"<{name}> is not allowed"] if element.tag not in _ALLOWED else []
        for key, value in element.attrib.items():
            key = key.rpartition("}")[2].lower()
            if key.startswith("on") or (key == "href" and not value.startswith("#")):
                found.append(f"<{name}> has the attribute {key}, which runs or loads something")
            elif key == "style":
                # The page's policy forbids them, as it does to all inline styles.
                found.append(f"<{name}> has a style attribute: make it attributes or a class")
            elif _OUTSIDE.search(value):
                found.append(f"<{name}> loads something from elsewhere")
        if element.tag == SVG + "style" and _OUTSIDE.search(element.text or ""):
            found.append("<style> loads something from elsewhere")
        for problem in found:
            if problem not in seen:
                seen.add(problem)
                yield f"face.svg: {problem}"


def _layer_problems(root: ElementTree.Element, manifest: Manifest) -> Iterator[str]:
    wanted = list(manifest.layers.ids())
    found = [child.get("id", "") for child in root if child.tag == SVG + "g"]
    loose = {str(child.tag).rpartition("}")[2] for child in root if child.tag not in _TOP}
    yield from (f"face.svg: <{name}> is in no layer" for name in sorted(loose))
    yield from (f"face.svg: no layer <g id={name!r}>" for name in wanted if name not in found)
    yield from (f"face.svg: two layers are called {name!r}" for name in sorted(_twice(found)))
    yield from (
        f"face.svg: layer {name!r} is not in face.json" for name in found if name not in wanted
    )
    order = [kind for kind in map(_kinds(manifest.layers).get, found) if kind is not None]
    if order != sorted(order):
        yield "face.svg: layers are painted as base, head, mouth, eyes, brows, front: put them so"
    box = " ".join(root.get("viewBox", "").replace(",", " ").split())
    if box != " ".join(f"{edge:g}" for edge in manifest.viewBox):
        yield f"face.svg: its viewBox is {box!r}, not that of face.json"


def _kinds(layers: Layers) -> dict[str, int]:
    eyes: dict[str, Any] = layers.eyes.model_dump()
    groups = (
        [layers.base],
        [layers.head],
        layers.mouth.values(),
        eyes.values(),
        layers.brows.values(),
        [layers.front],
    )
    return {name: kind for kind, names in enumerate(groups) for name in names if name}


def _twice(names: list[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1}
