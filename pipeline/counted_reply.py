"""One request to responders, and what each of them that was asked has taken for it."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial

from pipeline.frames import TextDelta, ToolCall
from pipeline.guard import Guard
from pipeline.stage import ReplyRequest, Responder
from pipeline.token_usage import TokenUsage


def _nothing() -> None:
    """The default of `changed`: do nothing."""


class CountedReply:
    """Call it with the stage that is to reply, as a guard's stream does.

    `changed` is called when one has taken something, until it is `over`. A plain call.
    """

    def __init__(
        self,
        responders: Guard[Responder],
        request: ReplyRequest,
        changed: Callable[[], None] = _nothing,
    ) -> None:
        self._responders = responders
        self._request = request
        self._changed = changed
        self._spent: dict[str, TokenUsage] = {}

    def __call__(self, stage: Responder) -> AsyncIterator[TextDelta | ToolCall]:
        asked = next(one for one in self._responders.candidates if one.stage is stage)
        spend = partial(self._spend, asked.provider)
        return stage.reply(replace(self._request, spend=spend))

    def _spend(self, provider: str, tokens: TokenUsage) -> None:
        self._spent[provider] = tokens
        self._changed()

    def by(self, provider: str) -> TokenUsage | None:
        """The tokens that a provider has used so far; None if it counts none, or was not asked."""
        return self._spent.get(provider)

    def over(self) -> None:
        """Stop reporting: tokens that are used from here on are no part of the reply."""
        self._changed = _nothing
