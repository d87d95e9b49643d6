"""One answer of a chat model, whole and by a JSON schema, from any OpenAI-compatible server.

Speaks `POST /v1/chat/completions` without `stream`. Servers that know `response_format` hold the
model to the schema. A server that refuses the field is asked again without it, and never with it
again: the caller checks the answer anyway.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import CallerError, StageTimeout
from pipeline.stage import Message
from stages._http import HttpClient, HttpRefused
from stages.llm._chunks import choice_of
from stages.llm._conversation import as_json
from stages.llm._server import ChatServer

logger = logging.getLogger(__name__)

MAX_BODY = 512 << 10
"""Bytes of a response."""

MAX_TEXT = 64_000
"""The most characters of an answer."""

_NOT_UNDERSTOOD = (400, 415, 422, 501)
"""How servers refuse a field that they do not know."""


class ChatModel:
    """Asks for one completion at a time; any number of callers share it.

    `base_url`, `provider` and `api_key` are as for `stages.llm.openai`. One answer takes
    `timeout_s` at most, both tries together. Raises `ValueError` for an unusable URL or key.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        provider: str = "openai",
        max_tokens: int = 2_000,
        temperature: float | None = 0.2,
        timeout_s: float = 60.0,
    ) -> None:
        self.provider = provider
        self.model = model
        self._timeout_s = timeout_s
        self._options: dict[str, Any] = {"model": model, "max_tokens": max_tokens, "stream": False}
        if temperature is not None:
            self._options["temperature"] = temperature
        self._http = HttpClient(base_url, stage="llm", provider=provider, api_key=api_key)
        self._server = ChatServer(self._http, provider)
        self._knows_schemas = True

    async def complete(self, messages: Sequence[Message], schema: Mapping[str, Any]) -> str:
        """The model's text. It should be JSON by `schema`, but is not checked here.

        Raises `StageBusy`, `CallerError` and `StageFailed` as `stages._http` says, "empty" for an
        answer without text, "protocol" for one that was cut at the token limit, and `StageTimeout`.
        Cancelling closes the connection, which stops the model.
        """
        body = {**self._options, "messages": [as_json(message) for message in messages]}
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._asked(body, schema)
        except TimeoutError as error:
            detail = f"no answer within {self._timeout_s:g} s"
            raise StageTimeout("llm", self.provider, "total", detail) from error

    async def probe(self) -> str | None:
        """None if the server answers, otherwise a sentence that says why not. Takes 1 s at most."""
        return await self._http.probe()

    async def aclose(self) -> None:
        """Close the connections. Calls under way fail."""
        await self._http.aclose()

    async def _asked(self, body: dict[str, Any], schema: Mapping[str, Any]) -> str:
        if self._knows_schemas:
            wanted = {"name": "answer", "schema": dict(schema), "strict": True}
            strict = {**body, "response_format": {"type": "json_schema", "json_schema": wanted}}
            try:
                return await self._post(strict)
            except HttpRefused as error:
                if error.status not in _NOT_UNDERSTOOD:
                    raise
            text = await self._post(body)
            # Only now is it certain that the server refused the schema.
            logger.info("%s refuses response_format; it is asked without", self.provider)
            self._knows_schemas = False
            return text
        return await self._post(body)

    async def _post(self, body: dict[str, Any]) -> str:
        async with self._server.ask(body) as answer:
            if "json" not in answer.content_type:
                raise await answer.unexpected("JSON")
            completion = self._http.parse(await answer.body(MAX_BODY))
        try:
            choice = choice_of(completion)
            if not completion["choices"]:
                raise ValueError("no choices")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._http.failed("protocol", f"no chat completion: {error!r}") from error
        if choice.ending == "length":
            raise self._http.failed("protocol", "the answer was cut at the token limit")
        if choice.ending == "filtered" or choice.refusal:
            raise CallerError("llm", self.provider, "stream", "the model refused to answer")
        text = choice.text
        if not text.strip():
            raise self._http.failed("empty", "an answer without text")
        if len(text) > MAX_TEXT:
            raise self._http.failed("protocol", f"an answer of more than {MAX_TEXT} characters")
        return text
