"""The folder of a gateway's processes: their sockets, their board, their pages of metrics.

It is deleted at the end. What a gateway leaves that was killed is deleted by the next one: a folder
that nobody uses has a lock which nobody has.
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
"""A path of a Unix socket has 104 to 108 bytes."""


class WorkersFolder:
    """A new folder, for this user alone. `lock` is a descriptor: who has it open, or a copy of it,
    uses the folder. Close it at the end."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        if len(str(self.path)) > LONGEST:
            self.path.rmdir()
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
        self.lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _sweep(self.path.parent)

    def close(self) -> None:
        """Delete it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)


def _sweep(parent: Path) -> None:
    """Delete what others have left."""
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
