"""A chat model behind any OpenAI-compatible server: Ollama, llama.cpp, vLLM, hosted services.

Speaks `POST /v1/chat/completions` with `stream: true`. Servers differ in what they send besides the
text: roles in every chunk, null contents, reasoning, usage, comments to keep the connection alive;
only text that is to be spoken and calls of functions count here, so only these reset the guard's
clocks.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from pipeline.errors import StageError
from pipeline.frames import TextDelta, ToolCall
from pipeline.stage import ReplyRequest
from stages._http import HttpClient
from stages.llm._conversation import messages_of, options_of
from stages.llm._spoken import SpokenText
from stages.llm._tool_calls import CallPiece, ToolCallPieces

REST_S = 0.1
"""How long what follows the reply (usage, the end mark) may take: reading it to its end keeps the
connection for the next reply."""

CALLS_S = 0.5
"""How long calls of functions are waited for after a text that is long enough to be spoken."""

_DONE = "[DONE]"


@dataclass(slots=True)
class Usage:
    """Tokens that the server has reported since the start."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    finish: str | None = None


class OpenAIResponder:
    """A `pipeline.stage.Responder` over HTTP.

    `base_url` is the server's address; `/v1` is added where it has no path. `provider` names the
    server in errors and metrics. `temperature` None leaves it to the server. A request that asks
    for one of `models` gets that one; for all others it is `model`. Raises `ValueError` for an
    unusable URL or key.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        provider: str = "openai",
        max_tokens: int = 400,
        temperature: float | None = None,
        models: Collection[str] = (),
    ) -> None:
        self.provider = provider
        self.usage = Usage()
        self._models = frozenset(models)
        self._unopened = False  # whether the last reply's reasoning had no mark at its beginning
        self._options: dict[str, Any] = {"model": model, "max_tokens": max_tokens}
        if temperature is not None:
            self._options["temperature"] = temperature
        self._http = HttpClient(base_url, stage="llm", provider=provider, api_key=api_key)

    async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta | ToolCall]:
        """Stream the reply, without Markdown and reasoning; it ends after about 1500 characters.

        Where a server leaves out the mark that opens the reasoning, the first such reasoning is
        said; from then on the text before the closing mark is kept back.

        Calls of the brief's tools follow the text, each of them whole. Raises `StageBusy`,
        `CallerError` and `StageFailed` as `stages._http` says; "stream" also for an error in the
        middle and for an end that no finish reason or end mark announced. Cancelling, or closing
        the iterator, closes the connection, which stops the model.
        """
        brief = request.brief
        calling = bool(brief.tools) and brief.tool_choice != "none"
        spoken = SpokenText(written=not brief.spoken, unopened=self._unopened)
        calls = ToolCallPieces()
        async with self._http.post_json("chat/completions", self._body(request)) as answer:
            if "json" in answer.content_type:
                raise await answer.unexpected("an event stream")
            async with aclosing(answer.events()) as events:
                finish: str | None = None
                async for data in events:
                    piece = self._read(data, calls)
                    if text := spoken.push(piece.text):
                        yield TextDelta(request.turn, text)
                    if (finish := piece.finish) is not None or spoken.full:
                        break
                if finish is None and spoken.full:
                    finish = await self._read_on(events, calls) if calling else None
                    if finish is None:
                        return
                if finish is None:
                    raise self._http.failed("stream", "it ended without a finish reason")
                if text := spoken.finish():
                    yield TextDelta(request.turn, text)
                self._unopened = spoken.closed_unopened
                if calling:
                    for call in self._called(calls, request.turn, finish):
                        yield call
                await self._read_rest(events)

    async def probe(self) -> str | None:
        """None if the server answers, otherwise a sentence that says why not. Takes 1 s at most."""
        return await self._http.probe()

    async def aclose(self) -> None:
        """Close the connections. Replies under way fail."""
        await self._http.aclose()

    def _body(self, request: ReplyRequest) -> dict[str, Any]:
        brief = request.brief
        wished = {"model": brief.model} if brief.model in self._models else {}
        return {
            **self._options,
            **wished,
            **options_of(brief),
            "stream": True,
            "stream_options": {"include_usage": True},
            "messages": messages_of(request),
        }

    def _read(self, data: str, calls: ToolCallPieces) -> _Piece:
        """Reads one event; the pieces of tool calls go into `calls`."""
        if data.strip() == _DONE:
            return _Piece("", "stop")
        chunk = self._http.parse(data)
        try:
            self._count(chunk.get("usage") or {})
            choices = chunk.get("choices") or ()
            if not choices:
                return _Piece("")
            choice = choices[0]
            delta = choice.get("delta") or {}
            text = delta.get("content") or ""
            if not isinstance(text, str):
                raise TypeError("content is not text")
            calls.push(map(CallPiece.read, delta.get("tool_calls") or ()))
            return _Piece(text, choice.get("finish_reason"))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._http.failed("protocol", f"no chat completion chunk: {error}") from error

    def _called(self, calls: ToolCallPieces, turn: int, finish: str) -> list[ToolCall]:
        try:
            return calls.finish(turn, cut=finish == "length")
        except ValueError as error:
            raise self._http.failed("protocol", str(error)) from error

    def _count(self, usage: dict[str, Any]) -> None:
        self.usage.prompt_tokens += usage.get("prompt_tokens") or 0
        self.usage.completion_tokens += usage.get("completion_tokens") or 0

    async def _read_on(
        self, events: AsyncGenerator[str, None], calls: ToolCallPieces
    ) -> str | None:
        """The text is long enough, but calls may follow: the finish reason if it comes in time."""
        with contextlib.suppress(TimeoutError, StageError):
            async with asyncio.timeout(CALLS_S):
                async for data in events:
                    if (finish := self._read(data, calls).finish) is not None:
                        return finish
        return None

    async def _read_rest(self, events: AsyncGenerator[str, None]) -> None:
        """The reply is complete, whatever comes now."""
        with contextlib.suppress(TimeoutError, StageError):
            async with asyncio.timeout(REST_S):
                async for data in events:
                    self._read(data, ToolCallPieces())
