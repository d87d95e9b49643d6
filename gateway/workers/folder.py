"""The folder of a gateway's processes: their sockets, their board, their pages of metrics.

It is deleted at the end. If a gateway was killed, the next one deletes its folder: no process holds
the lock of a folder that is not in use.
"""

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR
from typing import Final

PREFIX: Final = "parley-workers-"
LOCK: Final = "lock"

FRESH_S: Final = 60.0
"""A younger folder may not have its lock yet."""

LONGEST: Final = 80
"""The longest path: that of a Unix socket may have 104 to 108 bytes."""


class WorkersFolder:
    """A new folder, for this user only. `lock` is a descriptor: a process that has it open, or a
    copy of it, uses the folder. Close it at the end."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        if len(str(self.path)) > LONGEST:
            self.path.rmdir()
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
        self.lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _sweep(self.path.parent)

    def close(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)


def _sweep(parent: Path) -> None:
    """Delete the folders of gateways that were killed."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another user's, or one whose lock is just being made
            found = folder.lstat()
            if not S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                continue
            if time.time() - found.st_mtime < FRESH_S:
                continue
            lock = os.open(folder / LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
