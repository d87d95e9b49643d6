"""Which providers know a session's language, and what is told where none does."""

from typing import Any

import pytest

from gateway.providers.languages import heard_as, in_language, known, notices
from pipeline.breaker import Breaker
from pipeline.guard import Candidate, Guard
from pipeline.languages import AUTO
from pipeline.session import Stages


class Stage:
    def __init__(self, provider: str, *languages: str) -> None:
        self.provider = provider
        self.languages = languages or None


ENGLISH, GERMAN = Stage("english", "en"), Stage("german", "de")
BOTH, ANY = Stage("both", "en", "de"), Stage("any")


def guard(slot: Any, stages: tuple[Any, ...]) -> Guard[Any]:
    return Guard(slot, [Candidate(stage.provider, stage, Breaker()) for stage in stages])


def stages(heard: tuple[Any, ...] = (ANY,), spoken: tuple[Any, ...] = (ANY,)) -> Stages:
    nobody: Any = None
    return Stages(nobody, guard("stt", heard), nobody, guard("tts", spoken))


def names(guard: Guard[Any]) -> list[str]:
    return [candidate.provider for candidate in guard.candidates]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((ENGLISH,), ("en",)),
        ((ENGLISH, BOTH), ("de", "en")),
        ((ENGLISH, ANY), None),
        ((object(),), None),
    ],
)
def test_the_languages_of_a_slot(given: tuple[Any, ...], expected: Any) -> None:
    fit = [Candidate("x", stage, Breaker()) for stage in given]
    assert known(Guard("stt", fit)) == expected


@pytest.mark.parametrize(
    ("given", "language", "expected"),
    [
        ((ENGLISH,), AUTO, "en"),
        ((ENGLISH, ENGLISH), AUTO, "en"),
        ((ENGLISH, GERMAN), AUTO, AUTO),
        ((BOTH,), AUTO, AUTO),
        ((ENGLISH, ANY), AUTO, AUTO),
        ((ENGLISH,), "de", "de"),
        ((ENGLISH,), None, None),
    ],
)
def test_one_language_need_not_be_found(
    given: tuple[Any, ...], language: str | None, expected: str | None
) -> None:
    assert heard_as(stages(given), language) == expected


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("de", ["german", "both", "any"]),
        ("en", ["english", "both", "any"]),
        ("fr", ["any"]),
        (AUTO, ["both", "any"]),
        (None, ["english", "german", "both", "any"]),
    ],
)
def test_only_providers_that_know_the_language_are_asked(
    language: str | None, expected: list[str]
) -> None:
    found = in_language(stages((ENGLISH, GERMAN, BOTH, ANY)), language, "en")
    assert names(found.transcribers) == expected


def test_voices_are_chosen_by_the_interviewers_language() -> None:
    found = in_language(stages(spoken=(ENGLISH, GERMAN)), AUTO, "de")
    assert names(found.synthesizers) == ["german"]


def test_where_none_knows_the_language_all_stay() -> None:
    given = stages((ENGLISH,), (ENGLISH,))
    assert in_language(given, "de", "de") is given


@pytest.mark.parametrize(
    ("heard", "spoken", "language", "expected"),
    [
        (ANY, ANY, "de", []),
        (ANY, ANY, AUTO, []),
        (ANY, ANY, None, []),
        (ENGLISH, ANY, "en", []),
        (ENGLISH, ENGLISH, "de", ["no_recogniser", "no_voice"]),
        (ENGLISH, ENGLISH, AUTO, ["no_recogniser"]),
        (ANY, ENGLISH, "fr", ["no_interviewer"]),
        (ENGLISH, GERMAN, "fr", ["no_interviewer", "no_recogniser", "no_voice"]),
    ],
)
def test_what_a_language_lacks(
    heard: Any, spoken: Any, language: str | None, expected: list[str]
) -> None:
    found = notices(stages((heard,), (spoken,)), language)
    assert [notice.code for notice in found] == expected
    assert all(notice.message for notice in found)


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("de", ["no_recogniser", "no_voice"]),
        ("fr", ["no_recogniser", "no_voice"]),
        ("en", []),
        (AUTO, ["no_recogniser"]),
        (None, []),
    ],
)
def test_an_assistant_replies_in_the_persons_language(
    language: str | None, expected: list[str]
) -> None:
    found = notices(stages((ENGLISH,), (ENGLISH,)), language, interview=False)
    assert [notice.code for notice in found] == expected
