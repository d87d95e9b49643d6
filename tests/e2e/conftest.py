"""What the visits to the page share: a gateway, and two browsers. Each visit has a tab of its own
with nothing remembered in it."""

from collections.abc import Iterator

import pytest

from tests.support.chromium import Browser, browser
from tests.support.served import free_port, gateway
from tests.support.visit import BEEPS, LOOPBACK


@pytest.fixture(scope="session")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    free = free_port()
    with gateway(tmp_path_factory.mktemp("gateway"), free, **LOOPBACK):
        yield free


@pytest.fixture(scope="session")
def url(port: int) -> str:
    return f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="session")
def deaf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser on a machine without a microphone."""
    with browser(tmp_path_factory.mktemp("deaf")) as opened:
        yield opened


@pytest.fixture(scope="session")
def beeping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser whose microphone beeps every second, and may be used."""
    with browser(tmp_path_factory.mktemp("beeping"), *BEEPS) as opened:
        yield opened
