"""Delivers events to webhooks, from one process at a time, while requests go on.

The processes on a store agree by a lease on which of them delivers; another one takes over when it
has ended. What is done is stored over the version that was read, so that a process which was only
held up stops. Nothing waits for a delivery: events are read from the store, twice a second.
"""

import asyncio
import contextlib
import json
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Final

from gateway.events.dead_letters import DeadLetter
from gateway.events.deliveries import Deliveries, DeliveryPolicy
from gateway.events.event import EVENT_KIND, OutboxEvent, events_of
from gateway.events.sending import Post
from gateway.events.webhooks_file import Webhook
from gateway.store import Conflict, Store, StoreClosed, StoreError, put_if_absent

logger = logging.getLogger("parley.webhooks")

LEASE_KEY: Final = "webhooks-lease"
LEASE_S: Final = 10.0
RENEW_S: Final = 3.0

POLL_S: Final = 0.5
"""How long an event waits at most until it is read."""

STORE_S: Final = 0.25
"""How often at most it is stored what is done: so much is delivered twice after a sudden end."""

AGAIN_S: Final = 1.0
"""After the store did not work."""

PAGE: Final = 100


@dataclass(slots=True)
class WebhookProgress:
    """What is known of one webhook's deliveries, as it is stored. Times are since the epoch."""

    at: int = 0
    done: tuple[int, ...] = ()
    waiting: int = 0
    delivered: int = 0
    failures: int = 0
    given_up: int = 0
    delivered_at: float | None = None
    failed_at: float | None = None
    problem: str = ""


async def progress_of(store: Store, name: str) -> tuple[WebhookProgress, int] | None:
    """What is stored of a webhook, and its version; None if nothing is. Raises `StoreError`."""
    entry = await store.get(_key(name))
    if entry is None:
        return None
    return WebhookProgress(**json.loads(entry.value)), entry.version


class WebhookDelivery:
    """The deliveries of a process, while `running` lasts.

    `clock` gives seconds since the epoch, `chance` numbers from 0 up to 1.
    """

    def __init__(
        self,
        store: Store,
        webhooks: tuple[Webhook, ...],
        post: Post,
        *,
        policy: DeliveryPolicy | None = None,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._webhooks = webhooks
        self._post = post
        self._policy = policy or DeliveryPolicy()
        self._clock = clock
        self._chance = chance
        self._token = secrets.token_hex(8).encode()
        self._lease: int | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver while the block lasts. A failure of the store never fails the block."""
        delivering = asyncio.create_task(self._run())
        try:
            yield
        finally:
            delivering.cancel()
            await asyncio.wait([delivering])

    async def _run(self) -> None:
        begun = False
        while True:
            wait_s = AGAIN_S
            try:
                if not begun:
                    await self._begin()
                    begun = True
                if await self._leads():
                    await self._deliver()
                else:
                    wait_s = RENEW_S
            except Exception as error:
                match _first(error):
                    case StoreClosed():
                        return
                    case StoreError() as reason:
                        logger.warning("webhooks wait: %s", reason)
                    case _:  # whatever it is: the next round may do better
                        logger.exception("webhooks wait")
            await asyncio.sleep(wait_s)

    async def _begin(self) -> None:
        """Let each new webhook begin with what happens from now on, whoever delivers to it."""
        newest = await self._store.page(EVENT_KIND, limit=1)
        at = newest.entries[0][1].version if newest.entries else 0
        for webhook in self._webhooks:
            value = _value(WebhookProgress(at=at))
            await put_if_absent(self._store, _key(webhook.name), value)

    async def _leads(self) -> bool:
        """Take or renew the lease. Whether this process has it now."""
        try:
            if self._lease is None:
                entry = await self._store.get(LEASE_KEY)
                if entry is not None:
                    return False
            self._lease = await self._store.put(
                LEASE_KEY, self._token, expect=self._lease, ttl_s=LEASE_S
            )
        except Conflict:
            self._lease = None
        return self._lease is not None

    async def _deliver(self) -> None:
        """Deliver as long as this process has the lease."""
        logger.info("this process delivers to webhooks")
        ended = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                for webhook in self._webhooks:
                    group.create_task(self._serve(webhook, ended))
                try:
                    leads = True
                    while leads:
                        await asyncio.sleep(RENEW_S)
                        leads = await self._leads()
                finally:
                    ended.set()
        finally:
            lease, self._lease = self._lease, None
            if lease is not None:
                await self._give_up()

    async def _give_up(self) -> None:
        try:
            await self._store.delete(LEASE_KEY)
        except StoreError as error:
            logger.info("the lease of webhooks was not given up: %s", error)

    async def _serve(self, webhook: Webhook, ended: asyncio.Event) -> None:
        found = await progress_of(self._store, webhook.name)
        assert found is not None  # `_begin` has made it, and nobody deletes it
        await _Serving(self, webhook, *found, ended).run()

    # --- what one webhook's deliveries use -----------------------------------------------------

    @property
    def store(self) -> Store:
        return self._store

    @property
    def policy(self) -> DeliveryPolicy:
        return self._policy

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock()

    def chance(self) -> float:
        """A number from 0 up to 1."""
        return self._chance()

    async def attempt(self, webhook: Webhook, event: OutboxEvent) -> tuple[str, float]:
        """One attempt: what was wrong, and when to come back."""
        sent = await self._post(webhook, event)
        return sent.problem, sent.retry_after_s


class _Serving:
    """One webhook's deliveries, as long as this process has the lease."""

    def __init__(
        self,
        of: WebhookDelivery,
        webhook: Webhook,
        progress: WebhookProgress,
        version: int,
        ended: asyncio.Event,
    ) -> None:
        self._of = of
        self._webhook = webhook
        self._progress = progress
        self._version = version
        self._ended = ended
        self._deliveries = Deliveries(of.policy, webhook.types, progress.at, progress.done)
        self._changed = asyncio.Event()
        self._dirty = False
        self._stored_at = 0.0
        self._attempts: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        now = asyncio.get_running_loop().time
        read_at = -POLL_S
        try:
            async with asyncio.TaskGroup() as attempts:
                while not self._ended.is_set():
                    self._changed.clear()
                    if self._deliveries.has_room and now() >= read_at + POLL_S:
                        more = await self._read()
                        read_at = now() - POLL_S if more else now()
                    for event in self._deliveries.due(now()):
                        attempts.create_task(self._attempt(event))
                    if self._dirty and now() >= self._stored_at + STORE_S:
                        await self._store_progress()
                    await self._wait(read_at + POLL_S)
        finally:
            if self._dirty:
                with contextlib.suppress(StoreError):  # then it is delivered twice
                    await self._store_progress()

    async def _wait(self, read_at: float) -> None:
        due = [self._deliveries.next_due()]
        if self._deliveries.has_room:
            due.append(read_at)
        if self._dirty:
            due.append(self._stored_at + STORE_S)
        # The lease may end meanwhile, so this never waits long.
        limit = asyncio.get_running_loop().time() + POLL_S
        until = min([limit, *(at for at in due if at is not None)])
        try:
            async with asyncio.timeout_at(until):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _read(self) -> bool:
        """Read the events that came next. Whether there may be more."""
        page = await self._of.store.since(EVENT_KIND, after=self._deliveries.read_to, limit=PAGE)
        if page.next is None:
            return False
        before = self._deliveries.at
        self._deliveries.take(events_of(page), page.next)
        self._dirty = self._dirty or self._deliveries.at != before
        return True

    async def _attempt(self, event: OutboxEvent) -> None:
        now = asyncio.get_running_loop().time
        deliveries, progress = self._deliveries, self._progress
        tries = deliveries.tried_before(event)
        if tries and await self._erased(event):
            deliveries.settle(event)
        else:
            problem, retry_after_s = await self._of.attempt(self._webhook, event)
            if not problem:
                deliveries.taken(event, now(), self._of.chance())
                progress.delivered += 1
                progress.delivered_at = self._of.now()
            else:
                progress.failures += 1
                progress.problem, progress.failed_at = problem, self._of.now()
                level = logging.INFO if tries else logging.WARNING
                name = self._webhook.name
                logger.log(level, "webhook %s did not take %s: %s", name, event.id, problem)
                age_s = self._of.now() - event.at
                if deliveries.failed(
                    event,
                    now(),
                    age_s=age_s,
                    chance=self._of.chance(),
                    retry_after_s=retry_after_s,
                ):
                    await self._bury(event, problem, tries + 1)
        self._dirty = True
        self._changed.set()

    async def _erased(self, event: OutboxEvent) -> bool:
        """Whether the event is not there any more: its session was deleted."""
        try:
            return await self._of.store.get(event.key) is None
        except StoreError:
            return False

    async def _bury(self, event: OutboxEvent, problem: str, tries: int) -> None:
        """Keep an event that is given up as a dead letter, before it counts as done."""
        letter = DeadLetter(self._webhook.name, event, problem, tries, self._of.now())
        try:
            if await self._of.store.get(event.key) is not None:
                await letter.keep(self._of.store)
                self._progress.given_up += 1
                logger.error("webhook %s never took %s: %s", letter.webhook, event.id, problem)
        except StoreError:
            self._deliveries.postpone(event, asyncio.get_running_loop().time() + AGAIN_S)
        else:
            self._deliveries.settle(event)

    async def _store_progress(self) -> None:
        """Store what is done. Raises `Conflict` where another process delivers by now."""
        self._dirty = False
        self._stored_at = asyncio.get_running_loop().time()
        progress, deliveries = self._progress, self._deliveries
        progress.at, progress.done = deliveries.at, tuple(deliveries.done)
        progress.waiting = deliveries.open
        try:
            self._version = await self._of.store.put(
                _key(self._webhook.name), _value(progress), expect=self._version
            )
        except StoreError:
            self._dirty = True
            raise


def _first(error: BaseException) -> BaseException:
    """The first error of a group, or the error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _key(name: str) -> str:
    return f"webhook:{name}"


def _value(progress: WebhookProgress) -> bytes:
    return json.dumps(asdict(progress)).encode()
