"""The person's audio beside a journal, for `parley replay`."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from gateway.live.journal_files import AUDIO, HEADER_BYTES
from pipeline.frames import INPUT_RATE_HZ, SpeechStarted
from pipeline.replay import Replayed


@dataclass(frozen=True, slots=True)
class JournalAudio:
    """A WAV file that begins at the input's position 0, and where the person's turns begin in it.

    `turns` are (turn, seconds into the audio).
    """

    path: Path
    duration_s: float
    turns: tuple[tuple[int, float], ...]

    def link(self, page: Path) -> str:
        """A relative URL of the file, for a page at that path."""
        return quote(os.path.relpath(self.path.resolve(), page.resolve().parent))


def beside(journal: Path, replayed: Replayed) -> JournalAudio | None:
    """The audio that was kept with a journal; None if there is none."""
    path = journal.with_suffix(AUDIO)
    try:
        size = path.stat().st_size
    except OSError:
        return None
    turns = [
        (note.frame.turn, note.frame.at_ms / 1000)
        for note in replayed.notes
        if isinstance(note.frame, SpeechStarted)
    ]
    return JournalAudio(path, max(0, size - HEADER_BYTES) / (2 * INPUT_RATE_HZ), tuple(turns))
