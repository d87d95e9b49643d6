"""A process of a `stages._worker_host.WorkerHost`, as if it were this process's own child."""

import asyncio
from pathlib import Path
from typing import Any, Protocol, cast

_host: Path | None = None


def share(path: Path | None) -> None:
    """From now on use the processes of the host that listens at `path`; None: own processes."""
    global _host
    _host = path


def host() -> Path | None:
    """The path of the host's socket; None if this process has its own children."""
    return _host


class Child(Protocol):
    """The callbacks for what happens to a process (`stages._worker_process.Process`)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...

    def pipe_data_received(self, fd: int, data: bytes) -> None: ...

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None: ...

    def left(self) -> None:
        """The host or the process has ended."""

    def connection_lost(self, exc: Exception | None) -> None: ...


class SharedChild(asyncio.Protocol):
    """The connection to the host; for `child` it is the transport of a subprocess."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._socket: asyncio.Transport | None = None

    # --- what a Process calls ------------------------------------------------------------------

    def get_pid(self) -> None:
        """None: the process is no child of this one."""

    def get_returncode(self) -> None:
        """None: this process does not learn how it ended."""

    def get_pipe_transport(self, fd: int) -> asyncio.Transport | None:
        return self._socket

    def terminate(self) -> None:
        self.kill()

    def kill(self) -> None:
        """Leave the process: the host ends it if necessary."""
        if self._socket is not None:
            self._socket.abort()

    def close(self) -> None:
        self.kill()

    # --- what asyncio calls --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast("asyncio.Transport", transport)
        self._child.connection_made(cast("Any", self))

    def data_received(self, data: bytes) -> None:
        self._child.pipe_data_received(1, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._child.pipe_connection_lost(1, exc)
        self._child.pipe_connection_lost(2, exc)
        self._child.left()
        self._child.connection_lost(exc)
