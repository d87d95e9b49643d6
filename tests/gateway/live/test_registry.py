"""Which sessions are live in a process, and whether another may begin."""

import pytest

from gateway.interviews.sessions import SessionTaken
from gateway.live.registry import LiveSessions
from pipeline.testing import run_virtual


def test_a_process_says_why_no_further_session_begins() -> None:
    live = LiveSessions(1)
    assert live.refusal() is None
    with live.connected():
        assert live.refusal() == "all 1 places are taken"
    assert live.refusal() is None
    live.draining = True
    assert live.refusal() == "the server is shutting down"


def test_a_session_is_held_once_and_dismissed_by_its_id() -> None:
    dismissed: list[str] = []

    async def main() -> None:
        live = LiveSessions(2)
        live.dismiss("a")
        async with live.hold("a", lambda: dismissed.append("a")):
            with pytest.raises(SessionTaken):
                async with live.hold("a", lambda: dismissed.append("again")):
                    pass
            live.leaving("unknown")
            live.dismiss("b")
            live.dismiss("a")
        async with live.hold("a", lambda: dismissed.append("later")):
            pass

    run_virtual(main())
    assert dismissed == ["a"]
