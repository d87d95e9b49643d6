"""The one door to state that outlives a process: entries changed by compare-and-set, and logs.

::

    StoreError
    ├── Conflict              the entry is not at the version that the writer had read
    ├── StoreUnavailable      the storage does not work now; the text says what to do
    └── StoreClosed           `aclose` has been called

A write that is cancelled has either happened as a whole or not at all; who must know reads again.
"""

from dataclasses import dataclass
from typing import Protocol


class StoreError(Exception):
    """Base of what a store raises."""


class Conflict(StoreError):
    """Somebody else changed the entry first. Read it again, decide again, write again.

    `expect` is the version that the writer relied on, None where the entry should not have existed.
    """

    def __init__(self, key: str, expect: int | None) -> None:
        super().__init__(key, expect)
        self.key = key
        self.expect = expect

    def __str__(self) -> str:
        if self.expect is None:
            return f"{self.key!r} exists already"
        return f"{self.key!r} is no longer at version {self.expect}"


class StoreUnavailable(StoreError):
    """The storage cannot be used: full, locked, damaged, not permitted or overloaded."""


class StoreClosed(StoreError):
    """The store was closed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored value. Versions only grow, and no version of a key is ever used twice."""

    value: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Put:
    """Write an entry: `expect` None means that it must not exist, n that it is at version n.

    It lives for `ttl_s` seconds from now, or until it is deleted where that is None.
    """

    key: str
    value: bytes
    expect: int | None
    ttl_s: float | None = None


@dataclass(frozen=True, slots=True)
class Append:
    """Add an item to a log, which is made by its first item.

    The whole log now lives for `ttl_s` seconds, or until it is deleted where that is None.
    """

    log: str
    item: bytes
    ttl_s: float | None = None


class Store(Protocol):
    """Entries and logs by name. Every method raises `StoreUnavailable` and `StoreClosed`."""

    async def get(self, key: str) -> Entry | None:
        """The entry, or None where it does not exist or has expired."""

    async def put(
        self, key: str, value: bytes, *, expect: int | None, ttl_s: float | None = None
    ) -> int:
        """Write an entry as `Put` says and return its new version. Raises `Conflict`."""

    async def delete(self, key: str) -> None:
        """Forget the entry and the log of that name, where they exist."""

    async def append(self, log: str, item: bytes, *, ttl_s: float | None = None) -> int:
        """Add an item as `Append` says and return its position, counting from 1."""

    async def read(self, log: str, after: int = 0) -> list[tuple[int, bytes]]:
        """The items behind position `after`, with their positions."""

    async def commit(self, *writes: Put | Append) -> tuple[int, ...]:
        """Do all the writes or none of them; a version or a position for each. Raises `Conflict`.

        When this returns, the writes survive the death of the process.
        """

    async def aclose(self) -> None:
        """Finish the writes under way and let go of the storage. Idempotent."""
