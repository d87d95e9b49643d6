"""The store of state that outlives a process: entries changed by compare-and-set, and logs.

A name is `kind:subject`, or `kind:subject:rest` if there are several: `session:a`, `transcript:a`,
`answer:a:3`. Entries are listed by kind, and everything about a subject is erased together. A name
without a colon is a kind without a subject.

::

    StoreError
    ├── Conflict              the entry is not at the version that the writer had read
    ├── StoreUnavailable      the storage does not work now; the text says what to do
    │   └── StoreBusy         too many operations of this process wait for it already
    └── StoreClosed           `aclose` has been called

A write that is cancelled or ends in `StoreUnavailable` has happened either as a whole or not at
all; to find out, read again.
"""

from dataclasses import dataclass
from typing import Protocol


class StoreError(Exception):
    """Base of the errors of a store."""


class Conflict(StoreError):
    """Another writer changed the entry first. Read it again, decide again, write again.

    `expect` is the version that the writer relied on, None if the entry should not have existed;
    `found` is the entry's version, None if it does not exist.
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
    """The storage cannot be used: unreachable, full, locked, damaged, forbidden or overloaded."""


class StoreBusy(StoreUnavailable):
    """The operation was not begun: too many operations of this process wait already."""


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

    It lives for `ttl_s` seconds from now; None: until it is deleted. It is erased with the subject
    `about`; None: with the key's own subject.
    """

    key: str
    value: bytes
    expect: int | None
    ttl_s: float | None = None
    about: str | None = None


@dataclass(frozen=True, slots=True)
class Append:
    """Add an item to a log; the first item makes the log.

    The whole log then lives for `ttl_s` seconds from now; None: until it is deleted.
    """

    log: str
    item: bytes
    ttl_s: float | None = None


@dataclass(frozen=True, slots=True)
class Keep:
    """Renew the entry and the log of that name, if they exist, for `ttl_s` seconds from now.

    None: until they are deleted. Versions do not change.
    """

    name: str
    ttl_s: float | None


Write = Put | Append | Keep


@dataclass(frozen=True, slots=True)
class Page:
    """Entries with their keys, newest first.

    `next` is the start of the next page, None at the end. A page may be shorter than the limit
    although others follow.
    """

    entries: tuple[tuple[str, Entry], ...]
    next: int | None


class Store(Protocol):
    """Entries and logs by name. Every method raises `StoreUnavailable` and `StoreClosed`."""

    @property
    def kind(self) -> str:
        """The kind of store in one word, for people: "sqlite" or "redis"."""

    async def get(self, key: str) -> Entry | None:
        """The entry, or None if it does not exist or has expired."""

    async def put(
        self, key: str, value: bytes, *, expect: int | None, ttl_s: float | None = None
    ) -> int:
        """Write an entry as `Put` says and return its new version. Raises `Conflict`."""

    async def delete(self, key: str) -> None:
        """Delete the entry and the log of that name, if they exist."""

    async def append(self, log: str, item: bytes, *, ttl_s: float | None = None) -> int:
        """Add an item as `Append` says and return its position, counting from 1."""

    async def read(self, log: str, after: int = 0) -> list[tuple[int, bytes]]:
        """The items after position `after`, with their positions."""

    async def commit(self, *writes: Write) -> tuple[int, ...]:
        """Do all the writes or none of them. Raises `Conflict`.

        Returns a version for each `Put`, a position for each `Append` and 0 for each `Keep`. When
        this returns, the writes survive the death of the process. A key may be put only once in
        one commit.
        """

    async def page(self, kind: str, *, limit: int, before: int | None = None) -> Page:
        """The entries of a kind, newest first: at most `limit`, from `before` (a page's `next`) on.

        Writing an entry again does not change its order, so no entry is listed twice.
        """

    async def since(self, kind: str, *, after: int, limit: int) -> Page:
        """The entries of a kind that came after the position `after`, oldest first, to `limit`.

        An entry's position is its first version, so none that is committed later comes before one
        that was read. `next` is the position to go on from, None if no entry came after.
        """

    async def erase(self, subject: str) -> int:
        """Delete all entries and logs about a subject in one step, and return their number.

        Raises `ValueError` for the empty subject.
        """

    async def ping(self) -> None:
        """Return when the storage has answered."""

    async def aclose(self) -> None:
        """Finish the writes under way and close the storage. Idempotent."""


def kind_of(name: str) -> str:
    """The kind with which a name begins."""
    return name.partition(":")[0]


def subject_of(name: str) -> str:
    """The subject of a name, empty if it has none."""
    return name.partition(":")[2].partition(":")[0]


def about(write: Put | Append) -> str:
    """The subject of a write, empty if it has none."""
    if isinstance(write, Append):
        return subject_of(write.log)
    return subject_of(write.key) if write.about is None else write.about


def check_subject(subject: str) -> None:
    """Raise `ValueError` for the empty subject: names without a subject are not erased together."""
    if not subject:
        raise ValueError("names without a subject cannot be erased together: give a subject")


async def put_if_absent(
    store: Store, key: str, value: bytes, *, ttl_s: float | None = None, about: str | None = None
) -> Entry | None:
    """Store an entry if there is none, and return None; otherwise return the existing entry.

    Of several concurrent calls one stores its entry, and the others return that one.
    """
    while True:
        try:
            await store.commit(Put(key, value, None, ttl_s, about))
        except Conflict:
            if (entry := await store.get(key)) is not None:
                return entry
            # The other entry has expired or was deleted in between.
        else:
            return None
