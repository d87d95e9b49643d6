"""Storage for state that other processes need: sessions, transcripts, owners of live sessions."""

from pathlib import Path

from gateway.store.protocol import (
    Append,
    Conflict,
    Entry,
    Keep,
    Page,
    Put,
    Store,
    StoreBusy,
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
    "StoreBusy",
    "StoreClosed",
    "StoreError",
    "StoreUnavailable",
    "Write",
    "put_if_absent",
    "store_at",
]


def store_at(database: Path, redis_url: str | None) -> Store:
    """The store in Redis if there is a URL for it, otherwise the one in the SQLite file.

    It opens on first use. Raises `StoreUnavailable` if the client for Redis is not installed.
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
