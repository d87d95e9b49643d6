"""How a session begins, from an HTTP request: its model and its session object. Pure."""

from collections.abc import Mapping
from typing import Any

from gateway.protocols.openai_realtime.errors import MISSING, error_event, invalid
from gateway.protocols.openai_realtime.requests import effective_session
from gateway.protocols.openai_realtime.session import RealtimeSession
from gateway.protocols.request import InterviewRequest

LONGEST_MODEL = 256


def session_of(
    given: Mapping[str, Any],
    *,
    model: str | None = None,
    interview: InterviewRequest | None = None,
) -> RealtimeSession:
    """The effective session of a session object that was `given`; `model` comes before its own.

    Raises `ProtocolError`.
    """
    named = given.get("model") if model is None else model
    if not isinstance(named, str) or not named:
        raise invalid("Missing required parameter: 'model'.", "model", MISSING)
    if len(named) > LONGEST_MODEL:
        raise invalid(f"A model's name has at most {LONGEST_MODEL} characters.", "model")
    return effective_session(named, {"type": "realtime", **given}, interview)


def error_body(
    code: str, message: str, *, param: str | None = None, server: bool = False
) -> dict[str, Any]:
    """The body of an HTTP response that refuses a request; `server`: not by the client's fault."""
    error = error_event(code, message, server=server)["error"]
    return {"error": {**error, "param": param}}
