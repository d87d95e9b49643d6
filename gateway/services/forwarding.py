"""The parts of a request that go on to a service, and of its answer that come back. Pure.

The gateway writes a new head. It does not pass on headers of one connection (RFC 9110, section
7.6.1), headers that it sets itself, or a path that a service could read as another one.
"""

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.services.definition import Endpoint, ServiceSpec

Headers = list[tuple[bytes, bytes]]
"""Names in lower case, and values."""

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

SAID_HERE: Final = frozenset(
    {
        b"content-length",
        b"expect",
        b"forwarded",
        b"host",
        b"traceparent",
        b"tracestate",
        b"via",
        b"x-budget-ms",
        b"x-correlation-id",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
        b"x-original-url",
        b"x-real-ip",
        b"x-rewrite-url",
    }
)
"""Headers of a request that clients cannot set: the gateway sets them, or nobody does."""

NOT_BACK: Final = frozenset({b"date", b"server", b"x-correlation-id"})
"""Headers of an answer that the gateway sets itself, as it does the headers of CORS."""

CORS: Final = b"access-control-"

PLAIN: Final = re.compile(rb"[\x21-\x7e]*")
ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
NOT_IN_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

PASS_COOKIE: Final = b"parley_pass"


class RefusedRequest(Exception):
    """A request that goes to no service. The text says why, for its sender."""


class RefusedAnswer(Exception):
    """An answer of a service that goes to no client."""


@dataclass(frozen=True, slots=True)
class Framing:
    """How a request gives the length of its body: as `length` in bytes, or `chunked`, or neither if
    there is no body."""

    length: int | None = None
    chunked: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is no body to wait for."""
        return not self.chunked and not self.length


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOrigin:
    """The facts about a request that the gateway adds to what the client says."""

    client: str
    """The client's address, "" if it is not known."""
    scheme: str
    host: bytes
    prefix: bytes
    """The beginning of the path, which leads to the service: "/name", or "/v1/name"."""
    correlation_id: str
    traceparent: str
    tracestate: tuple[bytes, ...] = ()
    hidden: frozenset[bytes] = frozenset()
    """Headers that are for the gateway alone: its own keys."""


def target_of(raw_path: bytes, query: bytes, spec: ServiceSpec, prefix: bytes) -> bytes:
    """The path and the query of a request as the service gets them, byte by byte.

    `raw_path` is `prefix` and what follows, as it came. A path that is below `base_path` already
    stays as it is. Raises `RefusedRequest` for one that servers read in more than one way.
    """
    if not raw_path.startswith(prefix + b"/"):
        raise RefusedRequest("write the name of the service as it is, without escapes")
    if PLAIN.fullmatch(raw_path) is None or PLAIN.fullmatch(query) is None:
        raise RefusedRequest("the path and the query are printable ASCII; escape what is not")
    path = raw_path[len(prefix) :]
    _check_path(path)
    base = spec.base_path.encode()
    if base and path != base and not path.startswith(base + b"/"):
        path = base + path
    return path + b"?" + query if query else path


def _check_path(path: bytes) -> None:
    if ESCAPE.search(path):
        raise RefusedRequest("a % in the path begins an escape of two hexadecimal digits")
    once = unquote_to_bytes(path)
    # Some servers decode twice, so the second reading has to be as harmless as the first.
    for read in (path, once, unquote_to_bytes(once)):
        if read.count(b"/") != path.count(b"/") or b"\\" in read:
            raise RefusedRequest("a path has no escaped slash and no backslash")
        if any(byte < 0x20 or byte == 0x7F for byte in read):
            raise RefusedRequest("a path has no control characters")
        segments = read.split(b"/")
        if b"" in segments[1:-1]:
            raise RefusedRequest("a path has no empty segments")
        # "..;x" is ".." for servers that know parameters of segments.
        if any(segment.split(b";")[0] in (b".", b"..") for segment in segments):
            raise RefusedRequest("a path has no . and .. segments")


def framing_of(headers: Iterable[tuple[bytes, bytes]]) -> Framing:
    """How the body comes. Raises `RefusedRequest` if two headers say different things."""
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    if codings not in ([], [b"chunked"]) or (codings and lengths) or len(lengths) > 1:
        raise RefusedRequest("the length of a body is told once")
    if not lengths:
        return Framing(chunked=bool(codings))
    if not lengths[0].isdigit() or len(lengths[0]) > 18:
        raise RefusedRequest("Content-Length is a number")
    return Framing(int(lengths[0]))


def request_head(
    headers: Sequence[tuple[bytes, bytes]],
    method: str,
    framing: Framing,
    origin: RequestOrigin,
    endpoint: Endpoint,
    budget_ms: int,
) -> Headers:
    """The header lines for an instance. Raises `RefusedRequest` for one that could be two."""
    head: Headers = [(b"host", endpoint.authority.encode()), *passed_on(headers, origin.hidden)]
    if framing.chunked:
        head.append((b"transfer-encoding", b"chunked"))
    elif framing.length is not None or method in ("POST", "PUT", "PATCH"):
        head.append((b"content-length", b"%d" % (framing.length or 0)))
    head += said_of(origin)
    head.append((b"x-budget-ms", b"%d" % budget_ms))
    return head


def request_bytes(method: str, target: bytes, headers: Headers) -> bytes:
    """A request's head as it is sent. Raises `RefusedRequest` for one that could be two."""
    lines = [b"%b %b HTTP/1.1" % (method.encode(), target)]
    lines += [b"%b: %b" % line for line in headers]
    head = b"\r\n".join((*lines, b"", b""))
    ends = len(lines) + 1
    if head.count(b"\n") != ends or head.count(b"\r") != ends or target.count(b" "):
        raise RefusedRequest("a header line has a name, and a value without control characters")
    return head


def passed_on(
    headers: Sequence[tuple[bytes, bytes]], hidden: Set[bytes]
) -> Iterator[tuple[bytes, bytes]]:
    """The header lines of a request that the client may set, without those of one connection.

    `hidden` are for the gateway alone. Raises `RefusedRequest` for a line that could be two.
    """
    named = _named_by_connection(headers)
    for name, value in headers:
        _check_line(name, value, RefusedRequest)
        # Servers that hand headers on as variables take "_" and "-" for the same.
        known = name.replace(b"_", b"-")
        if known in HOP_BY_HOP or known in SAID_HERE or name in named or name in hidden:
            continue
        value = value.strip(b" \t")  # the server's parser leaves what stands behind a value
        if name == b"cookie" and PASS_COOKIE in value:
            value = _without_pass(value)
            if not value:
                continue
        yield name, value


def said_of(origin: RequestOrigin) -> Iterable[tuple[bytes, bytes]]:
    """The header lines in which the gateway tells where a request is from."""
    if origin.client:
        yield b"x-forwarded-for", origin.client.encode("latin-1")
    yield b"x-forwarded-proto", origin.scheme.encode("latin-1")
    if origin.host:
        yield b"x-forwarded-host", origin.host
    yield b"x-forwarded-prefix", origin.prefix
    yield b"x-correlation-id", origin.correlation_id.encode("latin-1")
    yield b"traceparent", origin.traceparent.encode("latin-1")
    for value in origin.tracestate:
        yield b"tracestate", value.strip(b" \t")


def answer_head(
    headers: Sequence[tuple[bytes, bytes]],
    method: str,
    status: int,
    endpoint: Endpoint,
    prefix: bytes,
) -> Headers:
    """The header lines for the client, which reaches the service at `prefix`.

    Raises `RefusedAnswer` if it is no valid answer.
    """
    if not 200 <= status <= 599:
        raise RefusedAnswer(f"status {status}")
    lines = [(name.lower(), value) for name, value in headers]
    lengthless = status in (204, 304) or any(name == b"transfer-encoding" for name, _ in lines)
    return [
        (name, value)
        for name, value in passed_back(lines, endpoint, prefix)
        if name != b"content-length" or not lengthless
    ]


def passed_back(
    lines: Sequence[tuple[bytes, bytes]], endpoint: Endpoint, prefix: bytes
) -> Iterator[tuple[bytes, bytes]]:
    """The header lines of an answer that the service may set, with names in lower case.

    Raises `RefusedAnswer` for a line that could be two.
    """
    named = _named_by_connection(lines)
    for name, value in lines:
        _check_line(name, value, RefusedAnswer)
        if name in HOP_BY_HOP or name in NOT_BACK or name in named or name.startswith(CORS):
            continue
        yield name, _location(value, endpoint, prefix) if name == b"location" else value


def length_of(head: Iterable[tuple[bytes, bytes]]) -> int | None:
    """The length that a head states, None if it states none."""
    return next((int(value) for name, value in head if name == b"content-length"), None)


def retry_after_s(headers: Iterable[tuple[bytes, bytes]]) -> float:
    """The seconds of `Retry-After`; 0 if it is missing or a date."""
    for name, value in headers:
        if name.lower() == b"retry-after" and value.isdigit():
            return float(min(int(value[:9]), 86_400))
    return 0.0


def _location(value: bytes, endpoint: Endpoint, prefix: bytes) -> bytes:
    """A redirect to another path of the service leads there through the gateway."""
    own_urls = [endpoint.url, f"//{endpoint.authority}"]
    if endpoint.port == {"http": 80, "https": 443}[endpoint.protocol]:
        own_urls += [url.rpartition(":")[0] for url in own_urls]
    for own in (url.encode() for url in own_urls):
        if value.startswith(own) and value[len(own) : len(own) + 1] in (b"", b"/", b"?", b"#"):
            value = value[len(own) :]
            value = value if value.startswith(b"/") else b"/" + value
            break
    if not value.startswith(b"/") or value.startswith(b"//"):
        return value
    return prefix + value


def _named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    return frozenset(
        word.strip().lower()
        for name, value in headers
        if name == b"connection"
        for word in value.split(b",")
    )


def _check_line(name: bytes, value: bytes, refused: type[Exception]) -> None:
    if TOKEN.fullmatch(name) is None or NOT_IN_VALUE.search(value):
        raise refused("a header line has a name, and a value without control characters")


def _without_pass(value: bytes) -> bytes:
    parts = [part.strip() for part in value.split(b";")]
    return b"; ".join(part for part in parts if part.split(b"=")[0].strip() != PASS_COOKIE)
