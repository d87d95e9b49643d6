"""The HTTP client that providers share: one connection pool each, and the same reading of answers.

========================================  ======================================================
no connection, TLS failure                `StageFailed` ("connect")
408, 425, other 5xx                       `StageFailed` ("connect"), with the server's message and
                                          its Retry-After
429, 503, 529; no free connection         `StageBusy`, with the server's Retry-After
3xx (not followed), other 4xx             `HttpRefused`, a `CallerError`, with the server's message
the connection breaks in the body         `StageFailed` ("stream")
an answer that breaks the protocol        `StageFailed` ("protocol")
========================================  ======================================================

The environment's proxies and certificates are not used, and no redirect is followed: requests go
only where the configuration says. Secrets are in no error and no log line.
"""

import asyncio
import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import httpx

from pipeline.errors import CallerError, Phase, StageBusy, StageError, StageFailed
from pipeline.frames import Slot
from pipeline.guard import first_due
from pipeline.turn_context import request_headers
from stages._certificates import trusted
from stages._coded_body import KNOWN, BadlyCoded, CodedBody
from stages._http_address import BaseAddress
from stages._http_errors import (
    asked_wait_s,
    body_of,
    coding_of,
    describe,
    message_in,
    message_of,
    opening_of,
    untagged,
)
from stages._sse import EventStream, MalformedStream

CONNECT_S = 2.0
POOL_S = 1.0
"""How long a call may wait for a connection of the pool."""

MAX_CONNECTIONS = 100
MAX_IDLE = 20
IDLE_S = 60.0
"""A connection is kept this long for the next call: a conversation's pauses cost no handshake."""

PROBE_S = 1.0
BUDGET_HEADER = "X-Budget-Ms"
"""Header: the milliseconds that the server has for the first useful item; a server that cannot make
it may skip the work. Left out if there is no deadline."""

MAX_MESSAGE = 200
"""Characters of a server's message that are passed on."""

_BUSY = (429, 503, 529)
"""529 is no standard: "overloaded"."""

_TRY_AGAIN = (408, 425)
"""Request Timeout and Too Early: the request itself was valid."""

_MOST_BLANK_BYTES = 64 << 10
"""White space that is kept while the first byte of a body is looked for."""

_BOM = b"\xef\xbb\xbf"


class HttpRefused(CallerError):
    """The server refused the request with an HTTP status that blames the request.

    `said` is the body of its answer, up to 8 KiB: for finding out what it refuses, not for people.
    """

    def __init__(self, stage: str, provider: str, status: int, detail: str, said: str = "") -> None:
        super().__init__(stage, provider, "connect", detail, trouble=True)
        self.status = status
        self.said = said


class HttpAnswer:
    """A successful response whose body has yet to come. Read the body once, by one of the methods.

    All of them raise `StageFailed` ("stream") when the connection breaks. They set no time limit:
    the guard does. Reading may stop early: the request's context closes the connection.
    """

    def __init__(self, client: "HttpClient", response: httpx.Response) -> None:
        self._client = client
        self._response = response
        self.content_type = response.headers.get("Content-Type", "").lower()
        """As sent, with parameters, in lower case; "" if the server gives none."""
        self._begun: list[bytes] = []
        self._rest: AsyncGenerator[bytes, None] | None = None

    async def first_byte(self) -> bytes:
        """The first byte of the body that is no white space, or none: it shows the body's format,
        whatever its type says. The body can be read from its beginning afterwards."""
        self._rest = self._arriving()
        begun = b""
        kept = 0
        async for chunk in self._rest:
            self._begun.append(chunk)
            kept += len(chunk)
            begun = (begun + chunk).removeprefix(_BOM).lstrip()
            if (begun and not _BOM.startswith(begun)) or kept > _MOST_BLANK_BYTES:
                break
        return begun[:1]

    async def leave(self) -> None:
        """Stop reading the body. Idempotent."""
        if self._rest is not None:
            await self._rest.aclose()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives, in pieces of any size."""
        rest = self._arriving() if self._rest is None else self._rest
        async with aclosing(rest):
            while self._begun:
                yield self._begun.pop(0)
            async for chunk in rest:
                yield chunk

    async def _arriving(self) -> AsyncGenerator[bytes, None]:
        raw = cast("AsyncGenerator[bytes, None]", self._response.aiter_raw())
        body = CodedBody(coding_of(self._response))
        try:
            async with aclosing(raw):
                async for chunk in raw:
                    for piece in body.feed(chunk):
                        yield piece
        except httpx.TransportError as error:
            raise self._client.failed("stream", describe(error)) from error
        except BadlyCoded as error:
            raise self._client.failed("protocol", str(error)) from error

    async def events(self) -> AsyncGenerator[str, None]:
        """The data of each server-sent event. Raises `StageFailed` ("protocol") for oversize."""
        stream = EventStream()
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                try:
                    complete = stream.feed(chunk)
                except MalformedStream as error:
                    raise self._client.failed("protocol", str(error)) from error
                for data in complete:
                    yield data
        for data in stream.finish():
            yield data

    async def body(self, limit: int) -> bytes:
        """All of it. Raises `StageFailed` ("protocol") beyond `limit` bytes."""
        body = bytearray()
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > limit:
                    raise self._client.failed("protocol", f"a body of more than {limit} bytes")
        return bytes(body)

    async def unexpected(self, wanted: str, body: bytes | None = None) -> StageFailed:
        """The error for a body of the wrong type, with the message in it if there is one.

        `body` is the body if it was read before.
        """
        kind = self.content_type.partition(";")[0].strip() or "something without a type"
        detail = f"the server sent {kind} where {wanted} was asked for"
        if body is None and kind == "application/json":
            body = await opening_of(self.chunks())
        if body is not None and (kind == "application/json" or body.lstrip().startswith(b"{")):
            given = message_in(body)
            detail = f"{detail}: {given}" if given else detail
        return self._client.failed("protocol", detail)


class HttpClient:
    """One provider's connections to its server. Sessions share it.

    `base_url` and `api_key` are read by `stages._http_address`. Raises `ValueError`, which repeats
    neither, for a bad URL or key. `stage` and `provider` name the client in errors.
    """

    def __init__(
        self, base_url: str, *, stage: Slot, provider: str, api_key: str | None = None
    ) -> None:
        address = BaseAddress.read(base_url, api_key)
        self._stage = stage
        self._provider = provider
        self._where = address.where
        self._secrets = address.secrets
        self._closing: set[asyncio.Task[None]] = set()  # responses, each for a moment
        self._client = httpx.AsyncClient(
            base_url=address.base,
            params=address.query,
            # No compression: to compress, a server would hold the stream back.
            headers={"Accept-Encoding": "identity", **address.headers},
            verify=trusted(),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(None, connect=CONNECT_S, pool=POOL_S),
            limits=httpx.Limits(
                max_connections=MAX_CONNECTIONS,
                max_keepalive_connections=MAX_IDLE,
                keepalive_expiry=IDLE_S,
            ),
        )

    @asynccontextmanager
    async def post_json(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[HttpAnswer]:
        """POST an object. Leaving the context closes a body that has not been read to its end.

        Lone surrogates, which UTF-8 cannot hold, become question marks. Raises as the module says.
        """
        content = json.dumps(body, ensure_ascii=False).encode(errors="replace")
        lines = {**(headers or {}), "Content-Type": "application/json"}
        request = self._client.build_request("POST", path, content=content, headers=lines)
        async with self._send(request) as answer:
            yield answer

    @asynccontextmanager
    async def get(self, path: str) -> AsyncIterator[HttpAnswer]:
        """GET a path. See `post_json`."""
        async with self._send(self._client.build_request("GET", path)) as answer:
            yield answer

    @asynccontextmanager
    async def post_form(
        self, path: str, fields: Mapping[str, str], name: str, file: bytes, kind: str
    ) -> AsyncIterator[HttpAnswer]:
        """POST a form with one file, called `name` and of media type `kind`. See `post_json`."""
        files = {"file": (name, file, kind)}
        request = self._client.build_request("POST", path, data=fields, files=files)
        async with self._send(request) as answer:
            yield answer

    async def probe(self) -> str | None:
        """None if the server answers and accepts our key, else a sentence. Takes 1 s at most.

        Asks for `models`; a server without that list counts as present.
        """
        try:
            async with (
                asyncio.timeout(PROBE_S),
                self._send(self._client.build_request("GET", "models")),
            ):
                return None
        except TimeoutError:
            return f"{self._where} does not answer within {PROBE_S:g} s"
        except HttpRefused as error:
            if error.status in (401, 403):
                return f"{self._where} does not accept the API key ({error.detail})"
            return None
        except StageError as error:
            return f"{self._where} cannot be used ({error.detail})"

    async def aclose(self) -> None:
        """Close all connections. Requests under way fail."""
        await self._client.aclose()

    def failed(self, phase: Phase, detail: str) -> StageFailed:
        """An error of this provider; `detail` may hold a server's words."""
        return StageFailed(self._stage, self._provider, phase, self._clean(detail))

    def parse(self, text: str | bytes) -> dict[str, Any]:
        """A JSON object. Raises `StageFailed`: "protocol" for anything else, "stream" for an error
        that the server reports in it."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self.failed("protocol", f"what should be JSON is not: {error}") from None
        if not isinstance(value, dict):
            raise self.failed("protocol", "what should be a JSON object is not")
        if value.get("error"):
            raise self.failed("stream", f"the server says: {message_of(value)}")
        return value

    @asynccontextmanager
    async def _send(self, request: httpx.Request) -> AsyncIterator[HttpAnswer]:
        if self._client.is_closed:
            raise self.failed("connect", "closed")
        left_s = first_due.get() - asyncio.get_running_loop().time()
        if math.isfinite(left_s):
            request.headers[BUDGET_HEADER] = str(max(0, round(left_s * 1000)))
        request.headers.update(request_headers.get()(self._stage))
        try:
            response = await self._client.send(request, stream=True)
        except httpx.PoolTimeout as error:
            detail = f"all {MAX_CONNECTIONS} connections are in use"
            raise StageBusy(self._stage, self._provider, detail) from error
        except httpx.TransportError as error:
            raise self.failed("connect", describe(error)) from error
        try:
            if self._client.is_closed:  # it was still connecting: the pool had nothing to close
                raise self.failed("connect", "closed")
            if not response.is_success:
                raise await self._error(response)
            if (coding := coding_of(response)) not in KNOWN:
                raise self.failed("protocol", f"the server sent {coding} that was not asked for")
            answer = HttpAnswer(self, response)
            try:
                yield answer
            finally:
                await answer.leave()
        finally:
            await self._close(response)

    async def _close(self, response: httpx.Response) -> None:
        """Close it to the end, although the task is cancelled meanwhile: httpcore would never come
        back to a connection that it was closing, and the server would go on sending."""
        closing = asyncio.create_task(response.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        await asyncio.shield(closing)

    async def _error(self, response: httpx.Response) -> StageError:
        status = response.status_code
        if response.is_redirect:
            to = self._clean(response.headers.get("Location", "").partition("?")[0])
            detail = f"HTTP {status}: a redirect to {to}, and none is followed"
            return HttpRefused(self._stage, self._provider, status, detail)
        said = await body_of(response)
        message = self._clean(message_in(said))
        detail = f"HTTP {status}: {message}" if message else f"HTTP {status}"
        wait_s = asked_wait_s(response.headers)
        if status in _BUSY:
            return StageBusy(self._stage, self._provider, detail, retry_after_s=wait_s)
        if 400 <= status < 500 and status not in _TRY_AGAIN:
            words = self._without_secrets(said.decode(errors="replace"))
            return HttpRefused(self._stage, self._provider, status, detail, words)
        return StageFailed(
            self._stage,
            self._provider,
            "connect",
            detail,
            retry_after_s=wait_s,
            reason=f"server error ({untagged(detail)})",
        )

    def _clean(self, text: str) -> str:
        """A line fit for logs and clients: short, printable, without our secrets."""
        text = self._without_secrets(text)
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE - 1]}…"

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text
