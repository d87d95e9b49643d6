"""What functions of this client's returned, as long as the gateway may not have it. Pure."""

from collections.abc import Mapping
from typing import Any

from parley_client.events import Event, Ready, ReplyDone, ReplyStarted, ToolCall

MOST_CALLS = 32


class Results:
    """A result may be lost with the line, so it is sent again when the line is back, while its
    reply waits for it: the gateway ignores one that it has."""

    def __init__(self) -> None:
        self._turns: dict[str, int] = {}  # of the calls, by their ids
        self._given: dict[str, Mapping[str, Any]] = {}

    def take(self, event: Event) -> None:
        """Which calls there are, and whose reply is over."""
        match event:
            case ToolCall(turn=turn, call_id=call_id):
                self._turns[call_id] = turn
                if len(self._turns) > MOST_CALLS:
                    self._forget(next(iter(self._turns)))
            case ReplyDone(turn=over):
                self._forget(*(each for each, turn in self._turns.items() if turn == over))
            case ReplyStarted(turn=begun):
                self._forget(*(each for each, turn in self._turns.items() if turn < begun))
            case Ready(resumed=resumed) if not (resumed or {}).get("kept"):
                self._forget(*self._turns)

    def _forget(self, *call_ids: str) -> None:
        for call_id in call_ids:
            del self._turns[call_id]
            self._given.pop(call_id, None)

    def add(self, call_id: str, result: Any) -> Mapping[str, Any]:
        """The message with a result."""
        message = {"type": "tool.result", "call_id": call_id, "result": result}
        if call_id in self._turns:
            self._given[call_id] = message
        return message

    @property
    def unsure(self) -> tuple[Mapping[str, Any], ...]:
        """What may have been lost with the line."""
        return tuple(self._given.values())
