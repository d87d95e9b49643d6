"""The pages of metrics in a gateway's folder: the last page of each process, and one page with the
counts of all processes that have ended.

Sums must never fall: Prometheus takes a lower sum for a restart, and counts all of it once more. So
what a process has counted is in exactly one of three places: its own answer, its page, or the page
of the ended processes.
"""

import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.workers import metrics_pages

TRIES: Final = 5
AGAIN_S: Final = 0.01
"""Seconds before another look for a page that may just be moving to the ended processes' page."""


def keep_page(folder: Path, worker: int, page: bytes) -> None:
    """Keep the page of a process. If the disk has no room, the page is missing after a crash."""
    new = folder / f"new-{worker}"
    with suppress(OSError):
        new.write_bytes(page)
        new.replace(_page(folder, worker))


def end_page(folder: Path, worker: int) -> None:
    """Add the counts of a process that has ended to those of the processes that ended before."""
    ended, new = _ended(folder), folder / "metrics-new"
    with suppress(OSError):
        kept = metrics_pages.counted(_page(folder, worker).read_text())
        new.write_text(metrics_pages.added([_text(ended), kept]))
        _page(folder, worker).unlink()  # it must not be added again, where the next one dies early
        new.replace(ended)


def counted_by(folder: Path, silent: Collection[int]) -> list[str]:
    """The counts of the `silent` processes, which may have ended, and of the ended processes.

    Takes up to `TRIES` times `AGAIN_S`: do not call it on an event loop.
    """
    for left in reversed(range(TRIES)):
        before = _stamp(folder)
        pages = [_text(_page(folder, worker)) for worker in silent]
        ended = _text(_ended(folder))
        if (all(pages) and _stamp(folder) == before) or not left:
            break
        time.sleep(AGAIN_S)
    return [*map(metrics_pages.counted, pages), ended]


def _page(folder: Path, worker: int) -> Path:
    return folder / f"metrics-{worker}"


def _ended(folder: Path) -> Path:
    return folder / "metrics-ended"


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _stamp(folder: Path) -> tuple[int, int] | None:
    """Changes with each page of the ended."""
    try:
        found = _ended(folder).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
