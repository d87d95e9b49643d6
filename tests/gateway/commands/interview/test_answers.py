import io
import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.commands.interview.answers import Answers, Keyboard, Pipe, prepared
from gateway.commands.terminal import CommandFailed


def all_of(answers: Answers) -> list[str]:
    return list(iter(lambda: answers.next(""), None))


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("One.\nTwo.\n", ["One.", "Two."]),
        ("One\nand a half.\n\n\nTwo.\n", ["One and a half.", "Two."]),
        ("\ufeffOne.\r\nTwo.\r\n", ["One.", "Two."]),
        ("One\r\nand a half.\r\n \r\nTwo.", ["One and a half.", "Two."]),
        ("One.", ["One."]),
        ("\n\n  One.\n\n", ["One."]),
    ],
)
def test_a_file_has_answers_in_paragraphs_or_in_lines(
    text: str, answers: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "answers.txt"
    file.write_bytes(text.encode())
    assert all_of(prepared(file)) == answers


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"One.\nTwo.")))
    assert all_of(prepared(Path("-"))) == ["One.", "Two."]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "has no answers"),
        (b" \n\n ", "has no answers"),
        (b"caf\xe9", "is no UTF-8 text"),
        (b"One.\n" + b"x" * 20_001, "answer 2 of"),
        (b"x" * ((1 << 20) + 1), "has more than 1 MiB"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(content: bytes, why: str, tmp_path: Path) -> None:
    file = tmp_path / "answers.txt"
    file.write_bytes(content)
    with pytest.raises(CommandFailed, match=why):
        prepared(file)


def test_a_pipe_gives_lines_and_no_empty_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"One.\n\n \nCaf\xe9.")))
    assert all_of(Pipe()) == ["One.", "Caf\ufffd."]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal as standard input; what is written to the number is typed."""
    outer, inner = pty.openpty()
    with os.fdopen(inner, encoding="utf-8") as keyboard:
        monkeypatch.setattr("sys.stdin", keyboard)
        yield outer
    os.close(outer)


def test_enter_sends_an_answer_and_empty_ones_are_not_sent(
    terminal: int, capsys: pytest.CaptureFixture[str]
) -> None:
    os.write(terminal, b"\n")
    os.write(terminal, b"One.\n\x04")
    assert all_of(Keyboard()) == ["One."]


def test_what_is_pasted_stays_one_answer(terminal: int) -> None:
    os.write(terminal, b"One line,\n\nand another.\n")
    assert Keyboard().next("") == "One line, and another."
