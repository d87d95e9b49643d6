"""A chat model behind any OpenAI-compatible server: Ollama, llama.cpp, vLLM, hosted services.

Speaks `POST /v1/chat/completions` with `stream: true`. Servers differ in what they send besides the
text: roles in every chunk, null contents, reasoning, usage, comments to keep the connection alive.
Only text to be spoken is passed on, so only such text resets the guard's clocks.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from pipeline.errors import StageError
from pipeline.frames import TextDelta
from pipeline.stage import ReplyRequest
from stages._http import HttpClient
from stages.llm._spoken import SpokenText

MAX_HISTORY = 48_000
"""Characters of conversation sent along, about 12,000 tokens; the oldest lines go first."""

MAX_LINE = 16_000
"""Characters of one line of the conversation: longer than any spoken answer."""

REST_S = 0.1
"""How long the rest after the reply (usage, the end mark) may take: a response that was read to its
end keeps the connection for the next reply."""

_DONE = "[DONE]"


@dataclass(slots=True)
class Usage:
    """Tokens that the server has reported since the start."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    finished: bool


class OpenAIResponder:
    """A `pipeline.stage.Responder` over HTTP.

    `base_url` is the server's address; `/v1` is added where it has no path. `provider` names the
    server in errors and metrics. `temperature` None leaves it to the server. Raises `ValueError`
    for an unusable URL or key.
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
    ) -> None:
        self.provider = provider
        self.usage = Usage()
        self._options: dict[str, Any] = {"model": model, "max_tokens": max_tokens}
        if temperature is not None:
            self._options["temperature"] = temperature
        self._http = HttpClient(base_url, stage="llm", provider=provider, api_key=api_key)

    async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
        """Stream the reply, without Markdown and reasoning; it ends after about 1500 characters.

        Raises `StageBusy`, `CallerError` and `StageFailed` as `stages._http` says; "stream" also
        for an error in the middle and for an end that no finish reason or end mark announced.
        Cancelling, or closing the iterator, closes the connection, which stops the model.
        """
        spoken = SpokenText()
        options = {"stream": True, "stream_options": {"include_usage": True}}
        body = {**self._options, **options, "messages": _messages(request)}
        async with self._http.post_json("chat/completions", body) as answer:
            if "json" in answer.content_type:
                raise await answer.unexpected("an event stream")
            async with aclosing(answer.events()) as events:
                finished = False
                async for data in events:
                    piece = self._read(data)
                    if text := spoken.push(piece.text):
                        yield TextDelta(request.turn, text)
                    if spoken.full:
                        return
                    if piece.finished:
                        finished = True
                        break
                if not finished:
                    raise self._http.failed("stream", "it ended without a finish reason")
                if text := spoken.finish():
                    yield TextDelta(request.turn, text)
                await self._read_rest(events)

    async def probe(self) -> str | None:
        """None if the server answers, otherwise a sentence that says why not. Takes 1 s at most."""
        return await self._http.probe()

    async def aclose(self) -> None:
        """Close the connections. Replies under way fail."""
        await self._http.aclose()

    def _read(self, data: str) -> _Piece:
        if data.strip() == _DONE:
            return _Piece("", finished=True)
        chunk = self._http.parse(data)
        try:
            self._count(chunk.get("usage") or {})
            choices = chunk.get("choices") or ()
            if not choices:
                return _Piece("", finished=False)
            choice = choices[0]
            text = (choice.get("delta") or {}).get("content") or ""
            if not isinstance(text, str):
                raise TypeError("content is not text")
            return _Piece(text, choice.get("finish_reason") is not None)
        except (AttributeError, KeyError, TypeError) as error:
            raise self._http.failed("protocol", f"no chat completion chunk: {error}") from error

    def _count(self, usage: dict[str, Any]) -> None:
        self.usage.prompt_tokens += usage.get("prompt_tokens") or 0
        self.usage.completion_tokens += usage.get("completion_tokens") or 0

    async def _read_rest(self, events: AsyncGenerator[str, None]) -> None:
        """Read the rest of a complete reply; errors are ignored."""
        with contextlib.suppress(TimeoutError, StageError):
            async with asyncio.timeout(REST_S):
                async for data in events:
                    self._read(data)


def _messages(request: ReplyRequest) -> list[dict[str, str]]:
    """The conversation, the person's words, and the instructions.

    If the history already ends with the person's words, they are not repeated.
    """
    brief = request.brief
    lines = [(message.role, message.content) for message in brief.history]
    said = " ".join(request.text.split())
    if said and (not lines or lines[-1] != ("user", said)):
        lines.append(("user", said))
    system = lines[:1] if lines and lines[0][0] == "system" else []
    left = MAX_HISTORY
    kept: list[tuple[str, str]] = []
    for role, content in reversed(lines[len(system) :]):
        content = content[:MAX_LINE]
        left -= len(content)
        if left < 0:
            break
        kept.append((role, content))
    ordered: list[tuple[str, str]] = [*system, *reversed(kept)]
    if brief.instructions:
        ordered.append(("system", brief.instructions))
    return [{"role": role, "content": content} for role, content in ordered]
