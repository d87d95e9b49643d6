"""The replies of the default conversation: which response is whose, and how each ends. Pure.

A response is created as soon as the engine works on a reply, and it ends with the reply's last
sample heard, so that `response.done` comes when the client has played nearly all of it. One is
active at a time, as in the engine.

Where speech stops a reply, the engine says first that the reply is over and then that speech began;
clients need it the other way round, to know what they have played. The closing events are kept for
that moment (`speech_began`, `flush`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.protocols.openai_realtime.conversation import Conversation
from gateway.protocols.openai_realtime.errors import ALREADY_RESPONDING, Event, invalid
from gateway.protocols.openai_realtime.fields import ResponseFields
from gateway.protocols.openai_realtime.responses import NewId, Outcome, Reason, Response
from gateway.protocols.openai_realtime.session import RealtimeSession
from pipeline.frames import Clear, ReplyDone, ReplyPaused, ReplyUsage, ToolCall, Visemes
from pipeline.token_usage import TokenUsage


@dataclass(frozen=True, slots=True)
class WantedResponse:
    """A `response.create` that the engine has not begun to obey."""

    event_id: str | None
    fields: ResponseFields | None


@dataclass(frozen=True, slots=True)
class _Ending:
    outcome: Outcome
    reason: Reason | None = None
    heard: str | None = None
    heard_ms: float | None = None


class Responses:
    """One session's. Methods return the events that follow. With `rtp` audio travels as RTP."""

    def __init__(
        self,
        conversation: Conversation,
        new_id: NewId,
        session: Callable[[], RealtimeSession],
        *,
        rtp: bool,
    ) -> None:
        self.heard_any = False
        """The client has been sent audio."""
        self._conversation = conversation
        self._new_id = new_id
        self._session = session
        self._rtp = rtp
        self._active: Response | None = None
        self._newest = -1  # the newest turn that has or had a response
        self._wanted: WantedResponse | None = None
        self._cancelling = False
        self._held: int | None = None  # the turn whose words are waited for
        self._heard_ms: float | None = None  # of the active response, once it was cut off
        self._ending: _Ending | None = None  # of the active response, until speech began
        self._playing = False  # over RTP: the active response is heard
        # The newest turn that is known to have taken tokens, and them.
        self._used = -1, TokenUsage()

    # --- what the client wants ---------------------------------------------------------------

    def want(self, event_id: str | None, fields: ResponseFields | None) -> bool:
        """`response.create`; returns whether it waits for the active response.

        That is so where the active response called a function: clients answer the call while the
        words before it are still being heard. Raises `ProtocolError` while any other is active.
        """
        waits = self._active is not None and self._active.called
        if (self._active is not None and not waits) or self._wanted is not None:
            text = "Conversation already has an active response in progress."
            if self._active is not None:
                text = f"{text[:-1]}: {self._active.id}."
            raise invalid(f"{text} Wait until it is done.", None, ALREADY_RESPONDING)
        self._wanted = WantedResponse(event_id, fields)
        return waits

    def refused(self) -> str | None:
        """The engine does not obey; returns the id of the `response.create`."""
        wanted, self._wanted = self._wanted, None
        return None if wanted is None else wanted.event_id

    @property
    def wanted(self) -> bool:
        """A `response.create` waits for the engine."""
        return self._wanted is not None

    def is_active(self, response_id: str | None) -> bool:
        """Whether this response, or where None any, is under way."""
        active = self._active
        return active is not None and response_id in (None, active.id)

    @property
    def playing(self) -> bool:
        """Over RTP: the active response is heard."""
        return self._playing

    def answers(self, turn: int) -> bool:
        """Whether this turn has or had a response."""
        return turn <= self._newest

    def cancel(self) -> bool:
        """The client stops the active reply; False where it has already. The engine is to be asked,
        and its outputs end the response."""
        asked, self._cancelling = self._cancelling, True
        return not asked

    def withdraw(self) -> list[Event]:
        """The client cancels a `response.create` that the engine has not begun to obey."""
        response = self._response(turn=None)
        return [*response.begin(), *response.close("cancelled", "client_cancelled")]

    # --- the engine's reply ------------------------------------------------------------------

    def open(self, turn: int) -> list[Event]:
        """A reply to this turn is under way; nothing where that is known or past."""
        if turn <= self._newest:
            return []
        events = self._close(_Ending("cancelled", "turn_detected"))  # none is left open
        self._newest = turn
        self._active = self._response(turn)
        return [*events, *self._active.begin()]

    def _response(self, turn: int | None) -> Response:
        wanted, self._wanted = self._wanted, None
        fields = None if wanted is None else wanted.fields
        session = self._session()
        audio = session.audio_output()
        if fields is not None and fields.voice is not None:
            audio["voice"] = fields.voice
        limit = None if fields is None else fields.max_output_tokens
        return Response(
            self._new_id("resp"),
            self._new_id,
            conversation=self._conversation,
            turn=turn,
            modality=session.modality_of(fields),
            audio=audio,
            max_output_tokens=limit or session.max_output_tokens,
            wanted=fields,
        )

    def _of(self, turn: int) -> tuple[Response | None, list[Event]]:
        """The open response of a turn, made if need be; None for a turn that is over."""
        events = self.open(turn)
        active = self._active
        return (active if active is not None and active.turn == turn else None), events

    def started(self, turn: int) -> list[Event]:
        """The reply's message begins."""
        response, events = self._of(turn)
        return events if response is None else events + response.open_message()

    def said(self, turn: int, text: str, *, filler: bool = False) -> list[Event]:
        """The next sentence of the reply; a filler is not the chat model's."""
        response, events = self._of(turn)
        if response is None or not text:
            return events
        message = response.message
        more = text if message is None or not message.text else f" {text}"
        held = self._held == turn
        return events + response.say(more, aside=held, written=not (filler or held))

    def holds(self, turn: int, *, held: bool) -> None:
        """Note whether this turn's next lines are holding lines, until its words are recognised."""
        self._held = turn if held else None

    def due(self, turn: int) -> None:
        """From here on the reply is the due line (`DUE`), which the chat model did not write."""
        if self._active is not None and self._active.turn == turn:
            self._active.written = False

    def audio(self, turn: int, data: bytes, at_ms: float, duration_ms: float) -> list[Event]:
        """The next audio of the reply."""
        response, events = self._of(turn)
        if response is None or not response.spoken:
            return events
        self.heard_any = True
        events += response.audio(data, at_ms, duration_ms)
        return events + (self._buffer_started(response) if self._rtp else [])

    def shapes(self, visemes: Visemes) -> list[Event]:
        """Mouth shapes of audio that follows, where the session has them."""
        response, events = self._of(visemes.turn)
        if response is None or not response.spoken:
            return events
        return events + response.shapes(visemes.cues, self._session().animation)

    def timed(self, turn: int) -> list[Event]:
        """Over RTP: audio of this turn's reply is on its way."""
        response, events = self._of(turn)
        if response is None or not response.spoken:
            return events
        self.heard_any = True
        return [*events, *response.open_message(), *self._buffer_started(response)]

    def _buffer_started(self, response: Response) -> list[Event]:
        if self._playing:
            return []
        self._playing = True
        return [{"type": "output_audio_buffer.started", "response_id": response.id}]

    def called(self, call: ToolCall) -> list[Event]:
        """The reply asks for a function."""
        response, events = self._of(call.turn)
        if response is None:
            return events
        return events + response.call(call.call_id, call.name, call.arguments)

    def used(self, usage: ReplyUsage) -> None:
        """The reply has taken so much of the chat model. Its response may not be open yet."""
        self._used = usage.turn, usage.tokens

    def canned(self, turn: int, failure: str | None) -> None:
        """A canned line takes the place of the reply; `failure` where the reply failed."""
        response = self._active
        if response is not None and response.turn == turn:
            response.failure = failure
            response.aside = True

    def cut_off(self, output: Clear | ReplyPaused) -> None:
        """The reply has been heard so far, and is not heard on for now."""
        if self._active is not None and self._active.turn == output.turn:
            self._heard_ms = output.at_ms

    def resumed(self, turn: int) -> None:
        """It goes on. Its audio comes again from the last word on, which the client hears twice."""
        if self._active is not None and self._active.turn == turn:
            self._heard_ms = None

    # --- the end -----------------------------------------------------------------------------

    def done(self, output: ReplyDone) -> list[Event]:
        """The reply is over."""
        response, events = self._of(output.turn)
        if response is None or self._ending is not None:
            return events
        if not output.interrupted:
            outcome: Outcome = "completed" if response.failure is None else "failed"
            return events + self._end(_Ending(outcome))
        if self._cancelling:
            return events + self._end(self._cut("client_cancelled", output.heard))
        self._ending = self._cut("turn_detected", output.heard)
        return events

    def _cut(self, reason: Reason, heard: str) -> _Ending:
        return _Ending("cancelled", reason, heard, self._heard_ms)

    def silent(self, turn: int) -> list[Event]:
        """The engine is done with the turn: a response that it never spoke ends."""
        active = self._active
        if active is None or active.turn != turn or self._ending is not None:
            return []
        reason: Reason = "client_cancelled" if self._cancelling else "turn_detected"
        heard = None if active.message is None else ""
        return self._end(_Ending("cancelled", reason, heard, self._heard_ms))

    def speech_began(self, turn: int) -> list[Event]:
        """The person speaks, in a turn of its own: whatever came before it is over."""
        if self._active is not None and self._active.turn is not None and self._ending is None:
            return self.silent(self._active.turn) if self._active.turn < turn else []
        return self.flush()

    def flush(self) -> list[Event]:
        """The closing events that were kept, if there are any."""
        return [] if self._ending is None else self._end(self._ending)

    def _end(self, ending: _Ending) -> list[Event]:
        """The active response ends; the engine drops one that waited for it where it is cut off."""
        waited = self._active is not None and self._active.called and self._wanted is not None
        cancelled = (self._ending or ending).outcome == "cancelled"
        events = self._close(ending)
        return [*events, *self.withdraw()] if waited and cancelled else events

    def _close(self, ending: _Ending) -> list[Event]:
        response = self._active
        if response is None:
            return []
        kept, playing = self._ending, self._playing
        self._active = self._ending = self._heard_ms = None
        self._cancelling = self._playing = False
        ending = kept or ending
        heard_ms = ending.heard_ms
        if self._used[0] == response.turn:
            response.tokens = self._used[1]
        events = response.close(
            ending.outcome, ending.reason, heard=ending.heard, heard_ms=heard_ms
        )
        if not playing:
            return events
        cancelled = ending.outcome == "cancelled"
        kind = "cleared" if cancelled else "stopped"
        events.append({"type": f"output_audio_buffer.{kind}", "response_id": response.id})
        message = response.message
        if cancelled and message is not None and message.id in self._conversation:
            events.append(truncated(message.id, int(heard_ms or 0)))
        return events


def truncated(item_id: str, audio_end_ms: int) -> Event:
    """`conversation.item.truncated`."""
    return {
        "type": "conversation.item.truncated",
        "item_id": item_id,
        "content_index": 0,
        "audio_end_ms": audio_end_ms,
    }
