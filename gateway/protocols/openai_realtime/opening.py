"""How a session begins by what an HTTP request says: its model, its session object. Pure."""

from typing import Any

from pydantic import ValidationError

from gateway.protocols.dialect import InterviewRequest
from gateway.protocols.openai_realtime.errors import MISSING, error_event, from_validation, invalid
from gateway.protocols.openai_realtime.fields import SessionFields
from gateway.protocols.openai_realtime.session import Session

LONGEST_MODEL = 256


def session_of(
    given: dict[str, Any],
    *,
    model: str | None = None,
    interview: InterviewRequest | None = None,
) -> Session:
    """The effective session of a session object that was `given`; `model` comes before its own.

    Raises `ProtocolError`.
    """
    try:
        fields = SessionFields.model_validate({"type": "realtime", **given})
    except ValidationError as error:
        raise from_validation(error, "session") from None
    named = given.get("model") if model is None else model
    if not isinstance(named, str) or not named:
        raise invalid("Missing required parameter: 'model'.", "model", MISSING)
    if len(named) > LONGEST_MODEL:
        raise invalid(f"A model's name has at most {LONGEST_MODEL} characters.", "model")
    return Session.begin(named, interview).updated(fields, spoken=False)


def error_body(code: str, message: str, *, param: str | None = None) -> dict[str, Any]:
    """The body of an HTTP response that refuses a request."""
    error = error_event(code, message)["error"]
    return {"error": {**error, "param": param}}
