"""A service in a process of its own whose WebSockets say back what they hear."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

from websockets.asyncio.server import ServerConnection, serve
from websockets.sync.client import connect

from tests.support.paths import ROOT


@contextlib.contextmanager
def socket_process(port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """The service, which answers when the block begins."""
    command = [sys.executable, "-m", "tests.support.socket_service", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                with connect(f"ws://127.0.0.1:{port}", proxy=None):
                    break
            except OSError:
                assert process.poll() is None
                time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait()


async def _echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


async def _run(port: int) -> None:
    async with serve(_echo, "127.0.0.1", port, compression=None, ping_interval=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1])))
