"""One journal file a session, written beside the event loop: see `pipeline.journal`.

Lines go through one bounded queue to one thread. A slow or full disk must not delay the
conversation: the session's file ends there, since a journal with a gap would replay to other
decisions. The folder has a bound: the oldest journals give way to new ones, those of live sessions
last.
"""

import logging
import os
import queue
import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO, TypeAlias

from pipeline.journal import Journal

logger = logging.getLogger("parley.journals")

PRIVATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL

WAITING_LINES = 10_000
"""About a megabyte: the lines of a thousand sessions in a second."""


MAX_MB = 1000
"""How large the journals of a folder may be together, by default."""

LOOK_AFTER_BYTES = 1024 * 1024
"""The folder is looked at again after so much was written: it is never larger than this beyond its
bound."""

MOST_AT_ONCE = 99
"""Journals of one session that begin in the same second."""

NAME = re.compile(r"(?P<session>[A-Za-z0-9_-]{1,64})-\d{8}T\d{6}(?:\.\d{1,2})?\.jsonl")
"""The name of a journal; the thread touches no other file of the folder."""


Entry: TypeAlias = "tuple[JournalFile, str] | str | None"
"""For the thread: a line of a file ("": it has ended), a session whose journals are to be deleted,
or the end."""


class JournalFile:
    """One session's file. The event loop calls the methods; the thread uses the attributes."""

    def __init__(self, path: Path, lines: "queue.Queue[Entry]") -> None:
        self.path = path
        self.broken = False
        """No more lines are taken."""
        self.failed = False
        """A line could not be written."""
        self.file: TextIO | None = None
        self._lines = lines

    def write(self, line: str) -> None:
        """Hand a line to the thread. Neither blocks nor raises."""
        if self.broken:
            return
        if self._lines.qsize() < WAITING_LINES:
            self._lines.put_nowait((self, line))
        else:
            self.broken = True
            logger.warning("%s ends early: the disk does not keep up", self.path)

    def close(self) -> None:
        """No more lines will come. The thread is told also where the lines were too many, or the
        file would stay open: one entry for each session that has ended."""
        self._lines.put_nowait((self, ""))


class Journals:
    """The journals of a process, in one folder. Create it in the serving process; `close` it.

    Where all journals of the folder together are larger than `max_mb`, the oldest are deleted. One
    that is written to now ends and is deleted only where nothing else is left.
    """

    def __init__(self, folder: Path, *, texts: bool = False, max_mb: int = MAX_MB) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._texts = texts
        self._max_bytes = max_mb * 1024 * 1024
        # Lines and deletions wait while there are fewer than `WAITING_LINES` entries.
        self._lines: queue.Queue[Entry] = queue.Queue()
        self._open: dict[Path, JournalFile] = {}  # of the thread, as is the next
        self._unseen_bytes = 0  # written since the folder was looked at
        self._thread = threading.Thread(target=self._run, name="parley-journals", daemon=True)
        self._thread.start()

    def open(self, session_id: str) -> tuple[Journal, JournalFile]:
        """A journal for a new session, and its file, to be closed when the session has ended."""
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        file = JournalFile(self._folder / f"{session_id}-{stamp}.jsonl", self._lines)
        return Journal(file.write, texts=self._texts), file

    def delete(self, session_id: str) -> None:
        """Delete all journals of a session, which may still be live: what comes of it is not kept.

        Neither blocks nor raises.
        """
        if self._lines.qsize() < WAITING_LINES:
            self._lines.put_nowait(session_id)
        else:
            logger.error("the journals of session %s could not be deleted", session_id)

    def close(self) -> None:
        """Write the waiting lines and end the thread; takes at most two seconds."""
        self._lines.put_nowait(None)
        self._thread.join(timeout=2.0)

    # --- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        self._make_room()
        while (entry := self._lines.get()) is not None:
            if isinstance(entry, str):
                for path in self._kept():
                    if (named := NAME.fullmatch(path.name)) and named["session"] == entry:
                        self._unlink(path)
                continue
            file, line = entry
            try:
                self._write(file, line)
            except OSError as error:
                file.broken = file.failed = True
                logger.warning("%s cannot be written: %s", file.path, error.strerror)
                with suppress(OSError):
                    self._end(file)

    def _kept(self) -> list[Path]:
        """The journals in the folder, the oldest first."""
        try:
            found = [path for path in self._folder.iterdir() if NAME.fullmatch(path.name)]
            return sorted(found, key=lambda path: path.stat().st_mtime)
        except OSError:  # the folder has gone, or another process deletes in it at this moment
            return []

    def _make_room(self) -> None:
        """Delete the oldest journals until the others fit."""
        self._unseen_bytes = 0
        with suppress(OSError):
            sizes = {path: path.stat().st_size for path in self._kept()}
            over = sum(sizes.values()) - self._max_bytes
            for path in sorted(sizes, key=self._open.__contains__):  # within each part by age
                if over <= 0:
                    return
                over -= sizes[path]
                if (file := self._open.pop(path, None)) is not None:
                    file.broken = file.failed = True
                    logger.warning("%s ends early and is deleted: the folder is full", path)
                    if file.file is not None:
                        file.file.close()
                        file.file = None
                self._unlink(path)

    def _unlink(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s cannot be deleted: %s", path, error.strerror)

    def _write(self, file: JournalFile, line: str) -> None:
        if not line:
            self._end(file)
            return
        if file.failed:  # what it still has in the queue would leave a gap
            return
        if file.file is None:
            # Readable by its owner only: it holds who spoke when, and with `texts` the words.
            file.file = os.fdopen(_create(file), "w", encoding="utf-8", buffering=1)
            self._open[file.path] = file
        file.file.write(line)
        self._unseen_bytes += len(line)
        if self._unseen_bytes > LOOK_AFTER_BYTES:
            self._make_room()

    def _end(self, file: JournalFile) -> None:
        open_file, file.file = file.file, None
        if open_file is not None:
            self._open.pop(file.path, None)
            try:
                open_file.close()
            finally:
                self._make_room()


def _create(file: JournalFile) -> int:
    """Make the file; a session that begins twice in a second has two. Raises `OSError`."""
    first = file.path
    for more in range(2, MOST_AT_ONCE + 1):
        with suppress(FileExistsError):
            return os.open(file.path, PRIVATE, 0o600)
        file.path = first.with_name(f"{first.stem}.{more}.jsonl")
    return os.open(file.path, PRIVATE, 0o600)
