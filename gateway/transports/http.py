"""uvicorn's HTTP protocol, with limits for the head of a request; ambiguous heads are refused.

uvicorn collects header lines without a limit. Here a request has at most `MOST_LINES` of them, each
of `LONGEST_LINE_BYTES` where a WebSocket is asked for, and a head of `LONGEST_HEAD_BYTES` in all. A
request beyond is answered with 431 (RFC 6585, section 5), one with too long a URL with 414, and the
connection is closed. Trailers of a chunked body have the same limits; they are dropped (RFC 9110,
section 6.5.1).

A request that a proxy could read differently is refused (`gateway.transports.http_head`). An
upgrade to anything but a WebSocket, such as the one to HTTP/2 that Java's client asks for, is
ignored: the request is answered as one without it.

A head may take `HEAD_S` from the connection or its first byte on, and a body `BODY_S`; then the
connection is closed. It is also closed if the client reads nothing of an answer for `STALL_S`:
uvicorn alone would wait without a limit.
"""

import asyncio
from collections.abc import Callable
from typing import NoReturn, TypeAlias

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.transports.http_head import RefusedHead, checked

MOST_LINES = 100
LONGEST_URL_BYTES = 8 * 1024
LONGEST_LINE_BYTES = 8 * 1024
"""The parser of the WebSocket's handshake accepts no longer lines."""

LONGEST_HEAD_BYTES = 64 * 1024
"""Enough for the longest tokens of Kerberos."""

HEAD_S = 10.0
BODY_S = 150.0
"""Longer than any endpoint waits for a body; it also holds if no endpoint reads it."""

STALL_S = 30.0
"""How long a client may read nothing while more waits for it than the connection buffers."""

LINGER_S = 1.0
"""How long a refused client may go on sending, unread, before the connection is closed."""

UNREADABLE = RefusedHead(400, "the request cannot be read")
LONG_URL = RefusedHead(414, "the URL is too long")
Turned: TypeAlias = Callable[
    [bytes, bytes, list[tuple[bytes, bytes]], tuple[str, int] | None], bytes | None
]
"""Gets the method, the URL, the header lines and the client of a request for a WebSocket. Returns
the whole answer for a client that is refused at once, or None if the WebSocket is made."""

LONG_HEAD = RefusedHead(431, "the request has too many or too long header lines")


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    in_head = True
    trailers = 0
    """Trailer lines of the request's body."""
    steps = 0
    """How many heads, pieces of a body and requests have been read."""
    waiting_bytes = 0
    """Bytes since the last step: of a head, of trailers, or of the framing of a chunk."""
    refused: RefusedHead | None = None
    """Why nothing more is read; None while requests are read."""
    deadline: asyncio.TimerHandle | None = None
    """The timer that closes the connection if the head or body that is being received is late."""
    stall: asyncio.TimerHandle | None = None
    """The timer that checks whether the client reads; set while an answer waits for the client."""
    turned: Turned | None = None
    """The check of requests for a WebSocket: it may refuse one before the WebSocket is made."""

    def data_received(self, data: bytes) -> None:
        if self.refused is not None:
            return
        self._unset_keepalive_if_required()
        steps = self.steps
        self._read(data)
        if steps != self.steps:
            self.waiting_bytes = 0
            return
        self.waiting_bytes += len(data)
        if self.waiting_bytes > LONGEST_HEAD_BYTES and self.refused is None:
            self.refused = LONG_HEAD
            self._give_up()

    def _read(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if not self._should_upgrade():
                self._read_without_upgrade(rest)
                return
            if self.passed_on(rest) or self._turned_away():
                return
            self.handle_websocket_upgrade()
            if rest:
                self.transport.get_protocol().data_received(rest)  # type: ignore[attr-defined]
        except httptools.HttpParserError:
            self.refused = self.refused or UNREADABLE
            self.logger.info("Invalid HTTP request received: %s", self.refused)
            self._give_up()

    def _read_without_upgrade(self, rest: bytes) -> None:
        """Read the request again as if it did not ask for another protocol (RFC 9110, 7.8).

        The parser has treated what follows the head as data of that protocol.
        """
        head = self._head([line for line in self.headers if line[0] != b"upgrade"])
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._read(head + rest)

    def passed_on(self, rest: bytes) -> bool:
        """Whether another process has taken the connection, whose client wants a WebSocket. `rest`
        came after the head of the request. This class never passes one on."""
        return False

    def _turned_away(self) -> bool:
        """Answer a client that is refused a WebSocket before it is made; returns whether it was
        refused."""
        if self.turned is None:
            return False
        answer = self.turned(self.parser.get_method(), self.url, self.headers, self.client)
        if answer is None:
            return False
        self._expect(None)
        self.transport.write(answer)
        self.transport.close()
        return True

    def _head(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The head of the request that was read, with these header lines."""
        version = self.parser.get_http_version().encode()
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/", version, b"\r\n"]
        for name, value in headers:
            head += [name, b": ", value, b"\r\n"]
        return b"".join([*head, b"\r\n"])

    def _give_up(self) -> None:
        """Answer the request that is refused, after those before it, and close."""
        assert self.refused is not None
        if self.cycle is not None and not self.cycle.response_complete:
            if self.in_head:
                self.cycle.keep_alive = False  # what is being answered is the last one
                return
            if self.cycle.response_started or self.pipeline:
                self.transport.close()  # an answer here would belong to another request
                return
        body = self.refused.reason.encode()
        head = f"content-type: text/plain; charset=utf-8\r\ncontent-length: {len(body)}\r\n"
        close = b"connection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[self.refused.status] + head.encode() + close + body)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        # Closing while the client still sends would reset the connection, and lose the answer.
        self.loop.call_later(LINGER_S, self.transport.close)

    def _should_upgrade(self) -> bool:
        """Whether a WebSocket is asked for. HTTP/1.0 has no upgrades (RFC 9110, section 7.8)."""
        asked = [value for name, value in self.headers if name == b"connection"]
        named = {word.strip().lower() for value in asked for word in value.split(b",")}
        upgrades = [value.lower() for name, value in self.headers if name == b"upgrade"]
        newer = self.parser.get_http_version() == "1.1"
        return newer and b"upgrade" in named and upgrades == [b"websocket"]

    # --- deadlines ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        self._watch_reading(None)
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        self._expect(None)  # from here on the WebSocket's protocol has the connection
        super().handle_websocket_upgrade()

    def _expect(self, within_s: float | None) -> None:
        """Close the connection if what comes next takes longer; with None, wait for nothing."""
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None
        if within_s is not None:
            self.deadline = self.loop.call_later(within_s, self._late, within_s)

    def _late(self, within_s: float) -> None:
        self.deadline = None
        if self.in_head and self.cycle is not None and not self.cycle.response_complete:
            self._expect(within_s)  # the request before is still being answered
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reading(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._watch_reading(None)
        super().resume_writing()

    def _watch_reading(self, waiting: int | None) -> None:
        """Check in `STALL_S` that fewer bytes wait than now; None: no bytes wait."""
        if self.stall is not None:
            self.stall.cancel()
            self.stall = None
        if waiting is not None:
            self.stall = self.loop.call_later(STALL_S, self._check_reading, waiting)

    def _check_reading(self, before: int) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting < before:
            self._watch_reading(waiting)
        else:
            self.stall = None
            self.transport.abort()

    # --- the parser's callbacks --------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect(HEAD_S)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > LONGEST_URL_BYTES:
            self._refuse(LONG_URL)

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) + self.trailers >= MOST_LINES:
            self._refuse(LONG_HEAD)
        if self.in_head:
            super().on_header(name, value)
        else:
            self.trailers += 1

    def on_headers_complete(self) -> None:
        self.trailers = 0
        self.steps += 1
        upgrade = self._should_upgrade()
        version, method = self.parser.get_http_version(), self.parser.get_method()
        lengths = [len(name) + len(value) + len(": \r\n") for name, value in self.headers]
        lengths.append(len(method) + len(self.url) + len("  HTTP/1.1\r\n"))
        longest = LONGEST_LINE_BYTES if upgrade else LONGEST_HEAD_BYTES
        if sum(lengths) > LONGEST_HEAD_BYTES or max(lengths) > longest:
            self._refuse(LONG_HEAD)
        found = checked(method, self.url, version, self.headers, upgrade=upgrade)
        if isinstance(found, RefusedHead):
            self._refuse(found)
        self.url = found
        if upgrade and self.cycle is not None and not self.cycle.response_complete:
            self._refuse(UNREADABLE)  # the answer to the handshake would come first
        self.in_head = False
        self._expect(BODY_S)
        if upgrade or not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.steps += 1
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.steps += 1
        self._expect(None)
        if not self.parser.should_upgrade():
            super().on_message_complete()
        self.in_head = True

    def _refuse(self, reason: RefusedHead) -> NoReturn:
        self.refused = reason
        raise ValueError(reason.reason)  # the parser stops


def turning_away(turned: Turned) -> type[HttpProtocol]:
    """The protocol with `turned` as its check of requests for a WebSocket."""

    class Turning(HttpProtocol):
        pass

    Turning.turned = staticmethod(turned)
    return Turning
