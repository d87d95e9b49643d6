"""Reading of requests: bounded in size, time and shape, then validated."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Iterator
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import ClientDisconnect, HTTPConnection, Request

from gateway.rest.problems import (
    BODY_TOO_LARGE,
    BODY_TOO_SLOW,
    INCOMPLETE_BODY,
    INVALID_FIELD,
    INVALID_JSON,
    INVALID_PARAMETER,
    UNSUPPORTED_MEDIA_TYPE,
    InvalidField,
    Kind,
    Problem,
    invalid,
)

M = TypeVar("M", bound=BaseModel)

MAX_BODY_BYTES = 64 * 1024
"""The limit of a JSON body, unless an operation names another."""

MAX_DEPTH = 32
MAX_VALUES = 5_000
"""Objects, lists, texts and numbers in one body: few enough to be checked without blocking."""

LARGEST_WHOLE = 2**53
"""Beyond it, a float cannot represent every whole number."""

BODY_S = 30.0
"""How long a JSON body may take to arrive."""

MOST_ERRORS = 20
"""Wrong fields that a response names at most."""

CLOSE = {"connection": "close"}
"""If the rest of a body is not read, the connection cannot be used again."""


class Body(BaseModel):
    """Base of the models of bodies: no unknown fields, and no text in place of a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Query(BaseModel):
    """Base of the models of query parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def media_type(request: Request) -> str:
    """The body's media type without parameters, in lower case, "" without one."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """The body of a request that sends JSON, at most `limit` bytes. Raises `Problem`."""
    # Before another site's page may send this type, browsers make a preflight request.
    if media_type(request) != "application/json":
        raise UNSUPPORTED_MEDIA_TYPE(
            "The body must be sent as Content-Type: application/json",
            headers={"accept": "application/json"},
        )
    body = bytearray()
    async for chunk in chunks(request, limit, BODY_S):
        body += chunk
    return bytes(body)


async def chunks(request: Request, limit: int, within_s: float) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises `Problem` for more than `limit` bytes or a slow body."""
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > limit:
        raise _too_large(limit)
    size = 0
    deadline = asyncio.get_running_loop().time() + within_s
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                chunk = await anext(stream, None)
        except TimeoutError:
            raise BODY_TOO_SLOW(f"It took longer than {within_s:g} s", headers=CLOSE) from None
        except ClientDisconnect:
            raise INCOMPLETE_BODY() from None
        if chunk is None:
            return
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        yield chunk


def _too_large(limit: int) -> Problem:
    return BODY_TOO_LARGE(f"The body is larger than {limit} bytes", headers=CLOSE)


async def read_json(request: Request, limit: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """The request's body, a JSON object. Raises `Problem`."""
    return parse_object(await read_body(request, limit))


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse strict JSON: UTF-8, one object, each key once, real text, no NaN. Raises `Problem`."""
    try:
        value = json.loads(
            # For bytes, `loads` would also accept UTF-16 and UTF-32.
            body.decode("utf-8-sig"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_number,
        )
        excess = _excess(value)
        if b"\\u" in body:  # an escape may name half of a surrogate pair, which is no valid text
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        excess = f"is nested deeper than {MAX_DEPTH} levels"
    except ValueError as error:
        raise INVALID_JSON(f"The body is not valid JSON: {_reason(error)}") from None
    if excess is not None:
        raise INVALID_JSON(f"The body {excess}")
    if not isinstance(value, dict):
        raise INVALID_JSON("The body must be a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    # JSON does not tell 5.0 from 5, and neither do schemas.
    whole = abs(number) <= LARGEST_WHOLE and number.is_integer()
    return int(number) if whole else number


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if isinstance(error, UnicodeEncodeError):
        return "an escape names half of a surrogate pair"
    return str(error)


def _excess(value: Any) -> str | None:
    """The limit that a parsed body exceeds, or None. Checks level by level, without recursion."""
    level = [value]
    count = 1
    for _ in range(MAX_DEPTH + 1):
        containers = [v for v in level if isinstance(v, dict | list)]
        if not containers:
            return None
        level = [child for v in containers for child in (v.values() if isinstance(v, dict) else v)]
        count += len(level)
        if count > MAX_VALUES:
            return f"holds more than {MAX_VALUES} values"
    return f"is nested deeper than {MAX_DEPTH} levels"


def validated(model: type[M], body: dict[str, Any]) -> M:
    """The body as `model`. Raises a `Problem` that names the fields that are wrong."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise invalid(INVALID_FIELD, [*_wrong(model, error, INVALID_FIELD)]) from None


def read_query(model: type[M], request: HTTPConnection) -> M:
    """The query parameters as `model`. Raises a `Problem` that names those that are wrong."""
    given = request.query_params
    if len(given) != len(given.multi_items()):
        raise INVALID_PARAMETER("A query parameter comes twice")
    try:
        return model.model_validate_strings(dict(given))
    except ValidationError as error:
        raise invalid(INVALID_PARAMETER, [*_wrong(model, error, INVALID_PARAMETER)]) from None


def _wrong(model: type[BaseModel], error: ValidationError, kind: Kind) -> Iterator[InvalidField]:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    for entry in found[:MOST_ERRORS]:
        path = [str(part)[:100] for part in entry["loc"]]
        field = ".".join(path)
        match entry["type"]:
            case "extra_forbidden" if len(path) == 1:
                known = ", ".join(f.alias or name for name, f in model.model_fields.items())
                detail = f"Unknown field {field!r}; known are {known}"
            case "extra_forbidden":
                detail = f"Unknown field {field!r}"
            case "missing":
                detail = f"The field {field!r} is missing"
            case _:
                detail = f"The field {field!r} is wrong: {entry['msg']}"
        if kind is INVALID_PARAMETER:
            yield InvalidField(detail=detail.replace("field", "parameter", 1), parameter=field)
        else:
            yield InvalidField(detail=detail, pointer=_pointer(path))


def _pointer(path: list[str]) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)
