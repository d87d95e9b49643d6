import gzip
from pathlib import Path
from typing import Any

import pytest

from stages.stt import _english_words
from stages.stt._english_words import EnglishWords, english_words

WORDS = EnglishWords(
    frozenset(
        ("back", "code", "end", "follow", "index", "move", "note", "play", "refer", "set", "write")
    )
)


@pytest.mark.parametrize(
    "word",
    [
        *("write", "notes", "noted", "writing", "moving", "referred", "player", "indexes"),
        *("backend", "rewrite", "unfollow", "codeless", "replay", "set"),
    ],
)
def test_words_inflections_and_compounds_exist(word: str) -> None:
    assert WORDS.made_up(f"We {word} it.") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not gluure, we", ["gluure"]),
        ("an old-sposed note", ["sposed"]),
        ("Gluure and KUBERNETES and k8s", []),
        ("um, hmm, ah", []),
        ("you'll, we’ve", []),
        ("Größe größe", []),
        ("", []),
        ("gluures gluure", ["gluures", "gluure"]),
    ],
)
def test_only_long_words_in_small_letters_are_judged(text: str, words: list[str]) -> None:
    assert WORDS.made_up(text, {"not", "note", "and", "old"}.__contains__) == words


def test_what_is_known_otherwise_is_a_word() -> None:
    assert WORDS.made_up("an async note", lambda word: word == "async") == []


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder in which the packages with dictionaries are looked for."""

    class Package:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(_english_words, "find_spec", lambda name: Package)
    return tmp_path


def put(folder: Path, name: str, data: bytes) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


CMUDICT, LEXICON = "model/en-us/cmudict-en-us.dict", "assets/lexicon_us_gold.json.gz"


def test_without_a_dictionary_no_word_is_judged(
    monkeypatch: pytest.MonkeyPatch, package: Path
) -> None:
    assert english_words() is None, "the packages have no dictionaries"
    monkeypatch.setattr(_english_words, "find_spec", lambda name: None)
    assert english_words() is None, "there are no packages"


@pytest.mark.parametrize(
    "broken",
    [b"\xff\xfe", b"no gzip", gzip.compress(b"{no json"), gzip.compress(b"{}")[:-9]],
    ids=["no text", "no gzip", "no JSON", "cut short"],
)
def test_a_damaged_dictionary_leaves_the_other(package: Path, broken: bytes) -> None:
    put(package, CMUDICT, b"read R EH D\nread(2) R IY D\n")
    put(package, LEXICON, broken)
    words: Any = english_words()
    assert words.made_up("read gluure reads") == ["gluure"]


def test_the_words_of_both_dictionaries_count(package: Path) -> None:
    put(package, CMUDICT, b"read R EH D\n")
    put(package, LEXICON, gzip.compress(b'{"Idempotent": "x"}'))
    words: Any = english_words()
    assert words.made_up("read an idempotent gluure") == ["gluure"]


def test_the_installed_dictionary_has_the_words_of_an_interview() -> None:
    pytest.importorskip("pocketsphinx")
    pytest.importorskip("hibari")
    words: Any = english_words()
    text = """
        I refactored the backend of our onboarding service into microservices, cached the results,
        normalized the schema, deduplicated the rows, and wrote characterization tests.
        All is idempotent. The stakeholders prioritized the roadmap; churn fell after we
        rehearsed failover.
    """
    assert words.made_up(text) == []
    assert words.made_up("an old-sposed speed-dilentry, gluure") == ["sposed", "dilentry", "gluure"]
