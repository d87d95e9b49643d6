"""The parent of a gateway's processes: starts them, relays their messages, restarts those that die.

It holds the listening sockets and serves no client itself. Each process is in a group of its own,
so that Ctrl-C reaches only the parent, which then signals the processes.
"""

import asyncio
import logging
import os
import pickle
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.workers.board import LoadBoard
from gateway.workers.bus import LONGEST_LINE, BusLine, lines
from gateway.workers.hearing import Hearing
from gateway.workers.kept_pages import end_page
from gateway.workers.restarts import Restarts

logger = logging.getLogger("parley.workers")

START_S: Final = 120.0
"""How long a process may take until it serves; models are loaded later, while it serves."""

SILENT_S: Final = 30.0
"""A process that serves but sends no message for this time has stopped working: it is killed."""

LOOK_EVERY_S: Final = 1.0

END_S: Final = 30.0
"""How long processes may take to end, beyond the time that conversations have."""

FORCED_S: Final = 5.0
"""How long they may take after a second signal."""

WHERE: Final = signal.SIGUSR2
"""Makes a process write the stacks of its threads; a process that has just begun is ended by it."""
WHERE_S: Final = 1.0
"""How long the process may take to write them before it is killed."""

DEAD_KEPT_S: Final = 20.0
"""How long new processes get the names of those that died: longer than the leases of these last."""


class StartFailed(Exception):
    """A process of the gateway ended before it served. The text is for people."""


@dataclass(slots=True)
class _Process:
    """One process that runs, or has run."""

    index: int
    child: asyncio.subprocess.Process
    line: BusLine
    restarts: Restarts
    hearing: Hearing
    owner: str = ""
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def serves(self) -> bool:
        return bool(self.owner) and self.child.returncode is None

    def send(self, sig: int) -> None:
        with suppress(ProcessLookupError):
            self.child.send_signal(sig)


Order = Callable[[int], Any]
"""Makes the order for the process of an index; the process gets it, pickled, before it begins."""


class Supervisor:
    """The processes of a gateway, each started as `python -m module DESCRIPTOR`.

    The descriptor is one end of a pair of sockets, from which the process reads its order. It also
    has the descriptors `inherited`. At the end conversations may go on for `grace_s`; `ending` is
    called when that begins. With `hangs_up` the processes get SIGHUP, too. `folder` has their
    sockets, files and board.
    """

    def __init__(
        self,
        module: str,
        order: Order,
        board: LoadBoard,
        folder: Path,
        *,
        inherited: Sequence[int],
        grace_s: float,
        ending: Callable[[], None],
        hangs_up: bool = False,
    ) -> None:
        self._hangs_up = hangs_up
        self._module = module
        self._order = order
        self._board = board
        self._folder = folder
        self._inherited = inherited
        self._grace_s = grace_s
        self._tell_ending = ending
        self._running: dict[int, _Process] = {}
        self._dead: deque[tuple[float, int, str]] = deque(maxlen=64)  # when, which, its owner
        self._ending = asyncio.Event()
        self.signals: list[int] = []
        """The signals that have come; the first one began an orderly end."""

    async def run(self) -> None:
        """Keep the processes until a signal comes and they have ended.

        Raises `StartFailed`, after the others have ended.
        """
        loop = asyncio.get_running_loop()
        for sig in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sig, self._signalled, sig)
        if self._hangs_up:
            loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        try:
            async with asyncio.TaskGroup() as tasks:
                look = tasks.create_task(self._look())
                keeping = [
                    tasks.create_task(self._keep(index)) for index in range(self._board.workers)
                ]
                await asyncio.gather(*keeping)
                look.cancel()
        except* StartFailed as group:
            raise group.exceptions[0] from None
        finally:
            for process in self._running.values():
                process.send(signal.SIGKILL)

    def _signalled(self, sig: int) -> None:
        self.signals.append(sig)
        loop = asyncio.get_running_loop()
        first = len(self.signals) == 1
        loop.call_later(self._grace_s + END_S if first else FORCED_S, self._kill)
        if first:
            self._tell_ending()
        self._end()

    def _hang_up(self) -> None:
        for process in self._running.values():
            if process.serves:  # one that begins would end by it, and reads what there is
                process.send(signal.SIGHUP)

    def _end(self) -> None:
        self._ending.set()
        for process in self._running.values():
            process.send(signal.SIGTERM)  # the second one ends it at once

    def _kill(self) -> None:
        for process in self._running.values():
            logger.error("process %d of this gateway does not end: it is killed", process.index)
            process.send(signal.SIGKILL)

    async def _keep(self, index: int) -> None:
        """Run one process, and start it again when it ends, until all of them end."""
        loop = asyncio.get_running_loop()
        restarts = Restarts()
        while not self._ending.is_set():
            how = await self._once(index, restarts)
            wait_s = restarts.ended(loop.time())
            if self._ending.is_set():
                return
            others = any(other.serves for other in self._running.values())
            if wait_s is None or (restarts.hopeless and not others):
                await self._stop_others()
                raise StartFailed(
                    f"process {index + 1} of {self._board.workers} ended before it served"
                    f" ({how}); what it said is above"
                )
            logger.error(
                "process %d of this gateway has ended (%s); it is started again%s",
                index,
                how,
                f" in {wait_s:g} s" if wait_s else "",
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._ending.wait()

    async def _once(self, index: int, restarts: Restarts) -> str:
        """Run one process to its end; returns how it ended."""
        try:
            process = await self._start(index, restarts)
        except OSError as error:  # too little memory, too many processes or open files
            return f"it could not be started: {error}"
        try:
            code = await process.child.wait()
        finally:
            await self._ended(process)
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    async def _start(self, index: int, restarts: Restarts) -> _Process:
        self._board.reset(index)
        near, far = socket.socketpair()
        with far:
            try:
                child = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *_path_options(),
                    "-m",
                    self._module,
                    str(far.fileno()),
                    pass_fds=(far.fileno(), *self._inherited),
                    process_group=0,
                )
            except BaseException:
                near.close()
                raise
        now = asyncio.get_running_loop().time()
        reader, writer = await asyncio.open_connection(sock=near, limit=LONGEST_LINE)
        order = pickle.dumps(self._order(index))
        writer.write(len(order).to_bytes(4, "big") + order)
        hearing = Hearing(now, look_every_s=LOOK_EVERY_S)
        process = _Process(index, child, BusLine(writer), restarts, hearing)
        process.tasks.append(asyncio.create_task(self._listen(process, reader)))
        self._running[index] = process
        if self._ending.is_set():  # the signal came while it began
            process.send(signal.SIGTERM)
        return process

    async def _listen(self, process: _Process, reader: asyncio.StreamReader) -> None:
        loop = asyncio.get_running_loop()

        def hear(kind: str, rest: bytes) -> None:
            process.hearing.heard(loop.time())
            if kind == "ready":
                self._ready(process, rest.decode())
            elif kind == "tell":
                told = b"from %d " % process.index + rest
                for other in self._running.values():
                    if other is not process and other.serves:
                        other.line.write(told)

        await lines(reader, hear)

    def _ready(self, process: _Process, owner: str) -> None:
        now = asyncio.get_running_loop().time()
        process.owner = owner
        process.restarts.ready(now)
        for at, index, dead in self._dead:
            if now - at < DEAD_KEPT_S:
                process.line.write(b"gone %d %s" % (index, dead.encode()))
        for other in self._running.values():
            if other is not process and other.serves:
                other.line.write(b"there %d" % process.index)
        pid = process.child.pid
        logger.info("process %d of this gateway serves (pid %d)", process.index, pid)

    async def _ended(self, process: _Process) -> None:
        """Tell the other processes that one has ended, and keep its counts."""
        process.send(signal.SIGKILL)  # harmless, unless this task was cancelled while it ran
        index = process.index
        del self._running[index]
        self._board.reset(index)
        for task in process.tasks:
            task.cancel()
        process.line.close()
        if process.owner:
            gone = b"gone %d %s" % (index, process.owner.encode())
            self._dead.append((asyncio.get_running_loop().time(), index, process.owner))
            for other in self._running.values():
                if other.serves:
                    other.line.write(gone)
        end_page(self._folder, index)

    async def _stop_others(self) -> None:
        self._end()
        loop = asyncio.get_running_loop()
        loop.call_later(FORCED_S, self._kill)
        waiting = [asyncio.create_task(one.child.wait()) for one in self._running.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=FORCED_S + 1.0)

    async def _look(self) -> None:
        """Kill a process that does not begin in time, or that has stopped working."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for process in self._running.values():
                silent_s = process.hearing.silent_s(loop.time())
                if silent_s > (SILENT_S if process.owner else START_S):
                    logger.error(
                        "process %d of this gateway was silent for %d s: it is killed",
                        process.index,
                        silent_s,
                    )
                    process.hearing.heard(loop.time())
                    process.send(WHERE)
                    loop.call_later(WHERE_S, process.send, signal.SIGKILL)


def _path_options() -> tuple[str, ...]:
    """Python's options for a process that imports from the same paths as this one: with `-m` alone
    it would also import from the current folder."""
    return () if {"", os.getcwd()} & {*sys.path} else ("-P",)
