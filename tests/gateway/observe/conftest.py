import pytest

from tests.support.calls import LocalCalls


@pytest.fixture
def local() -> LocalCalls:
    """Live calls in this process, without a server."""
    return LocalCalls()
