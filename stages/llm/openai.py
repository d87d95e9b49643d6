"""A chat model behind any OpenAI-compatible server: Ollama, llama.cpp, vLLM, hosted services.

Speaks `POST /v1/chat/completions` with `stream: true`. Servers differ in what they send besides the
text: roles in every chunk, null contents, reasoning, usage, comments to keep the connection alive;
only text that is to be spoken and calls of functions count here, so only these reset the guard's
clocks. `stages.llm._chunks` knows the forms of the text and of its ending.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

from pipeline.errors import CallerError, StageError
from pipeline.frames import TextDelta, ToolCall
from pipeline.stage import Brief, Message, ReplyRequest
from pipeline.token_usage import TokenUsage, estimated_tokens
from stages._http import HttpAnswer, HttpClient
from stages.llm._chunks import CompletionPiece, Ending, choice_of, failure_in
from stages.llm._conversation import messages_of, options_of
from stages.llm._reply import ReplySoFar
from stages.llm._server import ChatServer
from stages.llm._spoken import SpokenText
from stages.llm._usage import prompt_tokens, told_usage

REST_S = 0.1
"""How long what follows the reply (usage, the end mark) may take: reading it to its end keeps the
connection for the next reply."""

FULL_S = 0.5
"""How long a reply is read on after a text that is long enough to be spoken: for calls of
functions, and for the mark that makes the text reasoning. Less than a guard lets a model stall."""

MARK_CHARACTERS = 32_000
"""After so many characters more the mark is not looked for any longer."""

MARKLESS = 20
"""After so many replies in a row without the mark, a model's text is said as it comes again: the
mark was then a slip, or words that a person asked for. Assumed value."""

EARLY_S = 1.0
"""How long text is waited for after an ending that came before any: some servers announce the end
first. Assumed value."""

MAX_BODY = 512 << 10
"""Bytes of a reply that comes whole, from a server that does not stream."""

TRIAL_S = 5.0
_TRIAL = ReplyRequest(
    1,
    "I am ready.",
    Brief(
        (),
        "Say that you are ready, too, in one short sentence.",
        (
            Message("system", "You check a connection."),
            Message("user", "Hello."),
            Message("assistant", "Hello. Are you ready?"),
        ),
        max_tokens=32,
    ),
)
"""A conversation of the shape that an interview has."""

_DONE = ("[DONE]", "DONE", "<DONE>", "[END]", "[EOS]")
_QUOTED = ' "\t'
_BEATS = ("ping", "pong", "heartbeat", "keep-alive", "keepalive", "null", "[start]")
"""Data of events that only keep a connection alive."""

_LINES = ("ndjson", "jsonl", "json-seq", "stream+json")
"""Media types of lines of JSON."""

_TOO_LONG = "cut at the longest that a reply may be"
_WHY: dict[Ending, str] = {
    "length": "cut at its token limit",
    "filtered": "its content is filtered",
}


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
        self.usage = TokenUsage()
        """Of all replies so far, less those whose server told nothing."""
        self._models = frozenset(models)
        # Models whose reasoning has no mark at its beginning, with the replies since one had so.
        self._unopened: dict[str, int] = {}
        self._endless: set[str] = set()  # models whose replies end without an ending
        self._options: dict[str, Any] = {"model": model, "max_tokens": max_tokens}
        if temperature is not None:
            self._options["temperature"] = temperature
        self._http = HttpClient(base_url, stage="llm", provider=provider, api_key=api_key)
        self._server = ChatServer(self._http, provider)

    async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta | ToolCall]:
        """Stream the reply, without Markdown and reasoning; it ends after about 1500 characters.

        Where a server leaves out the mark that opens the reasoning, the first such reasoning is
        said; from then on the text before the closing mark is kept back, for this model.

        Calls of the brief's tools follow the text, each of them whole. Raises `StageBusy`,
        `CallerError` and `StageFailed` as `stages._http` says; "stream" also for an error in the
        middle and for an end that no finish reason or end mark announced, unless the body is whole
        by HTTP and the text by its last sentence (`ReplySoFar.is_whole`). Where the brief has a
        line that is due, a reply that was cut, there or here, filtered or is a refusal raises
        `CallerError`. What was yielded before is all of it that is to be said. Cancelling, or
        closing the iterator, closes the connection, which stops the model.
        """
        brief, body = request.brief, self._body(request)
        model = str(body["model"])
        calling = bool(brief.tools) and brief.tool_choice != "none"
        spoken = SpokenText(
            written=not brief.spoken,
            unopened=model in self._unopened,
            one_turn=bool(brief.due),
        )
        reply = ReplySoFar(spoken, calling=calling, due=brief.due)
        over = 0  # characters after the reply was full
        asked = TokenUsage(prompt_tokens(body), estimated=True)
        told: TokenUsage | None = None
        received = 0  # characters
        request.spend(
            asked
        )  # the server works on a call even if it is cancelled before the answer's head
        async with self._server.ask(body) as answer:
            pieces = await self._read_as(answer, reply)
            async with aclosing(pieces):
                async for choice in pieces:
                    received += len(choice.text)
                    if choice.usage is not None and choice.usage.prompt:  # 0: it does not count
                        told = choice.usage
                    if text := self._said(reply, choice):
                        yield TextDelta(request.turn, text)
                    if reply.spoken.closed_unopened:
                        self._unopened[model] = 0
                    if reply.full and not calling:
                        over += len(choice.text)
                        if reply.spoken.closed_unopened or over > MARK_CHARACTERS:
                            break
        if told is not None:
            self.usage += told
        request.spend(told or replace(asked, completion=estimated_tokens(received)))
        text, refused = reply.finish()
        if reply.ending is None and not reply.full and not refused:
            if not reply.is_whole():
                raise self._http.failed("stream", "it ended without a finish reason")
            self._endless.add(model)
        if not reply.spoken.closed_unopened:
            self._missed_mark(model)
        if brief.due and (refused or reply.full or reply.ending in _WHY):
            why = _TOO_LONG if reply.full else _WHY.get(reply.ending or "stop", "")
            reason = "refused to answer" if refused else why
            raise CallerError("llm", self.provider, "stream", reason=reason)
        if text:
            yield TextDelta(request.turn, text)
        if calling:
            for call in self._called(reply, request.turn):
                yield call

    def learned(self) -> tuple[str, ...]:
        """The unusual behaviour of this server that its refusals and replies have shown so far."""
        found = [(model, "its reasoning has no opening mark") for model in self._unopened]
        found += [(model, "its replies end without a finish reason") for model in self._endless]
        of_models = (f"{model}: {words}" if self._models else words for model, words in found)
        return (*self._server.learned(), *of_models)

    async def probe(self) -> str | None:
        """None if the server answers, otherwise a sentence that says why not. Takes 1 s at most."""
        return await self._http.probe()

    async def trial(self) -> str | None:
        """Ask for a short reply: None, or a sentence that says why there was none.

        Adds to what `learned` returns. A server that takes longer than 5 s, as one does that loads
        its model, counts as well. Cancelling stops the model.
        """
        reply = cast("AsyncGenerator[TextDelta | ToolCall, None]", self.reply(_TRIAL))
        try:
            async with asyncio.timeout(TRIAL_S), aclosing(reply):
                async for _ in reply:
                    pass
        except TimeoutError:
            return None
        except StageError as error:
            return f"it gives no reply: {error.reason or error.detail or error.phase}"
        return None

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

    def _missed_mark(self, model: str) -> None:
        if model in self._unopened:
            self._unopened[model] += 1
            if self._unopened[model] >= MARKLESS:
                del self._unopened[model]

    async def _read_as(
        self, answer: HttpAnswer, reply: ReplySoFar
    ) -> AsyncGenerator[CompletionPiece, None]:
        """The pieces, by what the body is: some servers stream as `application/json`, and some
        send the whole reply as an event stream, or lines of JSON."""
        lines = any(word in answer.content_type for word in _LINES)
        first = await answer.first_byte()
        if first == b"<" or (first == b"[" and "json" in answer.content_type):
            raise await answer.unexpected("an event stream")
        if first == b"{" and not lines:
            return self._whole(answer)
        return self._pieces(answer.events(), reply)

    async def _whole(self, answer: HttpAnswer) -> AsyncGenerator[CompletionPiece, None]:
        """The reply of a server that does not stream, or lines of JSON that do not say so."""
        body = await answer.body(MAX_BODY)
        try:
            completion = json.loads(body.decode("utf-8-sig", errors="replace"))
        except (ValueError, RecursionError):
            completion = None
        if completion is None and b"}\n" in body.strip():
            for line in body.splitlines():
                if line.strip():
                    yield self._read(line)
            return
        if not isinstance(completion, dict):
            raise await answer.unexpected("an event stream", body)
        choice = CompletionPiece() if completion.get("error") else self._choice(completion)
        if replace(choice, usage=None) == CompletionPiece():
            raise await answer.unexpected("an event stream", body)
        yield choice
        if choice.ending is None:
            yield CompletionPiece(ending="stop")

    async def _pieces(
        self, events: AsyncGenerator[str, None], reply: ReplySoFar
    ) -> AsyncGenerator[CompletionPiece, None]:
        """The pieces up to the end mark.

        After an ending they are waited for a moment only. Errors there change nothing: the reply is
        complete. Reading to the end of the body keeps the connection for the next reply.
        """
        loop = asyncio.get_running_loop()
        until: float | None = None
        over = False
        async with aclosing(events):
            while True:
                try:
                    async with asyncio.timeout_at(until):
                        data = await anext(events)
                    if over:
                        continue
                    if data.strip().lower() in _BEATS:
                        continue
                    over = data.strip(_QUOTED).upper() in _DONE
                    choice = (
                        CompletionPiece(ending=reply.ending or "stop") if over else self._read(data)
                    )
                except StopAsyncIteration:
                    return
                except (TimeoutError, StageError):
                    if until is None:
                        raise
                    return
                yield choice
                if over:
                    until = loop.time() + REST_S
                elif reply.full:
                    until = until or loop.time() + FULL_S
                elif reply.ending is None:
                    until = None
                elif until is None:
                    until = loop.time() + (REST_S if reply.begun else EARLY_S)

    def _read(self, data: str | bytes) -> CompletionPiece:
        """Reads one event."""
        chunk = self._http.parse(data)
        if failure := failure_in(chunk):
            raise self._http.failed("stream", f"the server says: {failure}")
        return self._choice(chunk)

    def _choice(self, completion: dict[str, Any]) -> CompletionPiece:
        try:
            usage = told_usage(completion.get("usage"))
            choice = replace(choice_of(completion), usage=usage)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._http.failed("protocol", f"no chat completion chunk: {error}") from error
        if choice.ending == "failed":
            raise self._http.failed("stream", "the server gave up the reply")
        return choice

    def _said(self, reply: ReplySoFar, choice: CompletionPiece) -> str:
        try:
            return reply.push(choice)
        except (AttributeError, TypeError) as error:
            raise self._http.failed("protocol", f"no chat completion chunk: {error}") from error
        except ValueError as error:
            raise self._http.failed("protocol", str(error)) from error

    def _called(self, reply: ReplySoFar, turn: int) -> list[ToolCall]:
        try:
            return reply.calls.finish(turn, cut=reply.ending == "length")
        except ValueError as error:
            raise self._http.failed("protocol", str(error)) from error
