"""Fixtures that tests of several packages use. What they need is imported when they are: a test of
the engine alone does not wait for a web server to be loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.register_assert_rewrite("tests.support")

from tests.support.examples import load_profile  # noqa: E402 - what comes after is rewritten

load_profile()

if TYPE_CHECKING:
    from tests.support.gateway import Gateway
    from tests.support.peers import Peer


@pytest.fixture(scope="session")
def peer() -> Iterator[Peer]:
    """A server that speaks the OpenAI protocol."""
    from tests.support.peers import serving

    with serving("openai_peer") as server:
        yield server


@pytest.fixture(scope="session")
def avatar_peer() -> Iterator[Peer]:
    """A server that animates faces."""
    from tests.support.peers import serving

    with serving("avatar_peer") as server:
        yield server


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    """A real server in this process; `run` starts it."""
    from tests.support.gateway import Gateway

    return Gateway(tmp_path)
