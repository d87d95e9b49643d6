"""The turn for which a task works, and the headers for its requests, as context variables.

Sessions share timers, so a callback may run in another session's context. `TurnDriver` and
`Replies` therefore begin a session's work in a copy of the context in which the session was made.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar

current_turn: ContextVar[int | None] = ContextVar("current_turn", default=None)
"""The turn for which the current task works; None outside of a turn."""


def _none(slot: str) -> Mapping[str, str]:
    return {}


request_headers: ContextVar[Callable[[str], Mapping[str, str]]] = ContextVar(
    "request_headers", default=_none
)
"""Makes the headers with which a request to a slot's provider names its cause, such as a trace. A
plain call that must not raise."""
