"""One session of the load generator: a socket without a task, moved by one clock for all."""

import asyncio
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from gateway.commands.bench.dialect import ServerDialect, Wishes
from gateway.commands.bench.figures import deciding_frame, late_ms
from gateway.commands.bench.observed import Observed
from gateway.commands.bench.scenario import Role
from gateway.commands.bench.wire import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Frames,
    close,
    close_code,
    masked,
    upgrade,
)

ALIGNMENT = 8
"""Speech begins only at every eighth frame: 160 ms are five of the detector's chunks, so that a
clip is always divided into chunks in the same way, and decided at the same sample."""

REPLY_TIMEOUT_S = 3.0
"""Seconds after the silence that ends a turn: a turn without a reply by then is missed."""

BARGE_IN_AFTER_S = 0.3
"""Seconds of a reply that are listened to before it is interrupted."""

PAUSE_S = 0.2
"""Seconds between the end of a reply and the next answer."""

QUIET_S = 0.3
"""A reply has ended when it has been played and no audio of it came for this time."""

GAP_FRAMES = 10
"""Frames between two clips of a person who goes on speaking."""

BROKEN = 1006
"""The close code of a connection that broke off (RFC 6455, 7.1.5)."""

REFUSED = 0
"""Used instead of a close code: there was no WebSocket. The fault is counted already."""


@dataclass(frozen=True, slots=True)
class Sounds:
    """The frames that all sessions send, ready to send: those of each clip, and of a quiet room."""

    clips: Sequence[Sequence[bytes]]
    room: Sequence[bytes]


State = Literal["opening", "pause", "speaking", "waiting", "hearing"]


class Caller(asyncio.Protocol):
    """One connection. `tick` sends its next frame; the rest happens as bytes arrive.

    `on_change` is called when the opening is over, when a turn has got its reply or has missed it,
    and once, with `code` set, when the connection is over.
    """

    __slots__ = (
        "_at",
        "_barge_in_at",
        "_barge_in_last",
        "_began",
        "_clip",
        "_clips_said",
        "_clock",
        "_counted",
        "_decided_at",
        "_dialect",
        "_early",
        "_ended_at",
        "_frames",
        "_greeting",
        "_heard_ms",
        "_host",
        "_last_at",
        "_number",
        "_observed",
        "_on_change",
        "_path",
        "_pending",
        "_phase",
        "_reply_at",
        "_role",
        "_sent_at",
        "_since",
        "_speech",
        "_talks",
        "_transport",
        "_upgraded",
        "_voice",
        "_wishes",
        "code",
        "opened",
        "ready",
    )

    def __init__(
        self,
        number: int,
        path: str,
        host: str,
        role: Role,
        dialect: ServerDialect,
        wishes: Wishes,
        voice: Sounds,
        observed: Observed,
        on_change: Callable[["Caller"], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._number, self._path, self._host, self._role = number, path, host, role
        self._dialect, self._wishes, self._voice = dialect, wishes, voice
        self._observed, self._on_change, self._clock = observed, on_change, clock
        self._transport: asyncio.Transport | None = None
        self._frames = Frames()
        self._pending = b""
        self._upgraded = False
        self._began = clock()
        self.ready = False
        self.opened = False
        """Whether the opening is over, or the server has none."""
        self.code: int | None = None
        self._phase: State = "opening"
        self._since = 0.0
        self._sent_at = array("d")
        self._speech: Sequence[bytes] | None = None
        self._at = 0
        self._clip = 0
        self._clips_said = 0
        self._counted = False  # the turn that was said last belongs to the measured stretch
        self._talks = False
        self._greeting = dialect.opens
        self._ended_at = 0.0
        self._early = False
        self._decided_at: float | None = None
        self._reply_at: float | None = None
        self._heard_ms = 0.0
        self._last_at = 0.0
        self._barge_in_at: float | None = None
        self._barge_in_last = 0.0

    @property
    def number(self) -> int:
        return self._number

    @property
    def awaits(self) -> bool:
        """Whether a turn of the measured stretch has neither got its reply nor missed it."""
        return self._counted and self._phase == "waiting" and self.code is None

    def talk(self) -> None:
        """Begin to speak, if that is the session's role."""
        self._talks = True

    def hang_up(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.write(close())
            self._transport.close()

    # --- the clock ---------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Send the frame that is due. `now` is the time of the monotonic clock."""
        if not self.ready or self._transport is None or self.code is not None:
            return
        if self._speech is None:
            self._consider(now)
        number = len(self._sent_at)
        self._sent_at.append(now)
        if self._speech is None:
            frame = self._voice.room[number % len(self._voice.room)]
        else:
            frame = self._speech[self._at]
            self._at += 1
            if self._at == len(self._speech):
                self._speech = None
                self._said(now)
        self._transport.write(frame)

    def _consider(self, now: float) -> None:
        """Change from one state to the next, and begin to speak if that is due."""
        state = self._phase
        if state == "opening":
            if self._greeting and not self._over(now):
                return
            self.opened = True
            self._rest(now)
            self._on_change(self)
            return
        if not self._talks or self._role.does == "silent" or len(self._sent_at) % ALIGNMENT:
            return
        if self._role.does == "talking":
            if now - self._ended_at >= GAP_FRAMES * 0.02:
                self._say(now)
        elif state == "pause":
            if now >= self._since:
                self._say(now)
        elif state == "waiting":
            if now >= self._since:
                if self._counted:
                    self._observed.missed += 1
                self._barge_in_at = None
                self._rest(now)
                self._on_change(self)
        elif state == "hearing" and self._reply_at is not None:
            every = self._role.interrupts
            if every and (self._number + self._clips_said) % every == 0:
                if now >= self._reply_at + BARGE_IN_AFTER_S:
                    self._barge_in_at, self._barge_in_last = now, now
                    self._say(now)
            elif self._over(now):
                self._rest(now)

    def _over(self, now: float) -> bool:
        """Whether the reply has been played to its end."""
        if self._reply_at is None:
            return False
        played_at = self._reply_at + self._heard_ms / 1000
        return now >= max(played_at, self._last_at) + QUIET_S

    def _rest(self, now: float) -> None:
        self._phase = "pause"
        self._since = now + PAUSE_S

    def _say(self, now: float) -> None:
        self._clip = (self._number + self._clips_said) % len(self._voice.clips)
        self._clips_said += 1
        self._speech, self._at = self._voice.clips[self._clip], 0
        self._phase = "speaking"
        self._decided_at = None
        self._early = False

    def _said(self, now: float) -> None:
        self._ended_at = now
        if self._role.does == "answering":
            self._counted = self._observed.counting
            self._observed.spoken += self._counted
            self._phase = "waiting"
            self._since = now + self._wishes.silence_ms / 1000 + REPLY_TIMEOUT_S

    # --- the connection ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(upgrade(self._host, self._path))

    def connection_lost(self, error: Exception | None) -> None:
        if self.code is None:
            self.code = BROKEN
        self._transport = None
        self._on_change(self)

    def data_received(self, data: bytes) -> None:
        if self.code is not None:
            return  # after the close, or the page that tells why there is no session
        if not self._upgraded:
            self._pending += data
            head, found, data = self._pending.partition(b"\r\n\r\n")
            if not found:
                return
            self._upgraded = True
            if not self._accepted(head) or not data:
                return
        now = self._clock()
        for opcode, payload in self._frames.push(data):
            if opcode in (TEXT, BINARY):
                self._hear(opcode, payload, now)
            elif opcode == PING and self._transport is not None:
                self._transport.write(masked(PONG, payload))
            elif opcode == CLOSE:
                self.code = close_code(payload)
                if self._transport is not None:
                    self._transport.write(close())
                    self._transport.close()
                return

    def _accepted(self, head: bytes) -> bool:
        """Whether the server has let the session in; if so, send the first messages."""
        assert self._transport is not None
        if not head.startswith(b"HTTP/1.1 101"):
            self._observed.fault(f"refused: {head[:30].decode(errors='replace')}")
            self.code = REFUSED
            self._transport.close()
            return False
        for opcode, payload in self._dialect.hello(self._wishes):
            self._transport.write(masked(opcode, payload))
        return True

    def _hear(self, opcode: int, payload: bytes, now: float) -> None:
        heard = self._dialect.hear(opcode, payload)
        if heard is None:
            return
        kind, number, text = heard
        if kind == "audio":
            self._audio(number, now)
        elif kind == "decided":
            self._decided(number, now)
        elif kind == "ready":
            if not self.ready:
                self.ready = True
                self._observed.connect.append((now - self._began) * 1000)
        else:
            self._observed.fault(text)

    def _audio(self, ms: float, now: float) -> None:
        self._last_at = now
        if self._barge_in_at is not None:
            self._barge_in_last = now
        if self._reply_at is None:
            self._reply_at, self._heard_ms = now, 0.0
            if self._phase == "waiting" and self._decided_at is not None:
                self._replied(self._decided_at, now)
        elif self._observed.counting:
            late = late_ms(now - self._reply_at, self._heard_ms, ms, self._dialect.lead_ms)
            self._observed.lateness.append(late)
        self._heard_ms += ms

    def _replied(self, decided_at: float, now: float) -> None:
        self._phase = "hearing"
        if self._counted:
            self._observed.answered += 1
            if not self._early:
                self._observed.decision_to_first.append((now - decided_at) * 1000)
        self._on_change(self)

    def _decided(self, at_ms: float, now: float) -> None:
        self._reply_at = None
        self._interrupted()
        if self._phase == "speaking":
            self._early = True
            if self._observed.counting:
                self._observed.early += 1
            return
        if self._phase != "waiting" or self._decided_at is not None:
            return
        self._decided_at = now
        if not self._counted or self._early:
            return
        self._observed.end_to_decision.append((self._clip, (now - self._ended_at) * 1000))
        if at_ms >= 0:
            frame = deciding_frame(at_ms, self._wishes.silence_ms)
            if frame < len(self._sent_at):
                self._observed.ready_to_decision.append((now - self._sent_at[frame]) * 1000)

    def _interrupted(self) -> None:
        """Note that the interrupting words are decided: audio from now on is no longer of the old
        reply."""
        barge_in_at, self._barge_in_at = self._barge_in_at, None
        if barge_in_at is not None and (self._observed.counting or self._counted):
            self._observed.barge_in.append((self._barge_in_last - barge_in_at) * 1000)
