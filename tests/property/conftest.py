"""The conversation of the session's tests, for stories that nobody has written by hand."""

import pytest

from tests.support.session import Conversation


@pytest.fixture(scope="module")
def conversations() -> type[Conversation]:
    """Makes a conversation."""
    return Conversation
