"""What the commands of `parley` share: how they write to a person, and how they give up."""

import sys

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from gateway.printable import printable

DONE = 0
FAILED = 1
UNUSABLE = 2
INTERRUPTED = 130


class CommandFailed(Exception):
    """A command cannot go on. `message` is one sentence for the person who called it.

    `code` is the exit code: `FAILED` where the work went wrong, `UNUSABLE` where what was asked
    for, or this machine, does not allow it to begin.
    """

    def __init__(self, message: str, code: int = UNUSABLE) -> None:
        super().__init__(message, code)
        self.message = message
        self.code = code

    def __str__(self) -> str:
        return self.message


def output() -> Console:
    """Standard output. Text is printed as it is: nothing in it is taken for markup."""
    return Console(highlight=False, markup=False, emoji=False)


def complain(message: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"parley: {printable(message)}\n")


def download_bar(console: Console) -> Progress:
    """A progress bar that counts bytes; it is gone when it has done its work."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
