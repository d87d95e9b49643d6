"""Delivers events to webhooks, to each from one process at a time, while requests go on.

The processes on a store agree by leases on which of them delivers to a webhook; another one takes
over when it has ended. What is done is stored over the version that was read, so that a process
which was only held up stops. Nothing waits for a delivery: events are read from the store, twice a
second. Webhooks do not wait for one another.
"""

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from gateway.events.dead_letters import DeadLetter, drop_letter
from gateway.events.deliveries import Deliveries, DeliveryPolicy
from gateway.events.event import EVENT_KIND, OutboxEvent, events_of
from gateway.events.sending import DeliveryOutcome, Post
from gateway.events.webhook_lease import RENEW_S, WebhookLease
from gateway.events.webhook_progress import WebhookProgress, begin
from gateway.events.webhooks_file import Webhook
from gateway.store import Store, StoreClosed, StoreError

logger = logging.getLogger("parley.webhooks")

POLL_S: Final = 0.5
"""How long an event waits at most until it is read."""

STORE_S: Final = 0.25
"""How often at most it is stored what is done: so much is delivered twice after a sudden end."""

AGAIN_S: Final = 1.0
"""After the store did not work."""

PAGE: Final = 100


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
        self.store = store
        self._webhooks = webhooks
        self.post = post
        self.policy = policy or DeliveryPolicy()
        self.clock = clock
        self.chance = chance
        self._token = secrets.token_hex(8).encode()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver while the block lasts. A failure of the store never fails the block.

        New webhooks get what happens in the block from its first line on; where the store does not
        work, nothing happens that they could miss.
        """
        with contextlib.suppress(StoreError):
            for webhook in self._webhooks:
                await begin(self.store, webhook.name)
        delivering = asyncio.create_task(self._run())
        try:
            yield
        finally:
            delivering.cancel()
            await asyncio.wait([delivering])

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for webhook in self._webhooks:
                group.create_task(self._serve(webhook))

    async def _serve(self, webhook: Webhook) -> None:
        """Deliver to one webhook, or be ready to take over."""
        lease = WebhookLease(self.store, webhook.name, self._token)
        while True:
            wait_s = AGAIN_S
            try:
                if await lease.held():
                    await self._deliver(webhook, lease)
                else:
                    wait_s = RENEW_S
            except Exception as error:
                match _first(error):
                    case StoreClosed():
                        return
                    case StoreError() as reason:
                        logger.warning("webhook %s waits: %s", webhook.name, reason)
                    case _:  # whatever it is: the next round may do better
                        logger.exception("webhook %s waits", webhook.name)
            await asyncio.sleep(wait_s)

    async def _deliver(self, webhook: Webhook, lease: WebhookLease) -> None:
        """Deliver as long as this process has the lease."""
        ended = asyncio.Event()
        try:
            progress, version = await begin(self.store, webhook.name)
            if progress.off(webhook.url):
                await asyncio.sleep(RENEW_S)  # it may be switched on again
                return
            progress.switch_on()  # where its URL was another one
            logger.info("this process delivers to the webhook %s", webhook.name)
            async with asyncio.TaskGroup() as group:
                group.create_task(_Serving(self, webhook, progress, version, ended).run())
                try:
                    leads = True
                    while leads and not ended.is_set():
                        await asyncio.sleep(RENEW_S)
                        leads = await lease.held()
                finally:
                    ended.set()
        finally:
            try:
                await lease.give_up()
            except StoreError as error:
                logger.info("the lease of %s was not given up: %s", webhook.name, error)


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
                if self._dirty:  # attempts that are under way may take a while
                    with contextlib.suppress(StoreError):
                        await self._store_progress()
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
        """Try an event once. Raises `StoreError`, which leaves the event to the next round."""
        if await self._of.store.get(event.key) is None:  # its session was deleted meanwhile
            self._deliveries.settle(event)
        else:
            sent = await self._of.post(self._webhook, event)
            if sent.problem:
                await self._failed(event, sent)
            else:
                now = asyncio.get_running_loop().time()
                self._deliveries.taken(event, now, self._of.chance())
                self._progress.delivered += 1
                self._progress.delivered_at = self._of.clock()
        self._dirty = True
        self._changed.set()

    async def _failed(self, event: OutboxEvent, sent: DeliveryOutcome) -> None:
        of, progress, name = self._of, self._progress, self._webhook.name
        tries = self._deliveries.tried_before(event)
        progress.failures += 1
        progress.problem, progress.failed_at = sent.problem, of.clock()
        if sent.gone:
            self._switch_off(event)
            return
        level = logging.INFO if tries else logging.WARNING
        logger.log(level, "webhook %s did not take %s: %s", name, event.id, sent.problem)
        given_up = self._deliveries.failed(
            event,
            asyncio.get_running_loop().time(),
            age_s=of.clock() - event.at,
            chance=of.chance(),
            retry_after_s=sent.retry_after_s,
        )
        if given_up:
            await self._bury(DeadLetter(name, event, sent.problem, tries + 1, of.clock()))

    def _switch_off(self, event: OutboxEvent) -> None:
        """Deliver nothing more to a receiver that is gone. The event waits, as those behind it."""
        name = self._webhook.name
        logger.error("webhook %s is gone (HTTP 410), and switched off: %s", name, event.id)
        self._progress.switch_off(self._webhook.url, self._of.clock())
        self._ended.set()

    async def _bury(self, letter: DeadLetter) -> None:
        """Keep an event that is given up as a dead letter, before it counts as done."""
        store, event = self._of.store, letter.event
        await letter.keep(store)
        if await store.get(event.key) is None:  # its session was deleted, maybe before the letter
            await drop_letter(store, letter.id)
        else:
            self._progress.given_up += 1
            logger.error("webhook %s never took %s: %s", letter.webhook, event.id, letter.reason)
        self._deliveries.settle(event)

    async def _store_progress(self) -> None:
        """Store what is done. Raises `Conflict` where another process delivers by now."""
        self._dirty = False
        self._stored_at = asyncio.get_running_loop().time()
        progress, deliveries = self._progress, self._deliveries
        progress.at, progress.done = deliveries.at, tuple(deliveries.done)
        progress.waiting = deliveries.open
        try:
            put = progress.put(self._webhook.name, self._version)
            (self._version,) = await self._of.store.commit(put)
        except BaseException:  # also where it was cancelled: it is stored at the end
            self._dirty = True
            raise


def _first(error: BaseException) -> BaseException:
    """The first error of a group, or the error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
