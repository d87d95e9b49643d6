"""The questions: one bank for each role and language, from the JSON files in `en/`, `de/`. Pure.

A bank's prompts are the questions, the follow-ups to them, and the elaborations, which ask for more
after a very short answer. Every prompt has an id: ``outage`` is a question, ``outage/alerts`` a
follow-up of it, ``any/scale`` a follow-up to any question, ``elaborate/1`` an elaboration.

Patterns of words (`heard` in the files) match what a recogniser writes: lower-case words, see
`hearing.spoken`. ``*`` stands for the rest of a word: ``migrat*`` hears "migrated".

The banks of a role have the same ids in all languages.

A question has a `shape`: a "story" asks for an event, an "approach" for a way of working. Its
rubric lists the points of a good answer, each with the words that show it.
"""

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

from stages.interview.errors import UnknownRole
from stages.interview.hearing import spoken
from stages.interview.lines import LANGUAGES, check_language

_FILES = {
    "software engineer": "software_engineer.json",
    "product manager": "product_manager.json",
    "data analyst": "data_analyst.json",
}

_RECOGNISABLE_WORDS = 5
"""A prompt cut off by a barge-in is recognised by this many first words, if they are unique."""


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A question about something in the answer; `heard` finds it."""

    id: str
    text: str
    heard: re.Pattern[str]


Shape = Literal["story", "approach"]

_FEWEST_POINTS = 3
_MOST_POINTS = 5


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a good answer; `say` completes "You spoke about …"."""

    say: str
    heard: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Question:
    """One question of the bank, its rubric, and its own follow-ups, best first."""

    id: str
    topic: str
    text: str
    shape: Shape
    rubric: tuple[Point, ...]
    follow_ups: tuple[FollowUp, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """A technical term: its spelling, and the words by which it is recognised."""

    say: str
    heard: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class RoleBank:
    """All prompts for one role.

    `texts` has the text of every prompt by its id; `elaborations` are ids. `language` is a code.
    """

    role: str
    opening: str
    questions: tuple[Question, ...]
    follow_ups: tuple[FollowUp, ...]
    elaborations: tuple[str, ...]
    language: str
    terms: tuple[Term, ...]
    acknowledgements: tuple[str, ...]
    closings: tuple[str, ...]
    texts: Mapping[str, str]

    @property
    def key_terms(self) -> tuple[str, ...]:
        """The spelling of the role's technical terms: hints for a recogniser."""
        return tuple(term.say for term in self.terms)

    def likely_terms(self, question: str) -> tuple[str, ...]:
        """The role's technical terms, those of a question first: they are in its answer, too."""
        return tuple(dict.fromkeys((*self.terms_in(spoken(question)), *self.key_terms)))

    def question(self, prompt_id: str | None) -> Question | None:
        """The question of that id; None for a follow-up or an unknown id."""
        return next((q for q in self.questions if q.id == prompt_id), None)

    def walk(self, seed: int) -> tuple[str, ...]:
        """The ids of all questions, in the order in which an interview with `seed` asks them."""
        first = seed % len(self.questions)
        return tuple(q.id for q in self.questions[first:] + self.questions[:first])

    def follow_ups_to(self, prompt_id: str) -> tuple[FollowUp, ...]:
        """The follow-ups that an answer to this question may lead to, best first."""
        own = (q.follow_ups for q in self.questions if q.id == prompt_id)
        return next(own, ()) + self.follow_ups

    def terms_in(self, words: str) -> tuple[str, ...]:
        """The terms found in `words` (see `hearing.spoken`), in the order said."""
        found = ((term.heard.search(words), term.say) for term in self.terms)
        return tuple(say for _, say in sorted((m.start(), say) for m, say in found if m))

    def asked_in(self, lines: Iterable[str]) -> tuple[str, ...]:
        """The ids of the prompts found in the interviewer's lines, in the order first asked.

        A line that breaks off inside a prompt counts if it has the prompt's first words.
        """
        prompts = [(prompt_id, spoken(text)) for prompt_id, text in self.texts.items()]
        asked: dict[str, None] = {}
        for line in lines:
            words = f" {spoken(line)} "
            found = sorted((_place(prompt, words), prompt_id) for prompt_id, prompt in prompts)
            at_once = Counter(at for at, _ in found)  # several: too few words to tell them apart
            asked.update(dict.fromkeys(i for at, i in found if at >= 0 and at_once[at] == 1))
        return tuple(asked)


def is_follow_up(prompt_id: str) -> bool:
    """Whether the prompt is a follow-up or an elaboration, not a question of its own."""
    return "/" in prompt_id


def seed_of(*parts: object) -> int:
    """A number that depends on the parts alone, in every process: variety without randomness."""
    return zlib.crc32("\n".join(str(part) for part in parts).encode("utf-8", "replace"))


def roles() -> tuple[str, ...]:
    """The roles that have a question bank."""
    return tuple(_load(file, LANGUAGES[0]).role for file in _FILES.values())


def bank_for(role: str, language: str = LANGUAGES[0]) -> RoleBank:
    """The bank of a role in a language; case and space around the role are ignored.

    Raises `UnknownRole` and `UnknownLanguage`.
    """
    file = _FILES.get(" ".join(role.casefold().split()))
    if file is None:
        raise UnknownRole(role, roles())
    return _load(file, check_language(language))


@cache
def _load(file: str, language: str) -> RoleBank:
    found = resources.files("stages.interview").joinpath(f"{language}/{file}")
    raw = json.loads(found.read_text("utf-8"))
    questions = tuple(
        Question(
            q["id"],
            q["topic"],
            q["text"],
            _shape(q),
            rubric_from(q["rubric"], q["id"]),
            _follow_ups(q["id"], q["follow_ups"]),
        )
        for q in raw["questions"]
    )
    follow_ups = _follow_ups("any", raw["follow_ups"])
    elaborations = {f"elaborate/{n}": text for n, text in enumerate(raw["elaborations"], 1)}
    texts = {q.id: q.text for q in questions}
    for prompt in (*(f for q in questions for f in q.follow_ups), *follow_ups):
        texts[prompt.id] = prompt.text
    return RoleBank(
        role=raw["role"],
        opening=raw["opening"],
        questions=questions,
        follow_ups=follow_ups,
        elaborations=tuple(elaborations),
        language=language,
        terms=tuple(Term(say, pattern(heard)) for say, heard in raw["terms"].items()),
        acknowledgements=tuple(raw["acknowledgements"]),
        closings=tuple(raw["closings"]),
        texts=texts | elaborations,
    )


def rubric_from(raw: object, owner: str) -> tuple[Point, ...]:
    """A question's rubric from its JSON. Raises `ValueError`, which names the question `owner`."""
    if not isinstance(raw, list) or not _FEWEST_POINTS <= len(raw) <= _MOST_POINTS:
        raise ValueError(f"{owner}: a rubric has from {_FEWEST_POINTS} to {_MOST_POINTS} points")
    for point in raw:
        if not isinstance(point, dict) or point.keys() != {"say", "heard"}:
            raise ValueError(f"{owner}: a point of a rubric has `say` and `heard`")
        say, heard = point["say"], point["heard"]
        if not isinstance(say, str) or not say.strip():
            raise ValueError(f"{owner}: a point of a rubric says what it is")
        if not isinstance(heard, list) or not heard:
            raise ValueError(f"{owner}: {say!r} has no words to be recognised by")
        for phrase in heard:
            if (
                not isinstance(phrase, str)
                or spoken(phrase) != phrase.replace("*", "")
                or not phrase
            ):
                raise ValueError(f"{owner}: {phrase!r} is not as a recogniser writes it")
    return tuple(Point(point["say"], pattern(point["heard"])) for point in raw)


def _shape(question: dict[str, Any]) -> Shape:
    shape: Shape = question["shape"]
    if shape not in get_args(Shape):
        raise ValueError(f"{question['id']}: a question is a story or an approach, not {shape!r}")
    return shape


def _place(prompt: str, words: str) -> int:
    """The place in `words` where the prompt begins, whole or cut off by their end; -1 if none."""
    opening = " ".join(prompt.split()[:_RECOGNISABLE_WORDS])
    at = words.find(f" {opening} ")
    said = words[at + 1 :]
    return at if said.startswith(f"{prompt} ") or f"{prompt} ".startswith(said) else -1


def _follow_ups(owner: str, raw: list[dict[str, Any]]) -> tuple[FollowUp, ...]:
    return tuple(FollowUp(f"{owner}/{f['id']}", f["text"], pattern(f["heard"])) for f in raw)


def pattern(heard: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds any of the phrases in `hearing.spoken` words; ``*`` ends a word."""
    words = "|".join(re.escape(phrase).replace(r"\*", r"\w*") for phrase in heard)
    return re.compile(rf"\b(?:{words})\b")
