"""`parley interview` at a terminal: a real process, a real line editor, a real Ctrl-C."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.served import free_port

pytestmark = pytest.mark.slow  # interviews in a terminal of their own

PATIENCE_S = 30.0
LONG = "I would take this step by step, and measure before I change anything at all. " * 100


class Terminal:
    """A terminal in which `parley interview` runs with these words."""

    def __init__(self, folder: Path, *words: str) -> None:
        port = free_port()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
        environment = kept | {"PARLEY_PORT": str(port), "PYTHONPATH": str(ROOT), "TERM": "xterm"}
        self.text = ""
        self._outer, inner = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway.commands.cli", "interview", *words],
            cwd=folder,
            env=environment,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            # A session of its own, with this as its terminal: then Ctrl-C reaches it as a signal.
            start_new_session=True,
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),
        )
        os.close(inner)

    def until(self, wanted: str) -> str:
        """What has been shown since the last call, up to these words."""
        deadline = time.monotonic() + PATIENCE_S
        while wanted not in self.text:
            left_s = max(0.0, deadline - time.monotonic())
            assert select.select([self._outer], [], [], left_s)[0], f"{wanted}: {self.text}"
            try:
                self.text += os.read(self._outer, 65536).decode(errors="replace")
            except OSError:
                raise AssertionError(f"it ended before {wanted!r}: {self.text}") from None
        before, _, self.text = self.text.partition(wanted)
        return before + wanted

    def type(self, keys: str) -> None:
        data = keys.encode()
        while data:  # a terminal takes 4 KiB at a time
            assert select.select([], [self._outer], [], PATIENCE_S)[1]
            data = data[os.write(self._outer, data[:1024]) :]
            if data:
                self._drain()

    def interrupt(self) -> None:
        """Ctrl-C, by somebody who has seen the prompt: a signal between the prompt and the wait for
        a key is noticed with the next key only."""
        while select.select([self._outer], [], [], 0.3)[0]:
            self.text += os.read(self._outer, 65536).decode(errors="replace")
        self.type("\x03")

    def _drain(self) -> None:
        while select.select([self._outer], [], [], 0.02)[0]:
            self.text += os.read(self._outer, 65536).decode(errors="replace")

    def wait(self) -> int:
        """Read to the end and return the exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and select.select([self._outer], [], [], PATIENCE_S)[0]:
            try:
                self.text += os.read(self._outer, 65536).decode(errors="replace")
            except OSError:
                break
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)
        os.close(self._outer)


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Any]:
    opened: list[Terminal] = []

    def open_(*words: str) -> Terminal:
        opened.append(Terminal(tmp_path, *words))
        return opened[-1]

    yield open_
    for terminal in opened:
        terminal.close()


def answers_in(report: Path) -> list[str]:
    items = json.loads(report.read_text(encoding="utf-8"))["items"]
    return [item["answer"] for item in items]


def test_a_person_types_pastes_and_gets_a_report(terminals: Any, tmp_path: Path) -> None:
    terminal = terminals("--questions", "3", "--save", "report.json")
    terminal.until("Question 1 of 3")
    terminal.until("You     ")
    terminal.type(f"{LONG}\r")
    terminal.until("Question 2 of 3")
    terminal.until("You     ")
    terminal.type("Two pasted lines,\rof which this is the second.\r")
    terminal.until("Question 3 of 3")
    terminal.until("You     ")
    terminal.type("\x1b[200~Pasted by a\nmodern terminal.\x1b[201~")
    terminal.type("\r")
    terminal.until("The report is in report.json")
    assert terminal.wait() == 0
    assert answers_in(tmp_path / "report.json") == [
        LONG.strip(),
        "Two pasted lines, of which this is the second.",
        "Pasted by a modern terminal.",
    ]


def test_ctrl_c_offers_a_report_of_what_was_answered(terminals: Any, tmp_path: Path) -> None:
    terminal = terminals("--questions", "3", "--save", "report.json")
    terminal.until("You     ")
    terminal.type("I measured it twice and found the reason in the index.\r")
    terminal.until("Question 2 of 3")
    terminal.until("You     ")
    terminal.interrupt()
    terminal.until("You have answered one question of 3. End the interview here, with a report?")
    terminal.type("\r")
    terminal.until("The report is in report.json")
    assert terminal.wait() == 130
    expected = ["I measured it twice and found the reason in the index."]
    assert answers_in(tmp_path / "report.json") == expected


def test_two_ctrl_c_leave_at_once_and_nothing_is_lost(terminals: Any, tmp_path: Path) -> None:
    terminal = terminals("--questions", "2")
    terminal.until("You     ")
    terminal.type("I measured it twice and found the reason in the index.\r")
    terminal.until("Question 2 of 2")
    terminal.until("You     ")
    terminal.interrupt()
    terminal.until("[Y/n]")
    terminal.interrupt()
    assert terminal.wait() == 130
    assert "Traceback" not in terminal.text
    found = re.search(r"--resume\s+([0-9a-f]{32})", terminal.text)
    assert found is not None

    again = terminals("--resume", found[1], "--save", "report.json")
    again.until("Question 2 of 2")
    again.until("You     ")
    again.type("And then we wrote it down.\r")
    again.until("The report is in report.json")
    assert again.wait() == 0
    assert answers_in(tmp_path / "report.json")[1] == "And then we wrote it down."
