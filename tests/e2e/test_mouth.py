"""The page's mouth against the server's: one rule book in two languages, on random cues."""

import base64
import json
import os
import random
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from pipeline.frames import VISEMES, Viseme, Visemes
from stages.avatar.face import FACES, MOODS, load, shipped
from stages.avatar.mouths import NUMERIC, mouths
from stages.avatar.timeline import LOOP_MS, Mouth, Timeline, Track, idle_pose, mix
from tests.support.chromium import PROGRAM, Browser, Page
from tests.support.paths import ROOT

pytestmark = [
    pytest.mark.skipif(PROGRAM is None and os.environ.get("CI") != "true", reason="needs chromium"),
    pytest.mark.slow,
]

REPLIES = 60
STEP_MS = 10
STRANGE = ("XX", "")

TRACKS = """({ Track }, replies) => replies.map(({ pieces, end }) => {
    const track = new Track(0);
    for (const cues of pieces) track.add(cues);
    const mouths = [];
    for (let ms = 0; ms < end; ms += STEP) mouths.push(track.at(ms));
    return mouths;
})"""

MOUTHS = """({ Mouth }, replies) => {
    const mouth = new Mouth();
    return replies.map(({ turn, pieces, positions, from }) => {
        for (const cues of pieces) mouth.add({ turn, cues });
        return positions.map((position, i) => mouth.at(from + i * STEP, position));
    });
}"""


def ask(page: Page, script: str, given: Any, module: str = "client/timeline") -> Any:
    """What a function says of the page's module and of `given`."""
    source = (ROOT / f"gateway/static/{module}.js").read_bytes()
    address = "data:text/javascript;base64," + base64.b64encode(source).decode()
    called = script.replace("STEP", str(STEP_MS))
    said = f"({called})(m, {json.dumps(given)})"
    return json.loads(page.look(f'import("{address}").then((m) => JSON.stringify({said}))'))


def reply(chance: random.Random) -> list[list[Viseme]]:
    """Cues in pieces, as sentences bring them, with gaps, hurries and mistakes."""
    pieces, at = [], chance.choice((0, 0, chance.randrange(300)))
    for _ in range(chance.randrange(1, 5)):
        piece = []
        for _ in range(chance.randrange(1, 25)):
            shape = chance.choice(VISEMES + (STRANGE if chance.random() < 0.05 else ()))
            lasts = chance.choice((0, 10, 25, 40, 66, 80, 120, 200))
            weight = chance.choice((1.0, 1.0, 0.7, 0.5, 0.49, 0.2, 0.1, 0.09, 0.0))
            piece.append(Viseme(at, lasts, shape, weight))
            at += lasts + chance.choice((0, 0, 0, 20, 59, 60, 200, -30))
        pieces.append(piece)
    return pieces


def positions(chance: random.Random, end: int) -> list[int | None]:
    """Where playing is, every `STEP_MS`: with pauses, and going on a word earlier."""
    heard: list[int | None] = [None] * chance.randrange(4)
    at = 0
    while at < end:
        heard += [*range(at, until := min(end, at + chance.randrange(50, 900)), STEP_MS)]
        heard += [None] * chance.randrange(15)
        at = max(0, until - chance.choice((0, 40, 200)))
        at += 10 * (chance.random() < 0.9)  # what stands still forever ends, too
    return heard


def wire(pieces: list[list[Viseme]]) -> list[list[dict[str, Any]]]:
    """As in `visemes`."""
    return [
        [{"t": c.at_ms, "d": c.duration_ms, "v": c.shape, "w": c.weight} for c in piece]
        for piece in pieces
    ]


def as_server(mouth: list[Any]) -> Mouth:
    before, after, share = mouth
    return mix(before, after, share)


@pytest.mark.firefox
def test_page_and_server_shape_the_same_mouth_from_any_cues(deaf: Browser) -> None:
    chance = random.Random(7)
    replies = [reply(chance) for _ in range(REPLIES)]
    ends = [max(c.at_ms + c.duration_ms for piece in r for c in piece) + 200 for r in replies]
    given = [{"pieces": wire(r), "end": end} for r, end in zip(replies, ends, strict=True)]
    with deaf.page() as page:
        seen = ask(page, TRACKS, given)
    for pieces, end, drawn in zip(replies, ends, seen, strict=True):
        track = Track()
        for piece in pieces:
            track.add(piece)
        expected = [track.at(ms) for ms in range(0, end, STEP_MS)]
        assert [as_server(mouth) for mouth in drawn] == expected


def test_page_and_server_close_and_reopen_the_mouth_alike(deaf: Browser) -> None:
    chance = random.Random(8)
    timeline, given, expected, now = Timeline(), [], [], 0
    for turn in range(REPLIES):
        pieces = reply(chance)
        end = max(c.at_ms + c.duration_ms for piece in pieces for c in piece) + 100
        heard = positions(chance, end)
        given.append({"turn": turn, "pieces": wire(pieces), "positions": heard, "from": now})
        for piece in pieces:
            timeline.add(Visemes(turn, piece[0].at_ms, tuple(piece)))
        mouths = [timeline.pose(now + i * STEP_MS, at).mouth for i, at in enumerate(heard)]
        expected.append(mouths)
        now += len(heard) * STEP_MS
    with deaf.page() as page:
        seen = ask(page, MOUTHS, given)
    assert [[as_server(mouth) for mouth in drawn] for drawn in seen] == expected


IDLE = """({ idle }, moods) => moods.map((mood) => {
    const seen = [];
    for (let at = 0; at < LOOP; at += STEP) {
        const { eyes, head } = idle(mood, at);
        seen.push([eyes, head]);
    }
    return seen;
})"""


def test_page_and_server_blink_nod_and_look_alike(deaf: Browser) -> None:
    with deaf.page() as page:
        seen = ask(page, IDLE.replace("LOOP", str(LOOP_MS)), list(MOODS))
    for mood, moments in zip(MOODS, seen, strict=True):
        poses = [idle_pose(mood, at) for at in range(0, LOOP_MS, STEP_MS)]
        assert [eyes for eyes, _ in moments] == [pose.eyes for pose in poses]
        apart = [abs(head - pose.head) for (_, head), pose in zip(moments, poses, strict=True)]
        assert max(apart) <= 1, "whole steps on the server"


DRAWN = """({ mouths }, { svg, layers, ways }) => {
    const root = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
    const shapes = Object.fromEntries(Object.entries(layers).map(([shape, id]) =>
        [shape, root.querySelector("#" + id)]));
    const drawn = mouths(shapes, root);
    return ways.map(([before, after, share]) => {
        drawn.show(before, after, share);
        return new XMLSerializer().serializeToString(drawn.element);
    });
}"""


def drawing(markup: str) -> list[tuple[str, str, str, list[float]]]:
    """What is drawn: each element's measures."""
    found = []
    for element in ElementTree.fromstring(f"<svg>{markup}</svg>").iter():
        tag, made = element.tag.rpartition("}")[2], element.get("class", "")
        for name in NUMERIC & set(element.attrib):
            numbers = [float(n) for n in re.findall(r"-?[\d.]+", element.get(name, ""))]
            found.append((tag, made, name, numbers))
    return sorted(found)


@pytest.mark.firefox
def test_page_and_server_draw_the_same_mouth_between_two(deaf: Browser) -> None:
    chance = random.Random(9)
    ways = [(*chance.sample(VISEMES, 2), chance.choice((0.25, 0.5, 0.75))) for _ in range(40)]
    with deaf.page() as page:
        for name in shipped():
            face = load(FACES / name)
            layers = face.manifest.layers.mouth
            given = {"svg": face.svg, "layers": layers, "ways": ways}
            seen = ask(page, DRAWN, given, "mouths")
            known = mouths(face.root, layers)
            assert known is not None
            for (before, after, share), markup in zip(ways, seen, strict=True):
                ours = drawing(known.markup(mix(before, after, share)))
                theirs = drawing(markup)
                assert [part[:3] for part in theirs] == [part[:3] for part in ours]
                for mine, other in zip(ours, theirs, strict=True):
                    assert other[3] == pytest.approx(mine[3], abs=0.002)
