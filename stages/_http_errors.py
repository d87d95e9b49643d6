"""The words of a server's HTTP error, and the wait that it asks for."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

import httpx

from pipeline.errors import StageError
from stages._coded_body import KNOWN, BadlyCoded, CodedBody

MAX_RETRY_AFTER_S = 300.0

_ERROR_BODY_S = 0.5
_ERROR_BODY_BYTES = 8 << 10

_TAG = re.compile(r"<[^<>]*>")


def retry_after_s(value: str, now: datetime) -> float:
    """Seconds that a Retry-After header asks for, 0 to 300; 0 for an unusable value.

    >>> now = datetime(2026, 10, 21, 7, 27, 30, tzinfo=UTC)
    >>> retry_after_s("Wed, 21 Oct 2026 07:28:00 GMT", now)
    30.0
    """
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        seconds = float(value)
    else:
        try:
            at = parsedate_to_datetime(value)
        except ValueError:
            return 0.0
        # RFC 9110: dates are in UTC; the parser leaves "-0000" without a zone.
        seconds = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def untagged(message: str) -> str:
    """A message without the tags of a page."""
    return " ".join(_TAG.sub(" ", message).split())


def asked_wait_s(headers: httpx.Headers) -> float:
    """The wait that a response asks for, by `Retry-After` or, finer, by `Retry-After-Ms`."""
    fine = headers.get("Retry-After-Ms", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", fine):
        return min(float(fine) / 1000, MAX_RETRY_AFTER_S)
    return retry_after_s(headers.get("Retry-After", ""), datetime.now(UTC))


def coding_of(response: httpx.Response) -> str:
    return cast("str", response.headers.get("Content-Encoding", "")).strip().lower()


async def body_of(response: httpx.Response) -> bytes:
    """The body of an error response, as far as it arrives soon."""
    coding = coding_of(response)
    coded = CodedBody(coding if coding in KNOWN else "")

    async def pieces() -> AsyncGenerator[bytes, None]:
        async for chunk in response.aiter_raw():
            for piece in coded.feed(chunk):
                yield piece

    return await opening_of(pieces())


async def opening_of(pieces: AsyncGenerator[bytes, None]) -> bytes:
    """The beginning of a body that is an error, as far as it arrives soon."""
    body = bytearray()
    try:
        async with asyncio.timeout(_ERROR_BODY_S), aclosing(pieces):
            async for piece in pieces:
                body += piece
                if len(body) > _ERROR_BODY_BYTES:
                    break
    except (TimeoutError, httpx.TransportError, StageError, BadlyCoded):
        pass
    return bytes(body[:_ERROR_BODY_BYTES])


def message_in(body: bytes) -> str:
    """The message of an error response: in its JSON, or all of it."""
    text = body.decode(errors="replace")
    try:
        return message_of(json.loads(text))
    except (ValueError, RecursionError):
        return text


def message_of(value: Any) -> str:
    """The message in an error object: `{"error": {"message": …}}`, `{"detail": …}` and the like."""
    while isinstance(value, dict):
        value = next((value[key] for key in ("error", "message", "detail") if value.get(key)), "")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
