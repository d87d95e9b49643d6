"""A gateway that stock clients of OpenAI's Realtime API reach, and time for long stories."""

from pathlib import Path

import pytest

from tests.support.peers import Peer
from tests.support.realtime import RealtimeGateway


@pytest.fixture
def realtime(tmp_path: Path, peer: Peer) -> RealtimeGateway:
    """A real server, whose stages are scripted until a test asks for another."""
    return RealtimeGateway(tmp_path, peer)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """For stories that last longer than others."""
    monkeypatch.setattr("tests.support.gateway.PATIENCE_S", 60.0)
