"""A text with a made-up word is decoded again, with a model that says a script."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.stt._english_words import EnglishWords
from stages.stt._second_look import Guess

pytest.importorskip("faster_whisper")

SCRIPT = "i have tested this very small model today"
WORDS = frozenset(SCRIPT.split())
LOUD = (np.sin(np.arange(2400 * 16) * 0.2) * 0.25).astype(np.float32)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a model for English, or for German; none of its words is a token of its own."""
    from stages.stt import _whisper_model
    from tests.support import scripted_whisper

    monkeypatch.setattr(_whisper_model, "_SPACE", "no token begins so")

    def make(language: str | None = None) -> Any:
        folder = scripted_whisper.build(tmp_path / str(language), SCRIPT, 2.4, language)
        return _whisper_model.StoppableWhisper(str(folder), compute_type="int8", cpu_threads=1)

    return make


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The second looks: the first text, the best guess, its made-up words, the hints. Each takes
    its last guess."""
    from stages.stt import _whisper_model

    seen: list[Any] = []

    def better(first: str, guesses: Sequence[Guess], made_up: Any, hints: Sequence[str]) -> int:
        seen.append((first, guesses[0].text, made_up(guesses[0].text), tuple(hints)))
        return len(guesses) - 1

    monkeypatch.setattr(_whisper_model, "better", better)
    return seen


def heard(model: Any, hints: tuple[str, ...] = (), language: str | None = None) -> Any:
    from stages.stt._whisper_piece import decode

    options = {"beam_size": 1, "without_timestamps": True, "word_timestamps": False}
    return decode(model, LOUD, language=language, hints=hints, options=options)


def test_a_made_up_word_is_looked_at_again(models: Any, looks: list[Any]) -> None:
    model = models()
    model.words = EnglishWords(WORDS - {"today"})
    found = heard(model, ("Redis",))
    assert looks == [(SCRIPT, SCRIPT, ["today"], ("Redis",))]
    assert found.text != SCRIPT, "the last guess was taken, and judged by its own probability"


def test_no_second_look_is_taken_without_need(models: Any, looks: list[Any]) -> None:
    model = models()
    for words, hints in (
        (None, ()),
        (EnglishWords(WORDS), ()),
        (EnglishWords(WORDS - {"today"}), ("Today",)),
    ):
        model.words = words
        assert heard(model, hints).text == SCRIPT
    assert looks == []


def test_other_languages_are_not_looked_at(models: Any, looks: list[Any]) -> None:
    model = models("de")
    model.words = EnglishWords(frozenset())
    assert heard(model, language="de").text == SCRIPT
    assert looks == []


def test_where_no_guess_is_better_the_first_text_stays(models: Any) -> None:
    model = models()
    model.words = EnglishWords(WORDS - {"today"})
    found = heard(model)
    assert found.text == SCRIPT
    assert found.confidence == pytest.approx(1.0, abs=0.01)
