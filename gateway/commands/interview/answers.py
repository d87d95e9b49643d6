"""The sources of answers for `parley interview`: the keyboard, a pipe, or a file."""

import contextlib
import importlib
import re
import select
import sys
from collections import deque
from pathlib import Path
from typing import Protocol

from gateway.commands.terminal import CommandFailed
from stages.interview.answers import MAX_ANSWER

MAX_FILE_BYTES = 1 << 20

PASTE_S = 0.05
"""A line that comes this soon after another was pasted with it and belongs to the same answer."""


class Answers(Protocol):
    """Gives one answer after the other. `typed`: a person at this terminal types them."""

    typed: bool

    def next(self, prompt: str) -> str | None:
        """The next answer, without surrounding space; None when there are no more.

        Raises `KeyboardInterrupt`.
        """


class Keyboard:
    """A person at a terminal, with line editing where Python has it."""

    typed = True

    def __init__(self) -> None:
        self._over = False
        with contextlib.suppress(ImportError):
            # Without it a terminal cuts lines at 4096 bytes, and arrow keys type ^[[D.
            importlib.import_module("readline")

    def next(self, prompt: str) -> str | None:
        while not self._over:
            lines: list[str] = []
            try:
                lines.append(input(prompt))
                while select.select([sys.stdin], [], [], PASTE_S)[0]:
                    lines.append(input())
            except EOFError:
                self._over = True
            except UnicodeDecodeError:
                sys.stderr.write("That was no UTF-8 text; type it again.\n")
                continue
            if text := _clean("\n".join(lines)):
                return text
        return None


class Pipe:
    """Another program that writes one line per answer after it has read the question."""

    typed = False

    def next(self, prompt: str) -> str | None:
        while line := sys.stdin.buffer.readline(4 * MAX_ANSWER):
            if text := _clean(line.decode(errors="replace")):
                return text
        return None


class Prepared:
    """Answers that were given beforehand: `texts`."""

    typed = False

    def __init__(self, texts: list[str]) -> None:
        self._texts = deque(texts)

    @property
    def left(self) -> int:
        """The number of answers that are left."""
        return len(self._texts)

    def next(self, prompt: str) -> str | None:
        return self._texts.popleft() if self._texts else None


def prepared(path: Path) -> Prepared:
    """The answers in a file, or in standard input for "-".

    One per paragraph if the text has empty lines, otherwise one per line. Raises `CommandFailed`.
    """
    shown = "standard input" if str(path) == "-" else str(path)
    try:
        if str(path) == "-":
            raw = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with path.open("rb") as file:
                raw = file.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise CommandFailed(f"--answers: {shown} has more than {MAX_FILE_BYTES >> 20} MiB")
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise CommandFailed(f"--answers: {shown} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandFailed(f"--answers: {shown} is no UTF-8 text") from None
    text = "\n".join(text.splitlines())
    parts = re.split(r"\n\s*\n", text.strip())
    if len(parts) == 1:
        parts = text.splitlines()
    texts = [clean for part in parts if (clean := _clean(part))]
    if not texts:
        raise CommandFailed(
            f"--answers: {shown} has no answers; write one to a line, or to a paragraph"
        )
    for number, answer in enumerate(texts, 1):
        if len(answer) > MAX_ANSWER:
            raise CommandFailed(
                f"--answers: answer {number} of {shown} has more than {MAX_ANSWER} characters"
            )
    return Prepared(texts)


def _clean(text: str) -> str:
    """The text on one line, without lone surrogates, which UTF-8 cannot encode."""
    return " ".join(text.encode(errors="replace").decode().split())
