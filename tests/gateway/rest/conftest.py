from pathlib import Path

import pytest

from tests.support.rest import Rest


@pytest.fixture
def rest(tmp_path: Path) -> Rest:
    return Rest(tmp_path)
