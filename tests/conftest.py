"""What tests of several packages need: a server to talk to."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[1]


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


@pytest.fixture(scope="session")
def peer() -> Iterator[Peer]:
    """A server that speaks the OpenAI protocol."""
    yield from _serving("openai_peer")


@pytest.fixture(scope="session")
def avatar_peer() -> Iterator[Peer]:
    """A server that animates faces."""
    yield from _serving("avatar_peer")


def _serving(program: str) -> Iterator[Peer]:
    command = [sys.executable, "-m", f"tests.stages.{program}", "--port", "0"]
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
