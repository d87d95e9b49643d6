"""Journal files: whole lines, private, and never in the way of the conversation."""

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
