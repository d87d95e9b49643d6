"""Decides from the server's messages whose turn it is. Pure: time is an argument."""

from collections.abc import Mapping
from typing import Any

SETTLE_S = 0.5
"""After the caller's last word, the server may still detect its speech for this time."""

BREATH_S = 0.3
"""The pause that a person makes before an answer."""

OPENING = 0


class Dialogue:
    """The dialogue of one call. The interviewer speaks first: the first `end` begins the wait for
    its opening.

    A paused reply is not over: it goes on, or it ends as interrupted.
    """

    def __init__(self) -> None:
        self._before = OPENING - 1
        self._newest = OPENING
        self._done = OPENING - 1
        self._done_at = 0.0
        self._interrupted = False
        self._silent_since: float | None = None
        self._waiting_since = 0.0
        self._replying = False
        self._heard_since: float | None = None
        self.answers = 0
        """How often the caller got a complete answer."""
        self.interruptions = 0
        """How many replies the caller ended."""
        self.resumptions = 0
        """How often a reply was paused and went on."""

    def begin(self) -> None:
        """Note that the caller begins to speak."""
        self._before = self._newest
        self._silent_since = None

    def end(self, now: float) -> None:
        """Note that the caller has finished."""
        self._silent_since = self._waiting_since = now

    def note(self, message: Mapping[str, Any], now: float) -> None:
        """Take a message of the server."""
        kind = message["type"]
        if kind in ("speech.started", "transcript", "reply.started"):
            self._newest = max(self._newest, message["turn"])
        match kind:
            case "reply.started":
                self._replying, self._heard_since = True, None
                self._waiting_since = now
            case "reply.paused":
                self._replying, self._heard_since = False, None
                self._waiting_since = now
            case "reply.resumed":
                self._replying = True
                self._waiting_since = now
                self.resumptions += 1
            case "reply.done":
                self._replying, self._heard_since = False, None
                self._done_at = now
                self._done = max(self._done, message["turn"])
                self._interrupted = message["interrupted"]
                if self._interrupted:
                    self.interruptions += 1
                elif self._done > OPENING:
                    self.answers += 1

    def hear(self, now: float) -> None:
        """Note that reply audio has arrived."""
        self._waiting_since = now
        if self._replying and self._heard_since is None:
            self._heard_since = now

    def heard_s(self, now: float) -> float:
        """How long the interviewer has been speaking without a pause; 0 if it is silent."""
        return 0.0 if self._heard_since is None else now - self._heard_since

    def answered(self, now: float) -> bool:
        """Whether the interviewer has answered the caller completely."""
        return (
            self._silent_since is not None
            and now >= self._silent_since + SETTLE_S
            and now >= self._done_at + BREATH_S
            and self._done > self._before
            and self._done >= self._newest
            and not self._interrupted
        )

    def overdue(self, now: float, timeout_s: float) -> bool:
        """Whether the time since the caller's words or the last audio is too long."""
        return self._silent_since is not None and now > self._waiting_since + timeout_s
