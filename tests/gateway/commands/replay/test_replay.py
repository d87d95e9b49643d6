"""`parley replay`: the verdict, the seconds on the terminal, the page."""

import base64
import hashlib
import json
import re
import runpy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.cli import main
from gateway.commands.replay.command import read, seconds, verdict
from gateway.commands.replay.page import page
from gateway.commands.replay.timeline import Band, Bar, Tick, timeline
from gateway.commands.terminal import CommandFailed
from pipeline.decisions import Chunk, ReplyEnded, Typed
from pipeline.frames import SpeechStarted, StageSpan, TurnMetrics
from pipeline.journal import Journal
from pipeline.replay import Replayed, replay
from pipeline.turns import TurnState, TurnTaking
from tests.support.paths import JOURNALS

CONVERSATION = JOURNALS / "conversation.jsonl"
HOSTILE = JOURNALS / "hostile.jsonl"


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """The conversation, if speech had started a turn earlier."""
    text = CONVERSATION.read_text(encoding="utf-8")
    file = tmp_path / "changed.jsonl"
    file.write_text(text.replace('"start_ms":200', '"start_ms":100'), encoding="utf-8")
    return file


def session() -> Replayed:
    """The opening, one typed turn whose reply took 300 ms, two chunks of audio."""
    lines: list[str] = []
    journal, turns = Journal(lines.append), TurnTaking()
    journal.opened("s", turns.policy, 10.0)
    journal.decided("open", 10.0, turns.open(10.0))
    journal.decided("expire", 10.0, turns.expire(10.0))
    for event, now in (
        (ReplyEnded(0), 10.5),
        (Typed("hello"), 12.0),
        (Chunk(2_016.0, 0.25), 12.016),
        (Chunk(2_048.0, 0.75), 12.048),
        (ReplyEnded(1), 12.5),
    ):
        journal.decided(event, now, turns.handle(event, now))
    spans = (
        StageSpan("llm", "scripted", 100.0, 200.0, 300.0),
        StageSpan("tts", "espeak", 250.0, 300.0, None),
    )
    journal.noted(TurnMetrics(1, 1000, spans, 300.0), 12.5)
    journal.noted(TurnMetrics(9, 1000, spans, 300.0), 12.5)  # of a turn that was never decided
    journal.queue_age("stt", 12.0, 12.1)
    journal.queue_age("stt", 40.0, 12.2)
    journal.closed(12.5)
    return replay(lines)


# --- the files -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["conversation.jsonl", "masked.jsonl", "hostile.jsonl"])
def test_the_recorded_conversations_are_decided_as_they_were(name: str) -> None:
    assert read(JOURNALS / name).differences == ()


@pytest.mark.parametrize("name", ["conversation.jsonl", "masked.jsonl", "hostile.jsonl"])
def test_journals_that_the_version_before_wrote_are_decided_as_they_were(name: str) -> None:
    found = read(JOURNALS / "version-2" / name)
    assert found.differences == ()
    assert found.decisions == read(JOURNALS / name).decisions


def test_the_journals_are_what_their_script_makes() -> None:
    made = runpy.run_path(str(JOURNALS / "make.py"))["FILES"]
    assert {file.name for file in JOURNALS.glob("*.jsonl")} == set(made)
    for name, build in made.items():
        assert build() == (JOURNALS / name).read_bytes()


# --- the lanes -------------------------------------------------------------------------------


def test_bands_have_the_states_of_turn_taking() -> None:
    assert timeline(session()).bands == (
        Band(0.0, 500.0, TurnState.THINKING, 0),
        Band(500.0, 2000.0, TurnState.IDLE, 0),
        Band(2000.0, 2500.0, TurnState.THINKING, 1),
        Band(2500.0, 2500.0, TurnState.IDLE, 1),
    )


def test_a_stage_stands_where_its_turn_began_and_what_was_cut_off_ends_with_its_first_result() -> (
    None
):
    assert timeline(session()).bars == (
        Bar(1, "llm", "scripted", 2100.0, 2200.0, 2300.0),
        Bar(1, "tts", "espeak", 2250.0, 2300.0, 2300.0),
    )


def test_ticks_are_events_decisions_and_frames_but_no_timer_that_decided_nothing() -> None:
    lanes = timeline(session())
    assert [(tick.at_ms, tick.label, tick.kind) for tick in lanes.ticks] == [
        (0.0, "open", "input"),
        (0.0, "EndTurn 0", "decision"),
        (500.0, "ReplyEnded 0", "input"),
        (2000.0, "Typed", "input"),
        (2000.0, "EndTurn 1", "decision"),
        (2500.0, "ReplyEnded 1", "input"),
        (2500.0, "TurnMetrics 1", "output"),
        (2500.0, "TurnMetrics 9", "output"),
    ]
    assert lanes.ticks[3] == Tick(2000.0, "Typed", "Typed(text='*****')", "input")


def test_a_timer_that_decided_and_a_fallback_are_ticks() -> None:
    lanes = timeline(read(CONVERSATION))
    assert [tick.label for tick in lanes.ticks[-3:]] == ["expire", "EndTurn 4", "SpeechStopped 4"]
    assert [tick.label for tick in lanes.ticks if tick.kind == "trouble"] == [
        "Degraded 2",
        "Fault 3",
    ]


# --- the terminal ----------------------------------------------------------------------------


def test_a_second_has_ten_cells_in_every_lane() -> None:
    replayed = session()
    first, last = seconds(timeline(replayed), replayed)
    assert first.states == (TurnState.THINKING,) * 5 + (TurnState.IDLE,) * 5
    assert (first.second, first.turn, first.stages, first.quiet) == (0, 0, " " * 10, None)
    assert last.speech == (0.75, *[None] * 9)
    assert last.stages == " lss      "
    assert last.news == (
        "Typed",
        "EndTurn 1",
        "ReplyEnded 1",
        "TurnMetrics 1",
        "TurnMetrics 9",
        "stt queue 40 ms",
    )


def test_an_unknown_stage_is_a_question_mark() -> None:
    lines = CONVERSATION.read_text(encoding="utf-8").replace(
        '"StageSpan":["tts"', '"StageSpan":["x"'
    )
    replayed = replay(lines.splitlines(keepends=True))
    assert "?" in "".join(row.stages for row in seconds(timeline(replayed), replayed))


def test_an_identical_replay_exits_with_0_and_shows_the_conversation(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["replay", str(CONVERSATION)]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "session demo-1"
    assert re.fullmatch(r"\d+ decisions, identical", lines[1])
    listening = next(line for line in lines if "StartTurn 1" in line)
    assert listening.split()[-4:] == ["StartTurn", "1,", "SpeechStarted", "1"]
    assert "······LLLL" in listening
    assert any(re.search(r"\d+ s idle$", line) for line in lines)


def test_a_different_decision_exits_with_1_and_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, changed: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["replay", str(changed)]) == 1
    told = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\d+ decisions, 8 of them differ", told[1])
    assert re.fullmatch(
        r"line \d+, 3\.488 s, Chunk\(at_ms=3488\.0, probability=[\d.]+\): "
        r"was nothing, is StartTurn\(turn=1, at_ms=3360, from_ms=2860\)",
        told[2],
    )


def test_of_many_differences_the_first_five_are_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    text = CONVERSATION.read_text(encoding="utf-8")
    file = tmp_path / "other.jsonl"
    file.write_text(text.replace('"origin":5000.125', '"origin":5001.125'), encoding="utf-8")
    assert main(["replay", str(file)]) == 1
    out = capsys.readouterr().out
    count = len(read(file).differences)
    assert out.count(": was ") == 5
    assert f"and {count - 5} more\n" in out


def test_a_cut_journal_is_said_to_be_cut(tmp_path: Path) -> None:
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(CONVERSATION.read_bytes()[:-30])
    assert re.fullmatch(r"\d+ decisions, identical, the journal was cut", verdict(read(torn)))


def test_nothing_recorded_reaches_the_terminal_as_a_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["replay", str(HOSTILE)]) == 0
    out = capsys.readouterr().out
    assert "onerror" in out
    assert not set(out) & {"\x1b", "\x07", "\u2028", "\u202e"}


def test_a_conversation_of_its_first_line_alone_has_no_seconds() -> None:
    with CONVERSATION.open(encoding="utf-8") as lines:
        replayed = replay([next(lines)])
    assert list(seconds(timeline(replayed), replayed)) == []
    assert verdict(replayed) == "0 decisions, identical"


def test_a_file_that_is_no_journal_is_refused_with_the_line(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("dear diary\n")
    with pytest.raises(CommandFailed, match=r"notes\.txt: line 1: not the first line of a journal"):
        read(file)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "sound.wav"
    file.write_bytes(b"RIFF\xff\xfe")
    with pytest.raises(CommandFailed, match=r"sound\.wav: no journal: not UTF-8"):
        read(file)


def test_a_file_that_is_not_there_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["replay", str(tmp_path / "none.jsonl")]) == 2
    assert capsys.readouterr().err.endswith("none.jsonl: No such file or directory\n")


# --- the page --------------------------------------------------------------------------------


class Outline(HTMLParser):
    """Collects a page's elements, the text of each, and every attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.tags[-1] if self.tags else "", []).append(data)


def outline(html: str) -> Outline:
    parsed = Outline()
    parsed.feed(html)
    parsed.close()
    return parsed


def page_of(file: Path) -> str:
    replayed = read(file)
    return page(replayed, timeline(replayed))


def data_of(html: str) -> Any:
    (text,) = re.findall(r'<script type="application/json" id="lanes">(.*)</script>', html)
    return json.loads(text)


def test_the_page_is_written_beside_the_timeline(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "page.html"
    assert main(["replay", str(CONVERSATION), "--html", str(out)]) == 0
    assert out.read_text(encoding="utf-8") == page_of(CONVERSATION)
    assert "page.html." in capsys.readouterr().out.replace("\n", "")


def test_a_page_that_cannot_be_written_is_an_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["replay", str(CONVERSATION), "--html", str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith(f"{tmp_path}: Is a directory\n")


def test_the_page_has_every_lane() -> None:
    replayed = read(CONVERSATION)
    lanes = timeline(replayed)
    data = data_of(page(replayed, lanes))
    assert (data["start"], data["stop"]) == (0.5, 0.35)
    assert len(data["speech"]) == 2 * len(lanes.speech) > 0
    assert len(data["levels"]) == 2 * len(lanes.levels) > 0
    assert data["bands"][0] == [0.0, lanes.bands[0].end, "speaking", 0]
    assert {bar[3] for bar in data["bars"]} == {"endpointing", "stt", "llm", "tts"}
    assert len(data["ticks"]) == len(lanes.ticks)
    assert [name for name, _ in data["queues"]] == ["recognition", "synthesis"]


def test_the_page_needs_nothing_from_outside() -> None:
    html = page_of(CONVERSATION)
    found = outline(html)
    assert not {"link", "img", "iframe", "object", "base"} & set(found.tags)
    assert not {"src", "href", "action", "style"} & {name for name, _ in found.attributes}
    assert re.findall(r"https?://[^\"']+", html) == ["http://www.w3.org/2000/svg"]


def test_the_page_admits_its_own_script_and_style_and_no_other() -> None:
    html = page_of(CONVERSATION)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy.startswith("default-src 'none'; ")
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy


def test_nothing_recorded_becomes_markup() -> None:
    plain, hostile = outline(page_of(CONVERSATION)), outline(page_of(HOSTILE))
    assert set(hostile.tags) == set(plain.tags)
    assert set(hostile.attributes) == set(plain.attributes)
    assert "</script><img src=x onerror=alert(1)>" in "".join(hostile.texts["h1"])
    assert any("</script><img" in tick[2] for tick in data_of(page_of(HOSTILE))["ticks"])


def test_differences_stand_at_the_top_of_the_page(changed: Path) -> None:
    html = page_of(changed)
    cells = "".join(outline(html).texts["td"])
    assert re.search(r'<p class="bad">\d+ decisions, 8 of them differ\.</p>\n<table>', html)
    assert "nothingStartTurn(turn=1, at_ms=3360, from_ms=2860)" in cells


def test_the_page_says_that_texts_are_masked_or_the_journal_cut(tmp_path: Path) -> None:
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes((JOURNALS / "masked.jsonl").read_bytes()[:-30])
    assert "identical. The journal was cut. What people said is masked.</p>" in page_of(torn)


def test_a_long_session_lists_its_first_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.commands.replay.page.EVENTS", 3)
    replayed = session()
    html = page(replayed, timeline(replayed))
    assert "<summary>Events (the first 3 of 8)</summary>" in html
    assert html.count("<tr><td>") == 3


# --- the person's audio ----------------------------------------------------------------------


def test_the_audio_beside_a_journal_is_told_and_linked_from_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / 'a "strange": folder'
    folder.mkdir()
    file = folder / "s.jsonl"
    file.write_bytes(CONVERSATION.read_bytes())
    file.with_suffix(".wav").write_bytes(bytes(44 + 32_000 * 65))
    html = tmp_path / "page.html"
    assert main(["replay", str(file), "--html", str(html)]) == 0
    told = "".join(capsys.readouterr().out.split())
    assert "Theperson'saudio,1:05,isin" in told
    text = html.read_text(encoding="utf-8")
    assert 'src="a%20%22strange%22%3A%20folder/s.wav"' in text
    assert "media-src 'self' file:;" in text
    started = [
        (note.frame.turn, f"{note.frame.at_ms / 1000:.3f}")
        for note in read(CONVERSATION).notes
        if isinstance(note.frame, SpeechStarted)
    ]
    options = re.findall(r'<option value="([\d.]+)">(\d+), ', text)
    assert started != []
    assert [(int(turn), at) for at, turn in options] == started


def test_without_audio_the_page_has_no_player_and_admits_no_media(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    html = tmp_path / "page.html"
    assert main(["replay", str(CONVERSATION), "--html", str(html)]) == 0
    assert "person's audio" not in capsys.readouterr().out
    text = html.read_text(encoding="utf-8")
    assert "<audio" not in text
    assert "media-src" not in text
