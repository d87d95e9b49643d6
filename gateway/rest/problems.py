"""One way to read a request's JSON and one way to say what was wrong with it.

Every error is `{"error": {"code", "message"}}`. Codes are for programs and stay; messages are for
people. What went wrong inside is logged and never told.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from gateway.store import StoreError

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)

MAX_BODY_BYTES = 64 * 1024
MAX_DEPTH = 32


class Problem(Exception):
    """An answer other than the one that was asked for."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers

    def response(self) -> JSONResponse:
        body = {"error": {"code": self.code, "message": self.message}}
        return JSONResponse(body, self.status, headers=self.headers)


async def read_json(request: Request) -> dict[str, Any]:
    """The request's body, a JSON object. Raises `Problem` before more than the limit is kept."""
    # Browsers ask this server first before another site's page may send this type.
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem(
            415, "unsupported_media_type", "The body must be sent as Content-Type: application/json"
        )
    return parse_object(await _body(request))


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                message = f"The body is larger than {MAX_BODY_BYTES} bytes"
                # The rest is not read, so the connection cannot be used again.
                raise Problem(413, "body_too_large", message, {"connection": "close"})
    except ClientDisconnect:
        raise Problem(400, "incomplete_body", "The body broke off") from None
    return bytes(body)


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse strict JSON: one object, each key once, real text, no NaN. Raises `Problem`."""
    try:
        value = json.loads(body, object_pairs_hook=_unique, parse_constant=_no_constant)
        too_deep = _deeper_than(MAX_DEPTH, value)
        if b"\\u" in body:  # an escape can name half a character, which no text may hold
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        too_deep = True
    except ValueError as error:
        raise Problem(
            400, "invalid_json", f"The body is not valid JSON: {_reason(error)}"
        ) from None
    if too_deep:
        raise Problem(400, "invalid_json", f"The body is nested deeper than {MAX_DEPTH} levels")
    if not isinstance(value, dict):
        raise Problem(400, "invalid_json", "The body must be a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if isinstance(error, UnicodeEncodeError):
        return "an escape names half of a surrogate pair"
    return str(error)


def _deeper_than(limit: int, value: Any) -> bool:
    level = [value]
    for _ in range(limit):
        inside = [v for v in level if isinstance(v, dict | list)]
        if not inside:
            return False
        level = [child for v in inside for child in (v.values() if isinstance(v, dict) else v)]
    return any(isinstance(v, dict | list) for v in level)


def validated(model: type[M], body: dict[str, Any]) -> M:
    """The body as `model`. Raises a `Problem` that names the first field that is wrong."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        match first["type"]:
            case "extra_forbidden":
                known = ", ".join(f.alias or name for name, f in model.model_fields.items())
                message = f"Unknown field {field[:100]!r}; known are {known}"
            case "missing":
                message = f"The field {field!r} is missing"
            case _:
                message = f"The field {field!r} is wrong: {first['msg']}"
        raise Problem(400, "invalid_field", message) from None


async def _problem(request: Request, error: Problem) -> Response:
    return error.response()


async def _http(request: Request, error: HTTPException) -> Response:
    status = HTTPStatus(error.status_code)
    code = status.name.lower()
    return Problem(status, code, error.detail, error.headers).response()


async def _store(request: Request, error: StoreError) -> Response:
    logger.error("store failed: %s", error)
    return Problem(
        503, "store_unavailable", "Sessions cannot be stored or read now; try again later"
    ).response()


async def _internal(request: Request, error: Exception) -> Response:
    # Starlette raises the error again once this is sent, and the server logs it.
    return Problem(500, "internal", "Something went wrong inside the gateway").response()


Handler = Callable[[Request, Exception], Awaitable[Response]]

EXCEPTION_HANDLERS: Mapping[Any, Handler] = cast(
    "Mapping[Any, Handler]",
    {Problem: _problem, HTTPException: _http, StoreError: _store, Exception: _internal},
)
"""For the application: what each kind of exception is answered with."""
