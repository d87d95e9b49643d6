from pathlib import Path

import pytest

from tests.support.peers import Peer
from tests.support.realtime import RealtimeGateway


@pytest.fixture
def realtime(tmp_path: Path, peer: Peer) -> RealtimeGateway:
    """A real server that stock clients of OpenAI's Realtime API reach."""
    return RealtimeGateway(tmp_path, peer)
