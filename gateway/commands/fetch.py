"""`parley fetch`: downloads a Whisper model."""

from collections.abc import Callable
from pathlib import Path

from gateway.commands.terminal import FAILED, CommandFailed, download_bar, output
from gateway.printable import printable


def fetch(model: str) -> Path:
    """Download a Whisper model unless it is here, with a progress bar; returns its folder.

    Raises `CommandFailed` if faster-whisper is not installed or the download fails.
    """
    from stages.stt import whisper

    with download_bar(output()) as bar:
        task = bar.add_task(f"Whisper model {printable(model)}", total=None)
        try:
            return whisper.fetch(model, _counting(bar.update, task))
        except whisper.FetchFailed as error:
            raise CommandFailed(str(error), FAILED) from None


def _counting(update: Callable[..., None], task: int) -> Callable[[int, int], None]:
    def progress(done_bytes: int, total_bytes: int) -> None:
        update(task, completed=done_bytes, total=total_bytes or None)

    return progress
