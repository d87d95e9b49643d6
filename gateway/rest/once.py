"""Idempotency keys: a repeated request gets the first response again and is not done twice.

A client that sends `Idempotency-Key` may repeat a POST whose response it never received. The first
request claims the key; its response is stored and returned to every request with the same key,
method, path and body, of the same client or for the same session. No other client gets it. A failed
attempt has changed nothing and releases the key, so that the next request is a new attempt. Keys
and responses are stored under the session and erased with it.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.interviews.keys import once_key
from gateway.interviews.sessions import SESSION_ID
from gateway.rest.problems import ANSWER_NOT_KEPT, INVALID_KEY, KEY_IN_USE, KEY_REUSED
from gateway.store import Conflict, Entry, Put, Store, StoreError

logger = logging.getLogger("parley.rest")

HEADER = "idempotency-key"
REPLAYED = "idempotency-replayed"

CLIENT = "parley.client"
"""The key of the client in a request's scope, if clients have to say who they are."""

KEY = re.compile(r"[!-~]{1,255}")

UNDER_WAY_S = 120.0
"""How long a claim lives if its process dies. No operation takes longer."""

LONGEST_KEPT_S = 24 * 3600.0

MOST_KEPT_BYTES = 256 * 1024
"""The largest body that is stored. A repeated request whose response was larger gets an error."""

OWN_HEADERS = ("content-length", "x-correlation-id")
"""Headers that are not stored but set anew in a repeated response."""


class Once:
    """Claims on idempotency keys in a store; responses are kept for `ttl_s`, at most a day."""

    def __init__(self, store: Store, ttl_s: float) -> None:
        self._store = store
        self._ttl_s = min(ttl_s, LONGEST_KEPT_S)

    async def claim(
        self, request: Request, sent: bytes, render: Callable[[Any], Response]
    ) -> "Claim | Response | None":
        """Claim the request's key, or get the stored response; None without a key.

        `sent` is the body, or its digest. Raises `INVALID_KEY`, `KEY_REUSED` and `KEY_IN_USE`.
        """
        given = request.headers.getlist(HEADER)
        if not given:
            return None
        if len(given) != 1 or KEY.fullmatch(given[0]) is None:
            raise INVALID_KEY("A key has 1 to 255 printable ASCII characters without spaces")
        about = request.path_params.get("id", "")
        if SESSION_ID.fullmatch(about) is None:
            about = ""
        # The clients of a session share its keys; elsewhere each has its own. A key has no space.
        client = "" if about else request.scope.get(CLIENT, "")
        owned = f"{client} {given[0]}" if client else given[0]
        name = once_key(request.method, request.scope["path"], owned)
        claim = Claim(self._store, name, about, _digest(sent), self._ttl_s, render)
        stored = await claim.begin()
        return claim if stored is None else _again(stored, claim.sent)


@dataclass(slots=True)
class Claim:
    """A key claimed by this process until the response is stored or the attempt has failed."""

    _store: Store
    _key: str
    _about: str
    sent: str
    _ttl_s: float
    _render: Callable[[Any], Response]
    _version: int = 0
    _written: bool = False

    async def begin(self) -> Entry | None:
        """Claim the key; returns the stored entry if another request has claimed it before."""
        value = json.dumps({"sent": self.sent}).encode()
        while True:
            try:
                (self._version,) = await self._store.commit(
                    Put(self._key, value, None, UNDER_WAY_S, self._about)
                )
            except Conflict:
                if (stored := await self._store.get(self._key)) is not None:
                    return stored
            else:
                return None

    def write(self, reply: Any) -> Put:
        """The write that stores the response, to be committed with the change that it reports."""
        self._written = True
        about = self._about or getattr(reply, "about", "")
        return self._put(self._render(reply), about)

    async def keep(self, response: Response, about: str) -> None:
        """Store the response, unless the handler has committed it."""
        if self._written:
            return
        try:
            await self._store.commit(self._put(response, self._about or about))
        except Conflict:
            pass  # the session was deleted meanwhile, and the claim with it
        except StoreError as error:
            # The request has been done; until the claim expires it is not repeated.
            logger.error("an answer is not kept for its idempotency key: %s", error)

    async def release(self) -> None:
        """Release the key, unless the response is stored or another request has claimed it."""
        try:
            entry = await self._store.get(self._key)
            if entry is not None and entry.version == self._version:
                await self._store.delete(self._key)
        except StoreError as error:
            logger.error("an idempotency key is not given back: %s", error)

    def _put(self, response: Response, about: str) -> Put:
        head: dict[str, Any] = {"sent": self.sent, "status": response.status_code}
        body = bytes(getattr(response, "body", b""))
        if not hasattr(response, "body") or len(body) > MOST_KEPT_BYTES:
            head["kept"], body = False, b""
        headers = response.headers.items()
        head["headers"] = [pair for pair in headers if pair[0] not in OWN_HEADERS]
        value = json.dumps(head).encode() + b"\n" + body
        return Put(self._key, value, self._version, self._ttl_s, about)


def _again(stored: Entry, sent: str) -> Response:
    text, _, body = stored.value.partition(b"\n")
    head = json.loads(text)
    if head["sent"] != sent:
        raise KEY_REUSED("Use a new key for a new request")
    if "status" not in head:
        raise KEY_IN_USE("Ask again in a moment", headers={"retry-after": "1"})
    if not head.get("kept", True):
        raise ANSWER_NOT_KEPT("It was done, and its answer was too large to be kept")
    return Response(body, head["status"], {**dict(head["headers"]), REPLAYED: "true"})


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
