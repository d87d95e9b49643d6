"""How a Live session begins: by the URL of its WebSocket, and by `session.start`. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.protocols.dialect import Command, ProtocolError, Start
from gateway.protocols.openai_live import events
from gateway.protocols.openai_live.errors import NOT_STARTED, error_of, invalid
from gateway.protocols.openai_live.fields import InitialItemFields
from gateway.protocols.openai_live.history import LiveHistory
from gateway.protocols.openai_live.session import LiveApiSession
from gateway.protocols.request import InterviewRequest
from pipeline.languages import AUTO, code_of

BEGIN = "The first event of a session is session.start."


@dataclass(frozen=True, slots=True)
class LiveOpening:
    """The settings in a session's URL: the interview's role, and the person's language."""

    interview: InterviewRequest | None = None
    language: str | None = None

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> "LiveOpening":
        """Reads the parameters of a URL. Raises `ProtocolError`."""
        role, language = parameters.get("role"), parameters.get("language")
        interview = None if role is None else InterviewRequest(role)
        if language is None or language == AUTO:
            return cls(interview, language)
        try:
            return cls(interview, code_of(language))
        except ValueError as error:
            raise invalid(f"Invalid value for 'language': {error}.", "language") from None

    def session(self, event: events.StartSession) -> tuple[LiveApiSession, LiveHistory]:
        """The session that is asked for, and the conversation before it."""
        session = LiveApiSession.of(event.session, self.interview, self.language)
        history = LiveHistory()
        for item in event.session.input or ():
            _put(history, item)
        return session, history


def start_of(message: bytes) -> Command:
    """The `Start` in the first event of a client. Raises `ProtocolError` for any other."""
    event, event_id = events.read(message)
    if not isinstance(event, events.StartSession):
        raise ProtocolError(NOT_STARTED, BEGIN, event_id=event_id)
    session, history = LiveOpening().session(event)
    return Start(session.request(history))


def error_body(code: str, message: str, *, param: str | None = None) -> dict[str, Any]:
    """The body of an HTTP response that refuses a request."""
    return {"error": {**error_of(code, message), "param": param}}


def _put(history: LiveHistory, item: InitialItemFields) -> None:
    role = "system" if item.role == "developer" else item.role
    history.put(role, item.content[0].text)
