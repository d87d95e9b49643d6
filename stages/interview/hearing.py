"""Requests in a candidate's words: to repeat, to skip, for time; agreement and refusal. Pure.

Everything here works on `spoken(text)`: lower-case words without punctuation, as speech recognisers
write them, so that typed and recognised answers are understood alike.

A request counts only if the words hold nothing else: from the left, each piece must be a request or
a filler. "I had to repeat the experiment" has words that are neither.
"""

import re
from dataclasses import dataclass
from functools import cache

from stages.interview.request_words import RequestWords
from stages.interview.request_words_de import GERMAN
from stages.interview.request_words_en import ENGLISH

_APOSTROPHES = re.compile("['’ʼ`]")
_GAPS = re.compile(r"[\W_]+")

_REQUESTS = {"en": ENGLISH, "de": GERMAN}


@dataclass(frozen=True, slots=True)
class _Pieces:
    """A language's patterns for one piece of a request."""

    longest: int
    apology: re.Pattern[str]
    repeat: re.Pattern[str]
    skip: re.Pattern[str]
    time: re.Pattern[str]
    no: re.Pattern[str]
    yes: re.Pattern[str]
    thanks: re.Pattern[str]


@cache
def _pieces(language: str) -> _Pieces:
    known: RequestWords = _REQUESTS[language]

    def piece(request: str) -> re.Pattern[str]:
        return _compiled(f"(?:(?P<request>{request})|{known.filler})(?:_|$)")

    return _Pieces(
        known.longest,
        _compiled(known.apology),
        piece(known.repeat),
        piece(known.skip),
        piece(known.time),
        piece(known.no),
        piece(known.yes),
        piece(known.thanks),
    )


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace("_", r"\ "), re.VERBOSE)


def spoken(text: str) -> str:
    """`text` as a speech recogniser would write it: lower-case words, one space between them.

    Apostrophes vanish ("didn't" is "didnt"); every other character that is no letter or digit ends
    a word.
    """
    return _GAPS.sub(" ", _APOSTROPHES.sub("", text.casefold())).strip()


def wants_repeat(words: str, language: str = "en") -> bool:
    """Whether `words` (see `spoken`) only ask to hear the question again."""
    known = _pieces(language)
    return known.apology.fullmatch(words) is not None or _asks(known, known.repeat, words)


def wants_skip(words: str, language: str = "en") -> bool:
    """Whether `words` (see `spoken`) only ask for the next question, or decline to answer."""
    known = _pieces(language)
    return _asks(known, known.skip, words)


def wants_time(words: str, language: str = "en") -> bool:
    """Whether `words` (see `spoken`) only ask for more time to think."""
    known = _pieces(language)
    return _asks(known, known.time, words)


def agrees(words: str, language: str = "en") -> bool:
    """Whether `words` (see `spoken`) only say yes to something that was proposed."""
    known = _pieces(language)
    return _asks(known, known.yes, words) and not refuses(words, language)


def refuses(words: str, language: str = "en") -> bool:
    """Whether `words` (see `spoken`) only say no to something that was proposed."""
    known = _pieces(language)
    return _asks(known, known.no, words)


def thanks(words: str, language: str = "en") -> bool:
    """Whether `words` (see `spoken`) only acknowledge: "thank you", "all right"."""
    known = _pieces(language)
    return _asks(known, known.thanks, words)


def _asks(known: _Pieces, piece: re.Pattern[str], words: str) -> bool:
    if len(words.split()) > known.longest:
        return False
    at = 0
    asked = False
    while at < len(words):
        found = piece.match(words, at)
        if found is None:
            return False
        asked = asked or found["request"] is not None
        at = found.end()
    return asked
