"""Upstreams that word an interview in the scripted interviewer's place: services and chat models.

A `ContractService` serves the desktop contract itself (`/api/v1/interviews/…`, `/api/v1/models`); a
`Chat` prompts a chat model. Each gives a complete turn or none: an unusable answer counts as its
failure (`StageFailed`, "protocol"), and the next upstream is asked.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, Generic, Protocol, TypeVar

from cachetools import LRUCache
from pydantic import BaseModel, Field, StringConstraints, ValidationError

from gateway.logs import upstream_headers
from gateway.rest.stateless.proposals import (
    StatelessTurn,
    Unusable,
    by_model,
    by_service,
    cleaned,
    opened_by,
)
from pipeline.errors import StageFailed
from pipeline.frames import TextDelta
from pipeline.stage import Brief, ReplyRequest, Responder
from stages._http import HttpClient, HttpRefused
from stages.interview import InterviewSession, Judge, answers_of, evaluate, start, summary_of
from stages.llm.chat import ChatModel

MAX_BODY = 1 << 20
"""The most bytes of a service's answer: four times the largest session that clients may send."""

MAX_SUMMARY = 8_000
"""The most characters of a summary."""

MAX_CHAT_MODELS = 4
"""Models of one server that have a client; the least recently used is dropped."""

_OUR_FAULT = frozenset({400, 409, 413, 422})
"""Statuses that refuse one request and say nothing about the next."""

T = TypeVar("T")


class Upstream(Protocol):
    """A service or chat model that words turns and writes summaries.

    Each call yields one item, or raises a `StageError`. Cancelling closes the connection.
    """

    provider: str

    def say(self, turn: StatelessTurn) -> AsyncIterator[InterviewSession]: ...

    def summarise(self, session: InterviewSession) -> AsyncIterator[str]: ...


class _Line(BaseModel):
    role: Annotated[str, StringConstraints(max_length=20)]
    content: str


class _Session(BaseModel):
    """The part of a service's session that is read; counts and settings are the gateway's own."""

    messages: list[_Line] = Field(min_length=1, max_length=1_000)


class _Summary(BaseModel):
    summary: str


S = TypeVar("S", bound=BaseModel)


class ContractService:
    """A service at `base_url` that serves the desktop contract. Raises `ValueError` for the URL."""

    def __init__(self, base_url: str, provider: str) -> None:
        self.provider = provider
        self._http = HttpClient(f"{base_url}/api/v1", stage="llm", provider=provider)

    async def say(self, turn: StatelessTurn) -> AsyncIterator[InterviewSession]:
        """The session after the turn, in the service's words and with its system prompt."""
        if turn.before is None:
            config = turn.step.session.to_contract()["config"]
            received = await self._ask("interviews/start", config, _Session)
            yield self._fitting(lambda: _opened(turn, received))
        else:
            known = len(turn.before.messages)
            body = {"session": turn.before.to_contract(), "message": turn.message}
            received = await self._ask("interviews/respond", body, _Session)
            yield self._fitting(lambda: by_service(turn, _new(received, known)))

    async def summarise(self, session: InterviewSession) -> AsyncIterator[str]:
        """A summary, as text for people."""
        body = {"session": session.to_contract()}
        received = await self._ask("interviews/summary", body, _Summary)
        yield self._fitting(lambda: cleaned(received.summary, MAX_SUMMARY))

    async def models(self) -> dict[str, Any]:
        """The answer to `GET /api/v1/models`, any JSON object. Raises a `StageError`."""
        return await fetch_object(self._http, "models")

    async def aclose(self) -> None:
        """Close the connections. Calls under way fail."""
        await self._http.aclose()

    async def _ask(self, path: str, body: dict[str, Any], shape: type[S]) -> S:
        try:
            async with self._http.post_json(path, body, upstream_headers()) as answer:
                if "json" not in answer.content_type:
                    raise await answer.unexpected("JSON")
                received = self._http.parse(await answer.body(MAX_BODY))
        except HttpRefused as error:
            if error.status in _OUR_FAULT:
                raise
            # 401, 404, 405 …: the next request would be refused, too.
            raise self._http.failed("protocol", error.detail) from None
        try:
            return shape.model_validate(received)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise self._http.failed("protocol", f"{where}: {first['msg']}") from None

    def _fitting(self, make: Callable[[], T]) -> T:
        try:
            return make()
        except Unusable as error:
            raise self._http.failed("protocol", str(error)) from None


async def fetch_object(http: HttpClient, path: str) -> dict[str, Any]:
    """GET a JSON object. Raises a `StageError`."""
    async with http.get(path) as answer:
        if "json" not in answer.content_type:
            raise await answer.unexpected("JSON")
        return http.parse(await answer.body(MAX_BODY))


def _opened(turn: StatelessTurn, received: _Session) -> InterviewSession:
    opened = by_service(turn, _new(received, 0))
    system = next((m.content for m in received.messages if m.role == "system"), "")
    return opened_by(opened, system) if system.strip() else opened


def _new(received: _Session, known: int) -> str:
    """The interviewer's words in the messages after the first `known`."""
    new = [m.content for m in received.messages[known:] if m.role == "assistant"]
    if not new or received.messages[-1].role != "assistant":
        raise Unusable("a session that does not end in a new message of the interviewer")
    return "\n".join(new)


# --- chat models -----------------------------------------------------------------------------


class Closable(Protocol):
    async def aclose(self) -> None: ...


C = TypeVar("C", bound=Closable)


class PerModel(Generic[C]):
    """One client for each of the `MAX_CHAT_MODELS` models that were used last."""

    def __init__(self, make: Callable[[str], C]) -> None:
        self._make = make
        self._clients: LRUCache[str, C] = LRUCache(MAX_CHAT_MODELS)

    async def get(self, model: str) -> C:
        """The model's client. Calls under way of a client that is dropped for it fail."""
        client = self._clients.get(model)
        if client is None:
            client = self._make(model)
            full = len(self._clients) >= self._clients.maxsize
            dropped = self._clients.popitem()[1] if full else None
            self._clients[model] = client
            if dropped is not None:
                await dropped.aclose()
        return client

    async def aclose(self) -> None:
        while self._clients:
            await self._clients.popitem()[1].aclose()


class Chat:
    """A chat model as interviewer and writer of summaries.

    `responder` and `model` give the clients for a session; their maker closes them. The persona and
    the question come from the interview, whatever system prompt the client's session has.
    """

    def __init__(
        self,
        provider: str,
        responder: Callable[[InterviewSession], Awaitable[Responder]],
        model: Callable[[InterviewSession], Awaitable[ChatModel]] | None = None,
    ) -> None:
        self.provider = provider
        self._responder = responder
        self._model = model

    async def say(self, turn: StatelessTurn) -> AsyncIterator[InterviewSession]:
        """The session after the turn; the question is the interview's own, word for word."""
        step = turn.step
        persona = start(step.session.config).session.messages[0]
        history = (persona, *(m for m in step.session.messages[:-1] if m.role != "system"))
        brief = Brief(
            step.say,
            step.instructions,
            history,
            closes=step.intent == "close",
            due=step.say[-1],
        )
        responder = await self._responder(step.session)
        reply = responder.reply(ReplyRequest(0, turn.message or "", brief))
        try:
            text = "".join([item.text async for item in reply if isinstance(item, TextDelta)])
        finally:
            if (aclose := getattr(reply, "aclose", None)) is not None:
                await aclose()
        try:
            yield by_model(turn, text)
        except Unusable as error:
            raise StageFailed("llm", self.provider, "protocol", str(error)) from None

    async def summarise(self, session: InterviewSession) -> AsyncIterator[str]:
        """The contract's summary, with the model's text between its counts and its thanks."""
        if self._model is None:
            raise StageFailed("llm", self.provider, "empty", "it writes no summaries")
        model = await self._model(session)
        role = session.config.role
        answers = await asyncio.to_thread(answers_of, session)
        evaluation = await asyncio.to_thread(evaluate, role, answers)
        text = await Judge(model.complete, model.model).summary(role, answers, evaluation)
        if text is None:
            raise StageFailed("llm", self.provider, "protocol", "no usable summary")
        yield (await asyncio.to_thread(summary_of, session, text=text))["summary"]
