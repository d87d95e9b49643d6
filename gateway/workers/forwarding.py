"""Forwards requests that another process of the gateway answers, or all of them.

A process sends a request over the other's socket in the gateway's own folder, with what it knows of
the client in the header `FROM`; the header is trusted only there. Each process checks for itself
what a client may do.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import httpx
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.rest.subpath import without
from gateway.transports.websocket.protocol import EXTENSION
from gateway.workers import merging, metrics_pages
from gateway.workers.kept_pages import counted_by
from gateway.workers.routes import Way, way_by_body, way_of
from gateway.workers.siblings import Siblings, entering

logger = logging.getLogger("parley.workers")

FROM: Final = "x-parley-from"

CONNECT_S: Final = 1.0
ANSWER_S: Final = 60.0
"""The longest silence of an answer: events have a comment every 15 s."""

ALL_S: Final = 3.0
"""How long the answers of all processes may take; a process without one by then is left out."""

MOST_CONNECTIONS: Final = 512
LONGEST_BODY: Final = 256 * 1024
"""The longest body that is read or repeated here: an offer, or an operator's change."""

HOPS: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Header lines that concern one connection only (RFC 9110, section 7.6.1)."""

GONE: Final = "the process that has this connection has ended\n"


class Forwarding:
    """The application of a process that has siblings. Enter this context where it serves.

    `subpath` is the path below which another host serves the gateway, or "". It has no influence on
    where a request goes, and requests are forwarded with it.
    """

    def __init__(self, app: ASGIApp, siblings: Siblings, *, subpath: str = "") -> None:
        self._app = app
        self._siblings = siblings
        self._subpath = subpath
        self._clients: dict[int, httpx.AsyncClient] = {}

    async def aclose(self) -> None:
        """Close the connections to the other processes."""
        for client in self._clients.values():
            await client.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        query = scope["query_string"].decode(errors="replace")
        path = without(scope["path"], self._subpath)
        way = way_of(scope["method"], path, query, self._siblings.board.workers)
        if way.kind == "here":
            await self._app(scope, receive, send)
            return
        try:
            await self._elsewhere(way, scope, receive, send)
        except ClientDisconnect:
            return

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        who = scope.get("extensions", {}).get(EXTENSION)
        entering.set(who)  # this task is the connection's own
        try:
            await self._app(scope, receive, send)
        finally:
            self._siblings.leave(who)

    async def _elsewhere(self, way: Way, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if way.kind == "all":
            body = await _whole(request)
            answer = TOO_LONG if body is None else await self._all(request, body)
            await answer(scope, receive, send)
            return
        if way.kind in ("offer", "trickle"):
            body = await _whole(request)
            if body is None:
                await TOO_LONG(scope, receive, send)
                return
            way, receive = way_by_body(way, body), _again(body, receive)
            request = Request(scope, receive)
        siblings = self._siblings
        worker = siblings.place(way)
        if worker == siblings.index:
            await self._here(way, scope, receive, send)
            return
        if way.kind == "begin":
            with siblings.asking(worker):
                response = await self._answer(worker, request)
        else:
            response = await self._answer(worker, request)
        if response is None:
            gone = Response(GONE, 503, {"retry-after": "1"}, media_type="text/plain")
            await gone(scope, receive, send)
        else:
            await response(scope, receive, send)

    async def _here(self, way: Way, scope: Scope, receive: Receive, send: Send) -> None:
        if way.kind != "begin":
            await self._app(scope, receive, send)
            return
        who = object()
        entering.set(who)
        self._siblings.enter(who)
        try:
            await self._app(scope, receive, send)
        finally:
            self._siblings.leave(who)

    # --- one process ---------------------------------------------------------------------------

    async def _answer(self, worker: int, request: Request) -> Response | None:
        """The answer of another process; None if it does not answer."""
        client = self._client(worker)
        bare = not {"content-length", "transfer-encoding"} & {*request.headers}
        asked = client.build_request(
            request.method,
            _target(request.scope),
            headers=_told(request),
            content=None if bare else request.stream(),
        )
        try:
            answer = await client.send(asked, stream=True)
        except httpx.TransportError as error:
            logger.warning("process %d of this gateway does not answer: %r", worker, error)
            return None
        response = StreamingResponse(_parts(answer), answer.status_code)
        response.raw_headers = _kept(answer.headers)
        return response

    def _client(self, worker: int) -> httpx.AsyncClient:
        if worker not in self._clients:
            transport = httpx.AsyncHTTPTransport(
                uds=str(self._siblings.http_path(worker)),
                limits=httpx.Limits(max_connections=MOST_CONNECTIONS, keepalive_expiry=30.0),
            )
            self._clients[worker] = httpx.AsyncClient(
                transport=transport,
                base_url="http://sibling",
                timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
                trust_env=False,
                headers={"accept-encoding": "identity"},
            )
        return self._clients[worker]

    # --- all of them ---------------------------------------------------------------------------

    async def _all(self, request: Request, body: bytes) -> Response:
        """The merged answer of all processes."""
        workers = range(self._siblings.board.workers)
        found = await asyncio.gather(*(self._one(worker, request, body) for worker in workers))
        answers = {worker: one for worker, one in zip(workers, found, strict=True) if one}
        own = self._siblings.index
        if own not in answers:
            return Response("this process does not answer itself\n", 503, {"retry-after": "1"})
        method, path = request.method, without(request.scope["path"], self._subpath)
        statuses = {worker: one.status_code for worker, one in answers.items()}
        if method != "GET":
            return _same(answers[merging.chosen(own, statuses, method)])
        if path in ("/health/ready", "/ready"):
            return _same(answers[merging.ready(own, statuses)])
        if statuses[own] != 200:
            return _same(answers[own])
        good = {worker: one for worker, one in answers.items() if one.status_code == 200}
        if path == "/metrics":
            return await self._metrics(good)
        try:
            merged = _merged(path, own, {worker: one.json() for worker, one in good.items()})
        except (ValueError, KeyError, TypeError):
            logger.exception("the answers of several processes could not be made one")
            return _same(answers[own])
        if merged is None:
            return _same(answers[own])
        response = JSONResponse(merged)
        response.raw_headers = [
            *((name, value) for name, value in response.raw_headers if name == b"content-length"),
            *(line for line in _kept(answers[own].headers) if line[0] != b"content-length"),
        ]
        return response

    async def _one(self, worker: int, request: Request, body: bytes) -> httpx.Response | None:
        client = self._client(worker)
        try:
            async with asyncio.timeout(ALL_S):
                return await client.request(
                    request.method, _target(request.scope), headers=_told(request), content=body
                )
        except (httpx.TransportError, TimeoutError) as error:
            logger.info("process %d of this gateway does not answer: %r", worker, error)
            return None

    async def _metrics(self, answers: Mapping[int, httpx.Response]) -> Response:
        siblings = self._siblings
        pages = [one.text for one in answers.values()]
        silent = [worker for worker in range(siblings.board.workers) if worker not in answers]
        pages += await asyncio.to_thread(counted_by, siblings.folder, silent)
        own = answers[siblings.index]
        response = Response(metrics_pages.added(pages))
        response.raw_headers = [
            *((name, value) for name, value in response.raw_headers if name == b"content-length"),
            *(line for line in _kept(own.headers) if line[0] != b"content-length"),
        ]
        return response


def _merged(path: str, own: int, answers: Mapping[int, Any]) -> dict[str, Any] | None:
    """Merge JSON answers into one; None: this process's own answer is enough."""
    all_: Sequence[Any] = [*answers.values()]
    match path:
        case "/health":
            return merging.health(answers[own], all_)
        case "/admin/stages":
            return merging.stages(answers[own], all_)
        case "/admin/sessions":
            return merging.sessions(answers)
        case "/admin/breakers":
            return merging.breakers(all_)
        case "/admin/limits":
            return merging.limits(all_)
        case "/admin/metrics":
            return merging.service_metrics(all_)
        case "/admin/usage":
            return merging.usage(all_)
        case "/admin/drills":
            return merging.drills(all_)
    return None


TOO_LONG: Final = Response("the body is too long\n", 413, media_type="text/plain")


async def _whole(request: Request) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_BODY:
            return None
    return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body that was read, and then what comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return waiting.pop() if waiting else await receive()

    return received


def _target(scope: Scope) -> str:
    raw = scope.get("raw_path") or scope["path"].encode()
    query = scope["query_string"]
    target: bytes = raw + b"?" + query if query else raw
    return target.decode("latin-1")


def _told(request: Request) -> list[tuple[bytes, bytes]]:
    """The request's header lines, and what this process knows of its client."""
    client = request.scope["client"]
    told = {"client": client and [client[0], client[1]], "scheme": request.scope["scheme"]}
    lines = [
        line
        for line in request.headers.raw
        if line[0].decode("latin-1") not in HOPS and line[0].decode("latin-1") != FROM
    ]
    if "transfer-encoding" in request.headers:
        lines.append((b"transfer-encoding", b"chunked"))
    return [*lines, (FROM.encode(), json.dumps(told).encode())]


def _kept(headers: httpx.Headers) -> list[tuple[bytes, bytes]]:
    return [
        (name.lower(), value) for name, value in headers.raw if name.lower().decode() not in HOPS
    ]


def _same(answer: httpx.Response) -> Response:
    response = Response(answer.content, answer.status_code)
    response.raw_headers = _kept(answer.headers)
    return response


async def _parts(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for part in answer.aiter_raw():
            yield part
    except httpx.TransportError as error:  # the process has died; the client sees a short answer
        logger.warning("another process of this gateway broke off: %r", error)
        raise
    finally:
        await answer.aclose()


Keep = Callable[[bytes], Awaitable[None]]


def from_siblings(app: ASGIApp, keep: Keep, *, subpath: str = "") -> ASGIApp:
    """The application for requests that came over a process's own socket, below `subpath` or not.

    `keep` gets each page of metrics before the page is sent.
    """

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = MutableHeaders(scope=scope)
            told = json.loads(Headers(scope=scope).get(FROM, "{}"))
            del headers[FROM]
            client = told.get("client")
            scope["client"] = None if client is None else (client[0], client[1])
            scope["scheme"] = told.get("scheme", "http")
            if without(scope["path"], subpath) == "/metrics":
                send = _kept_first(send, keep)
        await app(scope, receive, send)

    return answered


def _kept_first(send: Send, keep: Keep) -> Send:
    """Return a `send` that keeps a page of status 200 before it is sent, in one part."""
    status = 0

    async def sent(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif status == 200:
            await keep(message.get("body", b""))
        await send(message)

    return sent
