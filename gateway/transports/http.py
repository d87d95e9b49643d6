"""uvicorn's HTTP protocol, with limits for the head of a request.

uvicorn collects header lines without a limit. Here a request has at most `MOST_LINES` of them, each
of `LONGEST_LINE_BYTES` where a WebSocket is asked for, and a head of `LONGEST_HEAD_BYTES` in all. A
request beyond is answered with 431 (RFC 6585, section 5), one with too long a URL with 414, and the
connection is closed. Trailers of a chunked body have the same limits; they are dropped (RFC 9110,
section 6.5.1).
"""

from typing import NoReturn

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MOST_LINES = 100
LONGEST_URL_BYTES = 8 * 1024
LONGEST_LINE_BYTES = 8 * 1024
"""The parser of the WebSocket's handshake takes no longer ones."""

LONGEST_HEAD_BYTES = 64 * 1024
"""Enough for the longest tokens of Kerberos."""

LINGER_S = 1.0
"""How long a refused client may go on sending, unread, before the connection is closed."""

ANSWERS = {414: "the URL is too long", 431: "the request has too many or too long header lines"}


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    in_head = True
    trailers = 0
    """Trailer lines of the request's body."""
    steps = 0
    """Heads, pieces of a body and requests that were read so far."""
    waiting_bytes = 0
    """Bytes since the last step: of a head, of trailers, or of what a client says of a chunk."""
    refused: int | None = None
    """The status for the request that is beyond a limit."""

    def data_received(self, data: bytes) -> None:
        if self.refused is not None:
            return
        steps = self.steps
        super().data_received(data)
        if steps != self.steps:
            self.waiting_bytes = 0
            return
        self.waiting_bytes += len(data)
        if self.waiting_bytes > LONGEST_HEAD_BYTES and self.refused is None:
            self.refused = 431
            self.send_400_response("")

    def send_400_response(self, msg: str) -> None:
        """Answer a request that cannot be read, and close."""
        if self.refused is None:
            super().send_400_response(msg)
            return
        if not self.in_head and self.cycle is not None and self.cycle.response_started:
            self.transport.close()  # a second answer would belong to no request
            return
        body = ANSWERS[self.refused].encode()
        head = f"content-type: text/plain; charset=utf-8\r\ncontent-length: {len(body)}\r\n"
        close = b"connection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[self.refused] + head.encode() + close + body)
        # Closing while the client still sends would reset the connection, and lose the answer.
        self.loop.call_later(LINGER_S, self.transport.close)

    # --- the parser's callbacks --------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > LONGEST_URL_BYTES:
            self._refuse(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) + self.trailers >= MOST_LINES:
            self._refuse(431)
        if self.in_head:
            super().on_header(name, value)
        else:
            self.trailers += 1

    def on_headers_complete(self) -> None:
        self.trailers = 0
        self.steps += 1
        lengths = [len(name) + len(value) + len(": \r\n") for name, value in self.headers]
        longest = LONGEST_LINE_BYTES if self._should_upgrade() else LONGEST_HEAD_BYTES
        if sum(lengths) > LONGEST_HEAD_BYTES or max(lengths, default=0) > longest:
            self._refuse(431)
        self.in_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.steps += 1
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.steps += 1
        super().on_message_complete()
        self.in_head = True

    def _refuse(self, status: int) -> NoReturn:
        self.refused = status
        raise ValueError(ANSWERS[status])  # the parser stops, and asks for the answer to it
