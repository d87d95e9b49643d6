"""`/{service}/{path}`, `/v1/{service}/{path}`: requests passed on to services behind the gateway.

Requests and answers are streamed: a piece is read from one side when the other side has taken the
piece before. The gateway's own errors are problem details, as everywhere.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from gateway.rest import problems
from gateway.rest.operation import Check
from gateway.rest.problems import Problem, problem_of
from gateway.rest.proxied_request import proxied_call
from gateway.security.access import own_beginnings
from gateway.services.definition import Fallback, ServiceFallback, StaticFallback
from gateway.services.exchange import Exchange, NoAnswer, ProxiedCall, ServiceAnswer
from gateway.services.forwarding import METHODS, RefusedRequest, framing_of
from gateway.services.registry import Registry, Service
from gateway.services.request_body import BodyTooLong, ClientGone, RequestBody
from gateway.services.totals import Totals
from gateway.services.upstreams import UpstreamFailed, Upstreams

logger = logging.getLogger("parley.services")

OWN: Final = own_beginnings()

STANDS_IN: Final = b"x-parley-fallback"
"""The header of a fallback's answer: "json", or the name of the service that answered instead."""

WATCH_AFTER_S: Final = 0.05
"""How long an exchange goes on before its client is watched, and so how late the service hears at
most that the client has left. Assumed value."""

MISSING: Final = {
    "down": problems.SERVICE_UNAVAILABLE,
    "busy": problems.SERVICE_BUSY,
    "failed": problems.SERVICE_FAILED,
    "late": problems.SERVICE_TIMEOUT,
}


class ServiceProxy:
    """The ASGI application for all paths of services behind a `version`, such as "/v1", or "".

    `check` gives the check of access for each method.
    """

    def __init__(
        self,
        registry: Registry,
        upstreams: Upstreams,
        check: Callable[[str], Check | None],
        totals: Totals,
        version: str = "",
    ) -> None:
        self._registry = registry
        self._upstreams = upstreams
        self._totals = totals
        self._version = version
        self._checks = {method: check(method) for method in METHODS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        out = _Reply(scope, send, self._totals)
        try:
            async with asyncio.timeout(None) as here:
                await self._pass_on(Request(scope), receive, out, here)
        except TimeoutError:
            if not here.expired():
                raise
        except ClientGone:
            pass
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                logger.exception("%s %s failed", scope["method"], scope["path"])
                problem = problems.INTERNAL()
            if not out.begun:
                await problem.response()(scope, receive, out.send)

    async def _pass_on(
        self, request: Request, receive: Receive, out: "_Reply", here: asyncio.Timeout
    ) -> None:
        name = request.path_params["service"]
        if name in OWN or not self._registry:
            raise problems.NOT_FOUND()
        if request.method not in self._checks:
            raise problems.METHOD_NOT_ALLOWED(headers={"allow": ", ".join(METHODS)})
        # Before the service is looked for: who may not ask does not learn which there are.
        if (check := self._checks[request.method]) is not None:
            await check(request)
        service = self._registry.find(name)
        if service is None:
            raise problems.NOT_FOUND()
        out.asked_at = asyncio.get_running_loop().time()
        try:
            framing = framing_of(request.headers.raw)
            call = proxied_call(request, framing, f"{self._version}/{name}")
            await self._answer(service, call, receive, out, here)
        except RefusedRequest as error:
            raise problems.INVALID_REQUEST(str(error)) from None
        except BodyTooLong:
            raise _too_large(service) from None

    async def _answer(
        self,
        service: Service,
        call: ProxiedCall,
        receive: Receive,
        out: "_Reply",
        here: asyncio.Timeout,
    ) -> None:
        most = service.spec.max_request_bytes
        if (call.framing.length or 0) > most:
            raise _too_large(service)
        body = RequestBody(receive, empty=call.framing.empty, most_bytes=most)
        watching, begun = _Watch(body, here), asyncio.get_running_loop().time()
        out.ends = watching.close
        try:
            await self._exchange(service, call, body, out)
        except NoAnswer as missing:
            await self._stand_in(service, call, body, out, missing, begun)
        finally:
            watching.close()

    async def _exchange(
        self,
        service: Service,
        call: ProxiedCall,
        body: RequestBody,
        out: "_Reply",
        stands_in: str = "",
    ) -> None:
        exchange = Exchange(service, self._upstreams, call, body)
        try:
            async with exchange.answer() as answered:
                await out.pass_on(answered, service.spec.max_response_bytes, stands_in)
        except UpstreamFailed:
            # Its head is with the client already: to close the connection is to say so.
            return

    async def _stand_in(
        self,
        service: Service,
        call: ProxiedCall,
        body: RequestBody,
        out: "_Reply",
        missing: NoAnswer,
        begun: float,
    ) -> None:
        fallback: Fallback | None = service.spec.fallback
        if isinstance(fallback, StaticFallback):
            await out.pass_json(fallback)
            return
        # What an instance may have done is not done again elsewhere.
        again = body.repeatable and (call.idempotent or missing.unseen)
        left_s = call.budget_s
        if left_s is not None:
            left_s -= asyncio.get_running_loop().time() - begun
            again = again and left_s > 0
        if isinstance(fallback, ServiceFallback) and again:
            other = self._registry.find(fallback.service)
            if other is not None:
                if (call.framing.length or 0) > other.spec.max_request_bytes:
                    raise _too_large(other)
                body.limit(other.spec.max_request_bytes)
                call = call.at(f"{self._version}/{other.name}".encode(), left_s)
                with suppress(NoAnswer):
                    await self._exchange(other, call, body, out, other.name)
                    return
        raise no_answer(service, missing)


class _Watch:
    """Ends an exchange when its client leaves, once the request's body is complete.

    It begins `WATCH_AFTER_S` later: most answers are over by then, and need no task of their own.
    """

    def __init__(self, body: RequestBody, here: asyncio.Timeout) -> None:
        self._body = body
        self._here = here
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        if body.complete:
            self._wait()
        else:
            body.completed = self._wait

    def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(WATCH_AFTER_S, self._begin)

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        await self._body.gone()
        self._here.reschedule(asyncio.get_running_loop().time())

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()


class _Reply:
    """The answer to the client, sent part by part and counted in `totals`."""

    def __init__(self, scope: Scope, send: Send, totals: Totals) -> None:
        self.begun = False
        self.asked_at: float | None = None
        """When the request's service was found, by the loop's clock; None before that."""
        self.ends: Callable[[], None] = lambda: None
        """Called before the last piece is sent: after it the server reports that the client has
        left."""
        self._head_only = scope["method"] == "HEAD"
        self._send = send
        self._totals = totals

    async def send(self, message: Message) -> None:
        """Send a part of an answer, which is counted by its head."""
        if message["type"] == "http.response.start" and self.asked_at is not None:
            waited_s = asyncio.get_running_loop().time() - self.asked_at
            self._totals.answered(message["status"], waited_s)
        await self._send(message)

    async def pass_on(self, answered: ServiceAnswer, most_bytes: int, stands_in: str) -> None:
        """Send the answer of a service. Raises `UpstreamFailed`."""
        head = [*answered.head, *([(STANDS_IN, stands_in.encode())] if stands_in else ())]
        await self._begin(answered.status, head)
        sent, more = 0, True
        while more:
            piece = await answered.piece()
            sent += len(piece)
            if sent > most_bytes:
                logger.warning("an answer is longer than max_response_mb and was broken off")
                return
            more = not answered.complete()
            if not more:
                self.ends()
            await self._send({"type": "http.response.body", "body": piece, "more_body": more})

    async def pass_json(self, fallback: StaticFallback) -> None:
        """Send the JSON that the configuration has as a service's fallback."""
        length = b"%d" % len(fallback.body)
        head = [
            (b"content-type", b"application/json"),
            (b"cache-control", b"no-store"),
            (b"content-length", length),
            (STANDS_IN, b"json"),
        ]
        await self._begin(fallback.status, head)
        body = b"" if self._head_only else fallback.body
        await self._send({"type": "http.response.body", "body": body})

    async def _begin(self, status: int, head: list[tuple[bytes, bytes]]) -> None:
        message: Message = {"type": "http.response.start", "status": status, "headers": head}
        self.begun = True
        await self.send(message)


def _too_large(service: Service) -> Problem:
    most_mb = service.spec.max_request_bytes / 1_000_000
    return problems.BODY_TOO_LARGE(f"{service.name} takes {most_mb:g} MB")


def no_answer(service: Service, missing: NoAnswer) -> Problem:
    """The problem for a client whose request no instance has answered."""
    wait_s = math.ceil(missing.retry_after_s)
    return MISSING[missing.missing](
        f"{service.name}: {missing.reason}", headers={"retry-after": f"{wait_s}"} if wait_s else {}
    )
