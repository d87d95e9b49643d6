"""The journals of a process, written beside the event loop: see `pipeline.journal`.

All pieces of `journal_files` go through one bounded queue to one thread. If the disk is slow or
full, the session's file ends and the conversation goes on without a delay. The folder has a bound:
the oldest files are deleted first, those of live sessions last.
"""

import logging
import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path

from gateway.live.journal_files import AUDIO, JournalFile, KeptFile, WaitingWrites
from pipeline.journal import Journal

logger = logging.getLogger("parley.journals")

MAX_MB = 1000
"""The default limit, in MB, of all journals of a folder with their audio."""

LOOK_AFTER_BYTES = 1024 * 1024
"""The folder is checked again after this many bytes were written: it exceeds its bound by no more.
"""

NAME = re.compile(r"(?P<session>[A-Za-z0-9_-]{1,64})-\d{8}T\d{6}(?:\.\d{1,2})?\.(?:jsonl|wav)")
"""The name of a journal or its audio; the thread touches no other file of the folder."""


class Journals:
    """The journals of a process, in one folder. Create it in the serving process; `close` it.

    With `audio` the person's audio is kept beside each. If all files together exceed `max_mb`, the
    oldest are deleted, audio before its journal. A file that is still being written is deleted only
    if no other is left, and ends then.
    """

    def __init__(
        self, folder: Path, *, texts: bool = False, audio: bool = False, max_mb: int = MAX_MB
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._texts = texts
        self._audio = audio
        self._max_bytes = max_mb * 1024 * 1024
        self._waiting = WaitingWrites()
        self._open: dict[Path, KeptFile] = {}  # of the thread, as is the next
        self._unseen_bytes = 0  # written since the folder was looked at
        self._thread = threading.Thread(target=self._run, name="parley-journals", daemon=True)
        self._thread.start()

    def open(self, session_id: str) -> tuple[Journal, JournalFile]:
        """Open a journal for a new session, and its file; close them when the session has ended."""
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        path = self._folder / f"{session_id}-{stamp}.jsonl"
        file = JournalFile(path, self._waiting, audio=self._audio)
        keep = None if file.audio is None else file.audio.keep
        return Journal(file.write, texts=self._texts, keep=keep), file

    def delete(self, session_id: str) -> None:
        """Delete all journals of a session and their audio. If it is still live, nothing more of it
        is kept.

        Neither blocks nor raises.
        """
        if not self._waiting.offer(session_id):
            logger.error("the journals of session %s could not be deleted", session_id)

    def close(self) -> None:
        """Write the waiting lines and end the thread; takes at most two seconds."""
        self._waiting.put(None)
        self._thread.join(timeout=2.0)

    # --- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        self._make_room()
        while (entry := self._waiting.take()) is not None:
            if isinstance(entry, str):
                for path in self._kept():
                    if (named := NAME.fullmatch(path.name)) and named["session"] == entry:
                        self._delete(path)
                continue
            file, piece = entry
            try:
                self._write(file, piece)
            except OSError as error:
                file.broken = file.failed = True
                logger.warning("%s cannot be written: %s", file.path, error.strerror)
                with suppress(OSError):
                    self._end(file)

    def _kept(self) -> dict[Path, int]:
        """The files in the folder and their sizes, in the order in which they give way."""
        found: dict[Path, os.stat_result] = {}
        with suppress(OSError):  # the folder has gone
            for path in self._folder.iterdir():
                if NAME.fullmatch(path.name):
                    with suppress(OSError):  # another process deletes at this moment
                        found[path] = path.stat()
        written_at: dict[str, float] = {}  # by the journal's name, for it and its audio
        for path, about in found.items():
            written_at[path.stem] = max(about.st_mtime, written_at.get(path.stem, 0.0))

        def place(path: Path) -> tuple[bool, bool, float, bool]:
            live, lines = path in self._open, path.suffix != AUDIO
            return live, live and lines, written_at[path.stem], lines

        return {path: found[path].st_size for path in sorted(found, key=place)}

    def _make_room(self) -> None:
        """Delete the oldest files until the others fit."""
        self._unseen_bytes = 0
        sizes = self._kept()
        over = sum(sizes.values()) - self._max_bytes
        for path, size in sizes.items():
            if over <= 0:
                return
            over -= size
            if path in self._open:
                logger.warning("%s ends early and is deleted: the folder is full", path)
            self._delete(path)

    def _delete(self, path: Path) -> None:
        """Delete a file; if it is still being written, it ends."""
        try:
            if (file := self._open.pop(path, None)) is not None:
                file.broken = file.failed = True
                if file.file is not None:
                    file.file.close()
                    file.file = None
        except OSError as error:
            logger.warning("%s cannot be closed: %s", path, error.strerror)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s cannot be deleted: %s", path, error.strerror)

    def _write(self, file: KeptFile, piece: str | bytes) -> None:
        if not piece:
            self._end(file)
            return
        if file.failed:  # what it still has in the queue would leave a gap
            return
        if file.file is None:
            if not file.create():
                file.broken = file.failed = True
                return
            self._open[file.path] = file
        file.append(piece)
        self._unseen_bytes += len(piece)
        if self._unseen_bytes > LOOK_AFTER_BYTES:
            self._make_room()

    def _end(self, file: KeptFile) -> None:
        open_file, file.file = file.file, None
        if open_file is not None:
            self._open.pop(file.path, None)
            try:
                open_file.close()
            finally:
                self._make_room()
