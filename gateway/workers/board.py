"""The load of every process of a gateway, in memory that all of them share.

Each cell has one writer, so no lock is needed. A connection on its way from one process to another
counts for the one that gets it: each process counts what it has handed over to each of the others,
and what it has received from each.
"""

import mmap
from pathlib import Path
from typing import Final

ABSENT, REFUSING, ACCEPTING = range(3)
"""The states of a process: it is not there, it takes no further session, or it does."""

_CELL_BYTES: Final = 8


class LoadBoard:
    """The board in the file `path`, for a gateway with `workers` processes. `create` makes the
    file.

    Only the process `worker` writes its own cells; while it is not there, the parent writes them.
    """

    def __init__(self, path: Path, workers: int) -> None:
        self.workers = workers
        self._row = 2 + 2 * workers  # state, load, handed over to each, received from each
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), workers * self._row * _CELL_BYTES)
        self._cells = memoryview(self._memory).cast("q")

    @classmethod
    def create(cls, path: Path, workers: int) -> "LoadBoard":
        """Make a new board, on which no process is there."""
        path.write_bytes(bytes(workers * (2 + 2 * workers) * _CELL_BYTES))
        return cls(path, workers)

    def close(self) -> None:
        """Release the memory."""
        self._cells.release()
        self._memory.close()

    def reset(self, worker: int) -> None:
        """Note that the process is not there, and that no connection is on its way to it."""
        self._set(worker, 0, ABSENT)
        self._set(worker, 1, 0)
        for other in range(self.workers):
            self._set(worker, 2 + self.workers + other, self._get(other, 2 + worker))

    def note(self, worker: int, load: int, *, accepting: bool) -> None:
        """Note that the process is there, with `load` live sessions."""
        self._set(worker, 1, load)
        self._set(worker, 0, ACCEPTING if accepting else REFUSING)

    def handed(self, giver: int, taker: int) -> None:
        """Note that `giver` has handed a connection over to `taker`."""
        self._set(giver, 2 + taker, self._get(giver, 2 + taker) + 1)

    def received(self, taker: int, giver: int) -> None:
        """Note that `taker` has received a connection from `giver`."""
        cell = 2 + self.workers + giver
        self._set(taker, cell, self._get(taker, cell) + 1)

    def state(self, worker: int) -> int:
        """The process's state: ABSENT, REFUSING or ACCEPTING."""
        return self._get(worker, 0)

    def load(self, worker: int) -> int:
        """The process's live sessions, and those on their way to it."""
        coming = sum(
            self._get(giver, 2 + worker) - self._get(worker, 2 + self.workers + giver)
            for giver in range(self.workers)
        )
        return self._get(worker, 1) + max(0, coming)

    def _get(self, worker: int, cell: int) -> int:
        return self._cells[worker * self._row + cell]

    def _set(self, worker: int, cell: int, value: int) -> None:
        self._cells[worker * self._row + cell] = value
