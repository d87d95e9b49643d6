from xml.etree import ElementTree

import pytest

from pipeline.frames import VISEMES
from stages.avatar.face import FACES, Face, load, shipped
from stages.avatar.mouths import SVG, Mouths, mouths
from stages.avatar.timeline import mix

DRAWING = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8">
  <defs>
    <clipPath id="hole-a"><path d="M0 0L4 4Z"/></clipPath>
    <clipPath id="hole-b"><path d="M0 0L8 2Z"/></clipPath>
    <clipPath id="round"><circle r="1"/></clipPath>
    <g id="again"><g clip-path="url(#again)"/></g>
  </defs>
  <g id="a"><path class="lip" d="M1-2.5L.5 3e1Z"/>
    <g clip-path="url(#hole-a)"><circle r="2"/></g></g>
  <g id="b"><path class="lip" d="M3 -1.5L1.5 10Z"/>
    <g clip-path="url(#hole-b)"><circle r="4"/></g></g>
  MORE
</svg>"""


def read(more: str = "", *layers: str) -> Mouths | None:
    root = ElementTree.fromstring(DRAWING.replace("MORE", more))
    return mouths(root, {layer: layer for layer in ("a", "b", *layers)})


def numbers(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(f'<svg xmlns="{SVG[1:-1]}">{markup}</svg>')


def test_between_two_mouths_every_number_is_between() -> None:
    found = read()
    assert found is not None
    drawn = numbers(found.markup((("a", 3), ("b", 1))))
    path, circle = drawn.find(f".//{SVG}g/{SVG}path"), drawn.find(f".//{SVG}circle")
    assert path is not None
    assert circle is not None
    assert path.get("class") == "lip"
    assert path.get("d", "").split() == ["M", "1.5", "-2.25L", "0.75", "25.0Z"]
    assert circle.get("r", "").strip() == "2.5"


def test_what_a_mouth_refers_to_is_between_too() -> None:
    found = read()
    assert found is not None
    drawn = numbers(found.markup((("a", 2), ("b", 2))))
    clip = drawn.find(f".//{SVG}clipPath")
    assert clip is not None
    used = [e.get("clip-path") for e in drawn.iter(SVG + "g") if e.get("clip-path")]
    assert used == [f"url(#{clip.get('id')})"]
    [path] = clip
    assert path.get("d", "").split() == ["M", "0.0", "0.0L", "6.0", "3.0Z"]


OTHER = '<g id="c"{}><path class="{}" d="{}"/>{}</g>'
HOLE = '<g clip-path="url(#{})"><circle r="2"/></g>'
LIKE = "M1 2L3 4Z"


def test_a_mouth_of_the_same_make_is_alike() -> None:
    assert read(OTHER.format("", "lip", "M 1,2 L 3,4 Z", HOLE.format("hole-a")), "c") is not None


@pytest.mark.parametrize(
    "other",
    [
        OTHER.format("", "lip", "M1 2Q3 4Z", HOLE.format("hole-a")),
        OTHER.format("", "lip", "M1 2A1 2 0 0 1 3 4Z", HOLE.format("hole-a")),
        OTHER.format("", "line", LIKE, HOLE.format("hole-a")),
        OTHER.format("", "lip", LIKE, HOLE.format("round")),
        OTHER.format("", "lip", LIKE, HOLE.format("none")),
        OTHER.format("", "lip", LIKE, '<g clip-path="url(#again)"/>'),
        OTHER.format("", "lip", LIKE, ""),
        OTHER.format(' fill="#123"', "lip", LIKE, HOLE.format("hole-a")),
    ],
    ids=["command", "arc", "class", "clip", "nowhere", "itself", "fewer", "colour"],
)
def test_mouths_of_another_make_are_not_alike(other: str) -> None:
    assert read() is not None
    assert read(other, "c") is None


def test_a_mouth_that_is_not_in_the_drawing_is_none() -> None:
    assert read("", "c") is None


@pytest.mark.parametrize("name", shipped())
def test_the_mouths_of_the_shipped_faces_are_alike(name: str) -> None:
    face: Face = load(FACES / name)
    found = mouths(face.root, face.manifest.layers.mouth)
    assert found is not None
    assert set(found.numbers) == set(VISEMES)
    at_rest = numbers(found.markup(mix("sil", "aa", 0)))
    assert [e.get("class") for e in at_rest.iter() if e.get("class")] == [
        *("lip", "inside", "tongue", "teeth", "teeth", "lip", "line"),
    ]
