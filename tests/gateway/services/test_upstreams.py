"""Connections to instances over sockets: addresses, TLS, and bodies that say they are longer."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop
from starlette.types import Message

from gateway.services.definition import Endpoint, ServiceSpec
from gateway.services.failures import failure_text
from gateway.services.forwarding import Framing
from gateway.services.http_connection import ConnectFailed
from gateway.services.request_body import RequestBody
from gateway.services.resolving import Resolver
from gateway.services.retries import Phase
from gateway.services.upstreams import UpstreamAttempt, UpstreamFailed, Upstreams
from tests.support.paths import ROOT
from tests.support.served import free_port
from tests.support.stub_services import raw_service

CERT = ROOT / "tests/gateway/commands/tls/cert.pem"
KEY = CERT.with_name("key.pem")

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood"


class Served:
    """Answers every request on a connection, and remembers the bytes."""

    def __init__(self) -> None:
        self.connections = 0
        self.received = b""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            self.received += await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)


def tell(story: Callable[[Upstreams], Coroutine[Any, Any, None]]) -> None:
    async def told() -> None:
        upstreams = Upstreams()
        try:
            async with asyncio.timeout(30):
                await story(upstreams)
        finally:
            await upstreams.aclose()

    asyncio.run(told())


def named(upstreams: Upstreams, **names: Sequence[str]) -> None:
    """Have names lead to addresses, and be unknown otherwise."""

    def look(host: str) -> Sequence[str]:
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return names[host]

    upstreams.resolver = Resolver(look)


HEADERS = [(b"host", b"a")]


def test_a_connection_serves_one_request_after_the_other() -> None:
    served = Served()

    async def story(upstreams: Upstreams) -> None:
        async with raw_service(served) as port:
            at = Endpoint("127.0.0.1", port)
            for _ in range(3):
                attempt = attempted(upstreams, at)
                await attempt.head()
                assert (attempt.status, await attempt.piece(), attempt.complete) == (
                    200,
                    b"good",
                    True,
                )
                attempt.close()
                attempt.close()  # a second time changes nothing
        assert served.connections == 1
        assert served.received == b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n" * 3

    tell(story)


def test_an_address_that_takes_nothing_is_left_for_the_next() -> None:
    async def story(upstreams: Upstreams) -> None:
        named(upstreams, both=["127.0.0.2", "127.0.0.1"], none=["127.0.0.2", "127.0.0.3"])
        async with raw_service(Served()) as port:
            assert await upstreams.status(Endpoint("both", port), b"/", HEADERS) == 200
        for host, reason in (
            ("none", "Connection refused"),
            ("unknown", "Connection failed"),
            ("x" * 70, "Connection failed"),
        ):
            with pytest.raises(ConnectFailed) as failed:
                await upstreams.status(Endpoint(host, free_port()), b"/", HEADERS)
            assert failure_text(failed.value) == reason

    tell(story)


def test_without_the_files_of_tls_there_is_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "nowhere" / "keys"))

    async def story(upstreams: Upstreams) -> None:
        at = Endpoint("127.0.0.1", free_port(), protocol="https")
        with pytest.raises(ConnectFailed) as failed:
            await upstreams.status(at, b"/", HEADERS)
        assert isinstance(failed.value.__cause__, FileNotFoundError)
        with pytest.raises(UpstreamFailed) as missing:
            await attempted(upstreams, at).head()
        assert (missing.value.failed.phase, str(missing.value)) == (
            Phase.CONNECT,
            "Connection failed",
        )

    tell(story)


def test_an_answer_that_is_asked_for_its_status_is_not_read() -> None:
    served = Served()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Busy\r\n\r\n")
        await reader.read()  # until the gateway leaves

    async def story(upstreams: Upstreams) -> None:
        async with raw_service(serve) as port:
            for _ in range(2):
                assert await upstreams.status(Endpoint("127.0.0.1", port), b"/", HEADERS) == 503
        assert served.connections == 2

    tell(story)


@pytest.mark.parametrize(
    "said", [b"", b"220 smtp.example ESMTP\r\n"], ids=["nothing", "a greeting"]
)
def test_a_service_that_hangs_up_or_speaks_first_fails_at_once(said: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)  # and close

    async def story(upstreams: Upstreams) -> None:
        async with raw_service(serve) as port:
            for _ in range(5):  # whichever comes first, the end or the request
                attempt = attempted(upstreams, Endpoint("127.0.0.1", port))
                with pytest.raises(UpstreamFailed) as one:
                    await attempt.head()
                attempt.close()
                assert not one.value.failed.timed_out

    tell(story)


def received(*pieces: bytes) -> Callable[[], Coroutine[Any, Any, Message]]:
    left = [*pieces]

    async def receive() -> Message:
        piece = left.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(left)}

    return receive


def attempted(
    upstreams: Upstreams, at: Endpoint, framing: Framing | None = None, *pieces: bytes
) -> UpstreamAttempt:
    framing = framing or Framing()
    return UpstreamAttempt(
        upstreams.pool(at),
        ServiceSpec(name="s", instances=(at,)),
        method="POST" if pieces else "GET",
        target=b"/a",
        headers=HEADERS,
        framing=framing,
        body=RequestBody(received(*pieces), empty=framing.empty, most_bytes=1000),
        limit_s=5.0,
    )


@pytest.mark.parametrize(
    ("length", "words"), [(4, "longer"), (6, "shorter")], ids=["longer", "shorter"]
)
def test_a_body_of_another_length_is_never_a_request(length: int, words: str) -> None:
    served = Served()

    async def story(upstreams: Upstreams) -> None:
        async with raw_service(served) as port:
            at = Endpoint("127.0.0.1", port)
            attempt = attempted(upstreams, at, Framing(length), b"hel", b"lo")
            with pytest.raises(UpstreamFailed, match=f"the request is {words} than it says") as one:
                await attempt.head()
            attempt.close()
            assert (one.value.failed.phase, one.value.failed.refused) == (Phase.SEND, True)
            assert await upstreams.status(at, b"/next", HEADERS) == 200
        assert served.connections == 2  # the next request does not follow half of this one

    tell(story)


@pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def test_over_tls_the_certificate_is_checked_and_a_connection_used_again(
    loop: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    served, agreed = Served(), list[Any]()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(CERT, KEY)
    tls.set_alpn_protocols(["http/1.1"])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        agreed.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        with suppress(EOFError, OSError):
            await served(reader, writer)
        writer.close()

    async def story() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
        at = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1], protocol="https")
        strict, trusting = Upstreams(), Upstreams()
        with pytest.raises(ConnectFailed) as failed:
            await strict.status(at, b"/", HEADERS)
        assert failure_text(failed.value) == "Connection failed"
        monkeypatch.setenv("SSL_CERT_FILE", str(CERT))
        for _ in range(3):
            attempt = attempted(trusting, at)
            await attempt.head()
            assert (attempt.status, await attempt.piece()) == (200, b"good")
            attempt.close()
            await asyncio.sleep(0.01)
        assert (served.connections, agreed) == (1, ["http/1.1"])
        await strict.aclose()
        await trusting.aclose()
        server.close()
        await asyncio.sleep(0.05)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(story())
