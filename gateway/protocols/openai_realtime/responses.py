"""One response: its events in the documented order, from `response.created` to `response.done`.
Pure."""

import base64
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

from gateway.protocols.openai_realtime import animation
from gateway.protocols.openai_realtime import conversation as conversations
from gateway.protocols.openai_realtime.conversation import Conversation
from gateway.protocols.openai_realtime.errors import Event
from gateway.protocols.openai_realtime.fields import Modality, ResponseFields
from gateway.protocols.openai_realtime.items import ContentPart, RealtimeItem, SentAudio, Status
from pipeline.frames import Viseme
from pipeline.token_usage import TokenUsage, estimated_tokens

NewId = Callable[[str], str]
"""Makes an id that begins with the given word and "_"."""

Outcome: TypeAlias = Literal["completed", "cancelled", "failed"]
Reason: TypeAlias = Literal["turn_detected", "client_cancelled"]


def usage_of(tokens: TokenUsage) -> Event:
    """The `usage` of a response: of the chat model alone, which reads and writes text.

    `estimated` is no field of the API's: it is there, and true, where the model's server has not
    told the figures.
    """
    usage: Event = {
        "total_tokens": tokens.total,
        "input_tokens": tokens.prompt,
        "output_tokens": tokens.completion,
        "input_token_details": {
            "text_tokens": tokens.prompt,
            "audio_tokens": 0,
            "image_tokens": 0,
            "cached_tokens": tokens.cached,
            "cached_tokens_details": {
                "text_tokens": tokens.cached,
                "audio_tokens": 0,
                "image_tokens": 0,
            },
        },
        "output_token_details": {"text_tokens": tokens.completion, "audio_tokens": 0},
    }
    return {**usage, "estimated": True} if tokens.estimated else usage


class Response:
    """The state of one reply. Every method returns the events that follow, in their order.

    `conversation` is None for a response beside it. `turn` is the engine's.
    """

    def __init__(
        self,
        response_id: str,
        new_id: NewId,
        *,
        conversation: Conversation | None,
        turn: int | None,
        modality: Modality,
        audio: Event,
        max_output_tokens: Any = "inf",
        wanted: ResponseFields | None = None,
    ) -> None:
        self.id = response_id
        self.turn = turn
        self.message: RealtimeItem | None = None
        """The message that is spoken or written; at most one."""
        self.failure: str | None = None
        """Why the reply is only a canned line, if it is."""
        self.aside = False
        """The reply is no part of the conversation: a prompt to a silent person, for example."""
        self.written = True
        """Whether the chat model writes the text that comes; False from the due line on."""
        self.tokens = TokenUsage()
        """The tokens that the response has taken of the chat model, as far as they are known."""
        self._new_id = new_id
        self._conversation = conversation
        self._modality = modality
        self._audio = audio
        self._max_output_tokens = max_output_tokens
        self._metadata = None if wanted is None else wanted.metadata
        self._items: list[RealtimeItem] = []
        self._previous: dict[str, str | None] = {}
        self._status = "in_progress"
        self._details: Event | None = None
        self._characters = 0  # of all that the chat model wrote for it
        self._shaped = False  # mouth shapes were sent as deltas

    @property
    def spoken(self) -> bool:
        return self._modality == "audio"

    @property
    def called(self) -> bool:
        """It called a function: the client may answer before the response is done."""
        return any(item.type == "function_call" for item in self._items)

    @property
    def over(self) -> bool:
        """`response.done` has been made."""
        return self._status != "in_progress"

    def begin(self) -> list[Event]:
        """`response.created`."""
        return [{"type": "response.created", "response": self._payload()}]

    # --- a message ---------------------------------------------------------------------------

    def open_message(self) -> list[Event]:
        """The message begins; nothing where it has."""
        if self.message is not None:
            return []
        item = RealtimeItem(
            self._new_id("item"),
            "message",
            "in_progress",
            role="assistant",
            turn=self.turn,
            aside=self.aside,
            audio=SentAudio() if self.spoken else None,
        )
        self.message = item
        events = self._add(item)
        item.parts = [ContentPart("output_audio" if self.spoken else "output_text", "")]
        part = {"type": "response.content_part.added", **self._place(item), "part": self._part("")}
        return [*events, part]

    def say(self, text: str, *, aside: bool = False, written: bool = True) -> list[Event]:
        """The next piece of the message's text, with the space before it if there is one.

        What is said `aside` at its beginning is no part of the conversation. The chat model has
        `written` it, or else its tokens do not count.
        """
        events = self.open_message()
        assert self.message is not None
        self.message.say(self.message.text + text)
        if aside:
            self.message.lead = self.message.text
        if written and self.written:
            self._characters += len(text)
        kind = "output_audio_transcript" if self.spoken else "output_text"
        delta = {"type": f"response.{kind}.delta", **self._place(self.message), "delta": text}
        return [*events, delta]

    def audio(self, data: bytes, at_ms: float, duration_ms: float) -> list[Event]:
        """The next audio of the message; no delta where `data` is empty."""
        events = self.open_message()
        assert self.message is not None
        if self.message.audio is None:  # a text response has none
            return events
        self.message.audio.add(at_ms, duration_ms)
        if data:
            delta = base64.b64encode(data).decode("ascii")
            place = self._place(self.message)
            events.append({"type": "response.output_audio.delta", **place, "delta": delta})
        return events

    def shapes(
        self, cues: Sequence[Viseme], outputs: Collection[animation.AnimationOutput]
    ) -> list[Event]:
        """Mouth shapes of the message's next audio, in the events of these `outputs`."""
        events = self.open_message()
        assert self.message is not None
        self._shaped = self._shaped or "viseme_id" in outputs
        return [*events, *animation.shaped(outputs, self._place(self.message), cues)]

    def _close_message(self, status: Status) -> list[Event]:
        item = self.message
        if item is None:
            return []
        item.status = status
        item.aside = self.aside
        item.settle()
        place, text = self._place(item), item.text
        if self.spoken:
            events: list[Event] = [
                {"type": "response.output_audio.done", **place},
                {"type": "response.output_audio_transcript.done", **place, "transcript": text},
            ]
        else:
            events = [{"type": "response.output_text.done", **place, "text": text}]
        if self._shaped:
            events.append({"type": animation.DONE, **place})
        events.append({"type": "response.content_part.done", **place, "part": self._part(text)})
        return events + self._finish(item)

    def _part(self, text: str) -> Event:
        if self.spoken:
            return {"type": "audio", "transcript": text}
        return {"type": "text", "text": text}

    # --- a function call ---------------------------------------------------------------------

    def call(self, call_id: str, name: str, arguments: str) -> list[Event]:
        """A function call, whole."""
        item = RealtimeItem(
            self._new_id("item"),
            "function_call",
            "in_progress",
            name=name,
            call_id=call_id,
            turn=self.turn,
        )
        events = self._add(item)
        self._characters += len(arguments)
        item.arguments = arguments
        item.status = "completed"
        place: Event = {
            "response_id": self.id,
            "item_id": item.id,
            "output_index": self._items.index(item),
            "call_id": call_id,
        }
        kind = "response.function_call_arguments"
        return [
            *events,
            {"type": f"{kind}.delta", **place, "delta": arguments},
            {"type": f"{kind}.done", **place, "name": name, "arguments": arguments},
            *self._finish(item),
        ]

    # --- the end -----------------------------------------------------------------------------

    def close(
        self,
        outcome: Outcome,
        reason: Reason | None = None,
        *,
        heard: str | None = None,
        heard_ms: float | None = None,
    ) -> list[Event]:
        """Ends the open item, then the response. `heard`, where it is given, is the part of the
        message that was heard, `heard_ms` into the reply."""
        if self.message is not None and heard is not None:
            self.message.say(heard)
            self.message.heard_ms = heard_ms
        events = self._close_message("completed" if outcome == "completed" else "incomplete")
        self._status = outcome
        if outcome == "cancelled":
            self._details = {"type": "cancelled", "reason": reason or "client_cancelled"}
        elif outcome == "failed":
            error = {"type": "server_error", "code": self.failure or "server_error"}
            self._details = {"type": "failed", "error": error}
        return [*events, {"type": "response.done", "response": self._payload()}]

    # --- parts of events ---------------------------------------------------------------------

    def _add(self, item: RealtimeItem) -> list[Event]:
        self._items.append(item)
        index = len(self._items) - 1
        event = {
            "type": "response.output_item.added",
            "response_id": self.id,
            "output_index": index,
            "item": item.payload(),
        }
        if self._conversation is None:
            return [event]
        previous = self._previous[item.id] = self._conversation.append(item)
        return [event, conversations.added(item, previous)]

    def _finish(self, item: RealtimeItem) -> list[Event]:
        event = {
            "type": "response.output_item.done",
            "response_id": self.id,
            "output_index": self._items.index(item),
            "item": item.payload(),
        }
        if self._conversation is None:
            return [event]
        return [conversations.done(item, self._previous[item.id]), event]

    def _place(self, item: RealtimeItem) -> Event:
        return {
            "response_id": self.id,
            "item_id": item.id,
            "output_index": self._items.index(item),
            "content_index": 0,
        }

    def _taken(self) -> TokenUsage:
        """Its tokens; where its end was not told, at least about those of what came of it."""
        if not self.tokens.estimated or self._status == "failed":  # what is said then is no model's
            return self.tokens
        completion = max(self.tokens.completion, estimated_tokens(self._characters))
        return replace(self.tokens, completion=completion)

    def _payload(self) -> Event:
        return {
            "id": self.id,
            "object": "realtime.response",
            "status": self._status,
            "status_details": self._details,
            "output": [item.payload() for item in self._items] if self.over else [],
            "conversation_id": None if self._conversation is None else self._conversation.id,
            "output_modalities": [self._modality],
            "max_output_tokens": self._max_output_tokens,
            "audio": {"output": self._audio},
            "metadata": self._metadata,
            "usage": usage_of(self._taken()) if self.over else None,
        }
