"""The connections of a process to the workers of one stage: each carries one call at a time.

The worker is chosen when a connection is made: by the order of the addresses here, or by a load
balancer behind one of them. A connection is kept for the next call.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.errors import StageBusy, StageFailed
from stages._remote_call import RemoteCall, RemoteReply
from stages._remote_line import RemoteLine
from stages._remote_protocol import Fields

logger = logging.getLogger("stages.remote")

MOST_CALLS = 512
"""The most calls at a time; further ones are refused as busy."""

MOST_IDLE = 8
IDLE_S = 60.0
"""The most idle connections that are kept for the next calls, and how long, in seconds, each is
kept. The latest one is always kept."""

FIRST_AVOIDED_S = 1.0
MOST_AVOIDED_S = 8.0
"""How long an address is tried last after a connection to it failed: at first, and at most. The
time doubles with each failure."""


class RemoteLines:
    """Calls to the workers at `urls`, in the name of `provider`.

    `hello` is the first message to each worker: the stage, and its settings. All methods belong to
    one event loop; `open` never raises and never waits.
    """

    def __init__(
        self,
        urls: Sequence[str],
        hello: Mapping[str, Any],
        *,
        provider: str = "remote",
        key: str | None = None,
    ) -> None:
        self.ready: Fields | None = None
        """The description that the latest worker to answer gave of itself; None before that."""
        self._urls = tuple(urls)
        self._hello = hello
        self._stage = str(hello["stage"])
        self._provider = provider
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._lines: set[RemoteLine] = set()
        self._ended: set[asyncio.Task[None]] = set()
        self._avoided: dict[str, tuple[float, float]] = {}  # until when, and for how long
        self._closed = False

    @property
    def calls(self) -> int:
        """Calls under way."""
        return sum(line.busy for line in self._lines)

    def open(
        self,
        on_reply: Callable[[RemoteReply], None] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> RemoteCall:
        """Begin a call."""
        call = RemoteCall(self._stage, self._provider, on_reply, on_lost)
        if self._closed:
            call.lose(StageFailed(self._stage, self._provider, "connect", "it was closed"))
        elif self.calls >= MOST_CALLS:
            detail = f"{MOST_CALLS} calls are under way"
            call.fail(StageBusy(self._stage, self._provider, detail))
        else:
            line = self._free() or self._connect()
            line.begin(call)
        return call

    async def probe(self) -> str | None:
        """None if a worker answers, otherwise a sentence that says why not. Takes 1 s at most."""
        if self._closed:
            return "it was closed"
        if any(line.free for line in self._lines):  # or its heartbeat would have ended it
            return None
        line = self._connect()
        await line.settled.wait()
        return f"{line.url_shown}: {line.reason}" if line.ready is None else None

    async def aclose(self) -> None:
        """End all connections; calls under way fail. Idempotent."""
        self._closed = True
        lines = tuple(self._lines)
        await asyncio.gather(*(line.aclose() for line in lines))
        if self._ended:
            await asyncio.wait(self._ended)

    # --- inside --------------------------------------------------------------------------------

    def _free(self) -> RemoteLine | None:
        """The free connection that was used last, so that connections not needed grow old."""
        found = [line for line in self._lines if line.free]
        return max(found, key=lambda line: line.idle_since, default=None)

    def _connect(self) -> RemoteLine:
        line = RemoteLine(
            self._choose(),
            self._hello,
            self._headers,
            provider=self._provider,
            on_idle=self._on_idle,
            on_end=self._on_end,
        )
        self._lines.add(line)
        return line

    def _choose(self) -> str:
        """The address with the fewest connections, of the addresses that have not failed lately."""
        now = asyncio.get_running_loop().time()

        def rank(url: str) -> tuple[float, int, int]:
            until, _ = self._avoided.get(url, (0.0, 0.0))
            taken = sum(line.url == url and line.busy for line in self._lines)
            return max(0.0, until - now), taken, self._urls.index(url)

        return min(self._urls, key=rank)

    def _on_idle(self, line: RemoteLine) -> None:
        if line.ready is not None:
            self.ready = line.ready
            self._avoided.pop(line.url, None)
        now = asyncio.get_running_loop().time()
        idle = sorted(
            (one for one in self._lines if one.free), key=lambda one: one.idle_since, reverse=True
        )
        for place, one in enumerate(idle):
            if place >= MOST_IDLE or (place and now - one.idle_since > IDLE_S):
                one.close()
        if line.draining:
            line.close()

    def _on_end(self, line: RemoteLine) -> None:
        self._lines.discard(line)
        ending = asyncio.get_running_loop().create_task(line.aclose())
        self._ended.add(ending)
        ending.add_done_callback(self._ended.discard)
        if line.failed:
            _, before_s = self._avoided.get(line.url, (0.0, 0.0))
            avoided_s = min(max(2 * before_s, FIRST_AVOIDED_S), MOST_AVOIDED_S)
            now = asyncio.get_running_loop().time()
            self._avoided[line.url] = now + avoided_s, avoided_s
            logger.warning("%s worker at %s: %s", self._stage, line.url_shown, line.reason)
