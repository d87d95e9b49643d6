"""Responses beside the conversation: `response.create` with `conversation: "none"`. Pure.

They are text, whatever the session's modality: the engine has one voice. The context is the
conversation as it is now, or the request's `input`.
"""

from collections.abc import Sequence
from dataclasses import replace

from gateway.protocols.dialect import OutOfBand, RespondOutOfBand
from gateway.protocols.openai_realtime.conversation import Conversation
from gateway.protocols.openai_realtime.errors import ALREADY_RESPONDING, Event, invalid
from gateway.protocols.openai_realtime.fields import ItemFields, ResponseFields
from gateway.protocols.openai_realtime.items import RealtimeItem, made, messages
from gateway.protocols.openai_realtime.responses import NewId, Response
from gateway.protocols.openai_realtime.session import History, RealtimeSession
from pipeline.stage import Message
from pipeline.token_usage import TokenUsage

MOST_OUT_OF_BAND = 4
NEWEST = 2**53
"""A turn that is later than all others."""


class OutOfBandResponses:
    """One session's."""

    def __init__(self, conversation: Conversation, new_id: NewId) -> None:
        self._conversation = conversation
        self._new_id = new_id
        self._open: dict[str, Response] = {}

    def __contains__(self, response_id: object) -> bool:
        return response_id in self._open

    def begin(
        self, fields: ResponseFields, session: RealtimeSession
    ) -> tuple[RespondOutOfBand, list[Event]]:
        """The command and the events that begin it.

        Raises `ProtocolError` for an unknown reference and while `MOST_OUT_OF_BAND` are under way.
        """
        if len(self._open) >= MOST_OUT_OF_BAND:
            text = f"{MOST_OUT_OF_BAND} responses outside of the conversation are under way."
            raise invalid(f"{text} Wait until one is done.", None, ALREADY_RESPONDING)
        history = context(fields.input, self._conversation)
        if history is None:
            history = fixed(self._conversation.messages(NEWEST))
        response = Response(
            self._new_id("resp"),
            self._new_id,
            conversation=None,
            turn=None,
            modality="text",
            audio=session.audio_output(),
            max_output_tokens=fields.max_output_tokens or session.max_output_tokens,
            wanted=fields,
        )
        response.tokens = TokenUsage(estimated=True)  # until the server reports them
        self._open[response.id] = response
        request = replace(session.assistant(history, fields), tools=(), spoken=False)
        return RespondOutOfBand(response.id, request), response.begin()

    def output(self, output: OutOfBand) -> list[Event]:
        """Gives the events for an output of the reply; none for a response that was cancelled."""
        response = self._open.get(output.key)
        if response is None:
            return []
        events = response.say(output.text) if output.text else []
        if output.tokens is not None:
            response.tokens = output.tokens
        elif output.done:  # no model has counted any
            response.tokens = TokenUsage()
        if output.failed is not None:
            response.failure = "server_error"
            del self._open[output.key]
            return [*events, *response.close("failed")]
        if output.done:
            del self._open[output.key]
            return [*events, *response.close("completed")]
        return events

    def cancel(self, response_id: str) -> list[Event]:
        """The client wants no more of it."""
        return self._open.pop(response_id).close("cancelled", "client_cancelled")


def context(fields: Sequence[ItemFields] | None, conversation: Conversation) -> History | None:
    """The history that `response.input` gives; None where it is not given.

    Raises `ProtocolError` for items that cannot be and references to unknown ones.
    """
    if fields is None:
        return None
    items = [
        _item(item, conversation, f"response.input[{index}]") for index, item in enumerate(fields)
    ]
    return fixed(messages(items))


def _item(fields: ItemFields, conversation: Conversation, where: str) -> RealtimeItem:
    if fields.type != "item_reference":
        return made(fields, fields.id or where, where)
    return conversation.find(fields.id or "", f"{where}.id")


def fixed(lines: tuple[Message, ...]) -> History:
    """A history that is the same for every turn."""
    return lambda turn: lines
