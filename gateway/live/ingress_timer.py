"""Has the pacer feed input audio when it is due. Until then the client is not read."""

import asyncio
from typing import Generic

from gateway.live.ingress import IngressPacer
from gateway.live.transport import P, Transport


class IngressTimer(Generic[P]):
    """One client's timer. Belongs to the event loop. Plain calls.

    Once `leaving` is set, it waits no longer, and neither stops nor resumes reading.
    """

    def __init__(
        self, pacer: IngressPacer[P], transport: Transport[P], leaving: asyncio.Event
    ) -> None:
        self._pacer = pacer
        self._transport = transport
        self._leaving = leaving
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def use(self, transport: Transport[P]) -> None:
        """Pause and resume another transport from now on: the client's audio comes over it."""
        self._transport = transport
        if self._timer is not None:
            transport.pause()

    def start(self) -> None:
        """Stop reading until all waiting audio was fed. Does nothing if it has begun already."""
        if self._timer is None:
            self._transport.pause()
            self._timer = self._loop.call_at(self._pacer.due, self._feed)

    def stop(self) -> None:
        """Feed nothing more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _feed(self) -> None:
        self._timer = None
        self._pacer.drain(self._loop.time())
        if self._leaving.is_set():  # a `Leave` was in line
            return
        if self._pacer.waiting:
            self._timer = self._loop.call_at(self._pacer.due, self._feed)
        else:
            self._transport.resume()
