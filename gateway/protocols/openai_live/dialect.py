"""OpenAI's Live API as a dialect. Pure.

::

    OpenAiLive                    one connection's messages, both ways
"""

from binascii import b2a_base64
from collections.abc import Callable, Sequence
from typing import Any

from gateway.protocols.dialect import (
    SESSION_EXPIRED,
    CloseCode,
    Command,
    GoingAway,
    Leave,
    Outgoing,
    ProtocolError,
    Send,
    SentenceSpoken,
    SessionExpires,
    SessionOver,
    SessionReady,
    Start,
)
from gateway.protocols.json_text import json_text
from gateway.protocols.openai_live import events
from gateway.protocols.openai_live.errors import (
    ALREADY_STARTED,
    NOT_STARTED,
    REFUSED_RESPONSES,
    Event,
    error_event,
    invalid,
)
from gateway.protocols.openai_live.opening import BEGIN, LiveOpening
from gateway.protocols.openai_live.requests import LiveRequests
from gateway.protocols.openai_live.tokens import ReplyTokens
from gateway.protocols.openai_live.transcripts import LiveTranscripts
from pipeline.frames import (
    Clear,
    Degraded,
    Fault,
    ReplyAudio,
    ReplyDone,
    ReplyPaused,
    ReplyStarted,
    ReplyText,
    ReplyUsage,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    Transcript,
    TurnMetrics,
)
from pipeline.ladder import DUE

NewId = Callable[[str], str]
"""Makes an id that begins with the given word and "_"."""


_DELTA = '{"type":"session.output_audio.delta","delta":"'


class OpenAiLive:
    """One connection. `new_id("event")` gives "event_" and something unique.

    The session begins with the client's `session.start`; `opening` is what its URL says. It ends at
    `expires_at` (a Unix time). `clock` is the loop's: what is sent now lies there on the session's
    timeline.
    """

    resumable = False
    runs_tools = False

    def __init__(
        self,
        opening: LiveOpening,
        *,
        new_id: NewId,
        clock: Callable[[], float],
        expires_at: int,
    ) -> None:
        self._opening = opening
        self._new_id = new_id
        self._clock = clock
        self._expires_at = expires_at
        self._requests: LiveRequests | None = None  # once the client has sent `session.start`
        self._transcripts = LiveTranscripts()
        self._tokens = ReplyTokens()
        self._session_id = ""
        self._start_id: str | None = None  # the client's event
        self._close_id: str | None = None
        self._closing = False  # the client has asked for the end
        self._began: float | None = None  # when the session started, by the clock
        self._expired = False

    # --- from the client ---------------------------------------------------------------------

    def begin(self) -> Sequence[Command]:
        return ()  # `session.start` says how the session begins

    def parse(self, message: bytes, now: float) -> Sequence[Command]:
        """See `Dialect.parse`."""
        event, event_id = events.read(message)
        try:
            return self._obey(event, event_id, now)
        except ProtocolError as error:
            error.event_id = event_id
            raise

    def _obey(
        self, event: events.ClientEvent, event_id: str | None, now: float
    ) -> Sequence[Command]:
        requests = self._requests
        match event:
            case events.StartSession():
                return self._start(event, event_id)
            case _ if requests is None:
                raise invalid(BEGIN, "type", NOT_STARTED)
            case events.LiveAppendAudio(audio=audio):
                duration_ms, commands = requests.append(audio)
                self._transcripts.input.append(duration_ms, self._at_ms(now))
                return commands
            case events.CloseSession():
                self._closing, self._close_id = True, event_id
                return (Leave(),)
            case _ if self._began is None:
                raise invalid("Wait for session.started.", "type", NOT_STARTED)
            case _:
                at_ms = int(self._at_ms(now))
                commands, told = requests.obey(event, event_id, at_ms, self._tell)
                return [*(Send(self._message(event)) for event in told), *commands]

    def _start(self, event: events.StartSession, event_id: str | None) -> Sequence[Command]:
        if self._requests is not None:
            raise invalid("session.start comes once.", "type", ALREADY_STARTED)
        session, history = self._opening.session(event)
        self._requests, self._start_id = LiveRequests(session, history), event_id
        return (Start(session.request(history)),)

    def refuse(self, error: ProtocolError) -> Sequence[str]:
        """See `Dialect.refuse`."""
        event = error_event(error.code, error.message, param=error.param, event_id=error.event_id)
        return (self._message(event),)

    # --- to the client -----------------------------------------------------------------------

    def encode(self, output: Outgoing, now: float) -> Sequence[str]:
        """See `Dialect.encode`."""
        return [self._message(event) for event in self._events(output, self._at_ms(now), now)]

    def audio(self, frame: ReplyAudio, data: bytes) -> Sequence[str]:
        """Reply audio, and the words that begin in it."""
        delta = f'{_DELTA}{b2a_base64(data, newline=False).decode()}"}}'
        if self._requests is None:
            return (delta,)
        now_ms = self._at_ms(self._clock())
        duration_ms = self._requests.session.audio_format.duration_ms(data)
        words = self._transcripts.played(frame.at_ms, duration_ms, now_ms)
        return (delta, *map(self._message, words)) if words else (delta,)

    def _events(self, output: Outgoing, now_ms: float, now: float) -> Sequence[Event]:
        requests, transcripts = self._requests, self._transcripts
        if requests is None:  # nothing has been asked for that could be answered
            return _fault(output) if isinstance(output, Fault) else ()
        match output:
            case SessionReady():
                return self._started(output, now)
            case SpeechStarted(turn, at_ms):
                transcripts.speech_began(turn, at_ms)
            case SpeechStopped(turn, at_ms):
                transcripts.speech_ended(turn, at_ms)
            case Transcript(turn, text, final=True):
                requests.heard(turn, text)
                return transcripts.understood(turn, text)
            case ReplyStarted(turn):
                requests.reply(turn)
                transcripts.reply_began()
            case ReplyText(turn, text, filler):
                requests.replies(turn, text)
                if not filler:
                    self._tokens.said(turn, text)
                transcripts.reply_says(text)
            case SentenceSpoken(_, from_ms, until_ms):
                return transcripts.reply_lies(from_ms, until_ms)
            case Clear() | ReplyPaused():
                transcripts.reply_stopped(now_ms)
            case ReplyUsage():
                self._tokens.used(output)
            case ReplyDone(turn, interrupted, heard):
                requests.replied(turn, heard)
                words = transcripts.reply_over(heard, now_ms)
                return [*words, *self._response_over(turn, interrupted=interrupted)]
            case ToolCall():
                self._tokens.said(output.turn, output.arguments)
                return requests.called(output, int(now_ms), self._new_id)
            case Degraded():
                requests.degraded(output)
                if output.target == DUE:
                    self._tokens.due(output.turn)
            case TurnMetrics(turn, carried=carried):
                transcripts.turn_over(turn, carried=carried)
                told = self._response_over(turn, interrupted=True)  # it was stopped unheard
                return [*told, {"type": "session.usage.updated", "usage": self._usage(now_ms)}]
            case Fault():
                return self._fault(output)
            case SessionOver(code):
                return self._closed(code, now_ms)
            case GoingAway(in_ms):
                text = f"The server restarts: the session ends within {in_ms} ms."
                return (_info("going_away", text),)
            case SessionExpires(in_ms):
                return (_info("session_expires", f"The session ends in {in_ms} ms."),)
            case _:  # mouth shapes, moods, the interview's progress: the API has no event
                pass
        return ()

    def _response_over(self, turn: int, *, interrupted: bool) -> list[Event]:
        """The event with the tokens of a turn's reply; none if it was sent or no model was used."""
        assert self._requests is not None
        if not self._tokens.counts(turn):
            return []
        response = self._requests.response_of(turn, self._new_id)
        return self._tokens.over(response, interrupted=interrupted)

    def _started(self, ready: SessionReady, now: float) -> list[Event]:
        self._began, self._session_id = now, ready.session_id
        started = self._tell("session.started", self._start_id, session=self._payload())
        return [started, *(_info(code, text) for code, text in ready.notices)]

    def _fault(self, fault: Fault) -> Sequence[Event]:
        assert self._requests is not None
        self._expired = self._expired or fault.code == SESSION_EXPIRED
        if fault.code in REFUSED_RESPONSES:
            event_id = self._requests.refused()
            return (error_event(REFUSED_RESPONSES[fault.code], fault.message, event_id=event_id),)
        return _fault(fault)

    def _closed(self, code: CloseCode, now_ms: float) -> Sequence[Event]:
        if self._began is None:
            return ()
        reason = "remote_hangup" if code is CloseCode.FINISHED else "connection_lost"
        if self._closing:
            reason = "close_requested"
        closed = self._tell(
            "session.closed",
            self._close_id,
            reason="expired" if self._expired else reason,
            session=self._payload(),
            usage=self._usage(now_ms),
        )
        self._began = None
        return (closed,)

    # --- parts of events ---------------------------------------------------------------------

    def _at_ms(self, now: float) -> float:
        """Where `now` lies on the session's timeline."""
        return 0.0 if self._began is None else max(0.0, (now - self._began) * 1000)

    def _usage(self, now_ms: float) -> dict[str, Any]:
        return {"seconds": int(now_ms / 1000)}

    def _payload(self) -> dict[str, Any]:
        assert self._requests is not None
        return self._requests.session.payload(self._session_id, self._expires_at)

    def _tell(self, kind: str, event_id: str | None, **fields: Any) -> Event:
        """An event that answers the client's `event_id`."""
        if kind == "session.updated":
            fields["session"] = self._payload()
        named = {} if event_id is None else {"client_event_id": event_id}
        return {"type": kind, **named, **fields}

    def _message(self, event: Event) -> str:
        return json_text({"event_id": self._new_id("event"), **event})


def _fault(fault: Fault) -> Sequence[Event]:
    return (error_event(fault.code, fault.message),)


def _info(code: str, message: str) -> Event:
    return {"type": "info", "code": code, "message": message}
