"""Codes of languages, and the language that a session finds in its first turns."""

import pytest

from pipeline.frames import Transcript
from pipeline.languages import AUTO, LanguageLock, code_of, understands


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("en", "en"),
        ("de", "de"),
        ("de-DE", "de"),
        ("de_AT", "de"),
        ("EN-us", "en"),
        ("zh-Hant-TW", "zh"),
        ("yue", "yue"),
    ],
)
def test_a_tag_has_a_code(tag: str, code: str) -> None:
    assert code_of(tag) == code


@pytest.mark.parametrize(
    "tag",
    ["", "xx", "e", "english", "en; DROP", "en-", "-de", "de de", "en\n", "de" * 5_000],
)
def test_what_is_no_tag_is_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="is no language's code, such as en or de") as refused:
        code_of(tag)
    assert len(str(refused.value)) < 120


class Stage:
    def __init__(self, *languages: str) -> None:
        self.languages = languages


@pytest.mark.parametrize(
    ("stage", "language", "expected"),
    [
        (object(), "de", True),
        (Stage("en"), "de", False),
        (Stage("en", "de"), "de", True),
        (Stage("en"), None, True),
        (Stage("en"), AUTO, True),
    ],
)
def test_a_stage_may_name_its_languages(
    stage: object, language: str | None, expected: bool
) -> None:
    assert understands(stage, language) is expected


def turn(language: str | None, confidence: float | None = 0.9, words: int = 5) -> Transcript:
    return Transcript(1, "word " * words, final=True, language=language, confidence=confidence)


GERMAN, ENGLISH = turn("de"), turn("en")
UNSURE_GERMAN, UNSURE_ENGLISH = turn("de", 0.4), turn("en", 0.4)


@pytest.mark.parametrize(
    ("turns", "told"),
    [
        # Before the language is decided, the recogniser finds it.
        ([], [None]),
        ([GERMAN], [None, None]),
        ([GERMAN, GERMAN], [None, None, "de"]),
        ([turn("de", None), turn("de", None)], [None, None, "de"]),
        # The turns follow one another.
        ([GERMAN, ENGLISH, GERMAN], [None, None, None, None]),
        ([ENGLISH, GERMAN, GERMAN], [None, None, None, "de"]),
        # What does not count: uncertain, short, in no known language.
        ([UNSURE_GERMAN, UNSURE_GERMAN, UNSURE_GERMAN], [None] * 4),
        ([turn("de", words=2), turn("de", words=2)], [None] * 3),
        ([turn(None), turn(None)], [None] * 3),
        ([GERMAN, turn("fr", words=1), GERMAN], [None, None, None, "de"]),
        # Afterwards it is told, until a turn is uncertain: the next ones are detected again.
        ([GERMAN, GERMAN, GERMAN, UNSURE_GERMAN], [None, None, "de", "de", None]),
        ([GERMAN, GERMAN, UNSURE_GERMAN, GERMAN], [None, None, "de", None, "de"]),
        ([GERMAN, GERMAN, UNSURE_GERMAN, ENGLISH, GERMAN], [None, None, "de", None, None, "de"]),
        # Two of another are the session's from then on.
        (
            [GERMAN, GERMAN, UNSURE_GERMAN, ENGLISH, ENGLISH, ENGLISH],
            [None, None, "de", None, None, "en", "en"],
        ),
        (
            [GERMAN, GERMAN, UNSURE_GERMAN, ENGLISH, UNSURE_ENGLISH, ENGLISH],
            [None, None, "de", None, None, None, "en"],
        ),
    ],
)
def test_two_confident_turns_decide_the_language(
    turns: list[Transcript], told: list[str | None]
) -> None:
    lock = LanguageLock(AUTO)
    found = [lock.told]
    for transcript in turns:
        lock.heard(transcript)
        found.append(lock.told)
    assert found == told


def test_it_says_when_the_language_is_another() -> None:
    lock = LanguageLock(AUTO)
    turns = [GERMAN, GERMAN, GERMAN, UNSURE_GERMAN, ENGLISH, ENGLISH]
    assert [lock.heard(each) for each in turns] == [False, True, False, False, False, True]
    assert lock.known == "en"


@pytest.mark.parametrize("wanted", ["de", None])
def test_a_language_that_was_given_stays(wanted: str | None) -> None:
    lock = LanguageLock(wanted)
    assert not any(lock.heard(ENGLISH) for _ in range(5))
    assert (lock.told, lock.known) == (wanted, wanted)


def test_another_wish_begins_anew() -> None:
    lock = LanguageLock(AUTO)
    lock.heard(GERMAN)
    lock.heard(GERMAN)
    lock.want("fr")
    assert lock.told == "fr"
    lock.want(AUTO)
    assert (lock.told, lock.known) == (None, None)
