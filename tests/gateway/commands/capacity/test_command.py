import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.bench.run import RunFailed
from gateway.commands.capacity import command
from gateway.commands.capacity.figures import CapacityFigures
from gateway.commands.cli import main
from tests.support.capacity import FIGURES, SERVER
from tests.support.paths import DOCS, ROOT


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no .env file is."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def kept(tmp_path: Path) -> Callable[..., str]:
    def keep(**changes: Any) -> str:
        file = tmp_path / "figures.json"
        file.write_text(json.dumps({"figures": replace(FIGURES, **changes).as_dict()}))
        return str(file)

    return keep


def test_a_plan_from_kept_figures(
    kept: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["capacity", "--from", kept(), "--calls", "1000", "10000"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Measured on 2026-11-30 with Parley 0.1.0, 8 cores (A processor):"
    rows = {line[:34].strip(): line[34:].split() for line in lines if line[:1] != " "}
    assert rows["calls at the same time"] == ["1,000", "10,000"]
    assert rows["gateways: machines"] == ["2", "+", "1", "18", "+", "1"]
    assert rows["recognition: machines"] == ["15", "+", "1", "143", "+", "1"]
    assert rows["Redis, one primary: commands/s"] == ["2,000", "20,000"]
    assert "Not to be relied on:" not in lines


def test_every_assumption_is_said(
    kept: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["capacity", "--from", kept(), "--speaking", "55", "--cores", "4"]) == 0
    text = capsys.readouterr().out
    for said in (
        "55 % of the people",
        "Machines have 4 cores",
        "70 % of what was measured",
        "1 machine more than they need",
        "recognised 2 times",
        "A turn lasts 8 s, and an interview has 15",
        "Not in it: chat models, voices",
    ):
        assert said in text
    assert "without --quick" not in text


def test_without_a_number_a_thousand_calls_are_planned_as_json(
    kept: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["capacity", "--from", kept(), "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert [each["calls"] for each in body["plans"]] == [1000]
    assert body["assumptions"]["machine_cores"] == 8
    assert body["figures"] == json.loads(json.dumps(FIGURES.as_dict()))


def test_what_json_printed_is_planned_from_again(
    kept: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    main(["capacity", "--from", kept(), "--json"])
    printed = capsys.readouterr().out
    again = tmp_path / "again.json"
    again.write_text(printed, encoding="utf-8-sig")  # as some shells write it
    assert main(["capacity", "--from", str(again), "--json"]) == 0
    assert capsys.readouterr().out == printed


def test_what_is_missing_is_said_once_and_ends_with_1(
    kept: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    file = kept(sessions_per_core=None, doubts=("sessions: not even 1 held",))
    assert main(["capacity", "--from", file, "--calls", "10", "20"]) == 1
    text = capsys.readouterr().out
    assert text.count("note: gateways: sessions per core were not measured") == 1
    assert text.endswith("Not to be relied on:\n  - sessions: not even 1 held\n")


def test_what_a_file_says_moves_no_cursor(
    kept: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    file = kept(processor="A\x1b[2Jprocessor\n", doubts=("odd\x07",))
    assert main(["capacity", "--from", file]) == 0
    text = capsys.readouterr().out
    assert "(A [2Jprocessor ):" in text
    assert text.replace("\n", "").isprintable()


def test_a_server_needs_no_workers_and_is_nothing_missing(
    kept: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["capacity", "--from", kept(recogniser=SERVER)]) == 0
    text = capsys.readouterr().out
    assert "Recognition is at a server (openai)" in text
    assert "no worker is planned" in text
    assert "note:" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--calls", "0"], "0 is outside 1 to 1000000"),
        (["--calls", "-5"], "-5 is outside 1 to 1000000"),
        (["--calls", "10", "1000001"], "1000001 is outside"),
        (["--calls", "many"], "'many' is not a whole number"),
        (["--calls", "1e6"], "'1e6' is not a whole number"),
        (["--calls"], "expected at least one argument"),
        (["--speaking", "0"], "0 is outside 1 to 100"),
        (["--cores", "0"], "0 is outside 1 to 1024"),
    ],
    ids=["none", "negative", "too many", "words", "float", "nothing", "silent", "no cores"],
)
def test_an_unusable_option_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["capacity", *words])
    assert left.value.code == 2
    assert said in capsys.readouterr().err


def test_too_many_columns_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capacity", "--calls", *"1234567"]) == 2
    assert capsys.readouterr().err == "parley: --calls takes 6 numbers at most\n"


def test_measuring_and_not_measuring_exclude_one_another(
    kept: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["capacity", "--quick", "--from", kept()]) == 2
    assert "--quick measures, and --from does not" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory"),
        (b"", "is no JSON"),
        (b"\xff\xfe\x00", "is no JSON"),
        (b" " * (command.MOST_BYTES + 1), "is larger than a megabyte"),
        (b'{"figures": {}}', "figures.version: Field required"),
    ],
    ids=["no file", "empty", "binary", "huge", "nothing in it"],
)
def test_an_unusable_file_is_one_line(
    content: bytes | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    if content is not None:
        file.write_bytes(content)
    assert main(["capacity", "--from", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"parley: --from {file}: {said}")


def test_a_folder_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capacity", "--from", str(tmp_path)]) == 2
    assert "Is a directory" in capsys.readouterr().err


def test_the_page_prints_what_the_command_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (DOCS / "scale.md").read_text(encoding="utf-8")
    ((words, printed),) = re.findall(r"^```\n\$ parley ([^\n]+)\n(.*?)^```$", page, re.M | re.S)
    monkeypatch.chdir(ROOT)
    main(words.split())
    assert capsys.readouterr().out == printed
    assert "--calls 1000 10000" in words


# --- measuring ---------------------------------------------------------------------------------


def test_figures_that_were_just_measured_are_planned_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[bool] = []

    def measured(settings: object, told: object, *, quick: bool) -> CapacityFigures:
        asked.append(quick)
        return replace(FIGURES, sessions_by="cpu")

    monkeypatch.setattr(command, "usable", lambda: None)
    monkeypatch.setattr(command, "measured", measured)
    assert main(["capacity", "--quick", "--calls", "5"]) == 0
    assert asked == [True]
    text = capsys.readouterr().out
    assert "100, estimated from the CPU" in text
    assert "A core holds the service level until it is busy for 80 %. That was not tried" in text


def test_one_core_is_not_enough_to_measure_but_to_plan(
    kept: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert main(["capacity", "--quick"]) == 2
    assert "two cores are needed" in capsys.readouterr().err
    assert main(["capacity", "--from", kept()]) == 0


def test_a_run_that_breaks_off_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(settings: object, told: object, *, quick: bool) -> CapacityFigures:
        raise RunFailed("the load generator broke off")

    monkeypatch.setattr(command, "usable", lambda: None)
    monkeypatch.setattr(command, "measured", measured)
    assert main(["capacity"]) == 1
    assert capsys.readouterr().err == "parley: the load generator broke off\n"
