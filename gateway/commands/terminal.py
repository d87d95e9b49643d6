"""Output and errors that all commands of `parley` share."""

import sys

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from gateway.printable import printable

DONE = 0
FAILED = 1
UNUSABLE = 2
INTERRUPTED = 130

FINISHING = "Live conversations finish their sentence; a second signal ends at once"


class CommandFailed(Exception):
    """A command cannot go on. `message` is one sentence for the person at the terminal.

    `code` is the exit code: `FAILED` if the work went wrong, `UNUSABLE` if the options or this
    machine do not allow it to begin.
    """

    def __init__(self, message: str, code: int = UNUSABLE) -> None:
        super().__init__(message, code)
        self.message = message
        self.code = code

    def __str__(self) -> str:
        return self.message


def output() -> Console:
    """Standard output. Text is printed as it is: markup in it is not interpreted."""
    return Console(highlight=False, markup=False, emoji=False)


def complain(message: str) -> None:
    """Print one line to standard error."""
    sys.stderr.write(f"parley: {printable(message)}\n")


def download_bar(console: Console) -> Progress:
    """A progress bar that counts bytes and disappears at the end."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
