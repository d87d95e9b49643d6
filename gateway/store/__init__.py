"""Storage for what another process may need: sessions, transcripts, who owns a live session."""

from pathlib import Path

from gateway.store.protocol import (
    Append,
    Conflict,
    Entry,
    Keep,
    Page,
    Put,
    Store,
    StoreClosed,
    StoreError,
    StoreUnavailable,
    Write,
    put_if_absent,
)
from gateway.store.sqlite import SqliteStore

__all__ = [
    "Append",
    "Conflict",
    "Entry",
    "Keep",
    "Page",
    "Put",
    "SqliteStore",
    "Store",
    "StoreClosed",
    "StoreError",
    "StoreUnavailable",
    "Write",
    "put_if_absent",
    "store_at",
]


def store_at(database: Path, redis_url: str | None) -> Store:
    """The store in Redis where there is a URL for it, otherwise the one in the SQLite file.

    It is opened when it is first used. Raises `StoreUnavailable` where the client for Redis is not
    installed.
    """
    if redis_url is None:
        return SqliteStore(database)
    try:
        from gateway.store.redis import RedisStore
    except ModuleNotFoundError as error:
        raise StoreUnavailable(
            "REDIS_URL needs the client for Redis: pip install 'parley-gateway[redis]'"
        ) from error
    return RedisStore(redis_url)
