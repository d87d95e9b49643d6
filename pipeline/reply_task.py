"""The work of one turn. Pure data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReplyTask:
    """The work of one turn.

    Without `replies` the answer is only recognised, accepted and shown. A `line` is spoken instead
    of a reply and not remembered. With `closes` the conversation ends once the line was heard.
    """

    replies: bool = True
    line: str = ""
    closes: bool = False
