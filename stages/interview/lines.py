"""The interviewer's sentences that belong to no question, by language. Pure.

They stand in `<code>/lines.json` beside this module, and the questions beside them. A language is
known here if it has both.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from stages.interview.errors import UnknownLanguage

LANGUAGES = ("en", "de")
"""The codes of the languages that the interviewer speaks, the usual one first."""


@dataclass(frozen=True, slots=True)
class Lines:
    """The sentences of one language, whose English `name` is for instructions to a chat model.

    `question` announces the first question: its number and text follow. `mentions` refer to a term
    that the candidate said, `repeats` come before a question that is asked again on request,
    `unclear` where no words were understood, `skips` where a question is skipped; `waits` answer a
    request for time. `patient`, `offer` and `offer_to_end` are said into a silence, and `anybody`
    where the question was not heard. `keys` are what the keys of a telephone say for the candidate,
    from 1 on (see `keypad`). The others end the interview, or go on with it after a break.
    """

    name: str
    question: str
    mentions: tuple[str, ...]
    repeats: tuple[str, ...]
    unclear: tuple[str, ...]
    skips: tuple[str, ...]
    waits: tuple[str, ...]
    patient: tuple[str, ...]
    offer: str
    offer_to_end: str
    anybody: str
    keys: tuple[str, ...]
    time_is_up: str
    farewell: str
    welcome_back: str
    closed: str

    @property
    def offers(self) -> tuple[str, ...]:
        """The lines that propose to go on, to which "yes" is no answer to the question."""
        return (self.offer, self.offer_to_end)


@cache
def lines_for(language: str) -> Lines:
    """The sentences of a language, by its code. Raises `UnknownLanguage`."""
    file = f"{check_language(language)}/lines.json"
    raw = json.loads(resources.files("stages.interview").joinpath(file).read_text("utf-8"))
    fields: dict[str, Any] = {
        name: tuple(line) if isinstance(line, list) else line for name, line in raw.items()
    }
    return Lines(**fields)


def check_language(language: str) -> str:
    """The code, if the interviewer speaks the language. Raises `UnknownLanguage`."""
    if language not in LANGUAGES:
        raise UnknownLanguage(language, LANGUAGES)
    return language
