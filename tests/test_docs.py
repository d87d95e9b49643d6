"""The documentation names what the code does: nothing more, nothing less."""

import re
from pathlib import Path
from typing import get_args

from gateway.protocols.native import ErrorCode

ROOT = Path(__file__).parent.parent
PROTOCOL = (ROOT / "docs/protocol.md").read_text()


def section(title: str) -> str:
    return re.split(r"\n#+ ", PROTOCOL.split(f"# {title}\n", 1)[1], maxsplit=1)[0]


def first_cells(text: str) -> set[str]:
    rows = re.findall(r"^\| (`.+?) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_every_error_code_is_documented() -> None:
    assert first_cells(section("Error codes")) == set(get_args(ErrorCode))


def test_every_message_of_the_client_is_documented() -> None:
    source = (ROOT / "gateway/protocols/native.py").read_text()
    known = set(re.findall(r'^        case "(\w+)":$', source, re.MULTILINE))
    documented = first_cells(section("From the client").split("Fields of `hello`")[0])
    assert documented == known


def test_every_message_of_the_server_is_documented() -> None:
    sources = [
        (ROOT / "gateway/protocols/native.py").read_text(),
        (ROOT / "gateway/transports/websocket.py").read_text(),
        (ROOT / "gateway/interviewer.py").read_text(),
    ]
    sent = {
        name
        for source in sources
        for name in (
            *re.findall(r'return "([\w.]+)", ', source),
            *re.findall(r'(?:self\._message|self\._notify)\("([\w.]+)"', source),
        )
    }
    assert first_cells(section("From the server")) == sent
