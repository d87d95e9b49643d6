"""The conversation of the session's tests, for stories that nobody has written by hand."""

import importlib.util
import sys
from pathlib import Path

import pytest

_SOURCE = Path(__file__).parent.parent / "pipeline/conftest.py"
_spec = importlib.util.spec_from_file_location("parley_session_conversation", _SOURCE)
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules.setdefault(_spec.name, _module)
_spec.loader.exec_module(_module)


@pytest.fixture(scope="module")
def conversations() -> type:
    """Makes a conversation."""
    return _module.Conversation
