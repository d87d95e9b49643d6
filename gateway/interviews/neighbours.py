"""Compares the release and settings that each process on a store writes to its lease.

Sessions pass from one process to another, so the process that starts later logs the differences.
Nothing is refused: gateways get another release, or other settings, one after the other, and
processes of either release read the records of the other.
"""

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gateway import __version__
from gateway.interviews.keys import LEASE_KIND, lease_key
from gateway.settings import Settings
from gateway.store import Store, StoreError

logger = logging.getLogger("parley.neighbours")

MOST = 200
"""The largest number of leases that are compared."""

LIMIT_S = 2.0
"""How long a start waits for the store's answer."""

CLOCK_S = 2.0
"""This machine's clock may differ from the store's by this much; a larger difference is logged."""


@runtime_checkable
class Timed(Protocol):
    """A store with a clock of its own."""

    async def clock_s(self) -> float:
        """The store's time, in seconds since 1970."""
        ...


@dataclass(frozen=True, slots=True)
class Traits:
    """The release of a process, and the settings that a session should find in every process."""

    version: str
    settings: Mapping[str, int]

    @classmethod
    def here(cls, settings: Settings) -> "Traits":
        """The release and the settings of this process."""
        return cls(
            __version__,
            {
                "SESSION_TTL": settings.session_ttl_s,
                "PARLEY_RESUME_S": settings.resume_s,
                "PARLEY_BUDGET_MS": settings.budget_ms,
            },
        )

    def told(self) -> bytes:
        """The traits as JSON, for the lease."""
        return json.dumps({"version": self.version, "settings": {**self.settings}}).encode()

    def differences(self, lease: bytes) -> list[str]:
        """The differences from the process of this lease, one sentence each."""
        try:
            told = json.loads(lease)
            version, settings = str(told["version"])[:40], dict(told["settings"])
        except (ValueError, KeyError, TypeError, RecursionError):
            version, settings = "another, which does not say its number", {}
        found = []
        if version != self.version:
            found.append(
                f"a process on this store is of version {version}, this one of {self.version}:"
                " sessions pass from one to the other; bring all to the same release"
            )
        for name, value in self.settings.items():
            theirs = settings.get(name, value)
            if theirs != value:
                found.append(
                    f"a process on this store has {name}={str(theirs)[:40]}, this one {value}: what"
                    " holds for a session is what the process has that it reaches"
                )
        return found


async def compare(store: Store, own_token: str, own: Traits) -> None:
    """Log once how the other processes and the store's clock differ from this process.

    If the store does not work, nothing is raised.
    """
    try:
        async with asyncio.timeout(LIMIT_S):
            leases = (await store.page(LEASE_KIND, limit=MOST)).entries
            ahead_s = time.time() - await store.clock_s() if isinstance(store, Timed) else 0.0
    except (StoreError, TimeoutError) as error:
        why = str(error) or f"it does not answer within {LIMIT_S:g} s"
        logger.info("the other processes on this store are not known: %s", why)
        return
    own_key = lease_key(own_token)
    told = (own.differences(entry.value) for key, entry in leases if key != own_key)
    for sentence in dict.fromkeys(each for one in told for each in one):
        logger.warning("%s", sentence)
    if abs(ahead_s) > CLOCK_S:
        logger.warning(
            "the clock of this machine is %.0f s %s that of the store: sessions that pass between"
            " machines end so much too %s, and tokens and links with a time hold otherwise than"
            " they say; have both follow one clock (NTP)",
            abs(ahead_s),
            "ahead of" if ahead_s > 0 else "behind",
            "early" if ahead_s > 0 else "late",
        )
