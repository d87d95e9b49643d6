"""Turns client events into commands for the session, or into events that answer at once. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from pydantic import ValidationError

from gateway.media.format import LONGEST_MESSAGE_MS
from gateway.protocols.dialect import (
    AudioMessage,
    ClearAudio,
    Command,
    CommitTurn,
    InterruptReply,
    Reconfigure,
    Respond,
    StopOutOfBand,
    Truncate,
    TypedText,
)
from gateway.protocols.openai_realtime import conversation as conversations
from gateway.protocols.openai_realtime import events
from gateway.protocols.openai_realtime.conversation import Conversation
from gateway.protocols.openai_realtime.errors import (
    INVALID_EVENT,
    NOT_RESPONDING,
    Event,
    from_validation,
    invalid,
)
from gateway.protocols.openai_realtime.fields import ResponseFields, SessionFields
from gateway.protocols.openai_realtime.inputs import Inputs
from gateway.protocols.openai_realtime.items import RealtimeItem, made
from gateway.protocols.openai_realtime.out_of_band import OutOfBandResponses, context
from gateway.protocols.openai_realtime.replies import Responses, truncated
from gateway.protocols.openai_realtime.responses import NewId
from gateway.protocols.openai_realtime.session import RealtimeSession
from gateway.protocols.request import InterviewRequest, SessionRequest

LONGEST_APPEND_MS = 60_000
LONGEST_TYPED_BYTES = 8 * 1024
"""The longest answer that may be typed in an interview."""

SLACK_MS = 20
"""A client's clock may be this far ahead of the audio that it has been sent."""

Step: TypeAlias = Command | Event
"""One result of a client event: a command for the session, or an event that answers it."""


def effective_session(
    model: str, update: Mapping[str, Any] | None = None, interview: InterviewRequest | None = None
) -> RealtimeSession:
    """The session that a client secret or a call describes, with every default filled in.

    Raises `ProtocolError` for one that cannot be.
    """
    session = RealtimeSession.begin(model, interview)
    if update is None:
        return session
    try:
        fields = SessionFields.model_validate(update)
    except ValidationError as error:
        raise from_validation(error, "session") from None
    return session.updated(fields, spoken=False)


class Requests:
    """One session's state, as the client changes it. With `rtp` audio travels beside messages."""

    def __init__(self, session: RealtimeSession, new_id: NewId, *, rtp: bool) -> None:
        self.session = session
        self.session_id: str | None = None
        """None until the session stands."""
        self.conversation = Conversation(new_id("conv"))
        self.inputs = Inputs(self.conversation, new_id, lambda: self.session)
        self.replies = Responses(self.conversation, new_id, lambda: self.session, rtp=rtp)
        self.out_of_band = OutOfBandResponses(self.conversation, new_id)
        self._new_id = new_id
        self._rtp = rtp
        self._typed: list[RealtimeItem] = []  # for the interview, by the next `response.create`

    def request(self) -> SessionRequest:
        """Gives the request for the session as the client has configured it so far."""
        return self.session.request(self.conversation.messages)

    def obey(self, event: events.ClientEvent, event_id: str | None) -> Sequence[Step]:
        """Gives the steps that follow from `event`, in order.

        Raises `ProtocolError`, without the `event_id`, for an event that cannot be obeyed.
        """
        match event:
            case events.AppendAudio(audio=audio):
                return self.append(audio)
            case events.UpdateSession(session=fields):
                return self._update(fields)
            case events.CommitAudio():
                self.inputs.commit(event_id, counted=not self._rtp)
                return [CommitTurn()]
            case events.ClearInput():
                return [ClearAudio(), *self.inputs.clear()]
            case events.CreateItem():
                return self._create(event)
            case events.RetrieveItem(item_id=item_id):
                item = self.conversation.find(item_id).payload()
                return [{"type": "conversation.item.retrieved", "item": item}]
            case events.TruncateItem():
                return self._truncate(event)
            case events.DeleteItem(item_id=item_id):
                deleted = self.conversation.delete(item_id)
                self._typed = [item for item in self._typed if item is not deleted]
                return [{"type": "conversation.item.deleted", "item_id": item_id}]
            case events.CreateResponse(response=wanted):
                return self._respond(event_id, wanted)
            case events.CancelResponse(response_id=response_id):
                return self._cancel(response_id)
            case events.ClearOutput():
                return self._clear_output()

    # --- audio and the session ---------------------------------------------------------------

    def append(self, audio: bytes) -> list[Step]:
        """The client sends audio: see `obey`."""
        if self._rtp:
            text = "Audio travels as RTP in this call; it cannot be appended as well."
            raise invalid(text, "type", INVALID_EVENT)
        form = self.session.audio_in.audio_format()
        if len(audio) % form.sample_bytes:
            text = f"{len(audio)} bytes are not a whole number of {form.sample_bytes}-byte samples."
            raise invalid(f"Invalid value for 'audio': {text}", "audio")
        duration_ms = form.duration_ms(audio)
        if duration_ms > LONGEST_APPEND_MS:
            text = f"it lasts {duration_ms:.0f} ms; at most {LONGEST_APPEND_MS} ms are allowed."
            raise invalid(f"Invalid value for 'audio': {text}", "audio")
        self.inputs.append(duration_ms)
        step = form.rate_hz * LONGEST_MESSAGE_MS // 1000 * form.sample_bytes
        if len(audio) <= step:
            return [AudioMessage(audio)] if audio else []
        return [AudioMessage(audio[at : at + step]) for at in range(0, len(audio), step)]

    def _update(self, fields: SessionFields) -> list[Step]:
        before = self.request()
        self.session = self.session.updated(fields, spoken=self.replies.heard_any)
        after = self.request()
        changed: list[Step] = [] if after == before else [Reconfigure(after)]
        payload = self.session.payload(self.session_id)
        return [*changed, {"type": "session.updated", "session": payload}]

    # --- items -------------------------------------------------------------------------------

    def _create(self, event: events.CreateItem) -> list[Step]:
        fields = event.item
        item = made(fields, fields.id or self._new_id("item"))
        typed = self.session.is_interview and item.role == "user" and bool(item.text.strip())
        if typed and len(_joined([*self._typed, item]).encode()) > LONGEST_TYPED_BYTES:
            text = f"A typed answer has at most {LONGEST_TYPED_BYTES} bytes."
            raise invalid(text, "item.content")
        previous = self.conversation.insert(item, event.previous_item_id)
        if typed:
            self._typed.append(item)
        return [conversations.added(item, previous), conversations.done(item, previous)]

    def _truncate(self, event: events.TruncateItem) -> list[Step]:
        item = self.conversation.find(event.item_id)
        if item.audio is None or item.turn is None:
            raise invalid("Only audio of the assistant's can be truncated.", "item_id")
        if event.content_index != 0:
            raise invalid("The message has one part of content: 0.", "content_index")
        end_ms, sent_ms = event.audio_end_ms, item.audio.sent_ms
        if not 0 <= end_ms <= sent_ms + SLACK_MS:
            text = f"Audio content of {sent_ms:.0f} ms cannot be truncated at {end_ms} ms."
            raise invalid(text, "audio_end_ms")
        heard_ms = item.truncate(end_ms)
        return [Truncate(item.turn, heard_ms), truncated(item.id, end_ms)]

    # --- responses ---------------------------------------------------------------------------

    def _respond(self, event_id: str | None, wanted: ResponseFields | None) -> Sequence[Step]:
        if wanted is not None and wanted.conversation == "none":
            command, began = self.out_of_band.begin(wanted, self.session)
            return [command, *began]
        if self.session.is_interview:
            self.replies.want(event_id, wanted)
            return self._go_on()
        assistant = None
        if wanted is not None and wanted.model_fields_set - {"metadata", "conversation"}:
            history = context(wanted.input, self.conversation) or self.conversation.messages
            assistant = self.session.assistant(history, wanted)
        waits = self.replies.want(event_id, wanted)
        return [Respond(assistant, waits)]

    def _go_on(self) -> Sequence[Step]:
        """The interview replies to the typed text, or to the turn that was committed."""
        if self._typed:
            typed, self._typed = self._typed, []
            return [TypedText(_joined(typed))]
        if self.session.manual:
            turn = self.inputs.committed_turn
            if turn is not None and not self.replies.answers(turn):
                return self.replies.open(turn)
            if self.inputs.waiting:
                return []
        return [Respond()]

    def _cancel(self, response_id: str | None) -> list[Step]:
        if self.replies.is_active(response_id):
            return [InterruptReply(overtakes=True)] if self.replies.cancel() else []
        if response_id is None and self.replies.wanted:
            return [InterruptReply(), *self.replies.withdraw()]
        if response_id is not None and response_id in self.out_of_band:
            return [StopOutOfBand(response_id), *self.out_of_band.cancel(response_id)]
        text = "Cancellation failed: no active response found"
        text += "." if response_id is None else f" with the id {response_id[:64]!r}."
        raise invalid(text, None if response_id is None else "response_id", NOT_RESPONDING)

    def _clear_output(self) -> list[Step]:
        if not self._rtp:
            text = "The client holds the output audio of this session; only calls have a buffer."
            raise invalid(text, "type", INVALID_EVENT)
        # Clients clear whether or not anything is heard, and after each cancellation.
        return (
            [InterruptReply(overtakes=True)]
            if self.replies.playing and self.replies.cancel()
            else []
        )


def _joined(items: list[RealtimeItem]) -> str:
    return "\n".join(item.text.strip() for item in items)
