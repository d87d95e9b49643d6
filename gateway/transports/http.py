"""uvicorn's HTTP protocol, with limits for the head of a request.

uvicorn collects header lines without a limit. Here a request has at most `MOST_LINES` of them, each
of `LONGEST_LINE_BYTES` where a WebSocket is asked for, and a head of `LONGEST_HEAD_BYTES` in all. A
request beyond is answered with 431 (RFC 6585, section 5), one with too long a URL with 414, and the
connection is closed. Trailers of a chunked body count with its head.
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
    heads = 0
    """Heads that are complete."""
    head_bytes = 0
    """Bytes of the head that is not complete."""
    refused: int | None = None
    """The status for the request that is beyond a limit."""

    def data_received(self, data: bytes) -> None:
        if self.refused is not None:
            return
        began_in_head, heads = self.in_head, self.heads
        super().data_received(data)
        if self.in_head and began_in_head and heads == self.heads:
            self.head_bytes += len(data)
            if self.head_bytes > LONGEST_HEAD_BYTES and self.refused is None:
                self.refused = 431
                self.send_400_response("")

    def send_400_response(self, msg: str) -> None:
        """Answer a request that cannot be read, and close."""
        if self.refused is None:
            super().send_400_response(msg)
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
        if len(self.headers) >= MOST_LINES:
            self._refuse(431)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self.in_head = False
        self.heads += 1
        self.head_bytes = 0
        lengths = [len(name) + len(value) + len(": \r\n") for name, value in self.headers]
        longest = LONGEST_LINE_BYTES if self._should_upgrade() else LONGEST_HEAD_BYTES
        if sum(lengths) > LONGEST_HEAD_BYTES or max(lengths, default=0) > longest:
            self._refuse(431)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.in_head = True

    def _refuse(self, status: int) -> NoReturn:
        self.refused = status
        raise ValueError(ANSWERS[status])  # the parser stops, and asks for the answer to it
