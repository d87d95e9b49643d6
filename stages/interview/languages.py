"""The language of a session: what a client may ask for, and what the interviewer speaks. Pure."""

from pipeline.languages import AUTO, code_of
from stages.interview.errors import UnknownLanguage
from stages.interview.lines import LANGUAGES

AVAILABLE = (*LANGUAGES, AUTO)
"""The languages that a client may ask for: the interviewer's, or "auto", with which the recogniser
finds the person's language."""


def requested(tag: str) -> str:
    """The code of a language that a client asks for ("de" for "de-DE"), or "auto".

    Raises `UnknownLanguage` for any other text.
    """
    if tag == AUTO:
        return AUTO
    try:
        code = code_of(tag)
    except ValueError:
        raise UnknownLanguage(tag, AVAILABLE) from None
    if code not in LANGUAGES:
        raise UnknownLanguage(tag, AVAILABLE)
    return code


def default_language(configured: str | None) -> str:
    """The language of a session whose client asked for none; `configured` by the operator."""
    return configured or LANGUAGES[0]


def interviewers(language: str) -> str:
    """The language that the interviewer speaks in a session: the session's, or English if the
    interviewer does not speak that, or if it is found only in the course of the session."""
    return language if language in LANGUAGES else LANGUAGES[0]
