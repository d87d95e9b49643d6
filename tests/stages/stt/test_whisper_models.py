"""Folders that hold a model, or something else."""

from hashlib import sha256
from pathlib import Path

import pytest

from stages.stt import whisper_models
from stages.stt.whisper_models import (
    BadWeights,
    canonical,
    flaw,
    installed_engine,
    missing_files,
    repository,
    verify,
)
from tests.support.unprivileged import open_folder, without_privileges

NEEDED = ("config.json", "model.bin", "tokenizer.json", "vocabulary.json")


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("name", NEEDED)
def test_every_missing_file_is_named(tmp_path: Path, name: str) -> None:
    touch(tmp_path, *NEEDED)
    assert (missing_files(tmp_path), flaw(tmp_path)) == ((), None)
    (tmp_path / name).unlink()
    assert missing_files(tmp_path) == (name,)
    assert flaw(tmp_path) == f"is incomplete ({name} missing)"


@pytest.mark.parametrize("vocabulary", ["vocabulary.json", "vocabulary.txt"])
@pytest.mark.parametrize("features", [(), ("preprocessor_config.json",)])
def test_either_vocabulary_will_do_with_or_without_the_features(
    tmp_path: Path, vocabulary: str, features: tuple[str, ...]
) -> None:
    assert flaw(touch(tmp_path, *NEEDED[:3], vocabulary, *features)) is None


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("model.safetensors", "config.json"), "holds weights for PyTorch (safetensors);"),
        (("pytorch_model.bin", "tokenizer.json"), "holds weights for PyTorch;"),
        (("base.pt",), "holds weights for PyTorch;"),
        (("ggml-base.bin",), "holds weights for whisper.cpp (GGML);"),
        (("llama.gguf",), "holds weights for llama.cpp (GGUF);"),
        (("anna.onnx", "anna.onnx.json"), "holds a Piper voice;"),
        (("encoder.onnx",), "holds an ONNX model;"),
    ],
)
def test_a_folder_of_another_kind_is_called_what_it_is(
    tmp_path: Path, names: tuple[str, ...], expected: str
) -> None:
    told = flaw(touch(tmp_path, *names))
    assert told is not None
    assert told.startswith(f"{expected} faster-whisper needs a model for CTranslate2")


def test_a_half_downloaded_and_an_empty_folder_are_told_apart(tmp_path: Path) -> None:
    assert flaw(tmp_path) == "is empty"
    assert flaw(touch(tmp_path, "config.json", "0123.incomplete")) == "is half downloaded"


@pytest.mark.parametrize("mode", [0o111, 0])
def test_a_folder_that_may_not_be_read_says_so(mode: int) -> None:
    with open_folder() as place:
        folder = touch(place / "closed", "config.json")
        folder.chmod(mode)
        try:
            with without_privileges():
                assert flaw(folder) == "cannot be read (Permission denied)"
        finally:
            folder.chmod(0o700)


def test_weights_that_may_not_be_read_are_named() -> None:
    with open_folder() as folder:
        touch(folder, "model.bin")
        file = folder / "model.bin"
        file.chmod(0)
        with without_privileges(), pytest.raises(BadWeights) as caught:
            verify(folder, {"model.bin": "0" * 64}, "fetch it")
    assert str(caught.value) == f"{file} cannot be read (Permission denied): fetch it"


def test_a_place_that_is_no_folder_says_so(tmp_path: Path) -> None:
    assert flaw(tmp_path / "gone") == "cannot be read (No such file or directory)"


def digest(text: bytes) -> str:
    return sha256(text).hexdigest()


def test_files_are_compared_with_their_hashes(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"weights")
    verify(tmp_path, {"model.bin": digest(b"weights")}, "fetch it")
    (tmp_path / "model.bin").write_bytes(b"weightt")
    with pytest.raises(BadWeights) as caught:
        verify(tmp_path, {"model.bin": digest(b"weights")}, "fetch it")
    assert str(caught.value) == (
        f"{tmp_path / 'model.bin'} is damaged or another file: its SHA-256 is"
        f" {digest(b'weightt')[:12]}…, not {digest(b'weights')[:12]}…: fetch it"
    )


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.bin").mkdir()
    with pytest.raises(BadWeights) as caught:
        verify(tmp_path, {"model.bin": "0" * 64}, "fetch it")
    file = tmp_path / "model.bin"
    assert str(caught.value) == f"{file} cannot be read (Is a directory): fetch it"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("tiny.en", "Systran/faster-whisper-tiny.en"),
        ("large", "Systran/faster-whisper-large-v3"),
        ("large-v3-turbo", "mobiuslabsgmbh/faster-whisper-large-v3-turbo"),
        ("enormous", None),
    ],
)
def test_names_stand_for_repositories(model: str, expected: str | None) -> None:
    assert repository(model) == expected


def test_large_is_the_latest_large() -> None:
    assert [canonical(name) for name in ("large", "base", "/x")] == ["large-v3", "base", "/x"]


def test_without_the_engine_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper_models, "find_spec", lambda name: None)
    sentence = "faster-whisper is not installed: pip install 'parley-gateway[whisper]'"
    assert installed_engine() == sentence
