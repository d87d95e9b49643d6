"""A gateway that peers reach over the loopback address, and time for long stories."""

from pathlib import Path

import pytest

from tests.support.webrtc import Doorway


@pytest.fixture
def doorway(tmp_path: Path) -> Doorway:
    return Doorway(tmp_path)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """For stories that last longer than others."""
    monkeypatch.setattr("tests.support.gateway.PATIENCE_S", 100.0)
