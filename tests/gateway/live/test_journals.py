"""Journal files: whole lines, private, and never in the way of the conversation."""

import errno
import io
import os
import stat
import wave
from pathlib import Path

import numpy as np
import pytest

from gateway.live import journal_files
from gateway.live.journal_files import JournalFile
from gateway.live.journals import Journals
from pipeline.frames import Samples
from pipeline.journal import Journal
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
    monkeypatch.setattr(journal_files, "WAITING_LINES", 2)
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
    monkeypatch.setattr(journal_files, "WAITING_LINES", 0)
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


# --- the person's audio ----------------------------------------------------------------------


def recorded(path: Path) -> Samples:
    """The samples of a WAV file, read as any program would."""
    with wave.open(str(path)) as file:
        about = (file.getnchannels(), file.getsampwidth(), file.getframerate())
        assert about == (1, 2, 16_000)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def heard(seconds: int, seed: int = 1) -> Samples:
    return np.random.default_rng(seed).integers(-9_000, 9_000, 16_000 * seconds, np.int16)


def opened(kept: Journals, session_id: str) -> tuple[Journal, JournalFile]:
    """The journal of a session that has begun."""
    journal, file = kept.open(session_id)
    journal.opened(session_id, TurnPolicy(), 0.0)
    return journal, file


def test_no_audio_is_kept_unless_it_is_asked_for(tmp_path: Path) -> None:
    kept = Journals(tmp_path)
    journal, file = opened(kept, "s1")
    journal.audio(heard(2), 2.0)
    file.close()
    kept.close()
    assert [path.suffix for path in tmp_path.iterdir()] == [".jsonl"]


def test_the_audio_beside_a_journal_is_what_was_heard_to_the_sample(tmp_path: Path) -> None:
    kept = Journals(tmp_path, audio=True)
    journal, file = opened(kept, "s1")
    pcm = heard(3)[:-77]
    for start in range(0, len(pcm), 331):
        journal.audio(pcm[start : start + 331], start / 16_000)
    file.close()
    kept.close()
    audio, lines = sorted(tmp_path.iterdir(), key=lambda path: path.suffix, reverse=True)
    assert (audio.stem, audio.suffix) == (lines.stem, ".wav")
    assert stat.S_IMODE(audio.stat().st_mode) == 0o600
    np.testing.assert_array_equal(recorded(audio), pcm)


def test_the_audio_of_a_process_that_died_can_be_read(tmp_path: Path) -> None:
    kept = Journals(tmp_path, audio=True)
    journal, file = opened(kept, "s1")
    pcm = heard(2)
    for start in range(0, len(pcm), 7_000):
        journal.audio(pcm[start : start + 7_000], 0.0)
    kept.close()  # and no file was closed
    (audio,) = tmp_path.glob("*.wav")
    found = recorded(audio)
    assert len(pcm) - 8_000 <= len(found) < len(pcm)
    np.testing.assert_array_equal(found, pcm[: len(found)])
    for each in (file, file.audio):
        assert each is not None
        assert each.file is not None
        each.file.close()


def test_a_disk_that_does_not_keep_up_ends_the_audio_and_not_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal_files, "WAITING_AUDIO_BYTES", 40_000)
    thread = Journals._run
    monkeypatch.setattr(Journals, "_run", lambda self: None)
    kept = Journals(tmp_path, audio=True)
    journal, file = opened(kept, "s1")
    pcm = heard(4)
    for start in range(0, len(pcm), 8_000):
        journal.audio(pcm[start : start + 8_000], 0.0)
    file.close()
    kept.close()
    thread(kept)
    assert caplog.text.count("wav ends early: the disk does not keep up") == 1
    assert not file.broken
    (audio,) = tmp_path.glob("*.wav")
    np.testing.assert_array_equal(recorded(audio), pcm[:16_000])  # two of eight pieces


def test_audio_ends_at_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal_files, "MAX_AUDIO_BYTES", 32_000)
    kept = Journals(tmp_path, audio=True)
    journal, file = opened(kept, "s1")
    for _ in range(4):
        journal.audio(heard(1), 0.0)
    file.close()
    kept.close()
    assert caplog.text.count("wav ends early: it is full") == 1
    (audio,) = tmp_path.glob("*.wav")
    np.testing.assert_array_equal(recorded(audio), heard(1))


def test_the_audio_of_a_deleted_session_goes_and_none_comes_after(tmp_path: Path) -> None:
    kept = Journals(tmp_path, audio=True)
    silent, first = opened(kept, "s1")
    silent.audio(heard(1)[:100], 0.0)  # less than a piece: no file yet
    loud, second = opened(kept, "s1")
    loud.audio(heard(1), 0.0)
    kept.delete("s1")
    loud.audio(heard(1), 1.0)
    for file in (first, second):
        file.close()
    kept.close()
    assert [*tmp_path.iterdir()] == []
    assert second.audio is not None
    assert second.audio.file is None


def test_audio_counts_for_the_folders_bound_and_goes_before_its_journal(tmp_path: Path) -> None:
    for at, name in enumerate(("old", "new"), 1):
        lines = journal(tmp_path, name, 1_000, at)
        audio = lines.with_suffix(".wav")
        audio.write_bytes(bytes(600_000))
        os.utime(audio, (at + 0.5, at + 0.5))
    Journals(tmp_path, max_mb=1).close()
    left = sorted(path.name.replace("-20261129T140000", "") for path in tmp_path.iterdir())
    assert left == ["new.jsonl", "new.wav", "old.jsonl"]


def test_live_audio_ends_before_a_live_journal_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = Journals(tmp_path, audio=True, max_mb=1)
    journal, file = opened(kept, "s1")
    for at in range(80):
        journal.audio(heard(1), float(at))
    journal.closed(80.0)
    file.close()
    kept.close()
    assert "wav ends early and is deleted: the folder is full" in caplog.text
    (lines,) = tmp_path.iterdir()
    assert len(replay(lines.read_text().splitlines(keepends=True)).levels) == 800


def test_a_session_that_begins_twice_in_a_second_has_two_audios(tmp_path: Path) -> None:
    kept = Journals(tmp_path, audio=True)
    pairs = [kept.open("s1") for _ in range(2)]
    pairs[1][1].path = pairs[0][1].path  # as in the same second
    for number, (told, file) in enumerate(pairs):
        told.opened("s1", TurnPolicy(), 0.0)
        told.audio(heard(1, number), 0.0)
        file.close()
    kept.close()
    audios = sorted(tmp_path.glob("*.wav"), key=lambda path: len(path.name))
    assert len(audios) == 2
    for number, audio in enumerate(audios):
        np.testing.assert_array_equal(recorded(audio), heard(1, number))
        assert audio.with_suffix(".jsonl").exists()
