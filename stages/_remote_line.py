"""A connection to one remote worker: its handshake, its pings, and one call at a time."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from pipeline.errors import Phase, StageBusy, StageFailed
from pipeline.frames import Samples
from stages._heartbeat import Heartbeat
from stages._remote_call import NO_SOUND, RemoteCall, RemoteReply
from stages._remote_protocol import (
    LONGEST_AUDIO_BYTES,
    LONGEST_BINARY_BYTES,
    LONGEST_TEXT_BYTES,
    PROTOCOL,
    Fields,
    ProtocolViolation,
    control,
    failure,
    heard,
    number,
    parsed,
    sound,
    text,
)
from stages._remote_socket import RemoteSocket

CONNECT_S = 1.0
"""From the first packet to the worker's `ready`."""

BEAT_S = 0.8
STALL_S = 1.4
"""A stopped worker is given up after 2.2 s at most."""

MOST_PENDING_BYTES = 8 * 1024 * 1024
"""Twice the audio of the longest utterance."""

MOST_SAMPLES = (LONGEST_AUDIO_BYTES - 4) // 2

_LAST = ("final", "end")


class RemoteLine:
    """A connection to `url`, which begins with its first call, or when it is made for a probe.

    `hello` is the first message to the worker. `on_idle` is called when a call is over and another
    may begin, `on_end` once when none can.
    """

    def __init__(
        self,
        url: str,
        hello: Mapping[str, Any],
        headers: Mapping[str, str],
        *,
        provider: str,
        on_idle: Callable[["RemoteLine"], None],
        on_end: Callable[["RemoteLine"], None],
    ) -> None:
        self.url = url
        self.ready: Fields | None = None
        """The worker's description of itself; None before it has come."""
        self.reason = ""
        """Why the connection ended; "" while it lasts."""
        self.failed = False
        """Whether the connection ended by itself, and not in order."""
        self.draining = False
        """Whether the worker takes no further call."""
        self.idle_since = 0.0
        self.settled = asyncio.Event()
        """Set when the worker is ready or the connection has ended."""
        self._hello = hello
        self._stage = str(hello["stage"])
        self._provider = provider
        self._on_idle = on_idle
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._call: RemoteCall | None = None
        self._epoch = 0
        self._speech: Fields | None = None  # of the sound that comes next
        self._outbox: list[tuple[bytes, bool]] = []  # until the worker is ready
        self._outbox_bytes = 0
        self._heart: Heartbeat | None = None
        self._socket = RemoteSocket(url, headers, self)
        self._timer: asyncio.TimerHandle = self._loop.call_later(CONNECT_S, self._too_late)
        self._connecting = self._loop.create_task(self._connect())

    # --- calls ---------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether it has a call."""
        return self._call is not None

    @property
    def url_shown(self) -> str:
        """The address for people: without a user and a password."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def free(self) -> bool:
        """Whether it is ready and another call may begin."""
        return self.ready is not None and not (self.reason or self.draining or self._call)

    def begin(self, call: RemoteCall) -> None:
        """Take a call."""
        self._epoch += 1
        self._call = call
        call.epoch, call.holder = self._epoch, self

    def send(self, call: RemoteCall, kind: str, fields: Fields) -> None:
        """Tell the worker something about the call."""
        self._put(control(kind, epoch=call.epoch, **fields), is_text=True)

    def send_sound(self, call: RemoteCall, pcm: Samples) -> None:
        """Send audio of the call."""
        for at in range(0, len(pcm), MOST_SAMPLES):
            self._put(sound(call.epoch, pcm[at : at + MOST_SAMPLES]), is_text=False)

    def release(self, call: RemoteCall, *, tell: bool) -> None:
        """The call is over."""
        if call is not self._call:
            return
        self._call = self._speech = None
        if self.reason:
            return
        if self.ready is None:  # it need not go on for nobody
            self._outbox.clear()
            self._outbox_bytes = 0
        elif tell:
            self._put(control("cancel", epoch=call.epoch), is_text=True)
        self.idle_since = self._loop.time()
        self._on_idle(self)

    def close(self) -> None:
        """End the connection; a call under way fails. Idempotent."""
        self._end("stream", "the connection was closed", quietly=True)

    async def aclose(self) -> None:
        """End the connection, and return when it is closed."""
        self.close()
        await asyncio.wait((self._connecting,))

    def _put(self, data: bytes, *, is_text: bool) -> None:
        if self.reason:
            return
        pending = self._outbox_bytes + self._socket.pending_bytes
        if pending + len(data) > MOST_PENDING_BYTES:
            if self._call is not None:
                detail = f"{pending} bytes wait for the worker"
                self._call.fail(StageBusy(self._stage, self._provider, detail), tell=True)
        elif self.ready is None:
            self._outbox.append((data, is_text))
            self._outbox_bytes += len(data)
        else:
            self._socket.send(data, is_text=is_text)

    # --- life ----------------------------------------------------------------------------------

    async def _connect(self) -> None:
        try:
            await self._socket.connect()
        except OSError as error:
            self._end("connect", f"it cannot be reached: {error.strerror or error}")

    def _too_late(self) -> None:
        self._end("connect", f"it did not answer within {CONNECT_S:g} s")

    def _beat(self) -> None:
        heart, now = self._heart, self._loop.time()
        assert heart is not None
        match heart.expire(now, lambda: False):
            case "dead":
                silent_s = now - (heart.asked_at or now)
                self._end("stream", f"it did not answer for {silent_s:.1f} s")
                return
            case "ping":
                self._socket.ping()
        self._timer = self._loop.call_at(heart.deadline, self._beat)

    def _end(self, phase: Phase, reason: str, *, quietly: bool = False) -> None:
        if self.reason:
            return
        self.reason, self.failed = reason, not quietly
        self._timer.cancel()
        self._connecting.cancel()
        self._outbox.clear()
        self._outbox_bytes = 0
        if quietly:
            self._socket.close()
        else:
            self._socket.drop()
        call, self._call = self._call, None
        if call is not None:
            call.holder = None
            call.lose(StageFailed(self._stage, self._provider, phase, reason))
        self.settled.set()
        self._on_end(self)

    # --- stages._remote_socket.SocketOwner ------------------------------------------------------

    def opened(self) -> None:
        self._socket.send(control("hello", protocol=PROTOCOL, **self._hello), is_text=True)

    def alive(self) -> None:
        if self._heart is not None:
            self._heart.heard(self._loop.time())

    def ended(self, reason: str) -> None:
        self._end("connect" if self.ready is None else "stream", reason)

    def message(self, data: bytes, *, is_text: bool) -> None:
        try:
            if is_text:
                self._take(data)
            else:
                self._hear(data)
        except ProtocolViolation as error:
            self._end("protocol", f"the worker sent nonsense: {error}")

    def _take(self, data: bytes) -> None:
        if len(data) > LONGEST_TEXT_BYTES:
            raise ProtocolViolation(f"a text message of {len(data)} bytes")
        kind, fields = parsed(data)
        if self.ready is None:
            self._greeted(kind, fields)
        elif kind == "draining":
            self.draining = True
            if self._call is None:
                self._end("stream", "the worker ends", quietly=True)
        elif self._call is not None and number(fields, "epoch") == self._epoch:
            self._reply(self._call, kind, fields)

    def _greeted(self, kind: str, fields: Fields) -> None:
        if kind == "refused":
            self._end("connect", f"it refuses the connection: {text(fields, 'message')[:500]}")
            return
        if kind != "ready":
            raise ProtocolViolation(f"{kind[:40]!r} before `ready`")
        theirs = fields.get("protocol")
        if theirs != PROTOCOL:
            self._end(
                "connect",
                f"this gateway speaks version {PROTOCOL} of the workers' protocol, and the worker"
                f" version {str(theirs)[:20]}: bring both to the same release",
            )
            return
        self.ready = fields
        now = self.idle_since = self._loop.time()
        self._timer.cancel()
        self._heart = Heartbeat(now, every_s=BEAT_S, stall_s=STALL_S)
        self._timer = self._loop.call_at(self._heart.deadline, self._beat)
        waiting, self._outbox = self._outbox, []
        self._outbox_bytes = 0
        for message, is_text in waiting:
            self._socket.send(message, is_text=is_text)
        self.settled.set()
        if self._call is None:
            self._on_idle(self)

    def _reply(self, call: RemoteCall, kind: str, fields: Fields) -> None:
        error = failure(self._stage, self._provider, kind, fields)
        if error is not None:
            call.fail(error)
        elif kind == "speech":
            self._speech = fields
        elif kind in ("partial", *_LAST):
            call.receive(RemoteReply(kind, fields, NO_SOUND, kind in _LAST))
        else:
            raise ProtocolViolation(f"there is no {kind[:40]!r}")

    def _hear(self, data: bytes) -> None:
        epoch, pcm = heard(data, LONGEST_BINARY_BYTES)
        if self._call is None or epoch != self._epoch:
            return  # late: its call was cancelled
        fields, self._speech = self._speech or {}, None
        self._call.receive(RemoteReply("speech", fields, np.ascontiguousarray(pcm), False))
