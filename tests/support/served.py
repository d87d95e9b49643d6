"""A gateway in a process of its own, on a port of its own."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.support.paths import ROOT

START_S = 150.0
"""For a gateway to be ready: two seconds, and much more on a machine that is busy."""

_PORTS = range(20_000, 32_768)
"""From 32768 on Linux takes a port for each connection to somewhere, and macOS from 49152 on."""

_offered = iter(random.SystemRandom().sample(_PORTS, len(_PORTS)))


def free_port() -> int:
    """A TCP port of 127.0.0.1 at which something may be started later; each is given out once.

    A port that the system chose would be free now, but any connection may have it a moment later.
    """
    for port in _offered:
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is left")


def _is_ready(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).is_success
    except httpx.TransportError:
        return False


@contextmanager
def gateway(
    folder: Path, port: int, *options: str, **settings: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """`parley serve` with the offline engines, ready; its data and its log are in `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    chosen = {
        "PARLEY_STT": "pocketsphinx",
        "PARLEY_LLM": "scripted",
        "PARLEY_PORT": str(port),
        "PARLEY_ADMISSION": "places",  # how busy the machine is beside it is no matter of the tests
    }
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.commands.cli", "serve", *options],
            cwd=ROOT,
            env=kept | chosen | {"PARLEY_DATA_DIR": str(folder / "var")} | settings,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    scheme = "https" if "--tls-cert" in options else "http"
    try:
        url = f"{scheme}://127.0.0.1:{port}/health/ready"
        give_up_at = time.monotonic() + START_S
        with httpx.Client(trust_env=False, verify=False, timeout=30) as client:
            while not _is_ready(client, url):
                if process.poll() is not None or time.monotonic() > give_up_at:
                    pytest.fail(f"it is not ready: {(folder / 'log').read_text()[-4000:]}")
                time.sleep(0.1)
        yield process
    finally:
        process.send_signal(signal.SIGINT)  # harmless where it has ended
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
