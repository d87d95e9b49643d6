"""A gateway that the stock client of OpenAI's Live API reaches."""

from pathlib import Path

import pytest

from tests.support.peers import Peer
from tests.support.realtime import RealtimeGateway


@pytest.fixture
def realtime(tmp_path: Path, peer: Peer) -> RealtimeGateway:
    """A real server, whose stages are scripted until a test asks for another."""
    return RealtimeGateway(tmp_path, peer)
