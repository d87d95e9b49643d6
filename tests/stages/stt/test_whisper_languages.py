"""Whether a Whisper model's weights understand one language or all, told without loading them."""

import json
from pathlib import Path

import pytest

from stages.stt.whisper import WhisperTranscriber
from stages.stt.whisper_languages import MULTILINGUAL_TOKENS, languages_of


def folder(directory: Path, tokens: int, *, text: bool = False) -> Path:
    words = [f"w{number}" for number in range(tokens)]
    if text:
        (directory / "vocabulary.txt").write_text("".join(f"{word}\n" for word in words))
    else:
        (directory / "vocabulary.json").write_text(json.dumps(words))
    return directory


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize(
    ("tokens", "expected"), [(MULTILINGUAL_TOKENS - 1, ("en",)), (MULTILINGUAL_TOKENS, None)]
)
def test_the_vocabulary_tells(
    tmp_path: Path, tokens: int, expected: tuple[str, ...] | None, text: bool
) -> None:
    assert languages_of("mine", folder(tmp_path, tokens, text=text)) == expected


def test_so_does_the_name() -> None:
    assert languages_of("base.en", Path("/nowhere")) == ("en",)
    assert languages_of("/nowhere", Path("/nowhere")) is None


def test_a_vocabulary_that_cannot_be_read_tells_nothing(tmp_path: Path) -> None:
    assert languages_of("mine", tmp_path) is None
    (tmp_path / "vocabulary.json").write_text("{")
    assert languages_of("mine", tmp_path) is None
    (tmp_path / "vocabulary.json").write_text("5")
    assert languages_of("mine", tmp_path) is None


def test_the_transcriber_has_them(tmp_path: Path) -> None:
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes(b"")
    assert WhisperTranscriber(str(folder(tmp_path, 10))).languages == ("en",)
