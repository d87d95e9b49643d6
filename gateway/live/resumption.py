"""Resumption: a session whose line was lost is kept for a while, for a client with its token.

`Resumption` belongs to one connection. It makes the tokens, and waits for the client.
"""

import asyncio
import hashlib
import hmac
import logging
import math
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gateway.interviews.keys import SessionKeys
from gateway.live.sent_log import SentLog
from gateway.live.transport import Transport
from gateway.protocols.dialect import CloseCode
from gateway.protocols.request import ResumeRequest, SessionRequest
from gateway.store import Keep, Put, Store, StoreError

logger = logging.getLogger("parley.resume")

TOKEN = "pr_"
"""The first letters of every token; logs hide tokens by them."""

TOKEN_BYTES = 24

RENEWALS = 3
"""How many times within its lifetime a stored token is renewed."""

CONFIRM_S = 10.0
"""How long a used token stays valid: longer than a message takes to a client, or than a client
takes to connect again."""


@dataclass(frozen=True, slots=True)
class Line:
    """A client that has come back: its transport, its request with the token and the next token.

    `early` has the commands and audio that it has sent meanwhile; audio is as the transport has it.
    `over` gets the close code and the reason when the line ends.
    """

    transport: Transport[Any]
    request: SessionRequest
    token: str
    early: tuple[Any, ...]
    over: asyncio.Future[tuple[CloseCode, str]]


class Resumption:
    """The tokens of one session, and its client's return. With a `grace_s` of 0 no token is given.

    A token is random and valid for one return, in which the client gets the next one. Because the
    line may be lost again before the client has the next token, the used one stays valid for
    `CONFIRM_S`, in the process that gave it and in any other. Other processes check a token by its
    digest in the store. `come_back` takes the client's new line.
    """

    def __init__(
        self,
        store: Store,
        session_id: str,
        grace_s: float,
        come_back: Callable[[Line], None],
    ) -> None:
        self.log = SentLog() if grace_s > 0 else SentLog(messages=0)  # nobody can come back
        self.ends_at = math.inf
        """When the session has to end (a Unix time), in whatever process."""
        self.away = False
        """The line was lost, and the session waits for its client."""
        self._store = store
        self._session_id = session_id
        self._grace_s = grace_s
        self._come_back = come_back
        self._tokens: tuple[str, ...] = ()  # the newest first, and the one before
        self._confirmed_at = 0.0  # from then on the newest holds alone
        self._line: Line | None = None  # of a client that has come back
        self._waiting: asyncio.Future[bool] | None = None

    @property
    def offered(self) -> bool:
        return self._grace_s > 0

    async def new_token(self, lifetime_s: float, used: ResumeRequest | None) -> str:
        """The token for `ready`, also stored for `lifetime_s`; it follows the one that was `used`,
        which the store keeps for `CONFIRM_S`.

        While the store does not work, the token is valid in this process only.
        """
        token = TOKEN + secrets.token_urlsafe(TOKEN_BYTES)
        before = () if used is None else (used.token,)
        old = {*self._tokens}.difference(before)
        self._tokens = (token, *before)
        ends_at = str(self.ends_at).encode()
        put = Put(_key(self._session_id, token), ends_at, None, lifetime_s)
        kept = (Keep(_key(self._session_id, each), CONFIRM_S) for each in before)
        try:
            await self._store.commit(put, *kept)
            await self._delete(old)
        except StoreError as error:
            logger.info("session %s: its token is not stored: %s", self._session_id, error)
        return token

    async def next_token(self, lifetime_s: float, used: ResumeRequest) -> str:
        """Make the token for a client that is about to take the session. Until a client has taken
        it, the token that it came with stays valid, because its line may be lost before that."""
        self._confirmed_at = math.inf
        return await self.new_token(lifetime_s, used)

    def gave(self, token: str) -> bool:
        """Whether this is the newest token."""
        return self._tokens[:1] == (token,)

    async def renew(self, lifetime_s: float) -> None:
        """Keep the stored token until cancelled, because a session may last longer than it."""
        while True:
            await asyncio.sleep(lifetime_s / RENEWALS)
            newest = [_key(self._session_id, token) for token in self._tokens[:1]]
            try:
                await self._store.commit(*(Keep(key, lifetime_s) for key in newest))
            except StoreError as error:
                logger.info("session %s: its token was not renewed: %s", self._session_id, error)

    async def forget(self) -> None:
        """Make the session's tokens invalid in every process: the session is over."""
        tokens, self._tokens = self._tokens, ()
        try:
            await self._delete(tokens)
        except StoreError as error:
            logger.info("session %s: its token was not deleted: %s", self._session_id, error)

    def taken_with(self, token: str | None = None) -> None:
        """Leave this token, or all tokens if it is None, out of `forget`: another connection or
        process has the session now, and the token stays valid for a while."""
        self._tokens = tuple(each for each in self._tokens if token not in (None, each))

    async def _delete(self, tokens: Iterable[str]) -> None:
        for token in tokens:
            await self._store.delete(_key(self._session_id, token))

    def accepts(self, wanted: ResumeRequest, now: float) -> bool:
        """Whether the token is valid, and the client claims no more messages than were sent."""
        return self.holds(wanted.token, now) and 0 <= wanted.seq <= self.log.seq

    def holds(self, token: str, now: float) -> bool:
        """Whether this token is valid. The check takes the same time for every wrong token."""
        holding = self._tokens[: 1 if now >= self._confirmed_at else 2]
        given = token.encode(errors="replace")
        found = [hmac.compare_digest(given, known.encode()) for known in holding]
        return any(found)

    async def gone(
        self, transport: Callable[[], Transport[Any]], suspend: Callable[[], bool]
    ) -> None:
        """Return when the client has gone for good. May be cancelled.

        `transport` gives the one that it has now. `suspend` is called when its line was lost, and
        returns whether the session can wait for it.
        """
        while True:
            watched = transport()
            lost = await watched.gone() and self.offered
            if watched is not transport():
                continue  # the client has come back over another one
            if not (lost and suspend() and await self._returns()):
                return

    async def _returns(self) -> bool:
        """Wait for the client. False if it does not come in time."""
        self.hang_up()
        self.away = True
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._grace_s):
                return await self._waiting
        except TimeoutError:
            return False
        finally:
            self.away = False
            self._waiting = None

    def take(self, line: Line, now: float) -> None:
        """Take the line over which the client is back."""
        self.hang_up()
        self._line = line
        self._confirmed_at = now + CONFIRM_S
        self._come_back(line)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(True)

    def give_up(self) -> None:
        """Stop waiting for the client. Does nothing if it is not waited for."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(False)

    def hang_up(self, how: tuple[CloseCode, str] = (CloseCode.FINISHED, "")) -> None:
        """End the line of a client that had come back, if there is one."""
        if self._line is not None and not self._line.over.done():
            self._line.over.set_result(how)


async def knows(store: Store, session_id: str, wanted: ResumeRequest) -> float | None:
    """When the session has to end (a Unix time), if any process has given the token for it, even
    one that has ended; otherwise None.

    While the store does not work, no token is known.
    """
    try:
        entry = await store.get(_key(session_id, wanted.token))
    except StoreError as error:
        logger.info("session %s: its token cannot be looked up: %s", session_id, error)
        return None
    return None if entry is None else float(entry.value or "inf")  # b"": of an older version


def _key(session_id: str, token: str) -> str:
    digest = hashlib.sha256(token.encode(errors="replace")).hexdigest()
    return SessionKeys(session_id).resume(digest)
