"""The work that is to be done for one turn. Pure data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReplyTask:
    """The work of one turn.

    Without `replies` the answer is recognised, accepted and shown only. A `line` is spoken in place
    of a reply and not remembered. With `closes` the conversation ends when the line was heard.
    """

    replies: bool = True
    line: str = ""
    closes: bool = False
