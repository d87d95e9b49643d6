"""Refuses a request head that two servers on its way could read differently (RFC 9112). Pure.

The parser itself refuses malformed heads: two lengths, a length beside chunks, lines that go on in
the next one, bare line feeds. This module refuses what the parser accepts: hosts, versions,
transfer codings and bodies that a proxy before the gateway may read differently, so that it could
send another person's request as a part of this one's body.
"""

import re
from dataclasses import dataclass
from typing import Final

import httptools

from gateway.host_names import host_of

HOST: Final = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?"
)
"""RFC 9110, section 7.2, but without the comma, which would make a list of it."""


@dataclass(frozen=True, slots=True)
class RefusedHead:
    """Why a request is refused, in words for its sender."""

    status: int
    reason: str


def checked(
    method: bytes,
    url: bytes,
    version: str,
    headers: list[tuple[bytes, bytes]],
    *,
    upgrade: bool,
) -> bytes | RefusedHead:
    """The request's path and query, or why it is refused.

    `headers` have their names in small letters. The host of an absolute URL takes the place of
    theirs (RFC 9112, section 3.2.2), and so does the ASCII form of an international name.
    `upgrade` says that a WebSocket is asked for.
    """
    if version not in ("1.0", "1.1"):
        return RefusedHead(400, "the version of HTTP is 1.1 or 1.0")
    if method == b"CONNECT":
        return RefusedHead(400, "this server is no proxy")
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        return RefusedHead(400, "a request has one Host")
    if hosts and HOST.fullmatch(hosts[0]) is None:
        named = host_of(hosts[0].decode("latin-1")).encode()
        if not named or HOST.fullmatch(named) is None:
            return RefusedHead(400, "the Host is a name or an address, and a port")
        headers[:] = [(name, named if name == b"host" else value) for name, value in headers]
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    if codings and version == "1.0":
        return RefusedHead(400, "HTTP/1.0 has no Transfer-Encoding")
    if codings not in ([], [b"chunked"]):
        return RefusedHead(501, "the Transfer-Encoding is chunked or none")
    lengths = [value for name, value in headers if name == b"content-length"]
    if upgrade and (codings or any(int(length) for length in lengths)):
        return RefusedHead(400, "a request for a WebSocket has no body")
    if url.startswith(b"/") or url == b"*":
        return url
    return _origin_form(url, headers)


def _origin_form(url: bytes, headers: list[tuple[bytes, bytes]]) -> bytes | RefusedHead:
    refused = RefusedHead(400, "the URL is a path, or http:// with a host and a path")
    try:
        parts = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError:
        return refused
    if parts.schema is None or parts.schema.lower() not in (b"http", b"https") or parts.userinfo:
        return refused
    host = parts.host if b":" not in parts.host else b"[" + parts.host + b"]"
    host = host if parts.port is None else b"%s:%d" % (host, parts.port)
    headers[:] = [(name, host if name == b"host" else value) for name, value in headers]
    return (parts.path or b"/") + (b"" if parts.query is None else b"?" + parts.query)
