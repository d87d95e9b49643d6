"""Looks up addresses of hosts in a few threads of their own, and keeps them for a while.

The event loop's own look-ups share their threads with all other blocking work: a name server that
does not answer would hold up the store and the models of a conversation.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any, Final

import httpcore

KEPT_S: Final = 10.0
"""A host that has moved is found again after this time. Assumed value."""

THREADS: Final = 4
"""The most look-ups at a time. A name is looked up once, however many calls wait for it."""

MOST_NAMES: Final = 1024

NEXT_AFTER_S: Final = 1.0
"""How long an address has to take a connection before the next address, if any, is tried. For an
instance of a service that is TCP and TLS together, for a `ResolvedNetwork` TCP alone."""

Look = Callable[[str], Sequence[str]]


class Resolver:
    """The addresses of hosts. Belongs to one event loop; `close` gives the threads up.

    `look` asks the system in a thread; it raises `OSError` for a name that has no address.
    """

    def __init__(self, look: Look | None = None, *, kept_s: float = KEPT_S) -> None:
        self._look = look or _addresses
        self._kept_s = kept_s
        self._threads: ThreadPoolExecutor | None = None
        self._known: dict[str, tuple[float, Sequence[str]]] = {}
        self._under_way: dict[str, asyncio.Future[Sequence[str]]] = {}

    async def addresses(self, host: str) -> Sequence[str]:
        """The addresses of a host, at least one; an address is its own. Raises `OSError`."""
        if _is_address(host):
            return (host,)
        now = asyncio.get_running_loop().time
        known = self._known.get(host)
        if known is not None and now() < known[0] + self._kept_s:
            return known[1]
        found = await asyncio.shield(self._looked_up(host))
        self._known.pop(host, None)
        self._known[host] = now(), found
        if len(self._known) > MOST_NAMES:
            del self._known[next(iter(self._known))]
        return found

    def close(self) -> None:
        """Look nothing up any more, and do not wait for name servers."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    def _looked_up(self, host: str) -> asyncio.Future[Sequence[str]]:
        under_way = self._under_way.get(host)
        if under_way is None:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="names")
            loop = asyncio.get_running_loop()
            under_way = loop.run_in_executor(self._threads, self._look, host)
            self._under_way[host] = under_way
            under_way.add_done_callback(lambda done: self._done(host, done))
        return under_way

    def _done(self, host: str, done: asyncio.Future[Sequence[str]]) -> None:
        self._under_way.pop(host, None)
        if not done.cancelled():
            done.exception()  # read here, or asyncio logs it when nobody waits any more


class ResolvedNetwork(httpcore.AsyncNetworkBackend):
    """httpcore's network, with the names of hosts from a `Resolver`."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            addresses = await self.addresses(host)
        except (OSError, UnicodeError) as error:  # the latter of a name that cannot be one
            raise httpcore.ConnectError(str(error)) from error
        for address in addresses[:-1]:
            try:
                return await self._network.connect_tcp(
                    address, port, NEXT_AFTER_S, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._network.connect_tcp(
            addresses[-1], port, timeout, local_address, socket_options
        )

    async def addresses(self, host: str) -> Sequence[str]:
        """The addresses of a host, at least one. Raises `OSError` and httpcore's errors."""
        return await self._resolver.addresses(host)

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _addresses(host: str) -> Sequence[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [*dict.fromkeys(str(address[0]) for *_, address in found)]
