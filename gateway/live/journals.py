"""One journal file a session, written beside the event loop: see `pipeline.journal`.

Lines go through one bounded queue to one thread. A slow or full disk must not delay the
conversation: the session's file ends there, since a journal with a gap would replay to other
decisions.
"""

import logging
import os
import queue
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from pipeline.journal import Journal

logger = logging.getLogger("parley.journals")

PRIVATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL

WAITING_LINES = 10_000
"""About a megabyte: the lines of a thousand sessions in a second."""


class JournalFile:
    """One session's file. The event loop calls the methods; the thread uses the attributes."""

    def __init__(self, path: Path, lines: "queue.Queue[tuple[JournalFile, str] | None]") -> None:
        self.path = path
        self.broken = False
        self.file: TextIO | None = None
        self._lines = lines

    def write(self, line: str) -> None:
        """Hand a line to the thread. Neither blocks nor raises."""
        if self.broken:
            return
        try:
            self._lines.put_nowait((self, line))
        except queue.Full:
            self.broken = True
            logger.warning("%s ends early: the disk does not keep up", self.path)

    def close(self) -> None:
        """No more lines will come; an empty line reports that to the thread."""
        self.write("")


class Journals:
    """The journals of a process, in one folder. Create it in the serving process; `close` it."""

    def __init__(self, folder: Path, *, texts: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._texts = texts
        self._lines: queue.Queue[tuple[JournalFile, str] | None] = queue.Queue(WAITING_LINES)
        self._thread = threading.Thread(target=self._run, name="parley-journals", daemon=True)
        self._thread.start()

    def open(self, session_id: str) -> tuple[Journal, JournalFile]:
        """A journal for a new session, and its file, to be closed when the session has ended."""
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        file = JournalFile(self._folder / f"{session_id}-{stamp}.jsonl", self._lines)
        return Journal(file.write, texts=self._texts), file

    def close(self) -> None:
        """Write the waiting lines and end the thread; takes at most two seconds."""
        with suppress(queue.Full):
            self._lines.put(None, timeout=1.0)
        self._thread.join(timeout=1.0)

    # --- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        while (entry := self._lines.get()) is not None:
            file, line = entry
            try:
                self._write(file, line)
            except OSError as error:
                file.broken = True
                logger.warning("%s cannot be written: %s", file.path, error.strerror)

    def _write(self, file: JournalFile, line: str) -> None:
        if not line:
            if file.file is not None:
                file.file.close()
            return
        if file.file is None:
            # Readable by its owner only: it holds who spoke when, and with `texts` the words.
            file.file = os.fdopen(
                os.open(file.path, PRIVATE, 0o600), "w", encoding="utf-8", buffering=1
            )
        file.file.write(line)
