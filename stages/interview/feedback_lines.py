"""The sentences of scores and feedback, by language. Pure.

They stand in `<code>/feedback.json` beside this module; `evaluation`, `feedback` and `summary`
choose among them. `{0}` and `{1}` are filled in.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from stages.interview.lines import check_language

Choice = tuple[str, ...]
"""Sentences that say the same; one of them is used."""


@dataclass(frozen=True, slots=True)
class FeedbackLines:
    """The sentences of one language.

    First the strengths, then what to work on (`not_covered` to `pauses`), next steps (`next` to
    `orders`), what is said without scores or about the whole interview (`labels` to `rough`), and
    the reasons of the scores. `headlines` go from a strong answer to a weak one; `joins` stand
    between two things, and between two with a comma inside.
    """

    covered: Choice
    whole: Mapping[str, Choice]
    concrete: Choice
    right_length: Choice
    steady: Choice
    beginning: Choice
    no_beginning: Choice
    not_covered: Choice
    parts: Mapping[str, str]
    no_numbers: Choice
    vague: str
    we: str
    short: Choice
    long: str
    fillers: str
    fast: str
    slow: str
    pauses: str
    next: Mapping[str, Choice]
    next_long: str
    next_good: Choice
    orders: Mapping[str, str]
    labels: Mapping[str, str]
    headlines: Choice
    headlines_overall: Choice
    joins: Choice
    main_point: str
    your_main_point: str
    step_better_recogniser: str
    step_language: str
    skipping: str
    nothing_heard: str
    step_prepare: str
    not_scored: str
    no_answer: str
    none_scored: str
    none_answered: str
    step_none: str
    best_skill: str
    best_answer: str
    weakest_skill: str
    unscored_count: str
    begin_with: str
    go_on: str
    thanks: str
    answered_one: str
    answered: str
    overall: str
    notes: Mapping[str, str]
    rough: str
    unscored: Mapping[str, str]
    method: str
    judged: str
    judged_in_part: str
    mean_of: str
    from_one: str
    no_points: str
    points: str
    parts_found: str
    parts_missing: str
    none: str
    part_names: Mapping[str, str]
    counts: Mapping[str, Choice]

    def count(self, number: int, noun: str) -> str:
        """A number of things, such as "2 names"."""
        one, several = self.counts[noun]
        return (one if number == 1 else several).format(number)


@cache
def feedback_lines(language: str) -> FeedbackLines:
    """The sentences of a language, by its code. Raises `UnknownLanguage`."""
    file = f"{check_language(language)}/feedback.json"
    raw = json.loads(resources.files("stages.interview").joinpath(file).read_text("utf-8"))
    return FeedbackLines(**{name: _frozen(value) for name, value in raw.items()})


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _frozen(part) for name, part in value.items()}
    return tuple(value) if isinstance(value, list) else value
