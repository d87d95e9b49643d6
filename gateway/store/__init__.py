"""Storage for what another process may need: sessions, transcripts, who owns a live session."""

from gateway.store.protocol import (
    Append,
    Conflict,
    Entry,
    Put,
    Store,
    StoreClosed,
    StoreError,
    StoreUnavailable,
)
from gateway.store.sqlite import SqliteStore

__all__ = [
    "Append",
    "Conflict",
    "Entry",
    "Put",
    "SqliteStore",
    "Store",
    "StoreClosed",
    "StoreError",
    "StoreUnavailable",
]
