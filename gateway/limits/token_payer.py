"""Counts tokens of calls, and keeps those that cannot be counted until the store answers again.

A task of its own counts what is owed, one after the other, so that no call waits for the tokens of
others.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from gateway.limits.asked_store import PAUSE_S, AskedStore, NotCounted
from gateway.limits.owed_tokens import OwedTokens, TokenDebts
from gateway.limits.token_counting import TokenCounting
from gateway.limits.token_quotas import TokenQuota

logger = logging.getLogger("parley.limits")

LAST_S: Final = 1.0
"""How long the end of the process waits for what is owed."""


class TokenPayer:
    """Counts tokens at once, or owes them and counts them while `running` lasts.

    `asked` is the store as the calls see it. Belongs to one event loop.
    """

    def __init__(self, counting: TokenCounting, asked: AskedStore) -> None:
        self._counting = counting
        self._asked = asked
        self._owed = TokenDebts()
        self._wake = asyncio.Event()

    @property
    def owed(self) -> int:
        """The calls whose tokens are not counted yet, without the one that is being counted."""
        return len(self._owed)

    async def count(self, quotas: Sequence[TokenQuota], tokens: int, at: float) -> None:
        """Count the tokens of a call in the periods of `at`, or owe them, also where this is
        cancelled. The store is waited for as long as `AskedStore` does."""
        debt = OwedTokens(secrets.token_hex(8), quotas, tokens, at)
        if await self._counted(debt):
            self._counting.forget(debt.id)
            self.answered()

    def answered(self) -> None:
        """The store has answered: what is owed need wait no longer. A plain call."""
        if self._owed:
            self._wake.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Count what is owed while the block lasts, and for `LAST_S` after it."""
        paying = asyncio.create_task(self._run())
        try:
            yield
        finally:
            paying.cancel()
            await asyncio.wait([paying])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_S):
                    await self._pay()
            if self._owed:
                logger.warning("the tokens of %d calls are never counted", len(self._owed))

    async def _run(self) -> None:
        while True:
            await self._pay()
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_S if self._owed else None):
                    await self._wake.wait()

    async def _pay(self) -> None:
        """Count what is owed, the oldest first, as long as the store answers."""
        try:
            while (debt := self._owed.take()) is not None:
                if not await self._counted(debt, first=True):
                    return
        except Exception:  # whatever it is: the next round may do better
            logger.exception("tokens of calls are not counted yet")

    async def _counted(self, debt: OwedTokens, *, first: bool = False) -> bool:
        """Count tokens; whether they are. Otherwise they are owed, also where it is cancelled: they
        may have been counted, and are not counted twice."""
        add = partial(self._counting.add, debt.quotas, debt.tokens, debt.at, debt.id)
        try:
            await self._asked.ask(add, anyway=True)
        except BaseException as error:
            self._owe(debt, first=first)
            if isinstance(error, NotCounted):
                return False
            raise
        return True

    def _owe(self, debt: OwedTokens, *, first: bool) -> None:
        if (lost := self._owed.owe(debt, first=first)) is not None:
            logger.warning("%d tokens of a call are never counted", lost.tokens)
        if len(self._owed) == 1:  # the task does not look by itself while nothing is owed
            self._wake.set()
