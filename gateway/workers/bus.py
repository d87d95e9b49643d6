"""The messages between the processes of a gateway, as lines over a pair of sockets for each
process.

A process writes to its parent: `ready OWNER`, `beat`, `tell JSON`. The parent writes to a process:
`from K JSON`, a message of process K; `there K`, when process K serves; and `gone K OWNER`, when
process K has ended. If the parent's end of the pair closes, the parent has ended.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from socket import socket
from typing import Any, Final, Protocol

logger = logging.getLogger("parley.workers")

LONGEST_LINE: Final = 256 * 1024
MOST_WAITING: Final = 4 * 1024 * 1024
"""The most bytes that may wait for a process that does not read; later messages are dropped."""

LONGEST_TOLD: Final = LONGEST_LINE - 64
"""The longest message; the parent writes the sender's number before it."""

NAMED: Final = 24
"""How many of its first bytes name a message that is too long in the log: they contain no words of
a conversation."""

BEAT_S: Final = 2.0


class Hearer(Protocol):
    """The part of a process that gets the other processes' messages, by plain calls on its loop."""

    def heard(self, worker: int, told: dict[str, Any]) -> None:
        """Take a message of the process `worker`."""
        ...

    def there(self, worker: int) -> None:
        """Note that another process serves from now on, and knows nothing yet."""
        ...

    def gone(self, worker: int, owner: str) -> None:
        """Note that a process has ended, perhaps this one's predecessor."""
        ...


class BusLine:
    """Writes lines to the other end. Plain calls that neither wait nor raise."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._full = False

    def write(self, line: bytes) -> None:
        """Write a line, unless too much waits."""
        transport = self._writer.transport
        if transport.is_closing():
            return
        full = transport.get_write_buffer_size() > MOST_WAITING
        if full and not self._full:
            logger.error("a process of this gateway does not read what the others tell it")
        self._full = full
        if not full:
            self._writer.write(line + b"\n")

    def close(self) -> None:
        """Write no more lines."""
        self._writer.close()


class Bus:
    """A process's end of the bus. `ended` is called when the parent has ended."""

    def __init__(self, hearer: Hearer, ended: Callable[[], None]) -> None:
        self._hearer = hearer
        self._ended = ended
        self._line: BusLine | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def connect(self, end: socket, owner: str) -> None:
        """Say that this process serves, with its token as the owner of sessions, and listen."""
        reader, writer = await asyncio.open_connection(sock=end, limit=LONGEST_LINE)
        self._line = BusLine(writer)
        self._line.write(b"ready " + owner.encode())
        self._tasks = [asyncio.create_task(self._listen(reader)), asyncio.create_task(self._beat())]

    def tell(self, told: dict[str, Any]) -> bool:
        """Send a message to the other processes; False if it is too long."""
        if self._line is None:
            return True
        line = b"tell " + json.dumps(told, separators=(",", ":")).encode()
        if len(line) > LONGEST_TOLD:
            named, size = line[5 : 5 + NAMED].decode(errors="replace"), len(line)
            logger.error("the other processes are not told %s…, which has %d bytes", named, size)
            return False
        self._line.write(line)
        return True

    async def aclose(self) -> None:
        """Send and receive nothing more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._line is not None:
            self._line.close()

    async def _beat(self) -> None:
        while self._line is not None:
            await asyncio.sleep(BEAT_S)
            self._line.write(b"beat")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await _next(reader):
            try:
                self._hear(*line.decode().split(" ", 2))
            except Exception:  # one of them must not cost the others
                logger.exception("what another process told was not understood")
        self._ended()

    def _hear(self, kind: str, worker: str, rest: str = "") -> None:
        match kind:
            case "from":
                self._hearer.heard(int(worker), json.loads(rest))
            case "there":
                self._hearer.there(int(worker))
            case "gone":
                self._hearer.gone(int(worker), rest)


async def _next(reader: asyncio.StreamReader) -> bytes:
    """The next line, b"" at the end."""
    try:
        line = await reader.readline()
    except (OSError, ValueError):  # the other end has ended, or wrote a line without an end
        return b""
    return line.rstrip(b"\n") if line.endswith(b"\n") else b""


async def lines(reader: asyncio.StreamReader, hear: Callable[[str, bytes], None]) -> None:
    """The parent's end: calls `hear` with the first word and the rest of each line, to the end."""
    while line := await _next(reader):
        kind, _, rest = line.partition(b" ")
        hear(kind.decode(errors="replace"), rest)
