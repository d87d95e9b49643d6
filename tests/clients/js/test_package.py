"""What is packed as `@parley/client`, and that its types are those of the messages."""

import json
import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import fields
from pathlib import Path

import parley_client
import pytest
from parley_client.events import CLASSES

from tests.support.agents import HERE as PACKAGES
from tests.support.packer import JS, pack
from tests.support.paths import ROOT

TYPES = (JS / "index.d.ts").read_text(encoding="utf-8")
MODULES = ROOT / "gateway/static/client"
TSC = PACKAGES / "node_modules" / ".bin" / "tsc"
IN_CI = os.environ.get("CI") == "true"
RENAMED = {"Error": "ErrorMessage", "Interview": "Progress"}
"""Names that mean something else in JavaScript, or in this package."""


def packed(tarball: Path) -> dict[str, bytes]:
    """The files in a tarball."""
    found = {}
    with tarfile.open(tarball) as opened:
        for member in opened:
            file = opened.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
    return found


def members(interface: str) -> set[str]:
    """The fields of an interface in the types, `?` left out."""
    match = re.search(rf"interface {interface}(?: extends \w+)? {{\n(.*?)\n}}", TYPES, re.S)
    assert match is not None, interface
    return set(re.findall(r'^  "?([\w.]+)"?\??:', match[1], re.M))


def test_it_has_the_modules_that_the_page_is_served_and_nothing_else(tmp_path: Path) -> None:
    found = packed(pack(tmp_path, None))
    modules = {f"package/src/{path.name}": path.read_bytes() for path in MODULES.glob("*.js")}
    beside = {f"package/{name}" for name in ("LICENSE", "README.md", "index.d.ts", "package.json")}
    assert found.keys() == modules.keys() | beside
    assert {name: found[name] for name in modules} == modules


def test_no_module_imports_anything_but_its_neighbours() -> None:
    imported = re.compile(r'(?:from|import\(|URL\()\s*"([^"]+)"')
    for path in MODULES.glob("*.js"):
        for name in imported.findall(path.read_text(encoding="utf-8")):
            assert (MODULES / name).is_file(), (path.name, name)
            assert "/" not in name.removeprefix("./")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None and not IN_CI, reason="needs npm")
def test_npm_packs_the_same_files_as_python_where_there_is_no_npm(tmp_path: Path) -> None:
    by_npm = pack(tmp_path / "npm", shutil.which("npm"))
    alone = pack(tmp_path / "alone", None)
    assert by_npm.name == alone.name == "parley-client-0.1.0.tgz"
    assert packed(by_npm) == packed(alone)


def test_its_events_are_those_of_the_python_client() -> None:
    assert members("Messages") == CLASSES.keys()
    for cls in (*CLASSES.values(), parley_client.LineBroke):
        expected = {field.name.removesuffix("_") for field in fields(cls)}
        named = RENAMED.get(cls.__name__, cls.__name__)
        assert (named, members(named)) == (named, expected)


def test_its_version_is_that_of_the_python_client() -> None:
    js = json.loads((JS / "package.json").read_text(encoding="utf-8"))["version"]
    python = (ROOT / "clients/python/pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{js}"\n' in python


@pytest.mark.slow
@pytest.mark.skipif(
    not TSC.exists() and not IN_CI, reason="needs npm ci --prefix tests/support/agents"
)
def test_a_program_in_typescript_is_checked_by_its_types(tmp_path: Path) -> None:
    here = ROOT / "tests/clients/js"
    for name in ("types.ts", "tsconfig.json"):
        shutil.copy(here / name, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    with tarfile.open(pack(tmp_path, None)) as tarball:
        tarball.extractall(tmp_path, filter="data")
    (tmp_path / "node_modules/@parley").mkdir(parents=True)
    (tmp_path / "package").rename(tmp_path / "node_modules/@parley/client")
    command = [TSC, "-p", "tsconfig.json"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (told.stdout, told.returncode) == ("", 0)
