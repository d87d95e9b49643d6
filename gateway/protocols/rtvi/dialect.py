"""`Rtvi`: one client's RTVI messages, both ways. Pure."""

from collections.abc import Callable, Sequence
from typing import Any

from gateway.protocols.dialect import (
    Command,
    CommitTurn,
    InterruptReply,
    Leave,
    Outgoing,
    ProtocolError,
    Reconfigure,
    Send,
    SessionReady,
    TypedText,
)
from gateway.protocols.json_text import json_text
from gateway.protocols.request import SessionRequest
from gateway.protocols.rtvi.events import BotEvents, server_message
from gateway.protocols.rtvi.functions import Event, result_in
from gateway.protocols.rtvi.messages import (
    LABEL,
    MAJOR,
    OLDEST_MAJOR,
    VERSION,
    ClientMessage,
    flag_of,
    is_signalling,
    major_of,
    read,
    text_of,
)
from pipeline.frames import ReplyAudio

ABOUT = {"library": "parley"}


class Rtvi:
    """A `gateway.protocols.dialect.Dialect`, with audio beside the messages.

    The session is what `request` says; it begins with the client's first message. `clock` turns the
    loop's time into seconds since the epoch. With `signalled` the messages come over the data
    channel of a peer connection, and some are about that connection.
    """

    resumable = False
    runs_tools = True

    def __init__(
        self, request: SessionRequest, clock: Callable[[float], float], *, signalled: bool = True
    ) -> None:
        self.library = ""
        """The name of the client's library, as the client gives it; "" if it gives none."""
        self.events = BotEvents(clock)
        self._request = request
        self._signalled = signalled
        self._version = VERSION
        self._ready: SessionReady | None = None
        self._waits: str | None = None  # the id of a `client-ready` that waits for the session

    # --- from the client ---------------------------------------------------------------------

    def begin(self) -> Sequence[Command]:
        return (Reconfigure(self._request),)

    def parse(self, message: bytes, now: float) -> Sequence[Command]:
        """See `Dialect.parse`."""
        if self._signalled and is_signalling(message):
            return ()
        asked = read(message)
        match asked.kind:
            case "client-ready":
                return self._client_ready(asked)
            case "send-text":
                return self._text(asked)
            case "append-to-context":
                return self._appended(asked)
            case "client-message":
                return self._client_message(asked)
            case "llm-function-call-result":
                return self._result(asked)
            case "disconnect-bot":
                return (Leave(),)
            case _:
                text = f"Unsupported type {asked.kind[:40]}"
                raise asked.refused("unknown_type", text)

    def refuse(self, error: ProtocolError) -> Sequence[str]:
        """See `Dialect.refuse`."""
        if error.event_id is None:
            text = error.message
            return (self._message("error", {"error": text, "message": text, "fatal": False}),)
        return (self._message("error-response", {"error": error.message}, error.event_id),)

    def _client_ready(self, asked: ClientMessage) -> list[Command]:
        """Answer `client-ready`: an error for a wrong version; `bot-ready` once the session is."""
        told: list[Command] = []
        given = asked.data.get("version")
        major = major_of(given)
        if major is None or not OLDEST_MAJOR <= major <= MAJOR:
            text = f"this server speaks version {VERSION}, and {OLDEST_MAJOR}.x"
            told.append(Send(self._message("error-response", {"error": text}, asked.id)))
            self._version = VERSION
        else:
            self.events.old = major < MAJOR
            self._version = str(given)[:20] if major < MAJOR else VERSION
        about = asked.data.get("about")
        library = about.get("library") if isinstance(about, dict) else None
        self.library = library if isinstance(library, str) else ""
        if self._ready is None:
            self._waits = asked.id
        else:
            told += [Send(text) for text in self._bot_ready(asked.id, self._ready)]
        return told

    def _text(self, asked: ClientMessage) -> list[Command]:
        text = text_of(asked)
        options = asked.data.get("options")
        if options is not None and not isinstance(options, dict):
            raise asked.refused("bad_message", "data.options: an object is needed")
        if not flag_of(asked, options or {}, "run_immediately"):
            raise asked.refused("unsupported", "an interview takes no text that is not answered")
        return [TypedText(text)]  # which stops the reply under way

    def _appended(self, asked: ClientMessage) -> list[Command]:
        """Take the message that older clients send in place of `send-text`."""
        if asked.data.get("role", "user") != "user":
            raise asked.refused("unsupported", "an interview takes texts of the user alone")
        text = text_of(asked)
        if not asked.data.get("run_immediately", False):
            raise asked.refused("unsupported", "an interview takes no text that is not answered")
        return [TypedText(text)]  # which stops the reply under way

    def _result(self, asked: ClientMessage) -> list[Command]:
        """Take the result of a function that the client has run."""
        answer = result_in(asked)
        stopped = self._messages(self.events.calls.answered(answer.call_id))
        return [answer, *map(Send, stopped)]

    def _client_message(self, asked: ClientMessage) -> list[Command]:
        kind = asked.data.get("t")
        command: Command
        match kind:
            case "interrupt":
                command = InterruptReply(overtakes=True)
            case "commit":
                command = CommitTurn()
            case _:
                raise asked.refused("unknown_type", "data.t: known are interrupt and commit")
        answer = self._message("server-response", {"t": kind, "d": None}, asked.id)
        return [command, Send(answer)]

    # --- to the client -----------------------------------------------------------------------

    def encode(self, output: Outgoing, now: float) -> Sequence[str]:
        """See `Dialect.encode`."""
        if isinstance(output, SessionReady):
            self._ready = output
            waits, self._waits = self._waits, None
            return () if waits is None else self._bot_ready(waits, output)
        return self._messages(self.events.of(output, now))

    def audio(self, frame: ReplyAudio, data: bytes) -> Sequence[str] | None:
        """None: over WebRTC audio travels beside the messages."""
        return None

    def _bot_ready(self, name: str, ready: SessionReady) -> list[str]:
        about = {"version": self._version, "about": ABOUT}
        session = {
            "session_id": ready.session_id,
            "interview": ready.interview,
            "language": ready.language,
            "providers": ready.providers,
        }
        notices = [
            server_message("notice", {"code": code, "message": text})
            for code, text in ready.notices
        ]
        return [
            self._message("bot-ready", about, name),
            *self._messages([server_message("session", session), *notices]),
        ]

    def _messages(self, events: list[Event]) -> list[str]:
        return [self._message(kind, data) for kind, data in events]

    def _message(self, kind: str, data: dict[str, Any] | None, name: str = "") -> str:
        message: dict[str, Any] = {"label": LABEL, "type": kind}
        if name:
            message["id"] = name
        if data is not None:
            message["data"] = data
        return json_text(message)
