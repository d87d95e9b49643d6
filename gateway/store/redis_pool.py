"""Connections to a Redis, or to the primary that its Sentinels name, all with limits."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, cast

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    ConnectionPool,
    SSLConnection,
    parse_url,
)
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff

from gateway.redis_url import parse_redis_url

CONNECTIONS = 16
"""A commit takes Redis about 50 us, so a few connections keep its one thread busy."""

CONNECT_S = 1.0
COMMAND_S = 2.0
"""How long Redis may take to answer a command; the same as SQLite's wait for its lock."""

SENTINEL_S = 0.5
"""How long one Sentinel may take to accept, and to answer."""

NEXT_SENTINEL_S = 0.1
"""How long a Sentinel may be silent before the next one is asked beside it."""

IDLE_S = 20.0
"""A connection that was idle for this time is made anew before it is used: a firewall may have
forgotten it, and drops its data silently. No known firewall forgets sooner."""


class RedisPool:
    """The connections to the Redis that a URL names. The user limits how many are in use."""

    def __init__(self, url: str) -> None:
        address = parse_redis_url(url)
        # These settings come last, so that no option in the URL removes a limit.
        settings = cast("dict[str, Any]", parse_url(address.server)) | {
            "max_connections": CONNECTIONS,
            "socket_connect_timeout": CONNECT_S,
            "socket_timeout": COMMAND_S,
            "socket_keepalive": True,
            "retry": Retry(NoBackoff(), 0),
            "client_name": "parley",
        }
        secure = settings.pop("connection_class", Connection) is SSLConnection
        self._trust = settings["trust"] = _Trust()
        self._sentinel: _Sentinels | None = None
        kind = _Secure if secure else _PlainConnection
        if not address.sentinels:
            self.connections = ConnectionPool(connection_class=kind, **settings)
            return
        for name in ("host", "port"):  # those of a Sentinel
            del settings[name]
        self._sentinel = _Sentinels([])  # type: ignore[no-untyped-call]
        asked = settings | {
            "username": address.sentinel_user,
            "password": address.sentinel_password,
            "db": 0,
            "socket_connect_timeout": SENTINEL_S,
            "socket_timeout": SENTINEL_S,
        }
        self._sentinel.sentinels = [
            Redis(
                connection_pool=ConnectionPool(connection_class=kind, host=host, port=port, **asked)
            )
            for host, port in address.sentinels
        ]
        self.connections = SentinelConnectionPool(  # type: ignore[no-untyped-call]
            address.primary,
            self._sentinel,
            connection_class=_SecureToPrimary if secure else _PlainToPrimary,
            **settings,
        )

    def distrust(self) -> None:
        """Make all connections that are idle now anew before they are used. A plain call."""
        self._trust.since = time.monotonic()

    async def aclose(self) -> None:
        """Close all connections."""
        await self.connections.disconnect()
        if self._sentinel is not None:
            for each in self._sentinel.sentinels:
                await each.connection_pool.disconnect()


class _Sentinels(Sentinel):
    """The Sentinels, which know the primary. The one that named it last is asked first."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """The address of the primary, by the first Sentinel that knows it.

        If one is silent for `NEXT_SENTINEL_S`, the next one is asked as well: one after another
        would take `SENTINEL_S` for each that hangs, and an operation's whole time if several do.
        Once the primary is known, the questions that are still open are cancelled. If no Sentinel
        knows it, raises the error with which one refused, or `MasterNotFoundError`.
        """
        ahead = [*self.sentinels]
        silent: list[exceptions.RedisError] = []
        refused: list[exceptions.RedisError] = []
        asked: dict[asyncio.Task[tuple[str, int] | None], Redis] = {}
        try:
            while ahead or asked:
                if ahead:
                    one = ahead.pop(0)
                    asked[asyncio.create_task(self._told(one, service_name))] = one
                done, _ = await asyncio.wait(
                    asked,
                    timeout=NEXT_SENTINEL_S if ahead else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in done:
                    one = asked.pop(task)
                    try:
                        address = task.result()
                    except (exceptions.ConnectionError, exceptions.TimeoutError) as error:
                        silent.append(error)
                        continue
                    except exceptions.RedisError as error:
                        refused.append(error)
                        continue
                    if address is not None:
                        self.sentinels.remove(one)
                        self.sentinels.insert(0, one)
                        return address
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        if refused:
            raise refused[0]
        raise MasterNotFoundError(
            f"no Sentinel that answers knows the primary {service_name!r}"
        ) from (silent[0] if silent else None)

    async def _told(self, sentinel: Redis, service_name: str) -> tuple[str, int] | None:
        """The primary's address by a Sentinel; None if it does not know it. Raises `RedisError`."""
        told: Any = await sentinel.sentinel_masters()
        state = told.get(service_name)
        if not state or not self.check_master_state(state, service_name):
            return None
        return state["ip"], state["port"]


@dataclass(slots=True)
class _Trust:
    """Tells which connections must be made anew: those last used before `since` (monotonic).

    `tls` is the one TLS context of all: making one takes 50 ms of the loop.
    """

    since: float = float("-inf")
    tls: Any = None


class _Aging(AbstractConnection):
    """A connection that is made anew if it has been idle for too long when it is taken from the
    pool."""

    def __init__(self, *, trust: _Trust, **settings: Any) -> None:
        super().__init__(**settings)
        self._trust = trust
        self._taken_at = float("-inf")

    async def connect(self) -> None:
        now = time.monotonic()
        if self.is_connected and self._taken_at <= max(now - IDLE_S, self._trust.since):
            await self.disconnect(nowait=True)
        await super().connect()  # type: ignore[no-untyped-call]
        self._taken_at = now


class _PlainConnection(_Aging, Connection):
    pass


class _Secure(_Aging, SSLConnection):
    def __init__(self, *, trust: _Trust, **settings: Any) -> None:
        super().__init__(trust=trust, **settings)
        trust.tls = self.ssl_context = trust.tls or self.ssl_context


class _PlainToPrimary(_Aging, SentinelManagedConnection):
    pass


class _SecureToPrimary(_Secure, SentinelManagedSSLConnection):
    pass
