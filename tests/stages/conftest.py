"""Providers called through the guard."""

import pytest

from tests.support.bench import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()
