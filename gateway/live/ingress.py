"""Paces a session's input audio to at most a little ahead of real time. Pure.

The audio of a microphone comes in real time and passes at once. A recording that is sent at full
speed, or a network that stalls and then delivers everything at once, is ahead of real time: the
surplus waits here and passes as time does, while reading pauses so that TCP slows the client down.
After a stall audio passes faster, since the delay would stay otherwise. Nothing is dropped, and
commands keep their place between the audio. Time is an argument.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sized
from math import inf
from typing import Generic, TypeVar

from gateway.protocols.dialect import Command, Leave, PressKey, Respond, TypedText

P = TypeVar("P", bound=Sized)

AHEAD_MS = 500.0
AHEAD_S = AHEAD_MS / 1000
"""How far the fed audio may be ahead of real time; a detector's ring buffer holds more."""

CATCH_UP = 4.0
"""Overdue audio is fed this many times faster than real time."""
SOONER = 1 - 1 / CATCH_UP

MOST_OVERDUE_S = 10.0
"""A longer gap is no stall: the client was silent or muted."""

WAITING_BYTES = 4 * 1024 * 1024
"""How much audio and text may wait, in bytes, or in samples where audio comes as samples."""

WAITING_MS = 120_000.0
MOST_WAITING = 6_000
"""How many small packets, and messages between them, may wait."""

ASKS = (Respond, TypedText, PressKey)
"""Commands that ask for a reply."""

RESOLUTION_S = 0.001
"""Audio due within this is fed now: timers fire a little early by the loop's clock, which ticks in
milliseconds, and waiting for the rest would only spin."""

SHORTEST_MS = 2.5
"""Messages with at least this much audio are not counted: real time bounds their number."""

MESSAGES_PER_S = 200.0
MESSAGES_BURST = 2_000.0


class Flooded(Exception):
    """The client sends more messages or audio than a conversation needs."""


class MessageRate:
    """How many messages a client may send: `MESSAGES_PER_S` after a burst of `MESSAGES_BURST`."""

    __slots__ = ("_allowance", "_counted_at")

    def __init__(self) -> None:
        self._allowance = MESSAGES_BURST
        self._counted_at = 0.0

    def count(self, now: float) -> None:
        """Count a message. Raises `Flooded` for one too many."""
        refilled = self._allowance + (now - self._counted_at) * MESSAGES_PER_S
        self._allowance = min(MESSAGES_BURST, refilled) - 1
        self._counted_at = now
        if self._allowance < 0:
            raise Flooded(f"more than {MESSAGES_PER_S:.0f} messages a second")


class IngressPacer(Generic[P]):
    """One session's pacer. Call `take` for audio, `follow` for commands, and `drain` at `due`.

    Stop reading while `waiting`. `feed` gets the audio and `obey` the commands between it, in the
    order in which they came.
    """

    def __init__(self, feed: Callable[[P], None], obey: Callable[[Command], None]) -> None:
        self._feed = feed
        self._obey = obey
        self._fed_until: float | None = None  # when the fed audio ends in real time
        self._overdue_s = 0.0  # how long there was no audio to feed
        self._waiting: deque[tuple[P, float] | Command] = deque()
        self._draining = False  # what is taken does not wait behind the rest
        self._waiting_bytes = 0
        self._waiting_ms = 0.0
        self._waiting_requests = 0
        self._rate = MessageRate()

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    @property
    def reply_waits(self) -> bool:
        """A command that asks for a reply waits behind audio."""
        return self._waiting_requests > 0

    @property
    def due(self) -> float:
        """When `drain` can feed the next item (loop time)."""
        return -inf if self._fed_until is None else self._fed_until - AHEAD_S

    def count(self, now: float) -> None:
        """Count a message of text, or of less than `SHORTEST_MS` of audio.

        Raises `Flooded` beyond `MESSAGES_PER_S` after a burst of `MESSAGES_BURST`.
        """
        self._rate.count(now)

    def take(self, data: P, duration_ms: float, now: float) -> bool:
        """Feed audio at once, unless it is ahead; returns whether it waits.

        Raises `Flooded` when too much waits.
        """
        until, overdue_s = self._fed_until, self._overdue_s
        if until is None:
            until = now
        elif (self._waiting and not self._draining) or now < until - AHEAD_S:
            self._wait((data, duration_ms), len(data), duration_ms)
            return True
        elif now > until:
            overdue_s = min(overdue_s + now - until, MOST_OVERDUE_S)
            until = now
        duration_s = duration_ms / 1000
        sooner_s = min(overdue_s, duration_s * SOONER)
        self._overdue_s = overdue_s - sooner_s
        self._fed_until = until + duration_s - sooner_s
        self._feed(data)
        return False

    def follow(self, command: Command) -> None:
        """Perform a command after the audio before it.

        Raises `Flooded` when too much waits.
        """
        if self._waiting:
            self._wait(command, _length(command), 0.0)
        else:
            self._obey(command)

    def drain(self, now: float) -> None:
        """Feed the audio and perform the commands that are due at `now`."""
        while self._waiting and now + RESOLUTION_S >= self.due:
            item = self._waiting.popleft()
            if isinstance(item, tuple):
                data, duration_ms = item
                self._waiting_bytes -= len(data)
                self._waiting_ms -= duration_ms
                self._draining = True
                try:
                    self.take(data, duration_ms, max(now, self.due))
                finally:
                    self._draining = False
            else:
                self._waiting_bytes -= _length(item)
                self._waiting_requests -= isinstance(item, ASKS)
                self._obey(item)

    def typed(self, words_of: Callable[[str], str]) -> str:
        """The typed text that waits, each after the one before it; none behind a goodbye.

        `words_of` gives the answer that a key of a telephone stands for; "" for none.
        """
        texts: list[str] = []
        for item in self._waiting:
            match item:
                case Leave():
                    break
                case TypedText(text):
                    texts.append(text)
                case PressKey(key):
                    texts.append(words_of(key))
        return " ".join(filter(None, texts))

    def rest(self) -> Iterator[P | Command]:
        """Take what still waits, up to a goodbye, when the client has disconnected."""
        while self._waiting:
            item = self._waiting.popleft()
            if isinstance(item, Leave):
                self.clear()
                return
            yield item[0] if isinstance(item, tuple) else item

    def clear(self) -> None:
        """Drop what waits: the client has said goodbye before it."""
        self._waiting.clear()

    def _wait(self, item: tuple[P, float] | Command, length: int, duration_ms: float) -> None:
        self._waiting_bytes += length
        self._waiting_ms += duration_ms
        if (
            self._waiting_bytes > WAITING_BYTES
            or self._waiting_ms > WAITING_MS
            or len(self._waiting) >= MOST_WAITING
        ):
            raise Flooded("audio comes faster than it is spoken")
        self._waiting.append(item)
        self._waiting_requests += isinstance(item, ASKS)


def _length(command: Command) -> int:
    """A command's part of `WAITING_BYTES`: the length of a text, else 0."""
    return len(command.text) if isinstance(command, TypedText) else 0
