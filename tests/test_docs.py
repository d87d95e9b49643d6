"""The documentation names what the code does: nothing more, nothing less."""

import asyncio
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request

from gateway.protocols.dialect import ProtocolError, Start, TypedText
from gateway.protocols.native.messages import CLIENT_MESSAGES, ErrorCode
from gateway.protocols.native.server_messages import SERVER_MESSAGES
from gateway.protocols.request import SessionRequest
from gateway.rest.openapi import document
from gateway.rest.operation import Operation, ResponseSpec, routes
from gateway.security import Need
from gateway.security.access import NEEDS
from pipeline.frames import ReplyStarted, ReplyText
from tests.support.paths import DOCS, ROOT

PROTOCOL = (DOCS / "protocol.md").read_text()


def section(title: str) -> str:
    return re.split(r"\n#+ ", PROTOCOL.split(f"# {title}\n", 1)[1], maxsplit=1)[0]


def first_cells(text: str) -> set[str]:
    rows = re.findall(r"^\| (`.+?) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_every_error_code_is_documented() -> None:
    assert first_cells(section("Error codes")) == set(get_args(ErrorCode))


def test_every_message_of_the_client_is_documented() -> None:
    documented = first_cells(section("From the client").split("Fields of `hello`")[0])
    assert documented == set(CLIENT_MESSAGES)


def test_every_message_of_the_server_is_documented() -> None:
    assert first_cells(section("From the server")) == set(SERVER_MESSAGES)


# --- docs/glossary.md --------------------------------------------------------------------------

GLOSSARY = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", GLOSSARY, re.MULTILINE)
ENTRIES = [(term, meaning, held) for term, meaning, held in ROWS if term not in ("term", "---")]


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or something that a module holds."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return hasattr(importlib.import_module(module), attribute)
    return True


def test_every_term_of_the_glossary_is_held_by_something_that_exists() -> None:
    held = {name for _, _, cell in ENTRIES for name in re.findall(r"`([\w.]+)`", cell)}
    assert [name for name in sorted(held) if not exists(name)] == []
    assert [term for term, _, cell in ENTRIES if "`" not in cell] == []


def test_every_term_of_the_glossary_stands_once_with_one_sentence() -> None:
    terms = [term for cell, _, _ in ENTRIES for term in cell.split(", ")]
    assert len(terms) == len(set(terms))
    assert [meaning for _, meaning, _ in ENTRIES if not meaning.endswith(".")] == []
    assert [meaning for _, meaning, _ in ENTRIES if ". " in meaning] == []


# --- docs/architecture.md ------------------------------------------------------------------------


def test_every_module_of_the_engine_is_in_the_table_of_modules() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    table = page.split("## The engine, module by module\n", 1)[1].split("\n## ", 1)[0]
    named = re.findall(r"`(\w+)`", table)
    modules = {path.stem for path in (ROOT / "pipeline").glob("*.py")} - {"__init__"}
    assert sorted(named) == sorted(modules)


# --- the tests that pages name ---------------------------------------------------------------


@pytest.mark.parametrize(
    "page", ["compatibility.md", "peers-defects.md", "resilience.md", "security.md"]
)
def test_every_test_that_a_page_names_exists(page: str) -> None:
    named = set(re.findall(r"`(test_\w+)`", (DOCS / page).read_text(encoding="utf-8")))
    sources = (ROOT / "tests").rglob("test_*.py")
    known = {
        name
        for source in sources
        for name in re.findall(r"def (test_\w+)", source.read_text(encoding="utf-8"))
    }
    assert sorted(named - known) == []
    assert len(named) > 20


# --- the examples of CONTRIBUTING.md -------------------------------------------------------------


def printed(first_line: str) -> str:
    """The block of Python in CONTRIBUTING.md that begins so."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks: list[str] = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(first_line)]
    return block


def test_the_printed_dialect_translates_both_ways() -> None:
    names: dict[str, Any] = {}
    exec(printed("from collections.abc"), names)
    dialect = names["PlainDialect"]()
    assert [Start(SessionRequest())] == [*dialect.begin()]
    assert [TypedText("Hello.")] == [*dialect.parse(b"Hello.\n", 0.0)]
    assert [*dialect.encode(ReplyText(1, "Hello to you."), 0.0)] == ["Hello to you."]
    assert [*dialect.encode(ReplyStarted(1), 0.0)] == []
    with pytest.raises(ProtocolError) as refused:
        dialect.parse(b" ", 0.0)
    assert [*dialect.refuse(refused.value)] == ["Error: write an answer"]


def test_the_printed_endpoint_answers_and_is_described() -> None:
    names: dict[str, Any] = {
        "BaseModel": BaseModel,
        "Request": Request,
        "Operation": Operation,
        "ResponseSpec": ResponseSpec,
        "__name__": __name__,
    }
    exec(printed("class Pong"), names)
    operation = names["PING"]
    app = Starlette(routes=routes([operation]))

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/ping")

    assert asyncio.run(asked()).json() == {"pong": True}
    assert "/ping" in document([operation], title="", version="1", description="")["paths"]


# --- the example of docs/providers.md ----------------------------------------------------------

EXAMPLE = ROOT / "examples/provider-package"
FILES = ("pyproject.toml", "parley_beep.py", "test_parley_beep.py")


def test_the_page_prints_the_example_package_word_for_word() -> None:
    text = (ROOT / "docs/providers.md").read_text(encoding="utf-8")
    printed = re.findall(r"^```(?:toml|python)\n(.*?)^```$", text, re.M | re.S)
    assert printed == [(EXAMPLE / name).read_text(encoding="utf-8") for name in FILES]
    assert all(f"`{name}`" in text for name in (*FILES, "examples/provider-package"))


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example package, in a folder where it may be built."""
    for name in FILES:
        shutil.copy(EXAMPLE / name, tmp_path)
    return tmp_path


def run(package: Path, *arguments: str) -> str:
    """What Python prints in the package's directory, where it and Parley are importable."""
    path = os.pathsep.join((str(package), str(ROOT)))
    own = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=package,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_provider_passes_its_own_test(example: Path) -> None:
    assert "1 passed" in run(example, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert run(example, "-m", "stages.testing", "tts", "parley_beep:Beeper") == (
        "parley_beep:Beeper keeps the contract of tts providers\n"
    )


def test_the_example_package_is_found_by_its_entry_point(example: Path) -> None:
    pytest.importorskip("setuptools", reason="pip would fetch it to build the package")
    run(example, "-c", "import setuptools; setuptools.setup()", "--quiet", "egg_info")
    program = (
        "from stages.registry import Options, choose;"
        "print(choose('tts', 'beep', Options()).first.summary)"
    )
    assert run(example, "-c", program) == "a beep for every word\n"


# --- docs/security.md ---------------------------------------------------------------------------


def test_every_test_that_security_names_exists() -> None:
    text = (DOCS / "security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    defined = set(re.findall(r"^(?:async )?def (test_\w+)\(", sources, re.MULTILINE))
    assert len(named) > 40
    assert sorted(named - defined) == []
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert [row for row in rows if "`test_" not in row and not row.startswith("| threat |")] == []


def test_security_names_what_is_public() -> None:
    text = (DOCS / "security.md").read_text(encoding="utf-8").split("| threat |")[0]
    public = {
        path
        for path, methods in NEEDS.items()
        if {*methods.values()} == {Need.NOTHING} and "{" not in path and path != "/"
    }
    named = set(re.findall(r"`(/[\w./-]+)`", text))
    assert public - named == {"/faces"}, "the page's, which has no name of its own here"
