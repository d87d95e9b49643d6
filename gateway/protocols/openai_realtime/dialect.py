"""OpenAI's Realtime API (GA) as a dialect. Pure.

::

    OpenAiRealtime                one connection's messages, both ways
"""

from collections.abc import Sequence
from typing import Any, Literal

from gateway.protocols.dialect import (
    SESSION_EXPIRED,
    Command,
    Outgoing,
    OutOfBand,
    ProtocolError,
    ReplyTiming,
    Send,
    SentenceSpoken,
    SessionOver,
    SessionReady,
    Start,
    ToolCallEnded,
)
from gateway.protocols.json_text import json_text
from gateway.protocols.left_out import HEAD, MESSAGE_LEFT_OUT, LeftOut
from gateway.protocols.openai_realtime import events
from gateway.protocols.openai_realtime.errors import (
    ALREADY_RESPONDING,
    BUFFER_EMPTY,
    PERSON_SPEAKS,
    TOO_MANY_EVENTS,
    TOO_MANY_TURNS,
    Event,
    error_event,
)
from gateway.protocols.openai_realtime.requests import Requests, Step
from gateway.protocols.openai_realtime.responses import NewId
from gateway.protocols.openai_realtime.session import RealtimeSession
from pipeline.frames import (
    AvatarState,
    Clear,
    Degraded,
    Fault,
    ReplyAudio,
    ReplyDone,
    ReplyPaused,
    ReplyResumed,
    ReplyStarted,
    ReplyText,
    ReplyUsage,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    Transcript,
    TurnMetrics,
    Visemes,
)
from pipeline.ladder import CANNED, DUE, HOLDING, NO_TEXT

MOST_EARLY_BYTES = 16 * 1024 * 1024
"""The most that waits for `session.created`, which is always the first message. The answers to a
client that puts a whole conversation in at once are less."""

AUDIO_DELTA = "response.output_audio.delta"

RETRIEVED = "conversation.item.retrieved"

FRAME_MS = 20
"""How long a frame of reply audio is over RTP, where it is not measured."""

REFUSED_RESPONSES = {
    "reply_under_way": ALREADY_RESPONDING,
    "person_speaks": PERSON_SPEAKS,
    "too_many_turns": TOO_MANY_TURNS,
}
"""The engine's reason to refuse a `response.create` → the error that the client gets."""


class OpenAiRealtime:
    """One connection. `new_id("item")` gives "item_" and something unique.

    It begins with `session`, which `effective_session` makes. With `media="rtp"` audio travels
    beside the messages and playout is the server's: nothing is appended, no event carries audio,
    and what was not played is dropped for the client.
    """

    resumable = False
    runs_tools = False

    def __init__(
        self,
        session: RealtimeSession,
        *,
        new_id: NewId,
        media: Literal["messages", "rtp"] = "messages",
    ) -> None:
        self._new_id = new_id
        self._rtp = media == "rtp"
        self._requests = Requests(session, new_id, rtp=self._rtp)
        self._inputs = self._requests.inputs
        self._replies = self._requests.replies
        self._ready = False
        self._began = 0.0  # when the session did
        self._early: list[str] = []  # what waits for `session.created`
        self._early_bytes = 0
        self._delta_of: tuple[Any, ...] = ()  # where the last audio belongs,
        self._delta_head = ""  # and how that is written
        self._kept: list[str] = []  # closing events, for the next message whatever it is
        self._answers: list[str] = []  # the beginnings of the answers to the client's last event,
        self._answered: str | None = None  # and the `event_id` of that

    @property
    def session(self) -> RealtimeSession:
        """The effective session."""
        return self._requests.session

    # --- from the client ---------------------------------------------------------------------

    def begin(self) -> Sequence[Command]:
        """The session starts at once: the API has no message that asks for it."""
        return [Start(self._requests.request())]

    def parse(self, message: bytes, now: float) -> Sequence[Command]:
        """See `Dialect.parse`."""
        audio = events.PLAIN_APPENDS.audio(message)
        event, event_id = (None, None) if audio is not None else events.read(message)
        if self._early_bytes > MOST_EARLY_BYTES:
            raise ProtocolError(TOO_MANY_EVENTS, "Wait for session.created.", fatal=True)
        self._kept += self._messages(self._replies.flush())
        try:
            if audio is not None:
                steps: Sequence[Step] = self._requests.append(audio)
            else:
                assert event is not None
                steps = self._requests.obey(event, event_id)
        except ProtocolError as error:
            error.event_id = event_id
            raise
        commands: list[Command] = [Send(text) for text in self._take_kept()]
        self._answers, self._answered = [], event_id
        for step in steps:
            if isinstance(step, dict):
                private = step["type"] == RETRIEVED
                texts = self._messages([step])
                self._answers += [text[:HEAD] for text in texts]
                commands.extend(Send(text, private) for text in texts)
            else:
                commands.append(step)
        return commands

    def refuse(self, error: ProtocolError) -> Sequence[str]:
        """See `Dialect.refuse`."""
        event = error_event(error.code, error.message, param=error.param, event_id=error.event_id)
        return [*self._take_kept(), self._message(event)]

    # --- to the client -----------------------------------------------------------------------

    def encode(self, output: Outgoing, now: float) -> Sequence[str]:
        """See `Dialect.encode`."""
        if isinstance(output, SessionReady):
            self._began = now
            return self._begin(output)
        made = self._events(output, now)
        if isinstance(output, Fault) and output.fatal:  # nothing comes after it
            self._early = []
            return [*self._take_kept(), *map(self._message, made)]
        return self._messages(made)

    def audio(self, frame: ReplyAudio, data: bytes) -> Sequence[str]:
        """Reply audio as `response.output_audio.delta`; over RTP only what its beginning means."""
        events = self._replies.flush()
        if self._rtp:
            events += self._replies.audio(frame.turn, b"", frame.at_ms, FRAME_MS)
        else:
            duration_ms = self.session.audio_out.audio_format().duration_ms(data)
            events += self._replies.audio(frame.turn, data, frame.at_ms, duration_ms)
        return self._messages(events)

    def joined(self) -> Sequence[str]:
        """The messages for a sideband that comes to the session as it is; none before it stands."""
        return [self._created()] if self._ready else []

    def _created(self) -> str:
        payload = self.session.payload(self._requests.session_id)
        return self._message({"type": "session.created", "session": payload})

    def _begin(self, ready: SessionReady) -> list[str]:
        self._ready = True
        self._requests.session_id = ready.session_id
        created = self._created()
        early, self._early, self._early_bytes = self._early, [], 0
        # The API has no place for what the session's language lacks.
        told = [error_event(code, text, server=True) for code, text in ready.notices]
        return [created, *map(self._message, told), *early]

    def _events(self, output: Outgoing, now: float) -> list[Event]:
        inputs, replies = self._inputs, self._replies
        match output:
            case LeftOut(head, text=text):
                event_id = self._answered if head in self._answers else None
                return [error_event(MESSAGE_LEFT_OUT, text, event_id=event_id)]
            case SpeechStarted(turn):
                gone = inputs.superseded(turn)
                began = inputs.started(output)
                return [*began, *replies.speech_began(turn), *gone]
            case TurnMetrics(turn=turn):  # comes between the end of a reply and SpeechStarted
                reason = "The words were not recognised."
                unheard = [] if output.carried else inputs.unheard(turn, reason)
                return [*unheard, *replies.silent(turn)]
            case AvatarState(turn, state):
                return self._mood(turn, state, now)
            case OutOfBand():
                return self._requests.out_of_band.output(output)
            case (
                SentenceSpoken() | SessionOver() | ToolCallEnded()
            ):  # the API has no event for them
                return []
            case _:
                return [*replies.flush(), *self._reply_events(output, now)]

    def _mood(self, turn: int, state: str, now: float) -> list[Event]:
        if state == "thinking":
            return [*self._replies.flush(), *self._thinking(turn, now)]
        if state == "idle":
            return [*self._replies.flush(), *self._replies.silent(turn)]
        return []

    def _thinking(self, turn: int, now: float) -> list[Event]:
        """The turn has ended; the engine works on a reply unless the turn is to have none."""
        session = self.session
        if self._inputs.speaks_in(turn):
            # A manual turn gets its response with `response.create`, or at last with its reply.
            waits = not self._replies.wanted if session.manual else False
            if not session.replies or waits:
                return []
        elif self._times_out(turn):
            passed_ms = (now - self._began) * 1000 if self._rtp else None
            silence = self._inputs.timed_out(turn, session.idle_timeout_ms, passed_ms)
            return [*silence, *self._replies.open(turn)]
        return self._replies.open(turn)

    def _times_out(self, turn: int) -> bool:
        """Whether this turn's reply was not asked for, but comes from the idle timeout."""
        replies = self._replies
        asked = replies.wanted or replies.answers(turn)
        return self._ready and self.session.idle_timeout_ms > 0 and not asked

    def _reply_events(self, output: Outgoing, now: float) -> list[Event]:
        inputs, replies = self._inputs, self._replies
        match output:
            case SpeechStopped(turn):
                return [*inputs.stopped(output), *self._thinking(turn, now)]
            case Transcript(turn, final=final):
                if final:
                    replies.holds(turn, held=False)
                return inputs.transcript(output)
            case ReplyStarted(turn):
                return replies.started(turn)
            case ReplyText(turn, text, filler):
                return replies.said(turn, text, filler=filler)
            case ReplyAudio(turn=turn, at_ms=at_ms):
                return replies.audio(turn, b"", at_ms, FRAME_MS)
            case ReplyTiming(turn):
                return replies.timed(turn)
            case Visemes() if self.session.animation:
                return replies.shapes(output)
            case ReplyUsage():
                replies.used(output)
            case ToolCall():
                return replies.called(output)
            case Clear() | ReplyPaused():
                replies.cut_off(output)
            case ReplyResumed(turn):
                replies.resumed(turn)
            case ReplyDone():
                return replies.done(output)
            case Degraded():
                return self._degraded(output)
            case Fault():
                return self._fault(output)
            case _:  # pictures, the interview's progress: the API has no event
                pass
        return []

    def _degraded(self, output: Degraded) -> list[Event]:
        """Only what the client must know: a turn whose words or whose reply are lost."""
        if output.stage == "stt" and output.target == NO_TEXT:
            return self._inputs.unheard(output.turn, output.reason)
        if output.target == HOLDING:
            self._replies.holds(output.turn, held=True)
        if output.target == DUE:
            self._replies.due(output.turn)
        if output.target != CANNED:
            return []
        if output.stage == "stt":
            self._replies.canned(output.turn, None)
            return self._inputs.unheard(output.turn, output.reason)
        self._replies.canned(output.turn, f"{output.stage}_unavailable")
        return []

    def _fault(self, fault: Fault) -> list[Event]:
        if fault.code == "nothing_to_commit":
            event_id = self._inputs.uncommitted()
            faults = [error_event(BUFFER_EMPTY, fault.message, event_id=event_id)]
            if self.session.is_interview and self._replies.wanted:  # it waited for this turn
                event_id = self._replies.refused()
                faults.append(error_event(BUFFER_EMPTY, fault.message, event_id=event_id))
            return faults
        code = REFUSED_RESPONSES.get(fault.code)
        if code is not None:
            return [error_event(code, fault.message, event_id=self._replies.refused())]
        if fault.code == "not_stored":
            self._replies.canned(fault.turn, fault.code)
        server = fault.code != SESSION_EXPIRED  # which the API has as the client's
        return [error_event(fault.code, fault.message, server=server)]

    # --- messages ----------------------------------------------------------------------------

    def _messages(self, made: list[Event]) -> list[str]:
        messages = [self._message(event) for event in made]
        if self._ready:
            return messages
        self._early += messages
        self._early_bytes += sum(map(len, messages))
        return []

    def _message(self, event: Event) -> str:
        if event["type"] == AUDIO_DELTA:
            return self._audio_delta(event)
        numbered = {"type": event["type"], "event_id": self._new_id("event"), **event}
        return json_text(numbered)

    def _audio_delta(self, event: Event) -> str:
        """The message for a piece of audio, most of which is that of the piece before."""
        place = (event["response_id"], event["item_id"], event["output_index"])
        if place != self._delta_of:
            self._delta_of = place
            fields = {name: event[name] for name in event if name not in ("type", "delta")}
            self._delta_head = f'{json_text(fields)[1:-1]},"delta":"'
        own = self._new_id("event")  # neither it nor base64 has anything to escape
        return f'{{"type":"{AUDIO_DELTA}","event_id":"{own}",{self._delta_head}{event["delta"]}"}}'

    def _take_kept(self) -> list[str]:
        kept, self._kept = self._kept, []
        return kept
