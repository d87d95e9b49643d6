"""The last messages that were sent to a client, so that they can be sent again. Pure."""

import marshal
import zlib
from collections import deque
from dataclasses import dataclass

from gateway.protocols.dialect import WireMessage

MOST_MESSAGES = 1_000
MOST_BYTES = 128 * 1024
"""Some minutes of a conversation. Assumed: a client that is away for longer is not waited for."""

BLOCK_BYTES = 4 * 1024
"""Messages are packed when they have so many bytes together. Their texts repeat the same names, so
that they take a sixth of the space; packing takes 0.1 ms, larger blocks save little more."""

MOST_PACKED_BYTES = 16 * 1024
"""More is kept as it is: packing a message that a client has made long would take 1.5 ms."""

WINDOW_BITS, MEMORY_LEVEL = 13, 5
"""For zlib: it looks 8 kB back, and takes 48 kB for its work instead of 256."""

Numbered = tuple[int, WireMessage]


@dataclass(frozen=True, slots=True)
class _Block:
    """Messages that are packed, if they are not too long: the number of the newest, how many, and
    how long they are together."""

    newest: int
    messages: int
    size: int
    content: bytes | list[Numbered]


class SentLog:
    """One session's log. Its `seq` is the number of messages since the session began.

    It keeps at most `messages` with at most `size` bytes or characters. Where it is full, it
    forgets the oldest, together with those of the same block.
    """

    def __init__(self, messages: int = MOST_MESSAGES, size: int = MOST_BYTES) -> None:
        self.seq = 0
        self._most = messages
        self._size = size
        self._blocks: deque[_Block] = deque()
        self._recent: deque[Numbered] = deque()  # newer than all blocks
        self._recent_size = 0
        self._kept = 0  # messages, those in blocks included
        self._kept_size = 0
        self._forgotten = 0  # the newest message that there was no more space for

    def note(self, message: WireMessage, *, keep: bool = True) -> None:
        """Add a message that was sent. Without `keep` it is only counted: it would be stale."""
        self.seq += 1
        if not keep:
            return
        self._recent.append((self.seq, message))
        self._recent_size += len(message)
        self._kept += 1
        self._kept_size += len(message)
        while self._kept > self._most or self._kept_size > self._size:
            self._forget_oldest()
        if self._recent_size >= BLOCK_BYTES:
            self._close_block()

    def after(self, seq: int) -> tuple[list[WireMessage], bool]:
        """The messages after the one with that number, and whether none of them is missing."""
        found = [
            message
            for block in self._blocks
            if block.newest > seq
            for number, message in _unpacked(block)
            if number > seq
        ]
        found += [message for number, message in self._recent if number > seq]
        return found, seq >= self._forgotten

    def _forget_oldest(self) -> None:
        if self._blocks:
            block = self._blocks.popleft()
            self._forgotten = block.newest
            self._kept -= block.messages
            self._kept_size -= block.size
            return
        self._forgotten, old = self._recent.popleft()
        self._kept -= 1
        self._kept_size -= len(old)
        self._recent_size -= len(old)

    def _close_block(self) -> None:
        recent = list(self._recent)
        plain = marshal.dumps(recent)
        content = recent if len(plain) > MOST_PACKED_BYTES else _packed(plain)
        self._blocks.append(_Block(self.seq, len(recent), self._recent_size, content))
        self._recent.clear()
        self._recent_size = 0


def _packed(plain: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, WINDOW_BITS, MEMORY_LEVEL)
    return packer.compress(plain) + packer.flush()


def _unpacked(block: _Block) -> list[Numbered]:
    if isinstance(block.content, list):
        return block.content
    numbered: list[Numbered] = marshal.loads(zlib.decompress(block.content))
    return numbered
