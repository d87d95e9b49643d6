"""Journal files: whole lines, private, and never in the way of the conversation."""

import errno
import io
import os
import stat
from pathlib import Path

import pytest

from gateway.live import journals
from gateway.live.journals import Journals
from pipeline.replay import replay
from pipeline.turns import TurnPolicy, TurnTaking


def test_a_sessions_journal_can_be_replayed(tmp_path: Path) -> None:
    folder = tmp_path / "journals"
    written = Journals(folder)
    journal, file = written.open("s1")
    turns = TurnTaking()
    journal.opened("s1", TurnPolicy(), 5.0)
    journal.decided("open", 5.0, turns.open(5.0))
    journal.closed(6.0)
    file.close()
    written.close()
    (path,) = folder.iterdir()
    assert path.name.startswith("s1-")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    replayed = replay(path.read_text().splitlines(keepends=True))
    assert (replayed.session_id, len(replayed.decisions), replayed.differences) == ("s1", 1, ())


def test_a_folder_that_vanishes_ends_the_file_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "journals"
    written = Journals(folder)
    _, file = written.open("s1")
    folder.rmdir()
    file.write("a line\n")
    written.close()
    assert "cannot be written" in caplog.text
    assert file.broken
    file.write("another\n")


def test_a_disk_that_does_not_keep_up_ends_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journals, "WAITING_LINES", 2)
    monkeypatch.setattr(Journals, "_run", lambda self: None)
    written = Journals(tmp_path)
    _, file = written.open("s1")
    for _ in range(4):
        file.write("a line\n")
    assert file.broken
    assert caplog.text.count("does not keep up") == 1
    written.close()


def test_a_file_that_ended_early_is_closed_and_gives_way_like_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Journals(tmp_path, max_mb=1)
    _, file = written.open("s1")
    file.write("x" * 1_100_000 + "\n")
    monkeypatch.setattr(journals, "WAITING_LINES", 0)
    file.write("too much\n")
    assert file.broken
    file.close()
    written.close()
    assert file.file is None
    assert [*tmp_path.iterdir()] == []


class FullDisk(io.StringIO):
    """A file of a disk that is full."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_ends_the_file_once_and_keeps_nothing_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written = Journals(tmp_path, max_mb=1)
    _, file = written.open("s1")
    full = FullDisk()
    file.file = full
    for _ in range(3):
        file.write("a line\n")
    file.close()
    written.close()
    assert caplog.text.count("cannot be written: No space left on device") == 1
    assert full.closed
    assert file.file is None


def journal(folder: Path, name: str, size: int, at: int) -> Path:
    """A journal that an earlier process left, last written `at`."""
    path = folder / f"{name}-20261129T140000.jsonl"
    path.write_bytes(bytes(size))
    os.utime(path, (at, at))
    return path


def test_the_oldest_journals_give_way_and_nothing_else_does(tmp_path: Path) -> None:
    other = tmp_path / "notes.jsonl"
    other.write_bytes(bytes(4_000_000))
    old, middle, new = (
        journal(tmp_path, name, 500_000, at) for at, name in enumerate(("old", "middle", "new"), 1)
    )
    written = Journals(tmp_path, max_mb=1)
    written.close()
    assert [path.exists() for path in (other, old, middle, new)] == [True, False, True, True]


def test_room_is_made_when_a_journal_ends_but_not_of_one_that_is_written_to(
    tmp_path: Path,
) -> None:
    written = Journals(tmp_path, max_mb=2)
    _, live = written.open("live")
    live.write("x" * 1_200_000 + "\n")
    _, ended = written.open("ended")
    ended.write("y" * 900_000 + "\n")
    ended.close()
    written.close()
    assert [path.name.partition("-")[0] for path in tmp_path.iterdir()] == ["live"]
    assert live.file is not None
    live.file.close()


def test_the_journals_of_a_deleted_session_go_also_while_it_is_live(tmp_path: Path) -> None:
    before = journal(tmp_path, "s1", 10, 1)
    longer = journal(tmp_path, "s1-b", 10, 1)
    written = Journals(tmp_path)
    _, file = written.open("s1")
    file.write("a line\n")
    written.delete("s1")
    file.write("what comes afterwards\n")
    file.close()
    written.close()
    assert not before.exists()
    assert [*tmp_path.iterdir()] == [longer]


def test_the_folder_keeps_its_bound_also_while_sessions_live(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written = Journals(tmp_path, max_mb=2)
    files = [written.open(name)[1] for name in ("first", "second")]
    for _ in range(30):
        for file in files:
            file.write("x" * 100_000 + "\n")
    for file in files:
        file.close()
    written.close()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 << 20
    assert "ends early and is deleted: the folder is full" in caplog.text


def test_a_session_that_begins_twice_in_a_second_has_two_journals(tmp_path: Path) -> None:
    written = Journals(tmp_path)
    files = [written.open("s1")[1] for _ in range(2)]
    files[1].path = files[0].path  # as in the same second
    for number, file in enumerate(files):
        file.write(f"{number}\n")
        file.close()
    written.close()
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["0\n", "1\n"]
    again = Journals(tmp_path)
    again.delete("s1")
    again.close()
    assert [*tmp_path.iterdir()] == []
