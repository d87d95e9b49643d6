import unicodedata

import pytest

from stages.tts.scripts import LATIN, assumed_language, is_english
from tests.support.scripts import MIXED, WORDS


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Tell me more.", LATIN),
        ("Größe, naïve, œuvre", LATIN),
        ("42 %, 3.5", LATIN),
        ("", LATIN),
        ("?!", LATIN),
        ("He said «привет» to me.", LATIN),
        ("Расскажите о React.", "ru"),
        ("Πες μου", "el"),
        ("你好，世界", "cmn"),
        ("東京でのプロジェクト", "ja"),
        ("안녕하세요", "ko"),
        ("مرحبا", "ar"),
        ("שלום", "he"),
        ("नमस्ते", "hi"),
        ("ᚠᚢᚦᚨᚱᚲ", None),
    ],
)
def test_the_script_of_most_letters_says_the_language(text: str, language: str | None) -> None:
    assert assumed_language(text) == language


def test_a_text_of_45_scripts_has_a_language_for_each_word_or_none() -> None:
    first = {unicodedata.name(word[0]).split()[0] for word in WORDS}
    assert len(first) == len(WORDS) == 45
    known = [language for word in WORDS if (language := assumed_language(word))]
    assert len(known) == 16
    assert assumed_language(MIXED) is None


def test_english_has_many_codes() -> None:
    assert all(map(is_english, ("en", "EN", "en-US", "en_GB", None)))
    assert not any(map(is_english, ("de", "enm", "")))
