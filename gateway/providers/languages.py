"""Finds the providers that know a session's language, and words the notices if none does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pipeline.guard import Guard
from pipeline.languages import AUTO, understands
from pipeline.session import Stages
from pipeline.stage import Transcriber
from stages.interview import LANGUAGES
from stages.interview.languages import AVAILABLE
from stages.interview.lines import lines_for

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a session's language lacks here.

    `code` is `no_recogniser`, `no_voice`, `no_interviewer` or `unknown_language`, and `message` for
    people.
    """

    code: str
    message: str


def known(guard: Guard[Any]) -> tuple[str, ...] | None:
    """The codes of the languages that a slot's providers know; None if one knows any."""
    codes: set[str] = set()
    for candidate in guard.candidates:
        languages = getattr(candidate.stage, "languages", None)
        if languages is None:
            return None
        codes.update(languages)
    return tuple(sorted(codes))


def heard_as(stages: Stages, language: str | None) -> str | None:
    """The language for the recognisers: "auto" becomes theirs if all know only the same one."""
    return _heard(stages.transcribers, language)


def _heard(transcribers: Guard[Any], language: str | None) -> str | None:
    if language != AUTO:
        return language
    codes = known(transcribers)
    return codes[0] if codes is not None and len(codes) == 1 else AUTO


def in_language(stages: Stages, heard: str | None, spoken: str | None) -> Stages:
    """The stages of a session in which `heard` is recognised and `spoken` is said.

    Providers that do not know the language are left out, and so are those that know one only where
    the language is to be found; but a slot in which none is left keeps all.
    """
    transcribers, _ = recognisers(stages.transcribers, heard)
    synthesizers = _only(stages.synthesizers, spoken)
    if (transcribers, synthesizers) == (stages.transcribers, stages.synthesizers):
        return stages
    return replace(stages, transcribers=transcribers, synthesizers=synthesizers)


def recognisers(
    transcribers: Guard[Transcriber], language: str | None
) -> tuple[Guard[Transcriber], str | None]:
    """The recognisers for speech in the language, as `in_language` chooses them, and the language
    that they get: a code, "auto", or None."""
    heard = _heard(transcribers, language)
    return _only(transcribers, heard, several=heard == AUTO), heard


def _only(guard: Guard[P], language: str | None, *, several: bool = False) -> Guard[P]:
    fit = [
        candidate
        for candidate in guard.candidates
        if understands(candidate.stage, language)
        and not (several and len(getattr(candidate.stage, "languages", None) or "ab") == 1)
    ]
    if not fit or len(fit) == len(guard.candidates):
        return guard
    return Guard(guard.slot, fit, ladder=guard.ladder)


def notices(stages: Stages, language: str | None, *, interview: bool = True) -> Sequence[Notice]:
    """The notices for a client about what a session's language lacks here; usually none.

    Without `interview` it is an assistant's session, whose replies have the person's language.
    """
    if language is None:
        return ()
    found = []
    name, spoken = _name(language), language
    if interview and language not in LANGUAGES:
        spoken = LANGUAGES[0]
        if language != AUTO:
            told = f"the interviewer does not speak {name}: it speaks {_name(spoken)}"
            found.append(Notice("no_interviewer", told))
    if language == AUTO and (heard := heard_as(stages, AUTO)) != AUTO:
        told = f"no recogniser here finds the language: all that is said is taken for {heard!r}"
        found.append(Notice("no_recogniser", f"{told}; run `parley fetch base` for one that does"))
    elif not any_knows(stages.transcribers, language):
        told = f"no recogniser here understands {name}: run `parley fetch base`, or type"
        found.append(Notice("no_recogniser", told))
    if not any_knows(stages.synthesizers, spoken):
        shown = "the interviewer is" if interview else "replies are"
        told = f"no voice here speaks {_name(spoken)}: {shown} only shown"
        found.append(Notice("no_voice", f"{told}; espeak-ng would"))
    return tuple(found)


def not_held_in(asked: str, language: str | None) -> Notice:
    """The notice for the client of an interview that is held in another language than the requested
    one."""
    told = f"no interview is held in {_name(asked)}: this one has {_name(language or AUTO)}"
    return Notice("unknown_language", f"{told}; available: {', '.join(AVAILABLE)}")


def _name(language: str) -> str:
    return lines_for(language).name if language in LANGUAGES else f"language {language!r}"


def any_knows(guard: Guard[Any], language: str | None) -> bool:
    """Whether one of a slot's providers knows the language."""
    return any(understands(candidate.stage, language) for candidate in guard.candidates)
