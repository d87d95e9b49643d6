"""The newest events in memory are those of the outbox, as far back as they say."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.events.event import OutboxEvent
from gateway.events.recent_events import RecentEvents


def event(position: int, session: str = "a") -> OutboxEvent:
    return OutboxEvent(f"evt_{position}", "degraded", session, 1, 0.0, {}, position)


@given(st.lists(st.integers(1, 4), max_size=12), st.integers(1, 5), st.integers(1, 4))
def test_all_that_was_added_is_there_or_said_to_be_gone(
    gaps: list[int], most: int, limit: int
) -> None:
    recent = RecentEvents(most=most)
    positions = [sum(gaps[: count + 1]) for count in range(len(gaps))]
    for before, position in pairwise([0, *positions]):
        assert before <= recent.read_to < position
        recent.add([event(position)], position)
    newest = positions[-1] if positions else 0
    assert recent.read_to == newest
    for after in range(newest + 2):
        wanted = [one for one in positions if one > after]
        assert recent.covers(after) == (len(wanted) <= most)
        if recent.covers(after):
            found, more = recent.after(after, limit)
            assert [one.position for one in found] == wanted[:limit]
            assert more == (len(wanted) > limit)


def test_deleted_events_leave_no_gap_that_needs_the_store() -> None:
    recent = RecentEvents([event(1), event(2, "b"), event(3), event(4)], read_to=4)
    recent.drop("b")
    assert [one.position for one in recent.after(0, 9)[0]] == [1, 3, 4]
    recent.keep(frozenset({3}), read_to=3)
    assert [one.position for one in recent.after(0, 9)[0]] == [3, 4]
    assert recent.covers(0)
