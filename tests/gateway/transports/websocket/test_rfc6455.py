"""RFC 6455 on a real socket, in the order of the Autobahn test suite's sections.

A case is what a client sends once its session is ready, and the frames that answer it, in words: a
pong with its payload, what a message of the session says (`pong 1` is the answer to its message
`ping`), a close frame with its code. After a close frame the server closes the connection; where
there is none, one more message is answered.
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.frames import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    RSV1,
    RSV2,
    RSV3,
    TEXT,
    ServerFrame,
    close,
    frame,
    taken,
)
from tests.support.raw_client import PATIENCE_S, raw_client


@dataclass(frozen=True)
class Case:
    """What is sent, and the answers to it."""

    name: str
    sent: bytes
    answers: tuple[str, ...]


def case(name: str, sent: bytes, *answers: str) -> Case:
    return Case(name, sent, answers)


def says(number: int) -> bytes:
    """A message that the session answers with `pong` and the same number."""
    return json.dumps({"type": "ping", "t": number}).encode()


def message(number: int, **options: Any) -> bytes:
    return frame(TEXT, says(number), **options)


def long_message(size: int) -> bytes:
    """The same, so many bytes long; its number is its length."""
    return says(size).ljust(size)


def fragments(*payloads: bytes, first: int = TEXT) -> list[bytes]:
    """A message in as many frames."""
    return [
        frame(CONT if index else first, payload, fin=index == len(payloads) - 1)
        for index, payload in enumerate(payloads)
    ]


ONE = says(1)
HEAD, TAIL = ONE[:9], ONE[9:]
FIRST, LAST = fragments(HEAD, TAIL)
LETTERS = '{"type":"ping","t":"κόσμε 🎉"}'.encode()
AFTER = message(2)
"""A message that is answered only where the connection stays open."""

LONGEST = 65_536

FRAMING = [
    case("1.1 text of 0 bytes", frame(TEXT), "error bad_json"),
    case("1.1 text of 125 bytes", frame(TEXT, long_message(125)), "pong 125"),
    case("1.1 text of 126 bytes", frame(TEXT, long_message(126)), "pong 126"),
    case("1.1 text of 128 bytes", frame(TEXT, long_message(128)), "pong 128"),
    case("1.1 text of 65535 bytes", frame(TEXT, long_message(65_535)), "pong 65535"),
    case("1.1 text of 65536 bytes", frame(TEXT, long_message(LONGEST)), f"pong {LONGEST}"),
    case("1.1 a length in more bytes than needed", message(1, length_bytes=8), "pong 1"),
    case("1.2 binary of 0 bytes", frame(BINARY)),
    case("1.2 binary of 640 bytes", frame(BINARY, bytes(640))),
    case("1.2 binary of 65536 bytes", frame(BINARY, bytes(LONGEST)), "error audio_too_long"),
    case("5.1 no mask", message(1, mask=None) + AFTER, "close 1002"),
    case("5.1 audio without a mask", frame(BINARY, bytes(640), mask=None) + AFTER, "close 1002"),
    case("5.3 a mask of zeros", message(1, mask=bytes(4)), "pong 1"),
]
PINGS = [
    case("2.1 an empty ping", frame(PING), "pong b''"),
    case("2.2 a ping with text", frame(PING, b"Hello"), "pong b'Hello'"),
    case("2.3 a ping with bytes", frame(PING, b"\x00\xff\xfe"), r"pong b'\x00\xff\xfe'"),
    case("2.4 a ping of 125 bytes", frame(PING, b"p" * 125), f"pong {b'p' * 125!r}"),
    case("2.5 a ping of 126 bytes", frame(PING, b"p" * 126) + AFTER, "close 1002"),
    case("2.7 an unsolicited pong", frame(PONG)),
    case("2.8 an unsolicited pong with a payload", frame(PONG, b"unasked")),
    case("2.9 a pong and a ping", frame(PONG, b"no") + frame(PING, b"yes"), "pong b'yes'"),
    case(
        "2.10 ten pings",
        b"".join(frame(PING, b"%d" % number) for number in range(10)),
        *(f"pong b'{number}'" for number in range(10)),
    ),
]
RESERVED_BITS = [
    case("3.1 RSV1 in text", message(1, rsv=RSV1) + AFTER, "close 1002"),
    case("3.2 RSV2 after a message", message(1) + message(3, rsv=RSV2), "pong 1", "close 1002"),
    case("3.3 RSV3 in audio", frame(BINARY, bytes(640), rsv=RSV3) + AFTER, "close 1002"),
    case("3.4 all of them in a ping", frame(PING, b"", rsv=RSV1 | RSV2 | RSV3), "close 1002"),
    case("3.7 RSV1 in a close", frame(CLOSE, b"\x03\xe8", rsv=RSV1), "close 1002"),
]
OPCODES = [
    *(
        case(f"4.1 opcode {opcode}", frame(opcode, b"data") + AFTER, "close 1002")
        for opcode in range(3, 8)
    ),
    *(
        case(f"4.2 opcode {opcode}", message(1) + frame(opcode), "pong 1", "close 1002")
        for opcode in range(11, 16)
    ),
]
FRAGMENTS = [
    case("5.1 a ping in two frames", frame(PING, b"a", fin=False) + AFTER, "close 1002"),
    case("5.2 a pong in two frames", frame(PONG, b"a", fin=False) + AFTER, "close 1002"),
    case("5.3 text in two frames", FIRST + LAST, "pong 1"),
    case("5.6 a ping between them", FIRST + frame(PING, b"x") + LAST, "pong b'x'", "pong 1"),
    case("5.9 a continuation of nothing", frame(CONT, ONE) + AFTER, "close 1002"),
    case("5.12 its beginning", frame(CONT, ONE, fin=False) + AFTER, "close 1002"),
    case("5.15 one after a whole message", FIRST + LAST + frame(CONT), "pong 1", "close 1002"),
    case("5.18 text within text", FIRST + AFTER, "close 1002"),
    case("5.18 audio within text", FIRST + frame(BINARY, bytes(640)) + AFTER, "close 1002"),
    case("5.19 a frame for each byte", b"".join(fragments(*(bytes([b]) for b in ONE))), "pong 1"),
    case("5.20 empty frames", b"".join(fragments(b"", HEAD, b"", TAIL, b"")), "pong 1"),
    case(
        "5.20 audio in frames",
        b"".join(fragments(bytes(300), bytes(300), bytes(41), first=BINARY)),
        "error odd_audio",
    ),
]
UTF_8 = [
    case("6.1 no text in three frames", b"".join(fragments(b"", b"", b"")), "error bad_json"),
    case("6.2 letters of several bytes", frame(TEXT, LETTERS), "pong κόσμε 🎉"),
    case(
        "6.2 a frame for each byte of them",
        b"".join(fragments(*(bytes([byte]) for byte in LETTERS))),
        "pong κόσμε 🎉",
    ),
    *(
        case(f"6 {name}", frame(TEXT, b'{"type":"ping","t":"' + text + b'"}') + AFTER, "close 1007")
        for name, text in (
            ("a continuation alone", b"\x80"),
            ("a beginning alone", b"\xc3"),
            ("a slash of two bytes", b"\xc0\xaf"),
            ("a slash of four bytes", b"\xf0\x80\x80\xaf"),
            ("half a surrogate pair", b"\xed\xa0\x80"),
            ("a whole surrogate pair", b"\xed\xa0\xbd\xed\xb8\x80"),
            ("beyond the last letter", b"\xf4\x90\x80\x80"),
            ("a letter of five bytes", b"\xf8\x88\x80\x80\x80"),
            ("bytes that never occur", b"\xfe\xff"),
        )
    ),
    case("6 cut at the end", frame(TEXT, b'"\xf0\x9f\x8e') + AFTER, "close 1007"),
    case("6.22 no character", frame(TEXT, b'{"type":"ping","t":"\xef\xbf\xbf"}'), "pong \uffff"),
    case(
        "6.23 the last one",
        frame(TEXT, b'{"type":"ping","t":"\xf4\x8f\xbf\xbf"}'),
        "pong \U0010ffff",
    ),
]
CLOSING = [
    case("7.1 a message and a close", message(1) + close(1000), "pong 1", "close 1000"),
    case("7.1.2 two of them", close(1000) + close(1001), "close 1000"),
    case("7.1.3 a ping after it", close(1000) + frame(PING), "close 1000"),
    case("7.1.4 text after it", close(1000) + AFTER, "close 1000"),
    case("7.1.5 a close within a message", FIRST + close(1000) + LAST, "close 1002"),  # unfinished
    case("7.3.1 no code", close(), "close"),
    case("7.3.2 half a code", frame(CLOSE, b"\x03"), "close 1002"),
    case("7.3.4 a reason", close(1000, b"bye"), "close 1000"),
    case("7.3.5 a reason of 123 bytes", close(1000, b"r" * 123), "close 1000"),
    case("7.3.6 a reason of 124 bytes", close(1000, b"r" * 124), "close 1002"),
    case("7.3 a close in two frames", frame(CLOSE, b"\x03\xe8", fin=False), "close 1002"),
    case("7.5 a reason that is not UTF-8", close(1000, b"\xed\xa0\x80"), "close 1007"),
    *(
        case(f"7.7 code {code}", close(code), f"close {code}")
        for code in (1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    ),
    *(
        case(f"7.9 code {code}", close(code), "close 1002")
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)
    ),
]
LIMITS = [
    case("9 a byte too many", frame(TEXT, long_message(LONGEST + 1)) + AFTER, "close 1009"),
    case(
        "9 in frames of 16 KiB",
        b"".join(fragments(*[b" " * 16_384] * 4, ONE)) + AFTER,
        "close 1009",
    ),
    case("9 a length of 2^40 alone", frame(TEXT, length=1 << 40), "close 1009"),
    case("9 a length of 2^63 alone", frame(TEXT, length=1 << 63), "close 1009"),
]
CASES = [
    *FRAMING,
    *PINGS,
    *RESERVED_BITS,
    *OPCODES,
    *FRAGMENTS,
    *UTF_8,
    *CLOSING,
    *LIMITS,
]

END = 999

LINES = (
    b"Host: x\r\n",
    b"Upgrade: websocket\r\n",
    b"Connection: Upgrade\r\n",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    b"Sec-WebSocket-Version: 13\r\n",
)
HANDSHAKE = b"GET /ws/rfc-%d HTTP/1.1\r\n" + b"".join(LINES) + b"\r\n"


async def answers_to(
    gateway: Any, number: int, sent: bytes, pieces: int, *, closes: bool
) -> list[str]:
    """What the server answers, until it closes or has answered one more message."""
    frames: list[ServerFrame] = []

    def told(received: bytearray, words: str) -> bool:
        frames.extend(taken(received))
        return words in map(str, frames)

    async with raw_client(gateway.port) as client:
        await client.send(HANDSHAKE % number)
        await client.read_until(lambda received: b"\r\n\r\n" in received)
        del client.received[: client.received.index(b"\r\n\r\n") + 4]
        await client.send(frame(TEXT, b'{"type":"hello","version":1}'))
        await client.read_until(lambda received: told(received, "ready"))
        frames.clear()
        await client.send(sent, pieces)
        if not closes:
            await client.send(message(END))
        await client.read_until(lambda received: told(received, f"pong {END}"))
        assert not client.received, "a frame was cut"
    kept = ("pong", "error", "close")
    return [words for words in map(str, frames) if words.startswith(kept)]


@pytest.mark.slow
@pytest.mark.parametrize("pieces", [1, 7, 10_000], ids=["at once", "in pieces", "byte by byte"])
def test_every_frame_is_answered_as_the_rfc_says(gateway: Any, pieces: int) -> None:
    async def story() -> None:
        wrong = {}
        for number, each in enumerate(CASES):
            closes = any(answer.startswith("close") for answer in each.answers)
            expected = [*each.answers, *([] if closes else [f"pong {END}"])]
            found = await answers_to(gateway, number, each.sent, pieces, closes=closes)
            if found != expected:
                wrong[each.name] = (expected, found)
        assert not wrong, "\n".join(f"{name}: {both}" for name, both in wrong.items())

    gateway.run(story)


def test_who_streams_on_after_breaking_the_protocol_still_learns_the_reason(gateway: Any) -> None:
    async def story() -> None:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(HANDSHAKE % 0)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(frame(3))
            for _ in range(50):
                writer.write(frame(BINARY, bytes(640)))
                await asyncio.sleep(0.001)
            received = bytearray(await reader.read())
            writer.close()
        assert str(taken(received)[-1]) == "close 1002"

    gateway.run(story)


# --- the handshake, sections 4.1 to 4.4 ------------------------------------------------------

ACCEPTED = "101 Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The RFC's own example, and neither an extension nor a subprotocol."""

HANDSHAKES: dict[str, tuple[dict[bytes, bytes], str]] = {
    "as in the RFC": ({}, ACCEPTED),
    "Firefox's Connection": ({b"Connection": b"keep-alive, Upgrade"}, ACCEPTED),
    "small letters": ({b"Connection": b"upgrade"}, ACCEPTED),
    "capitals": ({b"Upgrade": b"WebSocket"}, ACCEPTED),
    "two lines of Connection": (
        {b"Connection": b"Upgrade\r\nConnection: keep-alive"},
        ACCEPTED,
    ),
    "a subprotocol that nobody speaks": (
        {b"Sec-WebSocket-Protocol": b"realtime, chat"},
        ACCEPTED,
    ),
    "compression": (
        {b"Sec-WebSocket-Extensions": b"permessage-deflate; client_max_window_bits"},
        ACCEPTED,
    ),
    "no key": ({b"Sec-WebSocket-Key": b""}, "400"),
    "a short key": ({b"Sec-WebSocket-Key": b"AAAA"}, "400"),
    "a key that is no base64": ({b"Sec-WebSocket-Key": b"dGhlIHNhbXBsZSBub25jZ***"}, "400"),
    "two keys": (
        {b"Sec-WebSocket-Key": b"dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: AAAA"},
        "400",
    ),
    "version 8": ({b"Sec-WebSocket-Version": b"8"}, "426 Sec-WebSocket-Version: 13"),
    "no version": ({b"Sec-WebSocket-Version": b""}, "426 Sec-WebSocket-Version: 13"),
    "two versions": (
        {b"Sec-WebSocket-Version": b"13\r\nSec-WebSocket-Version: 8"},
        "426 Sec-WebSocket-Version: 13",
    ),
    "another protocol beside it": ({b"Upgrade": b"websocket, h2c"}, "404"),
    "no upgrade": ({b"Upgrade": b""}, "404"),
    "no connection": ({b"Connection": b"keep-alive"}, "404"),
    "no host": ({b"Host": b""}, "400"),
}


def handshake(changed: dict[bytes, bytes]) -> bytes:
    """The RFC's request with other lines, or without those whose value is empty."""
    lines = dict(line.rstrip(b"\r\n").split(b": ") for line in LINES) | changed
    kept = [name + b": " + value + b"\r\n" for name, value in lines.items() if value]
    return b"GET /ws/rfc HTTP/1.1\r\n" + b"".join(kept) + b"\r\n"


async def answer_to(gateway: Any, request: bytes) -> str:
    """The status, and the lines about WebSockets."""
    async with raw_client(gateway.port) as client:
        await client.send(request)
        received = await client.read_until(lambda received: b"\r\n\r\n" in received)
    head = received.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    lines = [line for line in head[1:] if line.lower().startswith("sec-websocket-")]
    return " ".join([head[0][9:12], *lines])


def test_every_handshake_is_answered_as_the_rfc_says(gateway: Any) -> None:
    async def story() -> None:
        wrong = {}
        for name, (changed, expected) in HANDSHAKES.items():
            found = await answer_to(gateway, handshake(changed))
            if found != expected:
                wrong[name] = (expected, found)
        assert not wrong, "\n".join(f"{name}: {both}" for name, both in wrong.items())

    gateway.run(story)


def test_what_follows_the_handshake_at_once_is_read_after_its_answer(gateway: Any) -> None:
    async def story() -> None:
        hello = frame(TEXT, b'{"type":"hello","version":1,"audio_out":{"rate":24000}}')
        early = hello + frame(PING, b"early") + message(1)
        frames: list[ServerFrame] = []

        def answered(received: bytearray) -> bool:
            frames.extend(taken(received))
            return "pong 1" in map(str, frames)

        async with raw_client(gateway.port) as client:
            await client.send(handshake({}) + early[:-5])
            await client.read_until(lambda received: b"\r\n\r\n" in received)
            assert client.received.startswith(b"HTTP/1.1 101 ")
            del client.received[: client.received.index(b"\r\n\r\n") + 4]
            await client.send(early[-5:])
            await client.read_until(answered)
        assert str(frames[0]) == "pong b'early'"
        ready = next(json.loads(each.payload) for each in frames if str(each) == "ready")
        assert ready["audio_out"]["rate"] == 24_000

    gateway.run(story)


def test_who_sends_on_and_on_before_the_handshake_is_answered_is_dropped(gateway: Any) -> None:
    async def story() -> None:
        async with raw_client(gateway.port) as client:
            await client.send(handshake({}) + frame(BINARY, bytes(640)) * 200)
            assert await client.read_until() == b""

    gateway.run(story)
