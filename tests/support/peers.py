"""Servers of other people's protocols, each in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.support.paths import ROOT


class Peer:
    """The server process, seen from a test."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def requests(self, model: str) -> list[dict[str, Any]]:
        """What was asked of a model, in order."""
        with httpx.Client(trust_env=False) as client:
            answer = client.get(f"{self.url}/requests", params={"model": model})
        asked: list[dict[str, Any]] = answer.raise_for_status().json()
        return asked

    async def disconnected(self, model: str) -> None:
        """Return when the server has seen a client of this model go before its answer ended."""
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            answer = await client.get(f"{self.url}/disconnects", params={"model": model})
        answer.raise_for_status()


@contextmanager
def serving(program: str) -> Iterator[Peer]:
    """Run a module of this package, such as `openai_peer`, until the block is left."""
    command = [sys.executable, "-m", f"tests.support.{program}", "--port", "0"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Peer(int(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.wait(10)
