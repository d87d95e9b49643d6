"""The default conversation: its items in their order. Pure.

It is bounded. When it is full, items that the client makes are refused, and items that the session
adds push out the oldest ones, as `truncation: auto` has it.
"""

from itertools import takewhile

from gateway.protocols.openai_realtime.errors import (
    CONVERSATION_FULL,
    ITEM_NOT_FOUND,
    UNKNOWN_CALL,
    Event,
    invalid,
)
from gateway.protocols.openai_realtime.items import RealtimeItem, messages
from pipeline.stage import Message

MOST_ITEMS = 4_096
MOST_CLIENT_BYTES = 4 * 1024 * 1024
"""The most that a client may put into a conversation by `conversation.item.create`."""

ROOT = "root"


class Conversation:
    """The conversation of one session."""

    def __init__(self, conversation_id: str) -> None:
        self.id = conversation_id
        self._order: list[RealtimeItem] = []
        self._known: dict[str, RealtimeItem] = {}
        self._calls: set[str] = set()
        self._sizes: dict[str, int] = {}  # of the client's items
        self._client_bytes = 0

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._known

    def find(self, item_id: str, param: str = "item_id") -> RealtimeItem:
        """Raises `ProtocolError` for an unknown id."""
        item = self._known.get(item_id)
        if item is None:
            raise invalid(f"There is no item with the id {item_id[:64]!r}.", param, ITEM_NOT_FOUND)
        return item

    def append(self, item: RealtimeItem) -> str | None:
        """Add an item of the session's at the end; returns the id of the item before it."""
        if len(self._order) >= MOST_ITEMS:
            self._forget(self._order[0])
        previous = self._order[-1].id if self._order else None
        self._know(item, len(self._order))
        return previous

    def insert(self, item: RealtimeItem, after: str | None) -> str | None:
        """Add an item of the client's after another, at the front (`ROOT`) or at the end (None).

        Returns the id of the item before it. Raises `ProtocolError` for an unknown `after`, for an
        id that is taken, for the result of an unknown call and if there is no room.
        """
        if item.id in self._known:
            raise invalid(f"The id {item.id[:64]!r} is taken by another item.", "item.id")
        if item.type == "function_call_output" and item.call_id not in self._calls:
            raise invalid(
                f"No function was called with the id {item.call_id[:64]!r}.",
                "item.call_id",
                UNKNOWN_CALL,
            )
        full = len(self._order) >= MOST_ITEMS
        if full or self._client_bytes + item.size > MOST_CLIENT_BYTES:
            text = f"A conversation has at most {MOST_ITEMS} items and {MOST_CLIENT_BYTES} bytes."
            raise invalid(text + " Delete some.", None, CONVERSATION_FULL)
        index = self._index(after)
        self._know(item, index)
        self._sizes[item.id] = item.size
        self._client_bytes += item.size
        return self._order[index - 1].id if index else None

    def _know(self, item: RealtimeItem, index: int) -> None:
        self._order.insert(index, item)
        self._known[item.id] = item
        if item.type == "function_call":
            self._calls.add(item.call_id)

    def _index(self, after: str | None) -> int:
        if after is None:
            return len(self._order)
        if after == ROOT:
            return 0
        item = self.find(after, "previous_item_id")
        if item is self._order[-1]:
            return len(self._order)
        return self._order.index(item) + 1

    def delete(self, item_id: str) -> RealtimeItem:
        """Raises `ProtocolError` for an unknown id."""
        item = self.find(item_id)
        self._forget(item)
        return item

    def _forget(self, item: RealtimeItem) -> None:
        del self._known[item.id]
        if self._order[0] is item:
            self._order.pop(0)
        else:
            self._order.remove(item)
        self._client_bytes -= self._sizes.pop(item.id, 0)
        if item.type == "function_call":
            self._calls.discard(item.call_id)

    def messages(self, turn: int) -> tuple[Message, ...]:
        """The conversation before a turn, as it was heard, for a chat server."""
        return messages(takewhile(lambda item: item.turn is None or item.turn < turn, self._order))


def added(item: RealtimeItem, previous: str | None) -> Event:
    """`conversation.item.added`."""
    return {
        "type": "conversation.item.added",
        "previous_item_id": previous,
        "item": item.payload(),
    }


def done(item: RealtimeItem, previous: str | None) -> Event:
    """`conversation.item.done`."""
    return {
        "type": "conversation.item.done",
        "previous_item_id": previous,
        "item": item.payload(),
    }
