"""The `<Parameter>`s of a call's stream, read as a request for a session. Pure.

Twilio does not pass on the query of the stream's URL; it sends these parameters in `start`.
"""

from typing import Any

from gateway.media.format import AudioFormat
from gateway.protocols.dialect import ProtocolError, Start
from gateway.protocols.request import InterviewRequest, SessionRequest, TurnRequest
from stages.interview.errors import UnknownLanguage
from stages.interview.languages import requested

TELEPHONE = AudioFormat("mulaw", 8_000)

SHORTEST_SILENCE_MS, LONGEST_SILENCE_MS = 100, 10_000


def start_of(parameters: Any) -> Start:
    """The start of a call's session; unknown parameters are ignored.

    Raises a fatal `ProtocolError`.
    """
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, dict):
        raise _refused("customParameters", "an object is needed")
    language = _text(parameters, "language")
    return Start(
        SessionRequest(
            audio_in=TELEPHONE,
            audio_out=TELEPHONE,
            avatar="off",
            turns=TurnRequest(silence_ms=_silence_ms(parameters)),
            interview=_interview(parameters),
            language=None if language is None else _language(language),
        ),
        _text(parameters, "ticket") or "",
    )


def _interview(parameters: dict[str, Any]) -> InterviewRequest | None:
    role = _text(parameters, "role")
    model = _text(parameters, "model")
    questions = _number(parameters, "totalQuestions")
    if role is None:
        if model is not None or questions is not None:
            raise _refused("role", "it is needed beside model and totalQuestions")
        return None
    return InterviewRequest(role, model, questions)


def _silence_ms(parameters: dict[str, Any]) -> int | None:
    silence_ms = _number(parameters, "silence_ms")
    if silence_ms is None or SHORTEST_SILENCE_MS <= silence_ms <= LONGEST_SILENCE_MS:
        return silence_ms
    raise _refused("silence_ms", f"{SHORTEST_SILENCE_MS} to {LONGEST_SILENCE_MS} is needed")


def _language(tag: str) -> str:
    try:
        return requested(tag)
    except UnknownLanguage as error:
        raise ProtocolError("unknown_language", f"language: {error}", fatal=True) from None


def _number(parameters: dict[str, Any], name: str) -> int | None:
    value = _text(parameters, name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 6):
        raise _refused(name, "a whole number is needed")
    return int(value)


def _text(parameters: dict[str, Any], name: str) -> str | None:
    """A parameter's text; None if it is missing or empty."""
    value = parameters.get(name, "")
    if not isinstance(value, str) or not (value.isprintable() or not value):
        raise _refused(name, "a printable text is needed")
    return value or None


def _refused(name: str, what: str) -> ProtocolError:
    return ProtocolError("bad_parameter", f"{name}: {what}", fatal=True)
