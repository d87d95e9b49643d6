"""The documentation names what the code does: nothing more, nothing less."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from gateway.protocols.native.messages import ErrorCode
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
    source = (ROOT / "gateway/protocols/native/messages.py").read_text()
    known = set(re.findall(r'^        case "(\w+)":$', source, re.MULTILINE))
    documented = first_cells(section("From the client").split("Fields of `hello`")[0])
    assert documented == known


def test_every_message_of_the_server_is_documented() -> None:
    sources = [
        (ROOT / "gateway/protocols/native/messages.py").read_text(),
        (ROOT / "gateway/live/connection.py").read_text(),
        (ROOT / "gateway/transports/webrtc/peer.py").read_text(),
        (ROOT / "gateway/live/host.py").read_text(),
    ]
    sent = {
        name
        for source in sources
        for name in (
            *re.findall(r'return "([\w.]+)", ', source),
            *re.findall(r'(?:self\._message|self\._notify|\.tell)\("([\w.]+)"', source),
        )
    }
    assert first_cells(section("From the server")) == sent


# --- the example of docs/providers.md ----------------------------------------------------------


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The documented package, word for word."""
    text = (DOCS / "providers.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(toml|python)\n(.*?)^```$", text, re.M | re.S)
    names = ("pyproject.toml", "parley_beep.py", "test_parley_beep.py")
    assert [language for language, _ in blocks] == ["toml", "python", "python"]
    for name, (_, block) in zip(names, blocks, strict=True):
        assert name in text
        (tmp_path / name).write_text(block, encoding="utf-8")
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


def test_the_documented_provider_passes_its_documented_test(example: Path) -> None:
    assert "1 passed" in run(example, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert run(example, "-m", "stages.testing", "tts", "parley_beep:Beeper") == (
        "parley_beep:Beeper keeps the contract of tts providers\n"
    )


def test_the_documented_package_is_found_by_its_entry_point(example: Path) -> None:
    pytest.importorskip("setuptools", reason="pip would fetch it to build the package")
    run(example, "-c", "import setuptools; setuptools.setup()", "--quiet", "egg_info")
    program = (
        "from stages.registry import Options, choose;"
        "print(choose('tts', 'beep', Options()).first.summary)"
    )
    assert run(example, "-c", program) == "a beep for every word\n"
