"""What the session's tests hold a conversation with."""

import pytest

from tests.support.session import Conversation


@pytest.fixture
def conversation() -> Conversation:
    return Conversation()
