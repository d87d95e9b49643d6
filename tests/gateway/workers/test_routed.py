"""A connection under TLS that is given to another process."""

import asyncio
import socket
import ssl
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.workers.board import LoadBoard
from gateway.workers.handover import Arrivals, Told
from gateway.workers.routed import Door
from gateway.workers.routes import Way
from tests.support.paths import ROOT

TLS = ROOT / "tests" / "gateway" / "commands" / "tls"
LIMIT_S = 30.0


class Asking:
    """A client whose request comes in one piece with the end of its handshake."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.answer = b""

    def run(self) -> None:
        trust = ssl.create_default_context(cafile=str(TLS / "cert.pem"))
        received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        secure = trust.wrap_bio(received, sent, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", self._port), LIMIT_S) as line:
            while True:
                try:
                    secure.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    line.sendall(sent.read())
                    received.write(line.recv(65536))
            secure.write(b"GET / HTTP/1.1\r\n\r\n")
            line.sendall(sent.read())
            while not self.answer and (more := line.recv(65536)):
                received.write(more)
                try:
                    self.answer = secure.read()
                except ssl.SSLWantReadError:
                    continue


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_client_is_given_away_though_the_end_of_its_handshake_is_still_to_be_sent(
    loop: str,
) -> None:
    run = asyncio.run if loop == "asyncio" else pytest.importorskip("uvloop").run
    with tempfile.TemporaryDirectory() as folder:
        run(story(Path(folder)))


async def story(folder: Path) -> None:
    board = LoadBoard.create(folder / "board", 2)
    siblings: Any = SimpleNamespace(
        index=0, board=board, arrivals_path=lambda worker: folder / f"take-{worker}"
    )
    door = Door(siblings)
    door.serving(server_state=SimpleNamespace(connections=set()))
    buffered: list[int] = []
    given: list[bool] = []

    class Served(asyncio.Protocol):
        arrived = None
        scheme = "https"
        client = ("127.0.0.1", 4000)
        transport: asyncio.Transport

        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            buffered.append(self.transport.get_write_buffer_size())
            protocol: Any = self
            given.append(door.give(1, protocol, data))
            if not given[-1]:
                self.transport.abort()

    def take(taken: socket.socket, told: Told, data: bytes) -> None:
        with taken:
            taken.send(b"answered " + data[:3])

    arrivals = Arrivals(folder / "take-1", take, door.missed)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    serving = asyncio.get_running_loop()
    server = await serving.create_server(Served, "127.0.0.1", 0, ssl=context)
    client = Asking(server.sockets[0].getsockname()[1])
    async with asyncio.timeout(LIMIT_S):
        await asyncio.to_thread(client.run)
    server.close()
    arrivals.close()
    door.close()
    board.close()
    assert buffered[0] > 0
    assert given == [True]
    assert client.answer == b"answered GET"


@pytest.mark.parametrize(
    ("url", "way"),
    [
        (b"/tool/ws/mine?x=1", Way("begin", "mine")),
        (b"/t%6fol/ws/mine", Way("begin", "mine")),
        (b"/ws/mine", Way("begin", "mine")),
        (b"/tool/v1/realtime?session_id=mine", Way("begin", "mine")),
        (b"/toolbox/ws/mine", Way("here")),
        (b"/tool/tool/ws/mine", Way("here")),
    ],
    ids=["left in", "encoded", "left out", "realtime", "longer", "twice"],
)
def test_a_websocket_goes_where_it_belongs_below_a_path_of_another_host(
    url: bytes, way: Way
) -> None:
    asked: list[Way] = []

    def place(found: Way) -> int:
        asked.append(found)
        return 0

    door = Door(cast("Any", SimpleNamespace(index=0, place=place)), subpath="/tool")
    connection: Any = SimpleNamespace(door=door, arrived=None, url=url)
    assert door.protocol.passed_on(connection, b"") is False
    assert asked == [way]


def test_a_connection_that_did_not_arrive_is_on_its_way_no_longer(tmp_path: Path) -> None:
    board = LoadBoard.create(tmp_path / "board", 2)
    siblings: Any = SimpleNamespace(index=1, board=board)
    board.handed(0, 1)
    assert board.load(1) == 1
    Door(siblings).missed(Told(0, "http"))
    assert board.load(1) == 0
    board.close()
