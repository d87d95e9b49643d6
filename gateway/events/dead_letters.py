"""Dead letters: events that a webhook did not take, kept for `LETTER_KEPT_S` or until it does."""

import json
from dataclasses import dataclass
from typing import Final

from gateway.events.event import OutboxEvent
from gateway.store import Store, put_if_absent

LETTER_KIND: Final = "dead-letter"
LETTER_KEPT_S: Final = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a webhook did not take in `tries` tries; `at` is when it was given up, in
    seconds since the epoch, and `reason` why the last try failed."""

    webhook: str
    event: OutboxEvent
    reason: str
    tries: int
    at: float

    @property
    def id(self) -> str:
        """The id that names it."""
        return f"{self.webhook}.{self.event.id}"

    async def keep(self, store: Store) -> None:
        """Store it, once; it is erased with its session. Raises `StoreError`."""
        said = {
            "webhook": self.webhook,
            "event": json.loads(self.event.value),
            "reason": self.reason,
            "tries": self.tries,
            "at": self.at,
        }
        about = self.event.session_id or ""
        await put_if_absent(
            store, _key(self.id), json.dumps(said).encode(), ttl_s=LETTER_KEPT_S, about=about
        )


async def find_letter(store: Store, id: str) -> DeadLetter | None:
    """The dead letter of this id. Raises `StoreError`."""
    entry = await store.get(_key(id))
    return None if entry is None else _letter(entry.value)


async def newest_letters(store: Store, most: int) -> list[DeadLetter]:
    """The newest dead letters, the newest first. Raises `StoreError`."""
    page = await store.page(LETTER_KIND, limit=most)
    return [_letter(entry.value) for _, entry in page.entries]


async def drop_letter(store: Store, id: str) -> None:
    """It has been delivered after all. Raises `StoreError`."""
    await store.delete(_key(id))


def _key(id: str) -> str:
    return f"{LETTER_KIND}:{id}"


def _letter(value: bytes) -> DeadLetter:
    said = json.loads(value)
    event = OutboxEvent.parse(json.dumps(said["event"]).encode())
    return DeadLetter(said["webhook"], event, said["reason"], said["tries"], said["at"])
