"""`LeftOut`: a message that was longer than its client takes. Pure."""

import re
from dataclasses import dataclass

MESSAGE_LEFT_OUT = "message_left_out"
"""The code of the error for a message of the server's that could not be sent; the session goes
on."""

HEAD = 128
"""How much of a message tells it from others: its type, and its id or number."""

_TYPE = re.compile(r'"type":"([^"\\]{1,64})"')


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A message of the dialect's was not sent: it has more bytes than the client said it takes.

    `head` is its beginning, of `HEAD` characters.
    """

    head: str
    length_bytes: int

    @property
    def text(self) -> str:
        """For the client, in words."""
        found = _TYPE.search(self.head)
        named = "A message" if found is None else f"A message of the type {found[1]}"
        return (
            f"{named} was left out: it has {self.length_bytes} bytes, and this connection takes"
            " fewer at once (a=max-message-size of the offer)."
        )
