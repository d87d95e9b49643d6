"""The keys of a telephone as answers."""

import pytest

from stages.interview import LANGUAGES, InterviewConfig, respond, start
from stages.interview.keypad import words_of


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("key", "intent"), [("1", "repeat"), ("2", "skip")])
def test_the_interviewer_understands_what_a_key_says(language: str, key: str, intent: str) -> None:
    session = start(InterviewConfig("Software Engineer", "auto", 5, language)).session
    assert respond(session, words_of(key, language)).intent == intent


@pytest.mark.parametrize("key", ["0", "3", "9", "*", "#", "A", "", "12", "²"])
def test_other_keys_say_nothing(key: str) -> None:
    assert words_of(key, "en") == ""
