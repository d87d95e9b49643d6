"""`/v1/chat/completions` and `/v1/models`: chat models for programs, as OpenAI's API has them."""

import asyncio
import logging
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.limits.limiter import LimitsUnavailable
from gateway.limits.token_limiter import ANYBODY, CallsUnderWay, Spending, TokenLimiter
from gateway.models.answer import ModelAnswer
from gateway.models.calls import ModelCall, ModelCalls, ModelUnavailable, NoModel
from gateway.models.routing import ModelReply
from gateway.models.usage import UsageLedger, most_tokens, prompt_tokens
from gateway.rest import problems
from gateway.rest.access import ADMITTED, Admitted, counted_as
from gateway.rest.limits import HttpLimits, note
from gateway.rest.operation import Operation, ResponseSpec
from gateway.rest.problems import Kind
from gateway.rest.proxied_request import proxied_call
from gateway.services.forwarding import Framing
from gateway.services.upstreams import UpstreamFailed
from stages._sse import MalformedStream

logger = logging.getLogger("parley.models")

MODEL_NOT_FOUND = Kind("model_not_found", 404, "There is no model of this name")
MODEL_UNAVAILABLE = Kind("model_unavailable", 503, "No model answers now")

MAX_BODY_BYTES: Final = 4_000_000
"""The most bytes of a request, which may contain pictures."""

SESSION: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")

EXAMPLE: dict[str, Any] = {
    "model": "interviewer",
    "messages": [{"role": "user", "content": "Ask me about my last project."}],
}
EXAMPLE_ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1764460800,
    "model": "qwen2.5:3b",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "What was hard about it?"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 14, "completion_tokens": 6, "total_tokens": 20},
}


class ChatRequest(BaseModel):
    """The fields of a request that the gateway reads; it passes all others on as they are."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    model: Annotated[str, Field(min_length=1, max_length=128)]
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    logprobs: bool | None = None
    tools: list[dict[str, Any]] | None = None


class Completion(BaseModel):
    """The service's own answer, as it is."""

    model_config = ConfigDict(extra="allow")


class Model(BaseModel):
    """A model that can be asked for."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "parley"


class ModelsPage(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[Model]


class ChatEndpoints:
    """The endpoints. `tokens` decides whether a client may use more tokens, `ledger` counts those
    that it has used.

    `limits` counts requests to each service, if these are limited.
    """

    def __init__(
        self,
        calls: ModelCalls,
        tokens: TokenLimiter,
        ledger: UsageLedger,
        limits: HttpLimits | None = None,
    ) -> None:
        self._limits = limits
        self._calls = calls
        self._tokens = tokens
        self._ledger = ledger

    def operations(self) -> list[Operation]:
        """The endpoints, as entries of the table of operations."""
        errors = (MODEL_NOT_FOUND, MODEL_UNAVAILABLE, problems.INVALID_PARAMETER)
        return [
            Operation(
                method="POST",
                path="/v1/chat/completions",
                name="createChatCompletion",
                handler=self._chat,
                summary="Ask a chat model",
                description="As OpenAI's API has it, with `stream` or without. `X-Session-ID` names"
                " the session that the call is counted for, and that stays with a model. The"
                " service's own refusals are passed on as they are. `X-Parley-Model` says which"
                " model has answered, `X-Parley-Escalated` why it was not the first one.",
                tags=("models",),
                body=ChatRequest,
                body_example=EXAMPLE,
                max_body_bytes=MAX_BODY_BYTES,
                answers={
                    200: ResponseSpec(
                        "The reply", Completion, EXAMPLE_ANSWER, media=("text/event-stream",)
                    )
                },
                errors=(*errors, *problems.OF_LIMITS),
            ),
            Operation(
                method="GET",
                path="/v1/models",
                name="listChatModels",
                handler=self._models,
                summary="The models that can be asked for",
                tags=("models",),
                answers={
                    200: ResponseSpec(
                        "They",
                        ModelsPage,
                        {"object": "list", "data": [Model(id="interviewer").model_dump()]},
                    )
                },
            ),
        ]

    async def _models(self, request: Request) -> ModelsPage:
        return ModelsPage(data=[Model(id=spec.name) for spec in self._calls.models])

    async def _chat(self, request: Request, body: ChatRequest) -> Response:
        session = request.headers.get("x-session-id", "")
        if session and SESSION.fullmatch(session) is None:
            raise problems.INVALID_PARAMETER(
                "X-Session-ID has letters, digits and . _ : -, at most 128"
            )
        if self._calls.models.find(body.model) is None:
            raise MODEL_NOT_FOUND("GET /v1/models lists them")
        admitted: Admitted | None = request.scope.get(ADMITTED)
        client = ANYBODY if admitted is None else counted_as(admitted.grant)
        wanted = body.model_dump(exclude_unset=True)
        try:
            spending = await self._tokens.begin(
                client, session, prompt_tokens(wanted), most_tokens(wanted)
            )
        except LimitsUnavailable:
            raise problems.LIMITS_UNAVAILABLE(headers=problems.RETRY) from None
        except CallsUnderWay as error:
            raise problems.TOO_MANY_REQUESTS(str(error), headers=problems.RETRY) from None
        note(request, spending.verdicts)
        count = _Count(self._tokens, self._ledger, spending, _shown(admitted), session)
        call = ModelCall(
            call=proxied_call(request, Framing(), "/v1"),
            body=wanted,
            client=client,
            session=session,
            begun=asyncio.get_running_loop().time(),
            admit=partial(self._admit, request),
        )
        try:
            async with while_here(request.receive):
                answer = await self._calls.ask(call, count.spent)
        except NoModel:
            await count.end()
            raise MODEL_NOT_FOUND("GET /v1/models lists them") from None
        except ModelUnavailable as error:
            await count.end()
            wait_s = max(1, math.ceil(error.retry_after_s))
            raise MODEL_UNAVAILABLE(str(error), headers={"retry-after": f"{wait_s}"}) from None
        except CallerLeft:
            await count.end()
            raise problems.INCOMPLETE_BODY() from None
        except BaseException:
            await count.end()
            raise
        return ChatResponse(answer, count.end)

    async def _admit(self, request: Request, service: str) -> None:
        if self._limits is not None:
            await self._limits.service(request, service)


class _Count:
    """The tokens of one request, which are counted once, however it ends."""

    def __init__(
        self,
        tokens: TokenLimiter,
        ledger: UsageLedger,
        spending: Spending,
        key: str,
        session: str,
    ) -> None:
        self.spent: list[ModelReply] = []
        self._tokens = tokens
        self._ledger = ledger
        self._spending = spending
        self._key = key
        self._session = session

    async def end(self, answer: ModelAnswer | None = None) -> None:
        """Count the tokens of all replies: no more will come."""
        replies = tuple(self.spent) if answer is None else answer.replies
        for number, reply in enumerate(replies, 1):
            self._ledger.add(
                self._key,
                self._session,
                reply.model,
                reply.usage,
                asked=number == len(replies),
                escalated=reply.escalated is not None,
            )
        await self._tokens.end(self._spending, sum(reply.usage.total for reply in replies))


class ChatResponse(Response):
    """A model's answer, piece by piece; `end` is called when it is over, however it ends."""

    def __init__(self, answer: ModelAnswer, end: Callable[[ModelAnswer], Awaitable[None]]) -> None:
        super().__init__(None, answer.status)
        self._answer = answer
        self._end = end
        self.raw_headers = [
            *answer.head,
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (b"x-accel-buffering", b"no"),
            (b"x-parley-model", answer.model.encode()),
        ]
        if answer.escalated is not None:
            self.raw_headers.append((b"x-parley-escalated", answer.escalated.encode()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = {"status": self.status_code, "headers": self.raw_headers}
        ended = False
        try:
            async with while_here(receive) as stop_watching, self._answer as answer:
                await send({"type": "http.response.start", **head})
                async for piece in answer.pieces():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                # After the last piece the server says that the client has left.
                stop_watching()
                # Who has all of it may call again at once, and this call is no longer under way.
                ended = True
                await self._end(answer)
                await send({"type": "http.response.body", "body": b""})
        except (UpstreamFailed, MalformedStream) as error:
            # Its head is with the client already: to close the connection is to say so.
            logger.warning("the answer of %s broke off: %s", self._answer.model, error)
        except CallerLeft:
            pass
        finally:
            if not ended:
                await self._end(self._answer)


class CallerLeft(Exception):
    """The client has left before its request was done."""


@asynccontextmanager
async def while_here(receive: Receive) -> AsyncIterator[Callable[[], object]]:
    """End the block early if the client leaves; its request has been read. Raises `CallerLeft`.

    Yields the function that ends the watch.
    """

    async def watch(here: asyncio.Timeout) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        here.reschedule(asyncio.get_running_loop().time())

    try:
        async with asyncio.timeout(None) as here:
            watching = asyncio.create_task(watch(here))
            try:
                yield watching.cancel
            finally:
                watching.cancel()
    except TimeoutError:
        if not here.expired():
            raise
        raise CallerLeft from None


def _shown(admitted: Admitted | None) -> str:
    """How operators see the client of a call: a key of `parley keys` is shown by its id."""
    if admitted is None:
        return ANYBODY
    return admitted.grant.key_id or (admitted.grant.owner or admitted.grant.digest)[:12]
