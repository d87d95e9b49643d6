"""The languages that a Whisper model's weights understand, found before they are loaded."""

import json
from pathlib import Path

MULTILINGUAL_TOKENS = 51_865
"""A vocabulary of at least this many tokens is multilingual: CTranslate2's own rule
(`Whisper.is_multilingual`)."""


def languages_of(name: str, folder: Path) -> tuple[str, ...] | None:
    """("en",) for English-only weights, otherwise None: all languages, or there are no weights.

    `name` is a model's name or its folder. Reads the vocabulary, about 1 MB.
    """
    if name.endswith(".en"):
        return ("en",)
    tokens = _tokens(folder)
    return ("en",) if tokens is not None and tokens < MULTILINGUAL_TOKENS else None


def _tokens(directory: Path) -> int | None:
    """The size of the vocabulary; None if it cannot be read, which the load will report."""
    try:
        if (file := directory / "vocabulary.json").is_file():
            return len(json.loads(file.read_text("utf-8")))
        return (directory / "vocabulary.txt").read_bytes().count(b"\n")
    except (OSError, ValueError, TypeError):
        return None
