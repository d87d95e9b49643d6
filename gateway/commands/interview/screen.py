"""The output of `parley interview`: text for a person, or JSON lines for a program."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gateway.commands.call import INDENT
from gateway.commands.interview.backend import InterviewView
from gateway.printable import printable
from stages.interview import Report
from stages.interview.feedback import GOOD, LABELS

BAR = 20
"""Cells of a score's bar."""


class TextScreen(Protocol):
    """The output of an interview in writing. `prompt` stands before the typed answer."""

    prompt: str

    def opened(self, view: InterviewView, where: str, *, resumed: bool, interactive: bool) -> None:
        """Show that the interview begins, or resumes."""

    def question(self, view: InterviewView) -> None:
        """Show the interviewer's text, which ends in a question or a farewell."""

    def answer(self, view: InterviewView, text: str, *, typed: bool) -> None:
        """Show an answer. A `typed` one is visible in the terminal already."""

    def say(self, text: str) -> None:
        """Show a remark."""

    def kept(self, command: str) -> None:
        """Show that the session is kept, and that `command` resumes it."""

    @contextmanager
    def busy(self, text: str, *, long: bool) -> Iterator[None]:
        """Show that a step takes a while; only a `long` wait leaves a line on the screen."""

    def report(self, report: Report, saved: Path) -> None:
        """Show the report in short, and its file."""


class PersonTextScreen:
    """For a person."""

    prompt = f"{'You':<{INDENT}}"

    def __init__(self, console: Console) -> None:
        self._console = console

    def opened(self, view: InterviewView, where: str, *, resumed: bool, interactive: bool) -> None:
        begins = "goes on" if resumed else "begins"
        self.say(f"An interview for {view.role} {begins} {where}.")
        self.say(f"Session {view.session_id}.")
        if interactive and not view.is_complete:
            self.say("Enter sends an answer. “Could you repeat that?” and “Next question, please.”")
            self.say("are understood. Ctrl-C ends the interview, now or for later.")

    def question(self, view: InterviewView) -> None:
        self._console.print()
        if not view.is_complete:
            self.say(f"Question {view.number} of {view.total}")
        if view.said:
            self._line("Parley", view.said, "green")

    def answer(self, view: InterviewView, text: str, *, typed: bool) -> None:
        if not typed:
            self._line("You", text, "bold")

    def say(self, text: str) -> None:
        self._console.print(Text(printable(text), "dim"), soft_wrap=not self._console.is_terminal)

    def kept(self, command: str) -> None:
        self.say("The session is kept for now. Go on with:")
        # Unbroken, so that it can be copied.
        self._console.print(f"  {command}", soft_wrap=True)

    @contextmanager
    def busy(self, text: str, *, long: bool) -> Iterator[None]:
        if long:
            self._console.print()
        if self._console.is_terminal:
            with self._console.status(Text(f"{printable(text)}…", "dim")):
                yield
            return
        if long:
            self.say(f"{text}…")
        yield

    def report(self, report: Report, saved: Path) -> None:
        told = report.feedback
        score = "Not scored" if report.overall is None else f"{report.overall} of 100"
        title = Text.assemble((f"{score}. ", "bold"), printable(told.headline))
        self._console.print(title, soft_wrap=True)
        table = Table.grid(padding=(0, 2))
        table.add_column()
        table.add_column(justify="right")
        table.add_column()
        for skill in report.skills:
            value = skill.value
            shown = "–" if value is None else str(value)
            table.add_row(LABELS[skill.criterion], shown, _bar(value))
        self._console.print()
        self._console.print(Padding(table, (0, 0, 0, 2), expand=False))
        self._console.print()
        marked = (
            *(("+", line, "green") for line in told.strengths),
            *(("→", line, "yellow") for line in told.improvements),
            *(("Next", line, "bold") for line in (told.next_step,) if line),
        )
        for mark, line, style in marked:
            self._line(mark, line, style, width=6)
        self._console.print()
        self.say(f"Scored by: {report.source}.")
        self._console.print(f"The report is in {saved}.", soft_wrap=True)

    def _line(self, who: str, text: str, style: str, width: int = INDENT) -> None:
        words = printable(text)
        if not self._console.is_terminal:
            self._console.print(Text(f"{who:<{width}}{words}"), soft_wrap=True)
            return
        table = Table.grid()
        table.add_column(width=width)
        table.add_column(overflow="fold")
        table.add_row(Text(who, style), Text(words))
        self._console.print(table)


class JsonTextScreen:
    """For a program: one JSON object a line."""

    prompt = ""

    def __init__(self, console: Console) -> None:
        self._console = console

    def opened(self, view: InterviewView, where: str, *, resumed: bool, interactive: bool) -> None:
        self._write(
            {
                "type": "session",
                "session_id": view.session_id,
                "role": view.role,
                "questions": view.total,
                "where": where,
                "resumed": resumed,
            }
        )

    def question(self, view: InterviewView) -> None:
        if view.is_complete:
            self._write({"type": "closing", "text": view.said})
            return
        said = {"number": view.number, "of": view.total, "text": view.said}
        self._write({"type": "question", **said})

    def answer(self, view: InterviewView, text: str, *, typed: bool) -> None:
        self._write({"type": "answer", "number": view.number, "text": text})

    def say(self, text: str) -> None:
        self._write({"type": "note", "text": text})

    def kept(self, command: str) -> None:
        self._write({"type": "kept", "command": command})

    @contextmanager
    def busy(self, text: str, *, long: bool) -> Iterator[None]:
        yield

    def report(self, report: Report, saved: Path) -> None:
        self._write({"type": "report", "saved": str(saved), "report": report.to_json()})

    def _write(self, value: Mapping[str, Any]) -> None:
        self._console.out(json.dumps(value, ensure_ascii=False), highlight=False)


def _bar(value: int | None) -> Text:
    filled = round(BAR * (value or 0) / 100)
    style = "green" if (value or 0) >= GOOD else "yellow"
    return Text.assemble(("█" * filled, style), ("░" * (BAR - filled), "dim"))
