"""Refuses WebSockets before anything is made for them, where no further session can begin.

A crowd comes on top of a load that is too high already: what its refusal takes is missing to those
who were let in. So the answer is made here, of the head of the request alone. It is the one that
the endpoints give (`gateway.transports.websocket.endpoint.denied`), which decide about all else: a
request that is not plainly a handshake of a session is passed on to them.
"""

import re
from binascii import Error, a2b_base64
from collections.abc import Callable, Sequence
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, unquote

from gateway.live.registry import LiveSessions
from gateway.security import names_this_machine

Headers = Sequence[tuple[bytes, bytes]]
Client = tuple[str, int] | None
AddressOf = Callable[[Headers, Client], str | None]
"""The network address of a client, by its request and that of its connection."""

SESSIONS: Final = re.compile(
    r"(?:/(?:ws(?!/notifications/?\Z)|ws-client|twilio)/([^/]+)"
    r"|/ws-client|/v1/(?:realtime|live/sessions))/?"
)
"""The paths of sessions, and the id in those that have one."""

REALTIME: Final = "/v1/realtime"
OF_CALL: Final = "call_id"
"""The parameter of a sideband, which begins no session and needs no place: the endpoint decides
about those of calls that live here. With several processes a sideband has come to that of its call
by now."""

RETRY_AFTER_S: Final = 5

VERSION, KEY = b"sec-websocket-version", b"sec-websocket-key"
KEY_BYTES: Final = 16
ONCE: Final = frozenset({b"host", b"origin", b"upgrade", VERSION, KEY})
NEGOTIATED: Final = b"sec-websocket-protocol"
SUBPROTOCOLS: Final = re.compile(rb"[\w!#$%&'*+.^`|~-]+(?:, ?[\w!#$%&'*+.^`|~-]+)*", re.ASCII)


class EarlyRefusal:
    """Of one process. Call it with the head of a request that asks for a WebSocket.

    `count` counts a refusal. `has_call` says whether a call of this id lives here. Where the
    gateway answers to the names of its own machine alone, `origins` are those that may come all the
    same; None where it answers to any name.
    """

    def __init__(
        self,
        live: LiveSessions,
        count: Callable[[], None],
        *,
        has_call: Callable[[str], bool],
        origins: str | None,
        address_of: AddressOf,
        clock: Callable[[], float],
    ) -> None:
        self._live = live
        self._count = count
        self._has_call = has_call
        self._origins = origins
        self._address_of = address_of
        self._clock = clock
        self._dated = 0, ""  # the second of the date, and the date

    def __call__(self, method: bytes, url: bytes, headers: Headers, client: Client) -> bytes | None:
        """The whole answer to a client that is refused; None where the endpoints decide."""
        path, _, query = url.partition(b"?")
        named = unquote(path.decode("latin-1"))
        found = SESSIONS.fullmatch(named)
        if found is None or method != b"GET":
            return None
        why = self._live.refusal(found[1], self._address_of(headers, client))
        if why is None or not plain(headers) or self._of_call(named, query):
            return None
        if self._origins is not None:
            host = next(value for name, value in headers if name == b"host")
            if not _is_ours(host, self._origins):
                return None
        self._count()
        return answer(why, self._date())

    def _of_call(self, path: str, query: bytes) -> bool:
        """Whether this is a sideband of a call that lives here."""
        if path.removesuffix("/") != REALTIME:
            return False
        named = parse_qs(query.decode("latin-1")).get(OF_CALL, ())
        return len(named) == 1 and self._has_call(named[0])

    def _date(self) -> str:
        second = int(self._clock())
        if second != self._dated[0]:
            self._dated = second, formatdate(second, usegmt=True)
        return self._dated[1]


@lru_cache(maxsize=16)
def _is_ours(host: bytes, origins: str) -> bool:
    return names_this_machine(host.decode("latin-1"), origins)


def plain(headers: Headers) -> bool:
    """Whether the header lines are those of a handshake that every endpoint gets to see.

    Another one is refused for its form, with another answer.
    """
    once: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in ONCE:
            if name in once:
                return False
            once[name] = value
        elif name == NEGOTIATED and SUBPROTOCOLS.fullmatch(value) is None:
            return False
    try:
        key = a2b_base64(once.get(KEY, b""), strict_mode=True)
    except Error:
        return False
    return once.get(VERSION) == b"13" and len(key) == KEY_BYTES and b"host" in once


def answer(why: str, date: str) -> bytes:
    """The refusal, as the endpoints' is written. `date` is that of its `Date`."""
    status = HTTPStatus.SERVICE_UNAVAILABLE
    body = why.encode()
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"retry-after: {RETRY_AFTER_S}",
        f"content-length: {len(body)}",
        "content-type: text/plain; charset=utf-8",
        f"Date: {date}",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode() + body
