"""The events that a client may see. Pure."""

from dataclasses import dataclass

from gateway.events.event import OutboxEvent


@dataclass(frozen=True, slots=True)
class EventViewer:
    """A client that asks for events, and what it may see.

    It sees the events of sessions that its `identity` has made, with `everything` those of all
    sessions, and as an `operator` also those of the gateway itself. `session_id`: of these only
    those of one session, and where it is `bound`, only until that session is deleted. `mine`: only
    those of sessions that it has made.
    """

    identity: str
    everything: bool = False
    operator: bool = False
    session_id: str | None = None
    mine: bool = False
    bound: bool = False

    def sees(self, event: OutboxEvent) -> bool:
        """Whether it may see an event."""
        if self.session_id is not None and event.session_id != self.session_id:
            return False
        if event.session_id is None:
            return self.operator and not self.mine
        return event.owner == self.identity or (self.everything and not self.mine)
