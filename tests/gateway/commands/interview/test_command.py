"""`parley interview` in this process: the conversation, its end, what is saved, wrong input."""

import argparse
import io
import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.cli import main
from gateway.commands.interview import command
from gateway.settings import Settings
from gateway.variables import variables
from stages.interview import Report
from tests.support.conversation import GOOD
from tests.support.served import free_port

OTHER = "First I reproduce it, then I bisect, because guessing wastes time. Later I write a test."


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder of its own, no settings of this machine, and no gateway in sight."""
    for field in Settings.model_fields.values():
        for name in variables(field):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PARLEY_PORT", str(free_port()))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A person at the keyboard, who types these answers and replies to the prompts."""

    def sits(*answers: Any, says: tuple[Any, ...] = ()) -> None:
        typed, said = list(answers), list(says)

        class Hands:
            typed = True

            def next(self, prompt: str) -> str | None:
                answer = typed_or_raise(typed)
                return None if answer is None else str(answer)

        def typed_or_raise(left: list[Any]) -> Any:
            value = left.pop(0)
            if isinstance(value, BaseException):
                raise value
            return value

        monkeypatch.setattr(command, "Keyboard", Hands)
        monkeypatch.setattr("builtins.input", lambda prompt="": typed_or_raise(said))
        monkeypatch.setattr("sys.stdin", argparse.Namespace(isatty=lambda: True))

    return sits


def answers(*texts: str) -> str:
    Path("answers.txt").write_text("\n".join(texts), encoding="utf-8")
    return "answers.txt"


def of_json(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def session_in(text: str) -> str:
    found = re.search(r"--resume ([0-9a-f]{32})", text)
    assert found is not None
    return found[1]


# --- a whole interview -----------------------------------------------------------------------


def test_an_interview_from_a_file_ends_in_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    file = answers(GOOD, OTHER)
    assert main(["interview", "--questions", "2", "--answers", file]) == 0
    said = capsys.readouterr().out
    assert "An interview for Software Engineer begins in this process (no gateway runs" in said
    assert [line for line in said.splitlines() if line.startswith("Question")] == [
        "Question 1 of 2",
        "Question 2 of 2",
    ]
    assert f"You     {OTHER}" in said
    assert re.search(r"^\d+ of 100\. ", said, re.MULTILINE)
    assert "Scored by: heuristic." in said
    [page] = Path().glob("interview-*.html")
    assert f"The report is in {page}." in said
    assert "rewrote it as a single join" in page.read_text(encoding="utf-8")


def test_json_tells_everything_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--role", "data analyst", "--questions", "1", "--model", "granite4:2b"]
    assert main(["interview", *words, "--answers", answers(GOOD), "--json"]) == 0
    session, question, answer, closing, report = of_json(capsys.readouterr().out)
    assert (session["role"], session["questions"], session["resumed"]) == ("Data Analyst", 1, False)
    assert (question["number"], question["of"]) == (1, 1)
    assert answer == {"type": "answer", "number": 1, "text": GOOD}
    assert (closing["type"], "Thank you" in closing["text"]) == ("closing", True)
    found = Report.from_json(report["report"])
    assert (found.session_id, found.model) == (session["session_id"], "granite4:2b")
    assert [item.answer for item in found.items] == [GOOD]
    assert Path(report["saved"]).exists()


def test_what_is_no_answer_does_not_count(capsys: pytest.CaptureFixture[str]) -> None:
    file = answers("Could you repeat that?", GOOD)
    assert main(["interview", "--questions", "1", "--answers", file, "--json"]) == 0
    *_, report = of_json(capsys.readouterr().out)
    assert [item["answer"] for item in report["report"]["items"]] == [GOOD]


def test_surplus_answers_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    file = answers(GOOD, OTHER, OTHER)
    assert main(["interview", "--questions", "1", "--answers", file]) == 0
    assert "There were 2 answers more than questions." in capsys.readouterr().out


def test_answers_too_few_give_a_report_of_those_and_exit_code_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--questions", "3", "--answers", answers(GOOD), "--save", "report.json"]
    assert main(["interview", *words]) == 1
    ended = "The answers ended at question 2 of 3: the report is about one question."
    assert ended in capsys.readouterr().out
    report = Report.from_json(json.loads(Path("report.json").read_text(encoding="utf-8")))
    assert (report.questions, report.answered) == (3, 1)


@pytest.mark.parametrize(
    ("name", "begins"),
    [("a.md", "# Interview report"), ("a.HTML", "<!doctype html>"), ("a.json", "{\n")],
)
def test_the_name_says_in_which_form_it_is_saved(name: str, begins: str) -> None:
    words = ["--questions", "1", "--answers", answers(GOOD), "--save", name]
    assert main(["interview", *words]) == 0
    assert Path(name).read_text(encoding="utf-8").startswith(begins)


def test_answers_come_through_a_pipe_line_by_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped = io.TextIOWrapper(io.BytesIO(f"{GOOD}\n\n{OTHER}\n".encode()))
    monkeypatch.setattr("sys.stdin", piped)
    assert main(["interview", "--questions", "2", "--json"]) == 0
    *_, report = of_json(capsys.readouterr().out)
    assert [item["answer"] for item in report["report"]["items"]] == [GOOD, OTHER]


def test_a_chat_model_that_is_configured_evaluates(
    peer: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PARLEY_LLM_URL", peer.url)
    monkeypatch.setenv("PARLEY_LLM_MODEL", "judge/terminal")
    assert main(["interview", "--questions", "1", "--answers", answers(GOOD)]) == 0
    said = capsys.readouterr().out
    assert "Evaluating the answers (model:judge/terminal)…" in said
    assert "80 of 100. Well told" in said
    assert "Scored by: model:judge/terminal." in said


# --- somebody types --------------------------------------------------------------------------


def test_a_person_types(person: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    person(GOOD, OTHER)
    assert main(["interview", "--questions", "2"]) == 0
    said = capsys.readouterr().out
    assert "Ctrl-C ends the interview" in said
    assert f"You     {GOOD}" not in said, "what is typed can be seen already"


@pytest.mark.parametrize(("last", "code"), [(KeyboardInterrupt(), 130), (None, 1)])
def test_an_early_end_offers_a_report_of_the_answers(
    person: Callable[..., None], last: Any, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    person(GOOD, last, says=("",))
    assert main(["interview", "--questions", "3", "--save", "report.json"]) == code
    report = Report.from_json(json.loads(Path("report.json").read_text(encoding="utf-8")))
    assert [item.answer for item in report.items] == [GOOD]
    assert "The report is in report.json." in capsys.readouterr().out


@pytest.mark.parametrize("says", ["n", EOFError(), KeyboardInterrupt()])
def test_without_a_report_the_interview_can_be_resumed(
    person: Callable[..., None], says: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    person(GOOD, KeyboardInterrupt(), says=(says,))
    assert main(["interview", "--questions", "2"]) == 130
    session_id = session_in(capsys.readouterr().out)
    assert list(Path().glob("interview-*")) == []

    words = ["--resume", session_id, "--answers", answers(OTHER), "--json"]
    assert main(["interview", *words]) == 0
    session, question, *_, report = of_json(capsys.readouterr().out)
    assert (session["resumed"], question["number"]) == (True, 2)
    assert [item["answer"] for item in report["report"]["items"]] == [GOOD, OTHER]


def test_without_answers_there_is_no_report(
    person: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    person(KeyboardInterrupt())
    assert main(["interview"]) == 130
    said = capsys.readouterr().out
    assert "Nothing has been answered, so there is no report." in said
    assert session_in(said)
    assert list(Path().glob("interview-*")) == []


def test_a_finished_interviews_report_can_be_had_again(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--questions", "1", "--answers", answers(GOOD)]
    assert main(["interview", *words, "--save", "first.json"]) == 0
    session_id = json.loads(Path("first.json").read_text(encoding="utf-8"))["sessionId"]
    assert main(["interview", "--resume", session_id, "--save", "again.json"]) == 0
    assert Path("again.json").read_bytes() == Path("first.json").read_bytes()


# --- nothing is lost -------------------------------------------------------------------------


def test_a_file_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    mine = Path("mine.md")
    mine.write_text("mine", encoding="utf-8")
    words = ["interview", "--questions", "1", "--answers", answers(GOOD), "--save", "mine.md"]
    assert main(words) == 2
    assert capsys.readouterr().err == "parley: --save mine.md: it exists; --force overwrites it\n"
    assert mine.read_text(encoding="utf-8") == "mine"
    assert main([*words, "--force"]) == 0
    assert mine.read_text(encoding="utf-8").startswith("# Interview report")


@pytest.mark.parametrize(("says", "code"), [("y", 0), ("", 2), ("no", 2)])
def test_a_person_is_asked_before_a_file_is_overwritten(
    person: Callable[..., None], says: str, code: int
) -> None:
    mine = Path("mine.md")
    mine.write_text("mine", encoding="utf-8")
    person(GOOD, says=(says,))
    assert main(["interview", "--questions", "1", "--save", "mine.md"]) == code
    assert (mine.read_text(encoding="utf-8") == "mine") == (code == 2)


def test_a_file_that_comes_up_meanwhile_is_not_overwritten(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Late:
        typed = False

        def next(self, prompt: str) -> str:
            Path("report.md").write_text("theirs", encoding="utf-8")
            return GOOD

    monkeypatch.setattr(command, "Pipe", Late)
    assert main(["interview", "--questions", "1", "--save", "report.md"]) == 0
    assert Path("report.md").read_text(encoding="utf-8") == "theirs"
    assert "The report is in report-2.md." in capsys.readouterr().out


def test_a_report_that_cannot_be_written_can_be_had_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Late:
        typed = False

        def next(self, prompt: str) -> str:
            Path("out").rmdir()
            return GOOD

    Path("out").mkdir()
    monkeypatch.setattr(command, "Pipe", Late)
    assert main(["interview", "--questions", "1", "--save", "out/report.md"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("parley: the report: out/report.md: No such file or directory; go on")
    assert main(["interview", "--resume", session_in(error), "--save", "report.md"]) == 0


# --- wrong input -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["--role", "Astronaut"],
            "unknown role 'Astronaut'; known roles: Software Engineer,"
            " Product Manager, Data Analyst",
        ),
        (["--save", "report.pdf"], "--save report.pdf: the name must end in .html, .md, .json"),
        (["--save", "none/report.md"], "--save none/report.md: cannot be written"),
        (["--answers", "none.txt"], "--answers: none.txt cannot be read: No such file"),
        (["--answers", "/dev/null"], "--answers: /dev/null has no answers"),
        (["--resume", "a/b"], "--resume: a session's id has 1 to 64 of"),
        (["--resume", "abc", "--role", "x"], "--role is for a new interview"),
        (["--resume", "abc"], "there is no session 'abc'"),
        (["--url", "ftp://h"], "--url must be like"),
    ],
)
def test_what_cannot_begin_says_why(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["interview", *words]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "16", "two"])
def test_a_number_of_questions_that_cannot_be(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["interview", "--questions", number])
    assert left.value.code == 2
    assert "argument --questions: " in capsys.readouterr().err


def test_a_setting_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PARLEY_SILENCE_MS", "soon")
    assert main(["interview"]) == 2
    assert "PARLEY_SILENCE_MS" in capsys.readouterr().err


def test_a_store_that_cannot_be_opened_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").touch()
    monkeypatch.setenv("PARLEY_DATA_DIR", "file/data")
    assert main(["interview", "--answers", answers(GOOD)]) == 2
    assert "set PARLEY_DATA_DIR to a folder" in capsys.readouterr().err


def test_a_session_that_is_deleted_under_way_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Late:
        typed = False

        def next(self, prompt: str) -> str:
            with sqlite3.connect("var/parley.sqlite3") as database:
                database.execute("DELETE FROM entries")
            return GOOD

    monkeypatch.setattr(command, "Pipe", Late)
    assert main(["interview"]) == 1
    assert "somebody else has answered in this session" in capsys.readouterr().err


# --- another language ------------------------------------------------------------------------

GERMAN = (
    "Letztes Jahr musste ich eine Abfrage beschleunigen, die zwölf Sekunden brauchte. Zuerst habe "
    "ich gemessen, dann habe ich einen Index angelegt, und am Ende war sie 90 Prozent schneller."
)


def test_a_whole_interview_in_german(capsys: pytest.CaptureFixture[str]) -> None:
    file = answers("Wie bitte?", GERMAN, "Nächste Frage bitte.", GERMAN)
    words = ["--language", "de-DE", "--questions", "3", "--answers", file]
    assert main(["interview", *words, "--save", "report.json", "--json"]) == 0
    _, question, *_, closing, told = of_json(capsys.readouterr().out)
    assert question["text"].startswith("Guten Tag, ich bin Parley")
    assert "Vielen Dank" in closing["text"]
    report = Report.from_json(told["report"])
    assert report.language == "de"
    assert [item.answer for item in report.items][::2] == [GERMAN, GERMAN]
    assert report.scored == 2
    assert report.items[1].evaluation.unscored == "Nicht bewertet: Diese Frage wurde ausgelassen."
    assert main(["interview", "--resume", report.session_id or "", "--save", "again.md"]) == 0


@pytest.mark.parametrize("language", ["xx", "fr", "", "en; DROP", "de" * 500])
def test_a_language_without_interviews_is_refused(
    language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("interview", "call"):
        with pytest.raises(SystemExit) as left:
            main([name, "--language", language])
        assert left.value.code == 2
        assert "available: en, de, auto" in capsys.readouterr().err


def test_a_language_is_for_a_new_interview(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["interview", "--resume", "abc", "--language", "de"]) == 2
    assert "--language is for a new interview" in capsys.readouterr().err
