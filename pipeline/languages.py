"""Languages: their codes, and the language of a session whose person may speak any. Pure.

A code is an ISO 639 one ("en", "de"), as in the first part of a language tag (BCP 47, RFC 5646).
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from pipeline.errors import CallerError
from pipeline.frames import Slot, Transcript

AUTO: Final = "auto"
"""In place of a code: the recogniser finds the language."""

LONGEST_TAG = 35
"""Characters of a language tag that are read (RFC 5646, section 4.4.1)."""

_KNOWN = """
    af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi
    hr ht hu hy id is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn
    no oc pa pl ps pt ro ru sa sd si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi
    yi yo yue zh
"""
CODES = frozenset(_KNOWN.split())
"""The languages that recognisers know: Whisper's (large-v3)."""

TURNS = 2
"""The number of confident turns in a row, all of one language, that decide the language."""

CONFIDENT = 0.5
"""The lowest confidence (0..1) of a turn that counts. Whisper base on sentences of espeak-ng, which
are hard to understand: 0.43 to 0.84 in their own language, 0.13 to 0.49 as another."""

LEAST_WORDS = 3
"""Shorter turns do not count: "okay" belongs to many languages."""

_TAG = re.compile(r"([A-Za-z]{2,3})(?:[-_][A-Za-z0-9]{1,8})*")


def code_of(tag: str) -> str:
    """The code in a language tag: "de" for "de", "de-DE", "DE". Raises `ValueError`.

    Tags are the same in upper and lower case (RFC 5646, section 2.1.1).
    """
    found = _TAG.fullmatch(tag) if len(tag) <= LONGEST_TAG else None
    if found is None or (code := found[1].lower()) not in CODES:
        raise ValueError(f"{tag[:LONGEST_TAG]!r} is no language's code, such as en or de")
    return code


def understands(stage: object, language: str | None) -> bool:
    """Whether a provider's stage can work in the language. None and "auto" are any language.

    A stage that knows its languages has them as `languages`, a collection of codes; one without it,
    or with None, takes all.
    """
    known: Iterable[str] | None = getattr(stage, "languages", None)
    return known is None or language in (None, AUTO) or language in known


def check_language(slot: Slot, stage: Any, language: str | None) -> None:
    """Raise `CallerError` if the stage does not know the language: the next stage may."""
    if not understands(stage, language):
        reason = f"it does not know the language {language!r}"
        raise CallerError(slot, stage.provider, "connect", reason)


class LanguageLock:
    """The language of a session's speech: given, or found by its first turns.

    With `wanted` "auto" the recogniser finds the language of each utterance until `TURNS` confident
    turns in a row have the same one. From then on the recogniser is given that language: this saves
    time, and no cough becomes French. After a turn below `CONFIDENT`, which may be in another
    language, the recogniser finds the language again, until one confident turn is in the same
    language as before, or `TURNS` are in another, which then is the session's.

    Another `wanted` than "auto" stays; None leaves the choice to the recogniser.
    """

    def __init__(self, wanted: str | None) -> None:
        self.want(wanted)

    def want(self, wanted: str | None) -> None:
        """Begin anew with another wish."""
        self._wanted = wanted
        self._locked: str | None = None
        self._doubtful = False
        self._seen: str | None = None
        self._times = 0

    @property
    def told(self) -> str | None:
        """The language to tell the recogniser; None if the recogniser finds the language."""
        if self._wanted != AUTO:
            return self._wanted
        return None if self._doubtful else self._locked

    @property
    def known(self) -> str | None:
        """The language of the session as far as it is known."""
        return self._wanted if self._wanted != AUTO else self._locked

    def heard(self, transcript: Transcript) -> bool:
        """Take the final transcript of a turn; returns whether `known` has changed."""
        language = transcript.language
        if self._wanted != AUTO or language is None or len(transcript.text.split()) < LEAST_WORDS:
            return False
        confident = transcript.confidence is None or transcript.confidence >= CONFIDENT
        if not confident:
            self._doubtful = True
            return False
        if language == self._locked:
            self._doubtful, self._seen, self._times = False, None, 0
            return False
        self._times = self._times + 1 if language == self._seen else 1
        self._seen = language
        if self._times < TURNS:
            return False
        self._locked, self._doubtful, self._seen, self._times = language, False, None, 0
        return True
