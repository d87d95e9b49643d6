"""The host of a plain conversation with the chat server: it stores nothing."""

import math
from dataclasses import replace
from typing import Any

from gateway.protocols.request import AssistantRequest, SessionRequest
from gateway.protocols.tool_wish import ToolWish
from pipeline.decisions import REFUSALS
from pipeline.frames import Fault
from pipeline.languages import AUTO
from pipeline.stage import Brief, Message, Observed, Observer, RecognizedSpeech, ToolRequest

REFUSED = frozenset({*REFUSALS, "too_many_turns"})
"""The engine's codes for a reply that it does not make."""


class NoAssistant(Exception):
    """No chat server is configured that could hold a plain conversation."""

    def __str__(self) -> str:
        return "no chat server is configured: set PARLEY_LLM_MODEL (and PARLEY_LLM_URL)"


class AssistantHost:
    """A `pipeline.stage.Host` whose memory is the client's: see `AssistantRequest.history`."""

    hints: tuple[str, ...] = ()
    tools: tuple[ToolWish, ...] = ()

    def __init__(self, asked: AssistantRequest, language: str | None = None) -> None:
        self._asked = asked
        self.language = language
        self._once: AssistantRequest | None = None  # for the next reply that answers nothing new
        self._once_turn: int | None = None  # the turn that has it

    def request(self, request: SessionRequest) -> None:
        if request.assistant is not None:
            self._asked = request.assistant
            self.language = request.language

    def words_of(self, key: str) -> str:
        """Return "": only the client knows what a key means."""
        return ""

    @property
    def spoken(self) -> str | None:
        """The language of the replies: the person's, if that is known."""
        return None if self.language == AUTO else self.language

    def once(self, asked: AssistantRequest | None) -> None:
        """Make the next reply that answers no words of the person follow `asked`."""
        self._once, self._once_turn = asked, None

    def describe(self) -> dict[str, Any] | None:
        return None

    def seconds_left(self, longest_s: float, now: float) -> float:
        return math.inf  # there is no interview that could last too long

    def observers(self) -> tuple[Observer, ...]:
        return (self,)

    def observe(self, output: Observed, now: float) -> None:
        """Forget the request of `once` if its reply is refused."""
        if isinstance(output, Fault) and output.code in REFUSED and self._once_turn is None:
            self._once = None

    # --- pipeline.stage.Host -----------------------------------------------------------------

    def brief(self, turn: int, text: str) -> Brief:
        asked = self._asked
        if self._once is not None and not text and self._once_turn in (None, turn):
            asked, self._once_turn = self._once, turn
        return replace(brief_of(asked, turn), language=self.spoken)

    async def accept(self, turn: int, text: str, heard: RecognizedSpeech | None = None) -> None:
        """The dialect remembers the text when it sees the transcript."""

    async def commit(
        self, turn: int, user_text: str, heard_text: str, calls: tuple[ToolRequest, ...] = ()
    ) -> None:
        """The dialect remembers the reply when it sees that it is done."""

    async def correct(self, turn: int, heard_text: str) -> None:
        """The client has told the dialect, which has cut its own memory."""

    def prompt(self, turn: int, times: int) -> str:
        return ""

    def time_is_up(self) -> None:
        """Does nothing: there is no farewell."""

    def farewell(self) -> str:
        return ""


def brief_of(asked: AssistantRequest, turn: int) -> Brief:
    """Make the brief for one turn of the conversation.

    The client's instructions hold for the whole conversation, so they come first: many chat
    servers take a system message in no other place.
    """
    first = (Message("system", asked.instructions),) if asked.instructions else ()
    return Brief(
        (),
        "",
        history=(*first, *asked.history(turn)),
        tools=asked.tools,
        tool_choice=asked.tool_choice,
        max_tokens=asked.max_tokens,
        voice=asked.voice,
        spoken=asked.spoken,
        model=asked.model or None,
    )
