"""Hands a connection over to another process: the socket itself, and what was read from it.

The giving process connects to the other's socket in the gateway's own folder, sends the
connection's descriptor with the bytes that the client has sent so far, and closes its own
descriptor. From then on the client talks to the other process alone.
"""

import asyncio
import json
import logging
import os
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

logger = logging.getLogger("parley.workers")

LONGEST_BYTES: Final = 128 * 1024
"""The most bytes of a request's head and of what came after it."""

BUFFER: Final = 2 * LONGEST_BYTES
"""The bytes that the line holds: a whole handover fits in, so its giver need not wait."""

ARRIVE_S: Final = 2.0

PAUSE_S: Final = 0.1
"""The pause in taking connections if too many come or this process has too many open files."""

BACKLOG: Final = 512


@dataclass(frozen=True, slots=True)
class Told:
    """The giver's facts about a connection: its own number, the client, the scheme.

    `client` is None if the socket itself has its address. `hops` is how often the connection was
    handed over, this time included.
    """

    giver: int
    scheme: str
    client: tuple[str, int] | None = None
    hops: int = 1


Take = Callable[[socket.socket, Told, bytes], None]
"""Gets a connection that has arrived, which it owns, and what the client has sent so far."""

Missed = Callable[[Told], None]
"""Called for a connection that its giver has handed over and that did not arrive."""


def give(path: Path, descriptor: int, told: Told, data: bytes) -> bool:
    """Give the connection to the process that listens at `path`; returns whether that process has
    it.

    If it does, close the own descriptor; if not, nothing has changed. If too many connections wait
    for the other process, return at once: waiting would stop the event loop.
    """
    head = json.dumps(asdict(told)).encode()
    if len(data) > LONGEST_BYTES:
        return False
    whole = b"%d %d\n" % (len(head), len(data)) + head + data
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.setblocking(False)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            line.connect(str(path))
            sent = socket.send_fds(line, [whole], [descriptor])
            while sent < len(whole):
                sent += line.send(whole[sent:])
    except OSError as error:
        logger.info("a connection could not be handed over: %s", error)
        return False
    return True


class Arrivals:
    """The connections that other processes give to this one. Close it when the loop ends."""

    def __init__(self, path: Path, take: Take, missed: Missed) -> None:
        self._take = take
        self._missed = missed
        self._loop = asyncio.get_running_loop()
        self._coming: dict[socket.socket, tuple[bytearray, list[int], asyncio.TimerHandle]] = {}
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        self._listener.bind(str(path))
        self._listener.listen(BACKLOG)
        self._pause: asyncio.TimerHandle | None = None
        self._listen()

    def close(self) -> None:
        """Take no more connections."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for line in tuple(self._coming):
            self._drop(line)

    def _listen(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        try:
            while len(self._coming) < BACKLOG:
                line, _ = self._listener.accept()
                line.setblocking(False)
                late = self._loop.call_later(ARRIVE_S, self._drop, line)
                self._coming[line] = (bytearray(), [], late)
                self._loop.add_reader(line, self._receive, line)
                self._receive(line)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            logger.error("no connection can be taken from another process: %s", error)
        # They wait in the listener meanwhile, which would call again at once.
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(PAUSE_S, self._listen)

    def _receive(self, line: socket.socket) -> None:
        if line not in self._coming:
            return
        data, descriptors, _ = self._coming[line]
        while True:
            try:
                part, found, _, _ = socket.recv_fds(line, LONGEST_BYTES, 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._drop(line)
                return
            for descriptor in found:  # what this process starts would keep the client's line open
                os.set_inheritable(descriptor, False)
            descriptors += found
            if not part:
                break
            data += part
        self._coming[line] = (data, [], self._coming[line][2])
        self._drop(line)
        self._arrived(bytes(data), descriptors)

    def _arrived(self, whole: bytes, descriptors: list[int]) -> None:
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        known = None
        try:
            lengths, _, rest = whole.partition(b"\n")
            head, body = map(int, lengths.split())
            if len(rest) != head + body:
                raise ValueError("incomplete")
            told = json.loads(rest[:head])
            client = told.pop("client")
            known = Told(**told, client=None if client is None else (client[0], client[1]))
            if len(sockets) != 1:  # such as where this process has too many open files
                raise ValueError("without its descriptor")
        except (ValueError, TypeError, KeyError) as error:
            logger.warning("what another process handed over is not complete: %s", error)
            for each in sockets:
                each.close()
            if known is not None:  # all is there that the giver had to say
                self._missed(known)
            return
        sockets[0].setblocking(False)
        self._take(sockets[0], known, rest[head:])

    def _drop(self, line: socket.socket) -> None:
        _, descriptors, late = self._coming.pop(line)
        late.cancel()
        self._loop.remove_reader(line)
        line.close()
        for descriptor in descriptors:
            socket.socket(fileno=descriptor).close()
