"""The one door to state that outlives a process: entries changed by compare-and-set, and logs.

A name is `kind:subject`, or `kind:subject:rest` where there are several: `session:a`,
`transcript:a`, `answer:a:3`. Entries are listed by their kind, and everything about a subject is
erased together. A name without a colon is a kind alone, about nobody.

::

    StoreError
    ├── Conflict              the entry is not at the version that the writer had read
    ├── StoreUnavailable      the storage does not work now; the text says what to do
    └── StoreClosed           `aclose` has been called

A write that is cancelled or ends in `StoreUnavailable` has either happened as a whole or not at
all; who must know reads again.
"""

from dataclasses import dataclass
from typing import Protocol


class StoreError(Exception):
    """Base of what a store raises."""


class Conflict(StoreError):
    """Somebody else changed the entry first. Read it again, decide again, write again.

    `expect` is the version that the writer relied on, None where the entry should not have existed;
    `found` is the version that it is at, None where it does not exist.
    """

    def __init__(self, key: str, expect: int | None, found: int | None) -> None:
        super().__init__(key, expect, found)
        self.key = key
        self.expect = expect
        self.found = found

    def __str__(self) -> str:
        if self.expect is None:
            return f"{self.key!r} exists already"
        if self.found is None:
            return f"{self.key!r} is no longer at version {self.expect}: it does not exist"
        return f"{self.key!r} is no longer at version {self.expect} but at {self.found}"


class StoreUnavailable(StoreError):
    """The storage cannot be used: away, full, locked, damaged, not permitted or overloaded."""


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

    It lives for `ttl_s` seconds from now, or until it is deleted where that is None. `about` is the
    subject with which it is erased, the key's own where that is None.
    """

    key: str
    value: bytes
    expect: int | None
    ttl_s: float | None = None
    about: str | None = None


@dataclass(frozen=True, slots=True)
class Append:
    """Add an item to a log, which is made by its first item.

    The whole log now lives for `ttl_s` seconds, or until it is deleted where that is None.
    """

    log: str
    item: bytes
    ttl_s: float | None = None


@dataclass(frozen=True, slots=True)
class Keep:
    """Let the entry and the log of that name, where they exist, live for `ttl_s` from now.

    They live until they are deleted where that is None. Versions do not change.
    """

    name: str
    ttl_s: float | None


Write = Put | Append | Keep


@dataclass(frozen=True, slots=True)
class Page:
    """Entries with their keys, the one made last first.

    `next` is where the next page begins, None at the end. A page may be shorter than was asked for
    although others follow.
    """

    entries: tuple[tuple[str, Entry], ...]
    next: int | None


class Store(Protocol):
    """Entries and logs by name. Every method raises `StoreUnavailable` and `StoreClosed`."""

    @property
    def kind(self) -> str:
        """What it is in one word, for people: "sqlite" or "redis"."""

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

    async def commit(self, *writes: Write) -> tuple[int, ...]:
        """Do all the writes or none of them. Raises `Conflict`.

        Returns a version for each `Put`, a position for each `Append` and 0 for each `Keep`. When
        this returns, the writes survive the death of the process. No key is put twice in one.
        """

    async def page(self, kind: str, *, limit: int, before: int | None = None) -> Page:
        """The entries of a kind, newest first: `limit` at most, from a page's `next` on.

        An entry keeps its place however often it is written, so nothing is listed twice.
        """

    async def erase(self, subject: str) -> int:
        """Forget all entries and logs about a subject, in one step; how many there were.

        Raises `ValueError` for the empty subject, which stands for nobody.
        """

    async def ping(self) -> None:
        """Return when the storage has answered."""

    async def aclose(self) -> None:
        """Finish the writes under way and let go of the storage. Idempotent."""


def kind_of(name: str) -> str:
    """The kind that a name begins with."""
    return name.partition(":")[0]


def subject_of(name: str) -> str:
    """The subject that a name is about, empty for nobody."""
    return name.partition(":")[2].partition(":")[0]


def about(write: Put | Append) -> str:
    """The subject that a write is about, empty for nobody."""
    if isinstance(write, Append):
        return subject_of(write.log)
    return subject_of(write.key) if write.about is None else write.about


def check_subject(subject: str) -> None:
    """Raise `ValueError` where a subject names nobody: what is about nobody is never erased."""
    if not subject:
        raise ValueError("what is about nobody cannot be erased together")


async def put_if_absent(
    store: Store, key: str, value: bytes, *, ttl_s: float | None = None, about: str | None = None
) -> Entry | None:
    """Store an entry where there is none, and return None; otherwise return the one that is there.

    Of several that try at once, one stores, and the others get what it stored.
    """
    while True:
        try:
            await store.commit(Put(key, value, None, ttl_s, about))
        except Conflict:
            if (entry := await store.get(key)) is not None:
                return entry
            # It went in between, by its lifetime or by somebody's hand.
        else:
            return None
