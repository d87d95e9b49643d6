"""The way in for a session's audio: at most a little ahead of real time, whatever the client does.

A client on a microphone sends in real time, and its frames pass straight through. One that sends
a recording as fast as it can, or a network that stalls and then delivers everything at once, runs
ahead: the surplus waits here and is fed on as time passes, while reading is paused so that TCP
holds the client back. Nothing is dropped, and messages that belong between the audio stay there.
Pure but for what it feeds: time is an argument.
"""

from collections import deque
from collections.abc import Callable

from gateway.protocols.native import Input

AHEAD_MS = 500.0
"""How far the fed audio may run ahead of real time; a detector's ring holds more than that."""

WAITING_BYTES = 1024 * 1024
"""How much may wait. A read from the socket brings at most a quarter of it before reading stops."""

MESSAGES_PER_S = 200.0
MESSAGES_BURST = 2_000.0


class Flooded(Exception):
    """The client sends more messages or more audio than any conversation needs."""


class Inlet:
    """One session's. `take` what came, `drain` at `due`; reading is to stop while `waiting`."""

    def __init__(
        self, feed: Callable[[bytes], None], obey: Callable[[Input], None], bytes_per_ms: float
    ) -> None:
        self._feed = feed
        self._obey = obey
        self._bytes_per_ms = bytes_per_ms
        self._fed_until = 0.0  # the time at which everything fed would have been spoken
        self._waiting: deque[bytes | Input] = deque()
        self._waiting_bytes = 0
        self._allowance = MESSAGES_BURST
        self._counted_at = 0.0

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    @property
    def due(self) -> float:
        """When `drain` can feed something on."""
        return self._fed_until - AHEAD_MS / 1000

    def count(self, now: float) -> None:
        """A message came, of whatever kind. Raises `Flooded` past the rate that is allowed."""
        refilled = self._allowance + (now - self._counted_at) * MESSAGES_PER_S
        self._allowance = min(MESSAGES_BURST, refilled) - 1
        self._counted_at = now
        if self._allowance < 0:
            raise Flooded(f"more than {MESSAGES_PER_S:.0f} messages a second")

    def take(self, data: bytes, now: float) -> None:
        """Audio came. Fed at once unless it runs ahead. Raises `Flooded` when too much waits."""
        if not self._waiting and now >= self.due:
            self._pass(data, now)
            return
        self._waiting_bytes += len(data)
        if self._waiting_bytes > WAITING_BYTES:
            raise Flooded("audio comes faster than it is spoken")
        self._waiting.append(data)

    def follow(self, message: Input) -> None:
        """A message came that means what it says only after the audio before it."""
        if self._waiting:
            self._waiting.append(message)
        else:
            self._obey(message)

    def drain(self, now: float) -> None:
        """Feed what real time has caught up with."""
        while self._waiting and now >= self.due:
            item = self._waiting.popleft()
            if isinstance(item, bytes):
                self._waiting_bytes -= len(item)
                self._pass(item, now)
            else:
                self._obey(item)

    def flush(self) -> None:
        """The client has gone: feed all that waits, whatever the time."""
        while self._waiting:
            item = self._waiting.popleft()
            if isinstance(item, bytes):
                self._feed(item)

    def _pass(self, data: bytes, now: float) -> None:
        self._fed_until = max(self._fed_until, now) + len(data) / self._bytes_per_ms / 1000
        self._feed(data)
