"""The progress of the deliveries to a webhook, as it is stored.

Its entry is about nobody: a session may have the name of a webhook as its id, and what is deleted
with that session is not how far the webhook has come.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, fields

from gateway.events.event import EVENT_KIND
from gateway.store import Put, Store, put_if_absent


@dataclass(slots=True)
class WebhookProgress:
    """The state of one webhook's deliveries. Times are since the epoch."""

    at: int = 0
    done: tuple[int, ...] = ()
    waiting: int = 0
    delivered: int = 0
    failures: int = 0
    given_up: int = 0
    delivered_at: float | None = None
    failed_at: float | None = None
    problem: str = ""
    off_at: float | None = None
    """When the receiver said that it is gone."""
    off_url: str = ""
    """A digest of the URL that said so: its name in the file may get another one."""

    def off(self, url: str) -> bool:
        """Whether nothing is sent to this URL, which is gone."""
        return self.off_at is not None and self.off_url == _digest(url)

    def switch_off(self, url: str, at: float) -> None:
        """Send nothing more to this URL. `at` is now, since the epoch."""
        self.off_at, self.off_url = at, _digest(url)

    def switch_on(self) -> None:
        """Send events again, from where it was switched off."""
        self.off_at, self.off_url = None, ""

    def put(self, name: str, version: int | None) -> Put:
        """The write that stores it over `version`."""
        return Put(_key(name), json.dumps(asdict(self)).encode(), version, None, "")


async def progress_of(store: Store, name: str) -> tuple[WebhookProgress, int] | None:
    """The stored progress of a webhook, and its version; None without it. Raises `StoreError`."""
    entry = await store.get(_key(name))
    if entry is None:
        return None
    known = {field.name for field in fields(WebhookProgress)}  # a newer version may have others
    said = {name: value for name, value in json.loads(entry.value).items() if name in known}
    return WebhookProgress(**said), entry.version


async def begin(store: Store, name: str) -> tuple[WebhookProgress, int]:
    """The stored progress of a webhook, and its version. A webhook without one gets one that
    begins after the newest event. Raises `StoreError`."""
    while (found := await progress_of(store, name)) is None:
        newest = await store.page(EVENT_KIND, limit=1)
        at = newest.entries[0][1].version if newest.entries else 0
        put = WebhookProgress(at=at).put(name, None)
        await put_if_absent(store, put.key, put.value, about=put.about)
    return found


async def switch_on(store: Store, name: str) -> None:
    """Send events to a webhook again that is gone. Raises `StoreError`, `Conflict` among them."""
    found = await progress_of(store, name)
    if found is not None and found[0].off_at is not None:
        found[0].switch_on()
        await store.commit(found[0].put(name, found[1]))


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


def _key(name: str) -> str:
    return f"webhook:{name}"
