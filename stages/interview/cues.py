"""Words that show how an answer is built, by language, for the offline evaluator. Pure.

The lists are this project's own choice; discussion is welcome. They match `hearing.spoken` words;
``*`` is the rest of a word.
"""

import re
from dataclasses import dataclass

from stages.interview.bank import pattern

_ENOUGH_WORDS = 12
_LEAST_SHARE = 0.12


@dataclass(frozen=True, slots=True)
class Cues:
    """A language's words.

    A story has a `situation`, a `task`, an action and a `result`; an answer about an approach has
    `steps`, `reasons`, an `example` and `limits`. `action` finds a deed of the candidate ("I" and a
    verb in the past), `habit` something that the candidate does, `number` one quantity, however
    many words it takes. `ours` and `mine` are "we" and "I". Many recognisers leave out `fillers`.

    `small_words` are the most frequent ones; a short text is taken for the language unless it has
    letters beyond ASCII and the language has none (`ascii_only`). `names_by_capitals`: inside a
    sentence only names begin with a capital. `comfortable_wpm` are the words per minute that are
    easy to follow.
    """

    situation: re.Pattern[str]
    task: re.Pattern[str]
    result: re.Pattern[str]
    steps: re.Pattern[str]
    reasons: re.Pattern[str]
    example: re.Pattern[str]
    limits: re.Pattern[str]
    vague: re.Pattern[str]
    number: re.Pattern[str]
    action: re.Pattern[str]
    habit: re.Pattern[str]
    ours: re.Pattern[str]
    mine: re.Pattern[str]
    fillers: re.Pattern[str]
    small_words: frozenset[str]
    ascii_only: bool
    names_by_capitals: bool
    comfortable_wpm: tuple[int, int]

    @property
    def story(self) -> tuple[tuple[str, re.Pattern[str]], ...]:
        """The parts of a story, in their usual order."""
        return (
            ("situation", self.situation),
            ("task", self.task),
            ("action", self.action),
            ("result", self.result),
        )

    @property
    def approach(self) -> tuple[tuple[str, re.Pattern[str]], ...]:
        """The parts of an answer that describes an approach."""
        return (
            ("steps", self.steps),
            ("reasons", self.reasons),
            ("example", self.example),
            ("limits", self.limits),
        )

    def may_be(self, words: tuple[str, ...]) -> bool:
        """Whether the text may be in this language: it has enough of its frequent words, or is
        short."""
        if len(words) < _ENOUGH_WORDS:
            return not self.ascii_only or all(word.isascii() for word in words)
        return sum(word in self.small_words for word in words) >= _LEAST_SHARE * len(words)


def phrases(text: str) -> re.Pattern[str]:
    """A pattern that finds any of the phrases, which have commas between them."""
    return pattern(text.split(","))
