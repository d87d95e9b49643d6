import json
import posixpath
import re
import shutil
import tomllib
from pathlib import Path

import httpx
import pytest

from gateway.rest.static import FOLDER, read_folder, static_operations
from gateway.templates import content_hash
from stages.avatar.face import FACES
from tests.support.paths import ROOT
from tests.support.rest import Rest, refused


def told(text: str) -> dict[str, list[str]]:
    """A content security policy, by directive."""
    parts = (directive.split() for directive in text.split(";"))
    return {name: values for name, *values in parts}


async def follow(client: httpx.AsyncClient, scripts: set[str]) -> None:
    """Load scripts and what they import, which is added to them."""
    left = list(scripts)
    while left:
        answer = await client.get(f"/static/{(name := left.pop())}")
        assert (name, 200) == (name, answer.status_code)
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        found = re.findall(r'^(?:im|ex)port .*from "(\.[^"]+)"', answer.text, re.M)
        imported = {posixpath.normpath(f"{posixpath.dirname(name)}/{path}") for path in found}
        imported = {path.removeprefix("/") for path in imported} - scripts
        scripts |= imported
        left += imported


def test_the_page_and_everything_it_names_is_served(rest: Rest) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        page = await client.get("/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        named = set(re.findall(r'(?:src|href)="([^"#:]*)"', page.text))
        scripts = {name for name in named if name.endswith(".js")}
        assert named - scripts == {"static/icon.svg"}
        asked = {"main.js", "boot.js"}
        await follow(client, asked)
        assert {f"static/{name}" for name in asked} == scripts, "all are loaded at once"
        worklets = {f"client/{name}-worklet.js" for name in ("capture", "playback")}
        later = {"client/call.js", "client/remote.js", "ending.js", "facts.js", "panel.js"}
        await follow(client, later | worklets)

    rest.run(static_operations(), story)


def test_the_operators_page_and_everything_it_names_is_served(rest: Rest) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        page = await client.get("/admin")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        policy = told(page.headers["content-security-policy"])
        assert (policy["script-src"], policy["style-src"]) == (["'self'"], ["'self'"])
        assert re.search(r"<style|<script(?![^>]*\ssrc=)|\sstyle=|\son\w+=", page.text) is None
        named = set(re.findall(r'(?:src|href)="([^"#:]*)"', page.text))
        scripts = {name.removeprefix("static/") for name in named if name.endswith(".js")}
        assert scripts == {"admin/main.js"}
        await follow(client, scripts)
        for name in named - {".", "docs"}:
            assert (name, 200) == (name, (await client.get(f"/{name}")).status_code)

    rest.run(static_operations(), story)


def test_the_policy_admits_files_of_this_server_and_nothing_in_the_page(rest: Rest) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        page = await client.get("/")
        policy = told(page.headers["content-security-policy"])
        assert policy["default-src"] == ["'none'"]
        sources = {source for name, values in policy.items() for source in values if "src" in name}
        # But for its own style and that of the face that is drawn in it.
        styles = [
            content_hash(found) for found in re.findall(r"<style>(.*?)</style>", page.text, re.S)
        ]
        assert len(styles) == 2
        assert sources == {"'none'", "'self'", *styles}
        assert policy["style-src"] == ["'self'", *styles]
        data = '<script type="application/json" '
        assert page.text.count(data) == 1, "which a browser does not run"
        text = page.text.replace(data, "")
        assert re.search(r"<script(?![^>]*\ssrc=)|\sstyle=|\son\w+=", text) is None
        assert page.headers["permissions-policy"].startswith("microphone=(self)")

    rest.run(static_operations(), story)


def test_nothing_of_the_page_comes_from_elsewhere() -> None:
    for path in filter(Path.is_file, FOLDER.rglob("*")):
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert (path.name, None) == (path.name, re.search(r"(https?:)?//[a-z0-9-]+\.[a-z]", text))


def test_what_a_browser_has_is_not_sent_again(rest: Rest) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        first = await client.get("/static/style.css")
        assert first.headers["cache-control"] == "no-cache"
        for etag in (first.headers["etag"], f'"x", W/{first.headers["etag"]}'):
            again = await client.get("/static/style.css", headers={"if-none-match": etag})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == first.headers["etag"]
        other = await client.get("/static/style.css", headers={"if-none-match": '"x"'})
        assert (other.status_code, other.content) == (200, first.content)

    rest.run(static_operations(), story)


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [("gzip, deflate, br", True), ("GZIP;q=0.5", True), ("identity", False), ("gzip;q=0.0", False)],
)
def test_text_is_compressed_where_the_browser_takes_it(
    rest: Rest, accepted: str, packed: bool
) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        ask = {"accept-encoding": accepted}
        answer = await client.get("/static/style.css", headers=ask)
        assert answer.content == (FOLDER / "style.css").read_bytes()
        assert ("content-encoding" in answer.headers) == packed
        assert "accept-encoding" in answer.headers["vary"]
        again = {**ask, "if-none-match": answer.headers["etag"]}
        assert (await client.get("/static/style.css", headers=again)).status_code == 304
        other = {"accept-encoding": "identity" if packed else "gzip"}
        mixed = {**other, "if-none-match": answer.headers["etag"]}
        assert (await client.get("/static/style.css", headers=mixed)).status_code == 200

    rest.run(static_operations(), story)


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/none.js",
        "/static/..%2fapp.py",
        "/static/..%2f..%2fpyproject.toml",
        "/faces/mira/..%2f..%2f__init__.py",
        "/faces/nobody/face.svg",
    ],
)
def test_nothing_else_is_served(rest: Rest, path: str) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        assert refused(await client.get(path))[:2] == (404, "not_found")

    rest.run(static_operations(), story)


def copied(folder: Path, **named: str) -> Path:
    """A face as another one, in a folder of its own."""
    shutil.copytree(FACES / "jonas", folder)
    manifest = json.loads((folder / "face.json").read_text())
    (folder / "face.json").write_text(json.dumps(manifest | named))
    return folder


def test_a_face_that_a_designer_adds_is_listed_and_served(rest: Rest, tmp_path: Path) -> None:
    ada = copied(tmp_path / "ada", name="Ada", description="A drawing")
    (ada / "notes.txt").write_text("not for the page")

    async def story(client: httpx.AsyncClient) -> None:
        listed = (await client.get("/faces")).json()
        assert listed == {"faces": [{"id": "ada", "name": "Ada", "description": "A drawing"}]}
        drawing = await client.get("/faces/ada/face.svg")
        assert drawing.content == (ada / "face.svg").read_bytes()
        assert drawing.headers["content-type"] == "image/svg+xml"
        assert "script-src 'self'" in drawing.headers["content-security-policy"]
        assert refused(await client.get("/faces/ada/notes.txt"))[:2] == (404, "not_found")

    rest.run(static_operations(faces=tmp_path), story)


def test_a_server_without_faces_serves_the_page_all_the_same(rest: Rest, tmp_path: Path) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        assert (await client.get("/faces")).json() == {"faces": []}
        assert (await client.get("/")).status_code == 200

    rest.run(static_operations(faces=tmp_path / "none"), story)


def test_the_page_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["gateway"]
    found = {path for pattern in patterns for path in (ROOT / "gateway").glob(pattern)}
    assert {FOLDER / name for name in read_folder(FOLDER)} <= found


def test_a_face_of_ones_own_is_served_and_comes_first(rest: Rest, tmp_path: Path) -> None:
    folder = copied(tmp_path / "zoe", name="Zoe", description="A sketch")
    (folder / "private.json").write_text("{}")

    async def own(client: httpx.AsyncClient) -> None:
        listed = (await client.get("/faces")).json()["faces"]
        assert [face["id"] for face in listed] == ["zoe", "jonas", "lin", "mira"]
        drawing = await client.get("/faces/zoe/face.svg")
        assert drawing.content == (folder / "face.svg").read_bytes()
        assert "A sketch" in (await client.get("/")).text
        assert refused(await client.get("/faces/zoe/private.json"))[:2] == (404, "not_found")

    async def shipped(client: httpx.AsyncClient) -> None:
        listed = (await client.get("/faces")).json()["faces"]
        assert [face["id"] for face in listed] == ["mira", "jonas", "lin"]

    rest.run(static_operations(face=str(folder)), own)
    rest.run(static_operations(face="mira"), shipped)
