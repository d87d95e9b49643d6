"""Who sees which events."""

import pytest

from gateway.events.event import EventDraft, OutboxEvent
from gateway.events.viewers import EventViewer


def event(session_id: str | None, owner: str | None) -> OutboxEvent:
    draft = EventDraft("session.created")
    return OutboxEvent.drafted(draft, "evt_1", 0.0, session_id, 1, owner)


EVENTS = {
    "anna's a": event("a", "anna"),
    "anna's b": event("b", "anna"),
    "bert's": event("c", "bert"),
    "nobody's": event("d", None),
    "gateway's": event(None, None),
}


@pytest.mark.parametrize(
    ("viewer", "seen"),
    [
        (EventViewer("anna"), ["anna's a", "anna's b"]),
        (EventViewer("anna", session_id="a"), ["anna's a"]),
        (EventViewer("anna", session_id="c"), []),
        (EventViewer("carl"), []),
        (EventViewer("carl", everything=True), ["anna's a", "anna's b", "bert's", "nobody's"]),
        (EventViewer("bert", everything=True, mine=True), ["bert's"]),
        (EventViewer("carl", everything=True, mine=True), []),
        (EventViewer("passes-of:b", everything=True, session_id="b"), ["anna's b"]),
        (EventViewer("passes-of:d", everything=True, session_id="d"), ["nobody's"]),
        (EventViewer("root", everything=True, operator=True), [*EVENTS]),
        (EventViewer("root", everything=True, operator=True, session_id="d"), ["nobody's"]),
        (EventViewer("bert", everything=True, operator=True, mine=True), ["bert's"]),
    ],
    ids=[
        "own",
        "own, one session",
        "own, another's session",
        "of nobody",
        "everything",
        "everything, mine",
        "everything, none of mine",
        "pass",
        "pass of an older session",
        "operator",
        "operator, one session",
        "operator, mine",
    ],
)
def test_each_viewer_sees_what_it_may(viewer: EventViewer, seen: list[str]) -> None:
    assert [name for name, one in EVENTS.items() if viewer.sees(one)] == seen
