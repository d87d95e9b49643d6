"""The other processes of a gateway, seen from one: their load, sessions and clients' addresses.

`Siblings` is the `gateway.live.elsewhere.Elsewhere` of such a process. Over the bus it gets what
the others have, and tells them what it has.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

from gateway.interviews.events import Kind
from gateway.interviews.keys import lease_key
from gateway.runtime import Runtime
from gateway.store import StoreError
from gateway.workers.board import ACCEPTING, LoadBoard
from gateway.workers.bus import Bus
from gateway.workers.kept_pages import keep_page
from gateway.workers.routes import Way, least, mark_of

logger = logging.getLogger("parley.workers")

NOTE_EVERY_S = 0.25
"""How often the board learns whether this process takes further sessions."""

PAGE_EVERY_S = 5.0
"""How often the page of metrics is kept if nobody asks for it: a process that dies loses what it
counted since then."""

PART = 1_000
"""How many sessions, or addresses, one line has: far below the longest line
(`gateway.workers.bus`)."""

FREE_S = 10.0
"""How long this process tries to end the lease of a process that has died; later it expires."""

entering: ContextVar[object | None] = ContextVar("entering", default=None)
"""The client for which a task runs, until it is counted as a connection."""


class Siblings:
    """The other processes of a gateway, seen from the process `index`."""

    def __init__(
        self, index: int, folder: Path, board: LoadBoard, ended: Callable[[], None]
    ) -> None:
        self.index = index
        self.mark = mark_of(index)
        self.board = board
        self.folder = folder
        self.bus = Bus(self, ended)
        self.runtime: Runtime | None = None
        """This process's own, once it is made."""
        self.page: Callable[[], bytes] = bytes
        """This process's page of metrics."""
        self._holders: dict[str, int] = {}  # of sessions elsewhere; bounded by their admission
        self._at: dict[int, Counter[str]] = {}  # by process; likewise
        self._own_at: Counter[str] = Counter()
        self._entering: dict[object, Callable[[], bool]] = {}  # each says whether it still is
        self._asked: Counter[int] = Counter()  # requests under way that begin a session elsewhere
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeping = asyncio.Lock()

    # --- files ---------------------------------------------------------------------------------

    def http_path(self, worker: int) -> Path:
        """The socket at which a process answers the others' requests."""
        return self.folder / f"http-{worker}"

    def arrivals_path(self, worker: int) -> Path:
        """The socket at which a process takes connections over."""
        return self.folder / f"take-{worker}"

    # --- life ----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Note regularly what this process does, from now on until `aclose`: it serves."""
        self._run(self._note_often())
        self._run(self._keep_page())

    async def aclose(self) -> None:
        """Note nothing more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.bus.aclose()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _note_often(self) -> None:
        while True:
            self.note()
            await asyncio.sleep(NOTE_EVERY_S)

    async def _keep_page(self) -> None:
        while True:
            await self.keep(self.page())
            await asyncio.sleep(PAGE_EVERY_S)

    async def keep(self, page: bytes) -> None:
        """Keep this process's page of metrics, for when it no longer answers. Call it before the
        page is sent: then the kept counts are never lower than the sent ones, and no sum falls."""
        async with self._keeping:
            await asyncio.to_thread(keep_page, self.folder, self.index, page)

    def note(self) -> None:
        """Write this process's load, and whether it takes further sessions, to the board."""
        if self.runtime is None:
            return
        live = self.runtime.live
        self._entering = {who: still for who, still in self._entering.items() if still()}
        load = live.connections + len(self._entering)
        accepting = load < live.places and live.refusal() is None
        self.board.note(self.index, load, accepting=accepting)

    # --- where a client goes -------------------------------------------------------------------

    def place(self, way: Way) -> int:
        """The process that a request goes to."""
        if way.worker is not None and way.worker < self.board.workers:
            return way.worker
        if way.kind == "held":
            return self._holders.get(way.session_id or "", self.index)
        if way.kind != "begin":
            return self.index
        assert self.runtime is not None
        if way.session_id is not None and way.session_id not in self.runtime.live.held():
            holder = self._holders.get(way.session_id)
            if holder is not None:
                return holder
        elif way.session_id is not None:
            return self.index
        self.note()
        workers = range(self.board.workers)
        states = [self.board.state(worker) for worker in workers]
        loads = [self.board.load(worker) + self._asked[worker] for worker in workers]
        return least(states, loads, self.index)

    def accepting(self) -> bool:
        """Whether this process takes further sessions."""
        self.note()
        return self.board.state(self.index) == ACCEPTING

    def enter(self, who: object, still: Callable[[], bool] = lambda: True) -> None:
        """Count a client that begins to connect here, until it is a connection, or `leave`."""
        self._entering[who] = still
        self.note()

    def leave(self, who: object) -> None:
        """Stop counting a client that has not become a connection. Does nothing if it has."""
        if self._entering.pop(who, None) is not None:
            self.note()

    @contextmanager
    def asking(self, worker: int) -> Iterator[None]:
        """Until the block ends, count a request to another process that begins a session there."""
        self._asked[worker] += 1
        try:
            yield
        finally:
            self._asked[worker] -= 1

    # --- messages to the others: gateway.live.elsewhere.Elsewhere --------------------------------

    def held(self, session_id: str) -> None:
        self.bus.tell({"held": session_id})

    def left(self, session_id: str) -> None:
        self.bus.tell({"left": session_id})

    def counted(self, where: str, change: int) -> None:
        if change > 0:
            self._entering.pop(entering.get(), None)
        self._own_at[where] += change
        if not self._own_at[where]:
            del self._own_at[where]
        self.note()
        if self.runtime is not None and self.runtime.settings.per_address:
            self.bus.tell({"at": where, "count": self._own_at[where]})

    def at(self, where: str) -> int:
        return sum(addresses[where] for addresses in self._at.values())

    def happened(self, session_id: str, kind: str, data: dict[str, Any]) -> None:
        if not self.bus.tell({"event": kind, "of": session_id, "data": data}):
            self.bus.tell({"event": "missed", "of": session_id, "data": {}})

    def deleted(self, session_id: str) -> None:
        self.bus.tell({"deleted": session_id})

    # --- what they tell: gateway.workers.bus.Hearer ----------------------------------------------

    def heard(self, worker: int, told: dict[str, Any]) -> None:
        """Take a message of the process `worker`."""
        runtime = self.runtime
        assert runtime is not None
        match told:
            case {"held": session_id}:
                self._holders[session_id] = worker
            case {"left": session_id}:
                if self._holders.get(session_id) == worker:
                    del self._holders[session_id]
            case {"at": where, "count": count}:
                self._at.setdefault(worker, Counter())[where] = count
                if not count:
                    del self._at[worker][where]
            case {"event": kind, "of": session_id, "data": data}:
                runtime.interviews().events.add(session_id, cast("Kind", kind), data)
            case {"deleted": session_id}:
                runtime.dismiss(session_id)
            case {"all": sessions, "at": addresses}:
                self._forget(worker)
                self._holders.update(dict.fromkeys(sessions, worker))
                self._at[worker] = Counter(addresses)
            case {"also": sessions}:
                self._holders.update(dict.fromkeys(sessions, worker))
            case {"also_at": addresses}:
                self._at.setdefault(worker, Counter()).update(addresses)

    def there(self, worker: int) -> None:
        """Tell all that this process has: another process serves from now on."""
        assert self.runtime is not None
        counted = self._own_at if self.runtime.settings.per_address else {}
        self.bus.tell({"all": [], "at": {}})
        sessions, addresses = self.runtime.live.held(), [*counted.items()]
        for first in range(0, len(sessions), PART):
            self.bus.tell({"also": sessions[first : first + PART]})
        for first in range(0, len(addresses), PART):
            self.bus.tell({"also_at": dict(addresses[first : first + PART])})

    def gone(self, worker: int, owner: str) -> None:
        """Free a process's sessions, because it has ended: at once, not when its lease ends."""
        if worker != self.index:
            self._forget(worker)
        self._run(self._free(owner))

    def _forget(self, worker: int) -> None:
        self._at.pop(worker, None)
        self._holders = {name: one for name, one in self._holders.items() if one != worker}

    async def _free(self, owner: str) -> None:
        assert self.runtime is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(FREE_S):
                while True:
                    try:
                        await self.runtime.store.delete(lease_key(owner))
                        return
                    except StoreError as error:
                        logger.warning("the lease of a dead process is not ended yet: %s", error)
                        await asyncio.sleep(0.5)
