"""Makes events of drafts: with an id that no other has, and the time."""

import secrets
import time
from collections.abc import Sequence

from gateway.events.event import EventDraft, OutboxEvent
from gateway.store import Put

ID_BYTES = 12


def session_events(
    session_id: str, told: Sequence[EventDraft], before: int = 0, owner: str | None = None
) -> tuple[Put, ...]:
    """The writes for events of a session that has had `before` of them, and that `owner` made."""
    return tuple(
        OutboxEvent.drafted(draft, _id(), time.time(), session_id, number, owner).put()
        for number, draft in enumerate(told, before + 1)
    )


def gateway_event(draft: EventDraft, at: float) -> Put:
    """The write for an event of the gateway, which happened `at` (seconds since the epoch)."""
    return OutboxEvent.drafted(draft, _id(), at, None, None).put()


def _id() -> str:
    return f"evt_{secrets.token_hex(ID_BYTES)}"
