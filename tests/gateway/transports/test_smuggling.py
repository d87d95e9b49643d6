"""Requests that two servers in a row could read differently, on a real socket.

Each row is what a client or a proxy sends, and the statuses of all that is answered until the
server closes. After it comes one more request, for a page that does not exist: 404 at the end says
that the connection goes on where the server and the proxy agree. Another 200 would be a request
that was hidden in the body of the one before it. RFC 9112, sections 2 to 7 and 11.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.raw_client import raw_client

BODY = b'{"role": "Data Analyst"}'
CHUNK = b"18\r\n" + BODY + b"\r\n"
CHUNKED = CHUNK + b"0\r\n\r\n"
HIDDEN = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

OK, MADE, LOST = 200, 201, 404


def get(*lines: bytes, target: bytes = b"/health/live", host: bytes = b"Host: x\r\n") -> bytes:
    head = b"GET " + target + b" HTTP/1.1\r\n" + host
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def post(*lines: bytes, body: bytes = BODY) -> bytes:
    head = b"POST /api/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body=body)


UPGRADE = (
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)

ROWS: dict[str, tuple[bytes, tuple[int, ...]]] = {
    # --- what everybody reads alike
    "a length": (post(b"Content-Length: 24"), (MADE, LOST)),
    "a length with blanks around it": (post(b"Content-Length: \t24 \t"), (MADE, LOST)),
    "chunks": (chunked(CHUNKED), (MADE, LOST)),
    "chunks by another spelling": (
        post(b"tRANSFER-eNCODING:\tChunked", body=CHUNKED),
        (MADE, LOST),
    ),
    "a body with GET": (get(b"Content-Length: %d" % len(HIDDEN)) + HIDDEN, (OK, LOST)),
    "no body": (post(b"Content-Length: 0", body=HIDDEN), (400, OK, LOST)),
    "an empty line before the request": (b"\r\n" + get(), (OK, LOST)),
    # --- two lengths
    "two lengths": (post(b"Content-Length: 24", b"Content-Length: 25"), (400,)),
    "two equal lengths": (post(b"Content-Length: 24", b"Content-Length: 24"), (400,)),
    "a list of lengths": (post(b"Content-Length: 24, 24"), (400,)),
    "a length and chunks": (
        post(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=CHUNKED),
        (400,),
    ),
    "chunks and a length": (
        post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=CHUNKED),
        (400,),
    ),
    "chunks and a length of 0": (
        post(b"Transfer-Encoding: chunked", b"Content-Length: 0", body=CHUNKED),
        (400,),
    ),
    # --- lengths that are no numbers
    "a negative length": (post(b"Content-Length: -24"), (400,)),
    "a length with a sign": (post(b"Content-Length: +24"), (400,)),
    "a length in hexadecimal": (post(b"Content-Length: 0x18"), (400,)),
    "a length with a point": (post(b"Content-Length: 24.0"), (400,)),
    "a length with a blank": (post(b"Content-Length: 2 4"), (400,)),
    "an empty length": (post(b"Content-Length:"), (400,)),
    "a length beyond 64 bits": (post(b"Content-Length: 18446744073709551640"), (400,)),
    # --- transfer codings
    "chunks twice": (post(b"Transfer-Encoding: chunked, chunked", body=CHUNKED), (400,)),
    "chunks in two lines": (
        post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=CHUNKED),
        (400,),
    ),
    "chunks of a coding": (post(b"Transfer-Encoding: gzip, chunked", body=CHUNKED), (501,)),
    "a coding of chunks": (post(b"Transfer-Encoding: chunked, gzip", body=CHUNKED), (400,)),
    "chunks, then identity": (post(b"Transfer-Encoding: chunked, identity", body=CHUNKED), (400,)),
    "identity": (post(b"Transfer-Encoding: identity", body=CHUNKED), (501,)),
    "identity in another line": (
        post(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked", body=CHUNKED),
        (501,),
    ),
    "another word": (post(b"Transfer-Encoding: xchunked", body=CHUNKED), (501,)),
    "a parameter": (post(b"Transfer-Encoding: chunked;q=1", body=CHUNKED), (501,)),
    "quotation marks": (post(b'Transfer-Encoding: "chunked"', body=CHUNKED), (501,)),
    "a comma": (post(b"Transfer-Encoding: chunked,", body=CHUNKED), (400,)),
    "a vertical tab": (post(b"Transfer-Encoding: \x0bchunked", body=CHUNKED), (400,)),
    "a blank that is no ASCII": (post(b"Transfer-Encoding: \xa0chunked", body=CHUNKED), (501,)),
    "no word": (post(b"Transfer-Encoding:", body=CHUNKED), (400,)),
    "an underscore is another name": (
        post(b"Content-Length: 24", b"Transfer_Encoding: chunked"),
        (MADE, LOST),
    ),
    "chunks in HTTP/1.0": (
        chunked(CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
        (400,),
    ),
    # --- chunks
    "an extension of a chunk": (chunked(CHUNKED.replace(b"18", b'18;a=b;c="d"', 1)), (MADE, LOST)),
    "a line end in an extension": (chunked(CHUNKED.replace(b"18", b"18;a\nb", 1)), (400,)),
    "a chunk's size with zeros": (chunked(b"0000" + CHUNKED), (MADE, LOST)),
    "a negative chunk": (chunked(b"-" + CHUNKED), (400,)),
    "a chunk with a sign": (chunked(b"+" + CHUNKED), (400,)),
    "a chunk in hexadecimal by its prefix": (chunked(b"0x" + CHUNKED), (400,)),
    "a blank before a chunk's size": (chunked(b" " + CHUNKED), (400,)),
    "a blank after a chunk's size": (chunked(CHUNKED.replace(b"18", b"18 ", 1)), (400,)),
    "a chunk without a size": (chunked(b"\r\n" + CHUNKED), (400,)),
    "a chunk beyond 64 bits": (chunked(b"1" + b"0" * 16 + b"18\r\n" + CHUNKED[4:]), (400,)),
    "a chunk that is longer than its size": (chunked(CHUNKED.replace(b"18", b"17", 1)), (400,)),
    "a chunk that is shorter than its size": (chunked(CHUNKED.replace(b"18", b"19", 1)), (400,)),
    "a bare LF after a chunk's size": (chunked(CHUNKED.replace(b"\r\n", b"\n", 1)), (400,)),
    "a bare LF after a chunk": (chunked(b"18\r\n" + BODY + b"\n0\r\n\r\n"), (400,)),
    "a bare CR after a chunk's size": (chunked(CHUNKED.replace(b"\r\n", b"\r", 1)), (400,)),
    "a length in a trailer": (
        chunked(CHUNK + b"0\r\nContent-Length: 40\r\n\r\n"),
        (400,),
    ),
    "a host in a trailer": (
        chunked(CHUNK + b"0\r\nHost: y\r\n\r\n"),
        (MADE, LOST),
    ),
    "a trailer that goes on in the next line": (
        chunked(CHUNK + b"0\r\nA: b\r\n c\r\n\r\n"),
        (400,),
    ),
    # --- lines of the head
    "a value that goes on in the next line": (get(b"A: b\r\n c"), (400,)),
    "a coding that goes on in the next line": (
        post(b"Transfer-Encoding:\r\n chunked", body=CHUNKED),
        (400,),
    ),
    "a blank before the colon": (post(b"Transfer-Encoding : chunked", body=CHUNKED), (400,)),
    "a tab before the colon": (get(b"A\t: b"), (400,)),
    "a blank before the name": (get(host=b"Host: x\r\n A: b\r\n"), (400,)),
    "a blank before the first name": (get(host=b" Host: x\r\n"), (400,)),
    "a line without a colon": (get(b"nonsense"), (400,)),
    "a line without a name": (get(b": b"), (400,)),
    "a bare LF after a line": (get(b"A: b\nC: d"), (400,)),
    "a bare LF after the request line": (get().replace(b"\r\n", b"\n", 1), (400,)),
    "bare LFs everywhere": (get().replace(b"\r\n", b"\n"), (400,)),
    "a CR in a value": (get(b"A: b\rC: d"), (400,)),
    "NUL in a value": (get(b"A: b\0c"), (400,)),
    "NUL in a name": (get(b"A\0: b"), (400,)),
    "a control character in a value": (get(b"A: b\x01c"), (400,)),
    "DEL in a value": (get(b"A: b\x7fc"), (400,)),
    "Latin-1 in a value": (get(b"A: caf\xe9"), (OK, LOST)),
    "Latin-1 in a name": (get(b"caf\xe9: A"), (400,)),
    "a parenthesis in a name": (get(b"A(b): c"), (400,)),
    # --- whose host
    "no host": (get(host=b""), (400,)),
    "two hosts": (get(b"Host: y"), (400,)),
    "two equal hosts": (get(b"Host: x"), (400,)),
    "a list of hosts": (get(host=b"Host: x, y\r\n"), (400,)),
    "a host with a path": (get(host=b"Host: x/y\r\n"), (400,)),
    "a host with a user": (get(host=b"Host: x@y\r\n"), (400,)),
    "a host with a blank": (get(host=b"Host: x y\r\n"), (400,)),
    "a host in UTF-8": (get(host="Host: bücher.example\r\n".encode()), (OK, LOST)),
    "a host in Latin-1": (get(host="Host: bücher.example:80\r\n".encode("latin-1")), (OK, LOST)),
    "a host of other signs": (get(host="Host: bü/cher.example\r\n".encode()), (400,)),
    "a host of a list in UTF-8": (get(host="Host: bü,cher\r\n".encode()), (400,)),
    "a host with a port": (get(host=b"Host: x.example:8000\r\n"), (OK, LOST)),
    "an address of IPv6": (get(host=b"Host: [::1]:8000\r\n"), (OK, LOST)),
    "no host in HTTP/1.0": (b"GET /health/live HTTP/1.0\r\n\r\n", (OK,)),
    # --- the request line
    "an absolute URL": (get(target=b"http://x/health/live"), (OK, LOST)),
    "an absolute URL without a path": (get(target=b"http://x"), (OK, LOST)),
    "an absolute URL with a user": (get(target=b"http://a@x/health/live"), (400,)),
    "an absolute URL of another kind": (get(target=b"ftp://x/health/live"), (400,)),
    "an absolute URL that is none": (get(target=b"http://[x/health/live"), (400,)),
    "CONNECT": (b"CONNECT y:80 HTTP/1.1\r\nHost: y:80\r\n\r\n", (400,)),
    "OPTIONS of everything": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", (404, LOST)),
    "a method in small letters": (get().replace(b"GET", b"get", 1), (400,)),
    "a method that nobody knows": (get().replace(b"GET", b"GETS", 1), (400,)),
    "two blanks": (get().replace(b"GET ", b"GET  ", 1), (OK, LOST)),
    "a tab": (get().replace(b"GET ", b"GET\t", 1), (400,)),
    "no version": (b"GET /health/live\r\n\r\n", (400,)),
    "HTTP/0.9": (get().replace(b"HTTP/1.1", b"HTTP/0.9", 1), (400,)),
    "HTTP/1.2": (get().replace(b"HTTP/1.1", b"HTTP/1.2", 1), (400,)),
    "HTTP/2.0": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400,)),
    "an encoded line end in the path": (get(target=b"/a%0d%0aB:%20c"), (LOST, LOST)),
    # --- upgrades
    "HTTP/2 is not taken": (
        get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
        (OK, LOST),
    ),
    "HTTP/2 is not taken for a body": (
        post(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 24"),
        (MADE, LOST),
    ),
    "TLS is not taken": (get(b"Connection: Upgrade", b"Upgrade: TLS/1.0"), (OK, LOST)),
    "an upgrade without a connection": (get(*UPGRADE[:1], *UPGRADE[2:]), (OK, LOST)),
    "an upgrade with a body": (
        get(*UPGRADE, b"Content-Length: %d" % len(HIDDEN), target=b"/ws/a") + HIDDEN,
        (400,),
    ),
    "an upgrade with chunks": (
        get(*UPGRADE, b"Transfer-Encoding: chunked", target=b"/ws/a") + CHUNKED,
        (400,),
    ),
    "an upgrade by POST": (
        get(*UPGRADE, target=b"/ws/a").replace(b"GET", b"POST", 1),
        (405,),
    ),
    "an upgrade in HTTP/1.0": (
        get(*UPGRADE, target=b"/ws/a").replace(b"HTTP/1.1", b"HTTP/1.0", 1),
        (404,),
    ),
    "a request after an upgrade": (get(*UPGRADE, target=b"/ws/a") + HIDDEN, (101,)),
    "a request after an upgrade that is refused": (
        get(*UPGRADE, b"Origin: https://evil.example", target=b"/ws/a") + HIDDEN,
        (403,),
    ),
    "who expects a word gets it": (
        post(b"Content-Length: 24", b"Expect: 100-continue"),
        (100, MADE, LOST),
    ),
    "what follows the last one": (get(b"Connection: close") + HIDDEN, (OK,)),
}

TOGETHER: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "a head that is wrong after one that is right": (get() + get(host=b""), (OK,)),
    "a body that is wrong after one that is right": (get() + chunked(b"-" + CHUNKED), ()),
    "an upgrade after a request": (get() + get(*UPGRADE, target=b"/ws/a"), (OK,)),
}
"""The same for requests that come while the one before them is being answered: the answers keep
their order, or there is none."""


async def statuses(gateway: Gateway, sent: bytes, pieces: int) -> tuple[int, ...]:
    """The statuses of all answers, until the server closes."""
    async with raw_client(gateway.port) as client:
        await client.send(sent, pieces)
        received = await client.read_until()
    return tuple(answered(bytes(received)))


def answered(received: bytes) -> Iterator[int]:
    """The statuses of answers that follow one another."""
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 "), head
        yield int(head[9:12])
        if head[9:12] == b"101":
            return
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        assert b"b" not in lines, "a header was injected"
        received = received[int(lines.get(b"content-length", b"0")) :]


@pytest.mark.parametrize("pieces", [1, 5, 2_000], ids=["at once", "in pieces", "byte by byte"])
def test_no_request_hides_in_another(gateway: Any, pieces: int) -> None:
    async def story() -> None:
        wrong = {}
        for name, (sent, expected) in (ROWS | (TOGETHER if pieces == 1 else {})).items():
            found = await statuses(gateway, sent + LAST, pieces)
            if found != expected:
                wrong[name] = (expected, found)
        assert not wrong, "\n".join(f"{row}: {both}" for row, both in wrong.items())

    gateway.run(story)
