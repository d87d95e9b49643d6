"""The folder of a gateway's processes, and what a killed gateway left."""

import fcntl
import os
import tempfile
from pathlib import Path

import pytest

from gateway.workers import folder as module
from gateway.workers.folder import FRESH_S, LOCK, PREFIX, WorkersFolder


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(module, "LONGEST", 1_000)
    return tmp_path


def left(place: Path, name: str, *, age_s: float = FRESH_S + 1, lock: bool = True) -> Path:
    """A folder of an older gateway."""
    folder = place / name
    folder.mkdir()
    (folder / "take-0").touch()
    if lock:
        (folder / LOCK).touch()
    os.utime(folder, (folder.stat().st_mtime - age_s,) * 2)
    return folder


def test_it_is_for_this_user_alone_and_gone_at_the_end() -> None:
    made = WorkersFolder()
    assert made.path.stat().st_mode & 0o777 == 0o700
    (made.path / "board").touch()
    made.close()
    assert not made.path.exists()


def test_what_a_killed_gateway_left_is_deleted_by_the_next_one(place: Path) -> None:
    old = left(place, f"{PREFIX}old")
    made = WorkersFolder()
    assert not old.exists()
    made.close()


def test_the_folder_of_one_that_runs_stays_though_its_parent_was_killed(place: Path) -> None:
    old = left(place, f"{PREFIX}old")
    descriptor = os.open(old / LOCK, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    copy = os.dup(descriptor)  # as a process has that the parent started
    os.close(descriptor)
    WorkersFolder().close()
    assert (old / "take-0").exists()
    os.close(copy)
    WorkersFolder().close()
    assert not old.exists()


def test_what_may_be_another_programs_or_is_just_being_made_stays(place: Path) -> None:
    others = [
        left(place, "parley-bench-x"),
        left(place, f"{PREFIX}without", lock=False),
        left(place, f"{PREFIX}fresh", age_s=FRESH_S / 2),
    ]
    (place / f"{PREFIX}file").touch()
    (place / f"{PREFIX}link").symlink_to(others[0])
    made = WorkersFolder()
    again = WorkersFolder()  # the first one is in use
    assert made.path.exists()
    again.close()
    made.close()
    assert all(folder.exists() for folder in others)
