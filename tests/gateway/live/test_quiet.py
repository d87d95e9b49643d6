"""When a process has had nobody to talk to for a while."""

from gateway.live.quiet import Quiet
from gateway.live.registry import LiveSessions


def test_a_process_is_quiet_some_seconds_after_its_last_session() -> None:
    now, live = [0.0], LiveSessions(5)
    quiet = Quiet(live, lambda: now[0], quiet_s=5.0)

    def at(time_s: float) -> bool:
        now[0] = time_s
        return quiet()

    assert [at(time_s) for time_s in (0.0, 4.9, 5.0)] == [False, False, True]
    with live.connected():
        assert not at(6.0)
    assert [at(time_s) for time_s in (7.0, 11.9, 12.0)] == [False, False, True]


def test_a_session_that_nobody_looked_at_counts_from_when_it_is_seen_to_have_ended() -> None:
    now, live = [0.0], LiveSessions(5)
    quiet = Quiet(live, lambda: now[0], quiet_s=5.0)
    now[0] = 8.0
    with live.connected():
        pass
    assert not quiet()
    now[0] = 13.0
    assert quiet()
