import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import __version__
from gateway.commands.cli import main
from gateway.settings import Settings
from gateway.variables import variables
from stages.stt.whisper_models import MEGABYTES
from tests.support.paths import AUDIO, ROOT
from tests.support.served import free_port

MALFORMED = AUDIO / "malformed"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither settings nor a .env file of the machine that runs the tests."""
    for field in Settings.model_fields.values():
        for name in variables(field):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def closed_port() -> int:
    return free_port()


def help_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as left:
        main([*words, "--help"])
    assert left.value.code == 0
    return capsys.readouterr().out


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert (left.value.code, capsys.readouterr().out) == (0, f"parley {__version__}\n")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    listed = re.findall(r"^    ([a-z]+) +\S", help_of(capsys), re.MULTILINE)
    assert listed == [
        *("serve", "call", "interview", "doctor", "fetch", "keys", "replay"),
        *("drill", "drain", "worker", "bench", "capacity"),
    ]


@pytest.mark.parametrize(
    "command", ["serve", "call", "interview", "doctor", "fetch", "replay", "bench", "capacity"]
)
def test_the_help_of_each_command_has_examples_and_exit_codes(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = help_of(capsys, command)
    assert f"\n  parley {command}" in text.partition("examples:")[2]
    assert "2    it could not begin" in text


def test_the_help_shows_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(help_of(capsys, "call").split())
    assert "where the server is (default: ws://127.0.0.1:8000)" in text
    assert "seconds to wait for an answer (default: 60)" in text
    assert "SUPPRESS" not in text


def test_help_loads_none_of_the_heavy_modules() -> None:
    program = (
        "import sys\n"
        "from gateway.commands.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'rich', 'pydantic', 'starlette', 'uvicorn', 'websockets', 'httpx'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_without_a_command_the_help_is_shown_and_nothing_was_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["serve", "doctor", "fetch"])
def test_an_unusable_setting_is_one_line(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PARLEY_PORT", "eighty")
    assert main([command]) == 2
    complaint = "parley: PARLEY_PORT or PORT must be a whole number, not 'eighty'\n"
    assert capsys.readouterr().err == complaint


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["serve", "--port", "65536"], "65536 is outside 0 to 65535"),
        (["serve", "--port", "x"], "'x' is not a whole number"),
        (["call", "--questions", "16"], "16 is outside 1 to 15"),
        (["call", "--rate", "4000"], "4000 is outside 8000 to 48000"),
        (["call", "--encoding", "opus"], "invalid choice: 'opus'"),
        (["call", "--tex", "abbreviated"], "unrecognized arguments: --tex abbreviated"),
    ],
)
def test_an_unusable_option_is_refused(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert complaint in capsys.readouterr().err


def test_serve_options_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Settings] = []
    monkeypatch.setattr(
        "gateway.commands.serve.serve", lambda settings, tls: served.append(settings)
    )
    monkeypatch.setenv("PARLEY_HOST", "127.0.0.2")
    monkeypatch.setenv("PARLEY_PORT", "1234")
    assert main(["serve", "--port", "4321", "--log-level", "error"]) == 0
    (settings,) = served
    assert (settings.host, settings.port, settings.log_level) == ("127.0.0.2", 4321, "error")
    assert settings.insecure is False
    assert main(["serve", "--insecure"]) == 0
    assert served[1].insecure is True


def test_the_order_on_the_command_line_is_the_order_of_the_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[argparse.Namespace] = []
    monkeypatch.setattr(
        "gateway.commands.call.call", lambda arguments: asked.append(arguments) or 0
    )
    words = ["--text", "one", "2.wav", "--rate", "8000", "3.wav", "--text=four", "--quiet", "5.wav"]
    assert main(["call", *words, "--", "--6.wav"]) == 0
    assert asked[0].turns == [
        ("text", "one"),
        ("file", Path("2.wav")),
        ("file", Path("3.wav")),
        ("text", "four"),
        ("file", Path("5.wav")),
        ("file", Path("--6.wav")),
    ]
    assert (asked[0].rate, asked[0].quiet) == (8000, True)


def test_an_option_without_its_value_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["call", "a.wav", "--text"])
    assert "--text: expected one argument" in capsys.readouterr().err


def test_a_call_with_nothing_to_say_names_the_clips(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["call"]) == 2
    assert "fixtures/audio/software-engineer-1.wav" in capsys.readouterr().err


def test_a_call_with_nothing_to_say_elsewhere_points_to_the_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["call"]) == 2
    assert "`parley call --help` has examples" in capsys.readouterr().err


def test_a_call_without_a_server_says_what_to_start(
    closed_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"ws://user:secret@127.0.0.1:{closed_port}"
    expected = (
        f"parley: nothing answers at ws://127.0.0.1:{closed_port}; start it with `parley serve`\n"
    )
    for more in ([], ["--session", "known"]):
        assert main(["call", "--text", "hello", "--url", url, *more]) == 2
        assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--text", " "], "--text: there is nothing in it"),
        (["--text", "ä" * 5000], "--text: at most 8192 bytes are possible"),
        (["--text", "a", "--url", "localhost:8000"], "--url must be like ws://127.0.0.1:8000"),
        (["--text", "a", "--url", "ws://h:x"], "--url must be like ws://127.0.0.1:8000"),
        (["--text", "a", "--session", "a/b"], "--session: an id has 1 to 64 of A-Z a-z 0-9 _ -"),
        (["--text", "a", "--save", "a.txt"], "--save a.txt: the name must end in .wav"),
        (["--text", "a", "--save", "no/a.wav"], "--save no/a.wav: cannot be written"),
        (["missing.wav"], "missing.wav: there is no such file"),
        (["."], ".: there is no such file"),
        ([str(MALFORMED / "text.wav")], "text.wav: is not playable audio"),
    ],
)
def test_bad_input_to_a_call_is_one_line(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["call", *words]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_the_demonstration_takes_no_turns_beside_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["call", "--demo-barge-in", "answer.wav"]) == 2
    complaint = "parley: --demo-barge-in has turns of its own: leave out files and --text\n"
    assert capsys.readouterr().err == complaint


def test_the_demonstration_says_how_to_start_a_server(
    capsys: pytest.CaptureFixture[str], closed_port: int
) -> None:
    address = f"ws://127.0.0.1:{closed_port}"
    assert main(["call", "--demo-barge-in", "--url", address]) == 2
    complaint = f"parley: nothing answers at {address}; start it with `parley serve`\n"
    assert capsys.readouterr().err == complaint


def test_the_demonstration_whose_clips_are_gone_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("gateway.commands.call.demo.CLIPS", tmp_path)
    assert main(["call", "--demo-barge-in"]) == 2
    missing = f"{tmp_path / 'uh-huh.flac'}: there is no such file"
    complaint = f"parley: a clip of the demonstration is missing: {missing}\n"
    assert capsys.readouterr().err == complaint


def test_an_interrupted_command_ends_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(arguments: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("gateway.commands.call.call", interrupted)
    assert main(["call", "--text", "hello"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_leaves_is_no_crash() -> None:
    program = (
        "import sys, gateway.commands.doctor\n"
        "def gone(*a, **k): raise BrokenPipeError\n"
        "gateway.commands.doctor.doctor = gone\n"
        "from gateway.commands.cli import main\n"
        "sys.exit(main(['doctor']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")


def test_the_help_of_fetch_has_every_model_with_its_size(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = " ".join(help_of(capsys, "fetch").split())
    for name, size in MEGABYTES.items():
        assert re.search(rf"\b{re.escape(name)}[a-z., ]* {size} MB", text), name


def test_doctor_as_json_is_one_object(
    monkeypatch: pytest.MonkeyPatch, closed_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PARLEY_PORT", str(closed_port))
    code = main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert code == (0 if report["works"] else 1)
    slots = ["vad", "turn", "stt", "llm", "tts", "avatar"]
    areas = ["python", "packages", *slots, "store", "access", "port", "files", "settings"]
    assert {finding["area"] for finding in report["findings"]} == set(areas)
