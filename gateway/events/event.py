"""One event, and its entry in the store. Pure.

An event is written in the same commit as what it tells of: either both are stored or neither. Its
entry is never written again, so that its version is its position: the order of commits. It is
erased with its session, and `KEPT_S` after it happened.

It tells what happened and where, and nothing that anybody said.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from gateway.store.protocol import Entry, Page, Put

EventType = Literal[
    "session.created",
    "answer.accepted",
    "interview.completed",
    "report.ready",
    "breaker.opened",
    "degraded",
]
EVENT_TYPES: Final[tuple[EventType, ...]] = get_args(EventType)

EVENT_KIND: Final = "event"
"""The kind by which the store lists events."""

KEPT_S: Final = 48 * 3600.0
"""Twice as long as the delivery of an event is tried."""


@dataclass(frozen=True, slots=True)
class EventDraft:
    """An event that is not stored yet; `data` is JSON."""

    type: EventType
    data: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """One event that is stored, or about to be.

    `number` counts the events of its session from 1; both are None for an event of the gateway.
    `at` is seconds since the epoch, `position` its place among all events, 0 before it is stored.
    `owner` is who made its session, None where nobody did, or an earlier version stored it.
    """

    id: str
    type: str
    session_id: str | None
    number: int | None
    at: float
    data: Mapping[str, Any]
    position: int = 0
    owner: str | None = None

    @classmethod
    def drafted(
        cls,
        draft: EventDraft,
        id: str,
        at: float,
        session_id: str | None,
        number: int | None,
        owner: str | None = None,
    ) -> "OutboxEvent":
        """The event of a draft."""
        return cls(id, draft.type, session_id, number, at, draft.data, owner=owner)

    @classmethod
    def parse(cls, value: bytes, position: int = 0) -> "OutboxEvent":
        """An event from what is stored of it. Raises `ValueError` and `KeyError`."""
        said = json.loads(value)
        return cls(
            said["id"],
            said["type"],
            said["session"],
            said["number"],
            said["at"],
            said["data"],
            position,
            said.get("owner"),
        )

    @property
    def begins_session(self) -> bool:
        """Whether it is the first event of a session that was made."""
        return self.type == "session.created"

    @property
    def key(self) -> str:
        """The name of its entry."""
        return event_key(self.id)

    @property
    def value(self) -> bytes:
        """The event as the store keeps it."""
        said: dict[str, Any] = {
            "id": self.id,
            "type": self.type,
            "session": self.session_id,
            "number": self.number,
            "at": self.at,
            "data": dict(self.data),
        }
        if self.owner is not None:
            said["owner"] = self.owner
        return json.dumps(said).encode()

    def put(self) -> Put:
        """The write that stores it; it is erased with its session."""
        return Put(self.key, self.value, None, KEPT_S, self.session_id or "")

    def shown(self) -> dict[str, Any]:
        """It as clients and receivers get it, without its owner."""
        at = datetime.fromtimestamp(self.at, UTC)
        return {
            "id": self.id,
            "type": self.type,
            "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "session_id": self.session_id,
            "number": self.number,
            "data": dict(self.data),
        }


def event_key(id: str) -> str:
    """The name of an event's entry in the store."""
    return f"{EVENT_KIND}:{id}"


def events_of(page: Page) -> list[OutboxEvent]:
    """The events of a page; what is none is left out."""
    found = []
    for _, entry in page.entries:
        if (event := _event_of(entry)) is not None:
            found.append(event)
    return found


def _event_of(entry: Entry) -> OutboxEvent | None:
    try:
        return OutboxEvent.parse(entry.value, entry.version)
    except (ValueError, KeyError, TypeError):  # a newer version wrote it
        return None
