"""One entry for each endpoint, from which both its route and its description are made.

An `Operation` names its request, its responses and its errors; `routes` serves a table of them and
`gateway.rest.openapi` describes it. So every endpoint is described, and the description comes from
the models that validate.

A handler is called as `handler(request)`, followed by the `Query` and the body if the operation has
them. It returns a pydantic model, an `HttpReply`, or a Starlette `Response` that is not JSON. It
may raise what `problem_of` knows; any other exception is answered with 500.
"""

import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.rest import problems
from gateway.rest.once import Claim, Once
from gateway.rest.problems import Kind, problem_of
from gateway.rest.reading import (
    MAX_BODY_BYTES,
    media_type,
    parse_object,
    read_body,
    read_query,
    validated,
)
from gateway.rest.upload import Accepts, receive_upload

logger = logging.getLogger("parley.rest")

JSON = "application/json"

CLAIM = "parley.claim"
LONGEST_ACCEPT = 1000

HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""Responses may hold personal data, so they are not cached, and never interpreted as a page."""


@dataclass(frozen=True, slots=True)
class ResponseSpec:
    """One successful response of an operation.

    `model` is the pydantic model (or any type for a `TypeAdapter`) of JSON, None if there is no
    JSON; `media` are further media types, such as "text/html". `headers` maps names to
    descriptions.
    """

    description: str
    model: Any = None
    example: Any = None
    media: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def types(self) -> tuple[str, ...]:
        """All media types, the default first."""
        return ((JSON,) if self.model is not None else ()) + self.media


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A model with its own status and headers.

    `about` is the session that it concerns, if the path does not name it: a response stored for an
    idempotency key is erased with that session.
    """

    body: BaseModel | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    about: str = ""


@runtime_checkable
class Held(Protocol):
    """A response that holds a resource until it has been sent, or is not sent at all."""

    def release(self) -> None:
        """Release the resource. Idempotent."""


Handler = Callable[..., Awaitable[BaseModel | HttpReply | Response]]

Check = Callable[[Request], Awaitable[None]]
"""Called before a request is read; raises what `problem_of` knows for a client without access."""

CheckOf = Callable[[str, str], Check | None]
"""The check for a method and a path, None if everybody may; raises for a path that is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An endpoint. `name` is its operationId, in camel case and unique.

    `body` is the model of a JSON body of at most `max_body_bytes`, `upload` says which files are
    accepted (with both, the Content-Type decides), `text` is the media type of a text that the
    handler reads itself, `query` the model of the query. `guard` is called before the request is
    read, and raises `Problem` for a client without access. `answers` has the usual response first.
    `errors` are those that the handler and the guard raise; those of reading the request are added.
    `once` enables `Idempotency-Key`. A `hidden` operation is served but not described.
    """

    method: str
    path: str
    name: str
    handler: Handler
    summary: str
    answers: Mapping[int, ResponseSpec]
    description: str = ""
    tags: tuple[str, ...] = ()
    body: type[BaseModel] | None = None
    body_example: Any = None
    max_body_bytes: int = MAX_BODY_BYTES
    upload: Accepts | None = None
    text: str | None = None
    guard: Callable[[Request], None] | None = None
    query: type[BaseModel] | None = None
    errors: tuple[Kind, ...] = ()
    once: Once | None = None
    hidden: bool = False

    @property
    def types(self) -> tuple[str, ...]:
        """The media types of all successful responses, the default first."""
        return tuple(dict.fromkeys(kind for a in self.answers.values() for kind in a.types))

    def all_errors(self) -> tuple[Kind, ...]:
        """The errors of the handler and of reading the request."""
        kinds = [*self.errors, problems.NOT_ACCEPTABLE, problems.INTERNAL]
        if self.query is not None:
            kinds.append(problems.INVALID_PARAMETER)
        if self.body is not None:
            kinds += [problems.INVALID_JSON, problems.INVALID_FIELD]
        if self.body is not None or self.upload is not None or self.text is not None:
            kinds += [
                problems.INCOMPLETE_BODY,
                problems.BODY_TOO_SLOW,
                problems.BODY_TOO_LARGE,
                problems.UNSUPPORTED_MEDIA_TYPE,
            ]
        if self.upload is not None:
            kinds.append(problems.UPLOADS_FULL)
        if self.once is not None:
            kinds += [problems.INVALID_KEY, problems.KEY_REUSED, problems.KEY_IN_USE]
            kinds += [problems.ANSWER_NOT_KEPT, problems.CONFLICT, problems.STORE_UNAVAILABLE]
        return tuple(dict.fromkeys(kinds))


def routes(operations: Iterable[Operation], check: CheckOf | None = None) -> list[Route]:
    """A route for each path, in the table's order; `check` names who may use it.

    Raises `ValueError` if two entries collide.
    """
    methods: dict[str, dict[str, Operation]] = defaultdict(dict)
    names: set[str] = set()
    for operation in operations:
        if operation.method in methods[operation.path] or operation.name in names:
            raise ValueError(f"{operation.method} {operation.path} ({operation.name}) comes twice")
        methods[operation.path][operation.method] = operation
        names.add(operation.name)
    return [
        Route(
            path,
            Resource(
                table,
                {} if check is None else {method: check(method, path) for method in table},
            ),
        )
        for path, table in methods.items()
    ]


class Resource:
    """The ASGI application for one path, with an operation for each method, and its check."""

    def __init__(
        self, operations: Mapping[str, Operation], checks: Mapping[str, Check | None]
    ) -> None:
        self._operations = dict(operations)
        self._checks = dict(checks)
        if "GET" in self._operations:
            self._operations["HEAD"] = self._operations["GET"]
            self._checks["HEAD"] = self._checks.get("GET")
        self._allow = ", ".join(sorted(self._operations))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._answer(scope, receive)
        if scope["method"] != "HEAD":
            await answer(scope, receive, send)
            return
        # HEAD: the headers of GET without a body; a stream is not begun.
        status, headers = answer.status_code, answer.raw_headers
        try:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
        finally:
            if isinstance(answer, Held):
                answer.release()

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        try:
            operation = self._operations.get(scope["method"])
            if operation is None:
                raise problems.METHOD_NOT_ALLOWED(headers={"allow": self._allow})
            request = Request(scope, receive)
            if (check := self._checks.get(scope["method"])) is not None:
                await check(request)
            return await _answer(operation, request)
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                logger.exception("%s %s failed", scope["method"], scope["path"])
                problem = problems.INTERNAL()
            return problem.response()


async def _answer(operation: Operation, request: Request) -> Response:
    if operation.guard is not None:
        operation.guard(request)
    negotiate(request, operation.types)
    arguments: list[Any] = [request]
    if operation.query is not None:
        arguments.append(read_query(operation.query, request))
    json_too = operation.body is not None
    if operation.upload is not None and not (json_too and media_type(request) == JSON):
        async with receive_upload(request, operation.upload, beside_json=json_too) as upload:
            return await _run(operation, request, [*arguments, upload], upload.digest)
    if operation.body is None:
        return await _run(operation, request, arguments, b"")
    raw = await read_body(request, operation.max_body_bytes)
    body = validated(operation.body, parse_object(raw))
    return await _run(operation, request, [*arguments, body], raw)


async def _run(
    operation: Operation, request: Request, arguments: list[Any], sent: bytes
) -> Response:
    claim: Claim | Response | None = None
    if operation.once is not None:
        claim = await operation.once.claim(request, sent, partial(rendered, operation))
    if isinstance(claim, Response):
        return claim
    if claim is None:
        return rendered(operation, await operation.handler(*arguments))
    request.scope[CLAIM] = claim
    try:
        result = await operation.handler(*arguments)
        response = rendered(operation, result)
    except Exception:
        await claim.release()  # nothing was changed, so the next request is a new attempt
        raise
    if response.status_code >= 400:
        await claim.release()
    else:
        await claim.keep(response, result.about if isinstance(result, HttpReply) else "")
    return response


def claim_of(request: Request) -> Claim | None:
    """The claim on the request's idempotency key, None for a request without one.

    A handler that commits to the store adds `claim.write(reply)` to the same commit and returns
    that reply; otherwise the response is stored once the handler has returned.
    """
    claim: Claim | None = request.scope.get(CLAIM)
    return claim


def rendered(operation: Operation, result: BaseModel | HttpReply | Response) -> Response:
    """A handler's result as a response."""
    if isinstance(result, Response):
        return result
    reply = result if isinstance(result, HttpReply) else HttpReply(result)
    response = Response(
        None, next(iter(operation.answers)) if reply.status is None else reply.status
    )
    if reply.body is not None:
        response.body = reply.body.__pydantic_serializer__.to_json(reply.body, by_alias=True)
    response.raw_headers = [
        *HEADERS,
        *(
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in reply.headers.items()
        ),
    ]
    if reply.body is not None:
        response.raw_headers.append((b"content-type", b"application/json"))
    if response.status_code != 204:
        response.raw_headers.append((b"content-length", b"%d" % len(response.body)))
    return response


def negotiate(request: Request, types: tuple[str, ...]) -> str:
    """The one of `types` that the client prefers, the first if it has no preference.

    Raises `NOT_ACCEPTABLE` if the client accepts none. Parameters of media types are ignored.
    """
    accept = ",".join(request.headers.getlist("accept"))[:LONGEST_ACCEPT]
    if not accept or not types:
        return types[0] if types else ""
    best = _best(accept, types)
    if best is None:
        raise problems.NOT_ACCEPTABLE(f"It comes as {', '.join(types)}")
    return best


@lru_cache(maxsize=256)
def _best(accept: str, types: tuple[str, ...]) -> str | None:
    weights = {kind: _weight(accept, kind) for kind in types}
    best = max(types, key=lambda kind: weights[kind])  # the first of several
    return best if weights[best] > 0 else None


def _weight(accept: str, kind: str) -> float:
    """The client's weight for a type: that of the most specific matching range (RFC 9110)."""
    ranges = {kind: 3, f"{kind.partition('/')[0]}/*": 2, "*/*": 1}
    best, found = 0, 0.0
    for entry in accept.lower().split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        if ranges.get(name, 0) > best:
            best = ranges[name]
            found = next((_number(p[2:]) for p in parameters if p.startswith("q=")), 1.0)
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
