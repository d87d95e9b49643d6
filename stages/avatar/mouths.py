"""Mouths that change into one another. Pure.

The mouths of a face whose drawings are *alike* — the same elements in the same order, with the same
classes and path commands — differ in numbers only. A mouth on its way from one to another has the
numbers in between: its lips move, and nothing shines through. The page does the same
(`gateway/static/mouths.js`); a test holds the two together.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from stages.avatar.timeline import QUARTERS, Mouth

SVG = "{http://www.w3.org/2000/svg}"

NUMERIC = frozenset(
    (
        *("d", "points", "transform", "x", "y", "width", "height", "cx", "cy", "r", "rx", "ry"),
        *("x1", "x2", "y1", "y2"),
        *("opacity", "fill-opacity", "stroke-opacity", "stroke-width"),
    )
)
"""Attributes whose numbers may differ between two mouths that are alike."""

REFERRING = ("clip-path", "mask")
"""Attributes that name an element of `<defs>`, which has to be alike, too."""

_NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_ARC = re.compile(r"^[Mm].*[Aa]", re.DOTALL)
"""A path with an arc, whose flags are no measures."""

_REFERENCE = re.compile(r"url\(#([^)]+)\)")


@dataclass(frozen=True, slots=True)
class Mouths:
    """All mouths of a face: the markup that they share, and each one's numbers.

    The markup is `pieces[0]`, a number, `pieces[1]`, and so on; clip paths stand in it where they
    are used, under ids of their own.
    """

    pieces: Sequence[str]
    numbers: Mapping[str, Sequence[float]]

    def markup(self, mouth: Mouth) -> str:
        """The drawing of a mouth, of one shape or between two."""
        parts = [self.numbers[shape] for shape, _ in mouth]
        weights = [quarters / QUARTERS for _, quarters in mouth]
        values = (
            f" {round(sum(n * w for n, w in zip(numbers, weights, strict=True)), 3)}"
            for numbers in zip(*parts, strict=True)
        )
        return "".join(chain.from_iterable(zip_longest(self.pieces, values, fillvalue="")))


def mouths(root: ElementTree.Element, layers: Mapping[str, str]) -> Mouths | None:
    """The mouths of a drawing, if they are alike; `layers` are their ids by shape."""
    defined = {e.get("id", ""): e for defs in root.iter(SVG + "defs") for e in defs}
    drawn = {child.get("id", ""): child for child in root if child.tag == SVG + "g"}
    pieces: list[str] | None = None
    numbers = {}
    for shape, layer in layers.items():
        reader = _Reader(defined)
        try:
            reader.read(drawn[layer])
        except (KeyError, RecursionError):  # an id that is nowhere, or that refers to itself
            return None
        if pieces is not None and pieces != reader.pieces:
            return None
        pieces, numbers[shape] = reader.pieces, reader.numbers
    return None if pieces is None else Mouths(pieces, numbers)


class _Reader:
    """One mouth as markup with holes, and the numbers for them."""

    def __init__(self, defined: Mapping[str, ElementTree.Element]) -> None:
        self.pieces = [""]
        self.numbers: list[float] = []
        self._defined = defined
        self._referred = 0

    def read(self, element: ElementTree.Element, name: str = "") -> None:
        tag = str(element.tag).rpartition("}")[2]
        referred = list(self._referred_by(element))
        for own, other in referred:
            self.read(other, own)
        self._write(f"<{tag}" + (f' id="{name}"' if name else ""))
        left = iter(referred)
        for key, value in sorted(element.attrib.items()):
            if key in REFERRING and _REFERENCE.fullmatch(value):
                self._write(f' {key}="url(#{next(left)[0]})"')
            elif key in NUMERIC and not _ARC.search(value):
                self._write(f' {key}="')
                self._measure(value)
                self._write('"')
            elif key != "id":
                self._write(f" {key}={quoteattr(value)}")
        self._write(">")
        for child in element:
            self.read(child)
        self._write(f"</{tag}>")

    def _referred_by(
        self, element: ElementTree.Element
    ) -> Iterator[tuple[str, ElementTree.Element]]:
        for key, value in sorted(element.attrib.items()):
            if key in REFERRING and (found := _REFERENCE.fullmatch(value)):
                self._referred += 1
                yield f"between-{self._referred}", self._defined[found[1]]

    def _measure(self, value: str) -> None:
        at = 0
        for found in _NUMBER.finditer(value):
            self._write(_bare(value[at : found.start()]))
            self.numbers.append(float(found[0]))
            self.pieces.append("")
            at = found.end()
        self._write(_bare(value[at:]))

    def _write(self, text: str) -> None:
        self.pieces[-1] += text


def _bare(text: str) -> str:
    """The text between two numbers, without the commas and spaces that only separate them."""
    return "".join(text.replace(",", " ").split())
