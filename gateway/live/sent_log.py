"""The last messages that were sent to a client, so that they can be sent again. Pure."""

from collections import deque

from gateway.protocols.dialect import WireMessage

MOST_MESSAGES = 1_000
MOST_BYTES = 128 * 1024
"""Some minutes of a conversation. Assumed: a client that is away for longer is not waited for."""


class SentLog:
    """One session's log. Its `seq` is the number of messages since the session began."""

    def __init__(self, messages: int = MOST_MESSAGES, size: int = MOST_BYTES) -> None:
        self.seq = 0
        self._most = messages
        self._size = size
        self._kept: deque[tuple[int, WireMessage]] = deque()
        self._bytes = 0
        self._forgotten = 0  # the newest message that there was no more space for

    def note(self, message: WireMessage, *, keep: bool = True) -> None:
        """Add a message that was sent. Without `keep` it is only counted: it would be stale."""
        self.seq += 1
        if not keep:
            return
        self._kept.append((self.seq, message))
        self._bytes += len(message)
        while len(self._kept) > self._most or self._bytes > self._size:
            self._forgotten, old = self._kept.popleft()
            self._bytes -= len(old)

    def after(self, seq: int) -> tuple[list[WireMessage], bool]:
        """The messages after the one with that number, and whether none of them is missing."""
        found = [message for number, message in self._kept if number > seq]
        return found, seq >= self._forgotten
