import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.frames import VISEMES
from stages.avatar.__main__ import main
from stages.avatar.face import FACES, MAX_MANIFEST_BYTES, MAX_SVG_BYTES, FaceError, load, shipped
from stages.avatar.renderer import paint_outside
from tests.support.paths import DOCS

DOCS = (DOCS / "faces.md").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a good face, to be broken."""
    return Path(shutil.copytree(FACES / "jonas", tmp_path / "face"))


def problems(folder: Path) -> list[str]:
    with pytest.raises(FaceError) as raised:
        load(folder)
    return raised.value.problems


def change_manifest(folder: Path, change: Callable[[Any], object]) -> None:
    manifest = json.loads((folder / "face.json").read_text())
    change(manifest)
    (folder / "face.json").write_text(json.dumps(manifest))


def change_svg(folder: Path, before: str, after: str) -> None:
    svg = (folder / "face.svg").read_text()
    assert before in svg
    (folder / "face.svg").write_text(svg.replace(before, after, 1))


# --- the faces that come with Parley -----------------------------------------------------------


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_face_is_good_and_complete(name: str) -> None:
    face = load(FACES / name)
    assert paint_outside(face) == []
    assert tuple(face.manifest.layers.mouth) == VISEMES
    assert face.manifest.license == "Apache-2.0"
    assert face.manifest.description in face.svg


def test_two_faces_are_shipped() -> None:
    assert shipped() == ("jonas", "lin", "mira")


@pytest.mark.parametrize("name", shipped())
def test_a_layer_alone_is_a_drawing_of_that_layer(name: str) -> None:
    face = load(FACES / name)
    alone = face.layer("mouth-aa", (10.0, 20.0, 30.0, 40.0), 1.5, (60, 80))
    root = ElementTree.fromstring(alone)
    assert root.get("viewBox") == "10.0 20.0 30.0 40.0"
    assert [element.get("id") for element in root.iter() if "mouth-" in element.get("id", "")] == [
        "mouth-aa"
    ]


def test_the_documented_manifest_is_the_shipped_one() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", DOCS, re.DOTALL)
    assert (FACES / "jonas/face.json").read_text() == example


def test_every_shape_is_documented() -> None:
    table = DOCS.split("| shape |", 1)[1].split("\n\n", 1)[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(VISEMES)


# --- what is wrong with others -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda m: m.update(format="parley-face/9"),
            "face.json: format: Input should be",
        ),
        (lambda m: m.pop("moves"), "face.json: moves: Field required"),
        (lambda m: m.update(colour="red"), "face.json: colour: Extra inputs are not permitted"),
        (lambda m: m.update(viewBox=[0, 0, 320]), "face.json: viewBox.3: Field required"),
        (lambda m: m["layers"]["mouth"].pop("ou"), "face.json: layers.mouth.ou is missing"),
        (
            lambda m: m["layers"]["mouth"].update(smile="brows-idle"),
            "face.json: layers.mouth.smile is not known",
        ),
        (lambda m: m["layers"]["brows"].pop("idle"), "face.json: layers.brows.idle is missing"),
        (
            lambda m: m["layers"]["mouth"].update(ou="mouth-oh"),
            "face.json: layer 'mouth-oh' is named twice",
        ),
        (lambda m: m["layers"].update(head="skull"), "face.svg: no layer <g id='skull'>"),
        (lambda m: m["layers"].pop("front"), "face.svg: layer 'front' is not in face.json"),
        (lambda m: m.update(viewBox=[0, 0, 320, 300]), "face.json: viewBox is not a square"),
        (
            lambda m: m.update(viewBox=[0, 0, 400, 400]),
            "face.svg: its viewBox is '0 0 320 320', not that of face.json",
        ),
        (
            lambda m: m["moves"].update(mouth=[126, 300, 68, 52]),
            "face.json: moves.mouth is empty or not inside the viewBox",
        ),
        (
            lambda m: m["moves"].update(eyes=[108, 102, 0, 50]),
            "face.json: moves.eyes is empty or not inside the viewBox",
        ),
        (
            lambda m: m["moves"].update(eyes=[108, 102, 104, 61]),
            "face.json: moves.mouth and moves.eyes are less than 8 units apart",
        ),
    ],
)
def test_a_manifest_s_fault_is_named(
    folder: Path, change: Callable[[Any], object], problem: str
) -> None:
    change_manifest(folder, change)
    assert any(found.startswith(problem) for found in problems(folder)), problems(folder)


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("</svg>", "<script>alert(1)</script></svg>", "face.svg: <script> is not allowed"),
        ("</svg>", "<text>hello</text></svg>", "face.svg: <text> is not allowed"),
        ("</svg>", '<path d="M0 0H9"/></svg>', "face.svg: <path> is in no layer"),
        (
            '<g id="base">',
            '<g id="base"><image href="http://a.example/b.png"/>',
            "face.svg: <image> is not allowed",
        ),
        (
            '<g id="base">',
            '<g id="base" onclick="alert(1)">',
            "face.svg: <g> has the attribute onclick, which runs or loads something",
        ),
        (
            "<linearGradient ",
            '<linearGradient href="http://a.example/" ',
            "face.svg: <linearGradient> has the attribute href, which runs or loads something",
        ),
        (
            '<g id="base">',
            '<g id="base" fill="url(http://a.example/)">',
            "face.svg: <g> loads something from elsewhere",
        ),
        (
            '<g id="base">',
            '<g id="base" style="fill:red">',
            "face.svg: <g> has a style attribute: make it attributes or a class",
        ),
        ("<style>", "<style>@import 'a.css';", "face.svg: <style> loads something from elsewhere"),
        (
            "<svg ",
            '<!DOCTYPE svg [<!ENTITY a "b">]><svg ',
            "face.svg has a document type or entities: save it as plain SVG",
        ),
        ("</svg>", "</sgv>", "face.svg is not XML: "),
        ('xmlns="http://www.w3.org/2000/svg"', 'xmlns="urn:a"', "face.svg is not an SVG"),
        ('<g id="front">', '<g id="head">', "face.svg: two layers are called 'head'"),
        ('id="front"', 'id="back"', "face.svg: no layer <g id='front'>"),
        (
            '<g id="base">',
            '<g id="base">' + "<g>" * 40 + "</g>" * 40,
            "face.svg: elements are nested more than 32 deep",
        ),
    ],
)
def test_a_drawing_s_fault_is_named(folder: Path, before: str, after: str, problem: str) -> None:
    change_svg(folder, before, after)
    assert any(found.startswith(problem) for found in problems(folder)), problems(folder)


def test_layers_in_another_order_would_look_different_on_the_page(folder: Path) -> None:
    svg = (folder / "face.svg").read_text()
    front = svg[svg.index('  <g id="front">') : svg.index("</svg>")]
    (folder / "face.svg").write_text(
        svg.replace(front, "").replace('  <g id="head">', front + '  <g id="head">')
    )
    assert problems(folder) == [
        "face.svg: layers are painted as base, head, mouth, eyes, brows, front: put them so"
    ]


def test_all_faults_are_reported_at_once(folder: Path) -> None:
    change_manifest(folder, lambda m: m["layers"]["mouth"].pop("ou"))
    change_svg(folder, "</svg>", "<script/></svg>")
    assert problems(folder) == [
        "face.json: layers.mouth.ou is missing",
        "face.svg: <script> is not allowed",
        "face.svg: <script> is in no layer",
        "face.svg: layer 'mouth-ou' is not in face.json",
    ]


def test_files_that_are_missing_too_large_or_no_text_are_named(folder: Path) -> None:
    (folder / "face.svg").unlink()
    (folder / "face.json").write_bytes(b"\xff\xfe{}")
    assert problems(folder) == [
        "face.json is not UTF-8",
        "face.svg: No such file or directory",
    ]
    (folder / "face.svg").write_bytes(b" " * (MAX_SVG_BYTES + 1))
    (folder / "face.json").write_bytes(b" " * (MAX_MANIFEST_BYTES + 1))
    assert problems(folder) == [
        "face.json is larger than 64 KiB",
        "face.svg is larger than 512 KiB",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "face.json is not JSON: "),
        ("{", "face.json is not JSON: "),
        ("[" * 60_000, "face.json is not JSON: "),
        ("null", "face.json: "),
        ("[]", "face.json: "),
    ],
)
def test_a_manifest_that_is_none_is_refused(folder: Path, text: str, problem: str) -> None:
    (folder / "face.json").write_text(text)
    (found,) = problems(folder)
    assert found.startswith(problem)


def test_an_empty_drawing_is_refused(folder: Path) -> None:
    (folder / "face.svg").write_text("")
    assert problems(folder) == ["face.svg is not XML: no element found: line 1, column 0"]


@given(
    path=st.lists(st.sampled_from(["layers", "mouth", "eyes", "moves", "viewBox", "aa"])),
    value=st.recursive(
        st.none() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
)
def test_any_value_anywhere_is_a_good_face_or_a_named_fault(
    tmp_path_factory: pytest.TempPathFactory, path: list[str], value: Any
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    shutil.copy(FACES / "mira/face.svg", folder)
    manifest = at = json.loads((FACES / "mira/face.json").read_text())
    for name in path[:-1]:
        at = at.get(name, at) if isinstance(at.get(name), dict) else at
    at[path[-1] if path else "name"] = value
    (folder / "face.json").write_text(json.dumps(manifest))
    found = ["it was good"]
    try:
        load(folder)
    except FaceError as error:
        found = error.problems
    assert found
    assert all(found)


def test_a_layer_that_would_be_cut_off_is_named(folder: Path) -> None:
    change_svg(folder, '<g id="brows-idle">', '<g id="brows-idle" transform="translate(0 -30)">')
    assert paint_outside(load(folder)) == ["face.svg: layer 'brows-idle' paints outside moves.eyes"]


def test_a_layer_without_paint_is_named(folder: Path) -> None:
    change_svg(folder, '<g id="brows-idle">', '<g id="brows-idle" opacity="0">')
    assert paint_outside(load(folder)) == ["face.svg: layer 'brows-idle' paints nothing"]


# --- the command -------------------------------------------------------------------------------


def check(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["avatar", "check", str(folder)])
    return main()


def test_the_command_says_that_a_face_is_ready(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(folder, monkeypatch) == 0
    assert capsys.readouterr().out == "Jonas is ready\n"


def test_the_command_says_what_is_wrong(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `docs/faces.md` shows it."""
    change_svg(folder, "scale(1.15)", "scale(2.5)")
    assert check(folder, monkeypatch) == 1
    assert capsys.readouterr().out == "face.svg: layer 'mouth-sil' paints outside moves.mouth\n"
    change_manifest(folder, lambda m: m["layers"]["mouth"].pop("ou"))
    assert check(folder, monkeypatch) == 1
    said = capsys.readouterr().out
    assert "".join(f"    {line}\n" for line in said.splitlines()) in DOCS


def test_the_command_needs_the_rasteriser(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(SystemExit) as exited:
        check(folder, monkeypatch)
    assert exited.value.code == 2
    assert "parley-gateway[avatar]" in capsys.readouterr().err
