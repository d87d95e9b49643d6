"""The tokens that a reply takes of the chat model, and the event that reports them. Pure.

`session.usage.updated` counts seconds; tokens are reported as in the Responses API, in the last
event of the reply.
"""

from dataclasses import replace
from typing import Any

from gateway.protocols.openai_live.errors import Event
from pipeline.frames import ReplyUsage
from pipeline.token_usage import TokenUsage, estimated_tokens


class ReplyTokens:
    """The tokens of the reply that is under way in one session."""

    def __init__(self) -> None:
        self._turn = -1
        self._tokens = TokenUsage()
        self._characters = 0
        self._due = False

    def used(self, usage: ReplyUsage) -> None:
        """Note how many tokens the reply has taken so far."""
        if usage.turn != self._turn:
            self._turn, self._characters, self._due = usage.turn, 0, False
        self._tokens = usage.tokens

    def said(self, turn: int, text: str) -> None:
        """The reply says this, or calls a function with it."""
        if turn == self._turn and not self._due:
            self._characters += len(text)

    def due(self, turn: int) -> None:
        """From here on the reply is the due line (`DUE`), which the chat model did not write."""
        if turn == self._turn:
            self._due = True

    def counts(self, turn: int) -> bool:
        """Whether a model has taken tokens for the reply of this turn, which is under way."""
        return turn == self._turn

    def over(self, response: tuple[str | None, str, int], *, interrupted: bool) -> list[Event]:
        """The reply of a turn that `counts` has ended: see `LiveRequests.response_of`."""
        self._turn = -1
        tokens = self._tokens
        if tokens.estimated:
            completion = max(tokens.completion, estimated_tokens(self._characters))
            tokens = replace(tokens, completion=completion)
        status = "incomplete" if interrupted else "completed"
        delegation_id, response_id, number = response
        ended = {
            "id": response_id,
            "object": "response",
            "status": status,
            "usage": _usage(tokens),
        }
        event = {"type": f"response.{status}", "sequence_number": number, "response": ended}
        return [{"type": "response.event", "delegation_id": delegation_id, "event": event}]


def _usage(tokens: TokenUsage) -> dict[str, Any]:
    """The `usage` of a response; `estimated`, which is no field of the API's, as in Realtime."""
    usage: dict[str, Any] = {
        "input_tokens": tokens.prompt,
        "input_tokens_details": {"cached_tokens": tokens.cached},
        "output_tokens": tokens.completion,
        "total_tokens": tokens.total,
    }
    return {**usage, "estimated": True} if tokens.estimated else usage
