"""Clients who come together are answered together, though each needs turns of the event loop."""

import asyncio
import gc
import os
import select
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.app import create_app
from gateway.commands.serve import GatewayServer, early_refusal, listen, server_config
from gateway.settings import Settings
from gateway.transports.accepting import AT_ONCE, duplicates
from gateway.transports.http import turning_away
from tests.support.gateway import Gateway

uvloop = pytest.importorskip("uvloop")

CLIENTS = 64
KNOCK = (
    b"GET /ws/knock HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def until_answered(clients: list[socket.socket]) -> int:
    """How many turns the loop takes until each client has an answer."""
    for turns in range(1, 10_000):
        await asyncio.sleep(0)
        if len(select.select(clients, (), (), 0)[0]) == len(clients):
            return turns
    raise AssertionError("some have no answer")


def test_a_process_that_begins_makes_none_wait_that_accepts_already() -> None:
    [listener] = listen("127.0.0.1", 0)
    loop = uvloop.new_event_loop()
    with ExitStack() as stack:
        stack.callback(loop.close)
        stack.enter_context(listener)
        other = socket.socket(fileno=os.dup(listener.fileno()))  # as another process has it
        stack.enter_context(other).setblocking(False)
        more = [stack.enter_context(each) for each in duplicates([listener], loop)]
        assert len(more) == AT_ONCE - 1
        assert not any(os.get_blocking(each.fileno()) for each in (other, listener, *more))


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_crowd_is_refused_in_few_turns_of_the_loop(tmp_path: Path, loop: str) -> None:
    async def story() -> None:
        settings = Settings(data_dir=tmp_path)
        app = create_app(settings, stages=Gateway(tmp_path).scripted())
        http = turning_away(early_refusal(app, settings, None))
        server = GatewayServer(app, server_config(app, http=http), tells=False)
        sockets = listen("127.0.0.1", 0)
        at = sockets[0].getsockname()
        serving = asyncio.create_task(server.serve(sockets))
        try:
            async with asyncio.timeout(60):
                while not server.started:
                    await asyncio.sleep(0.01)
            app.state.runtime.live.places = 0
            with ExitStack() as stack:
                clients = [
                    stack.enter_context(socket.create_connection(at)) for _ in range(CLIENTS)
                ]
                for client in clients:
                    client.sendall(KNOCK)
                assert await until_answered(clients) < CLIENTS / AT_ONCE + 8
                assert {client.recv(12) for client in clients} == {b"HTTP/1.1 503"}
            server.should_exit = True
            await serving
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(at)
        finally:
            gc.unfreeze()
            server.should_exit = True
            await serving
            for each in sockets:
                each.close()

    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(story())
