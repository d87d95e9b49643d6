"""The credential to begin a session over a WebSocket: in the handshake or the first message.

Programs send `Authorization` or `X-API-Key` with the handshake. A browser cannot, nor can a
telephone network, so their first message has a ticket: a `hello`, or what it is called in their
dialect (`Greeting`), within `HELLO_S` and in at most `LONGEST_HELLO_BYTES`. A client that comes
back has used its ticket: it sends the session's resume token instead. Nothing is built for a client
before its credential has come.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.websockets import WebSocket

from gateway.live.registry import network
from gateway.protocols.dialect import Outgoing, ProtocolError, Start
from gateway.protocols.request import ResumeRequest
from gateway.security import Access, presented
from gateway.security.clients import client_identity
from gateway.security.grants import MOST_WAITING, MOST_WAITING_AT
from gateway.security.identities import LONGEST_TOKEN, TokenRefused
from gateway.store import StoreError
from gateway.transports.websocket.protocol import WebSocketProtocol

HELLO_S = 5.0
LONGEST_HELLO_BYTES = LONGEST_TOKEN + 4 * 1024
"""The longest token of an identity provider, and all else that is said at the beginning."""

MOST_EARLY = 200
"""Messages behind the `hello` that came with it, and pings, until its ticket is looked up."""

IN_URL = frozenset({"access_token", "api_key", "apikey", "key", "pass", "ticket", "token"})
"""Parameters that are refused: a URL is logged by proxies, and kept in histories."""

REQUIRED = "ticket_required"
WRONG = "bad_ticket"


@dataclass(frozen=True, slots=True)
class Greeting:
    """How the clients of a dialect begin.

    `name` is that of their first message. `parse` reads a message: it is None for one that may come
    before that, and is dropped, and no `Start` for any other. It raises `ProtocolError`. It has at
    most `longest_bytes`; where it does not come the error is `missing`.
    """

    name: str
    parse: Callable[[bytes], object]
    longest_bytes: int = LONGEST_HELLO_BYTES
    missing: str = REQUIRED


class Refused(Exception):
    """A handshake is refused with this HTTP status. The text is for the client."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


async def shown(
    websocket: WebSocket, access: Access, session_id: str, address: str | None = None
) -> tuple[bool, float | None]:
    """Whether the handshake shows that the client may begin the session; False: `hello` has to.

    With it comes when the session has to end by the client's credential. `address` is the client's.

    Raises `Refused`.
    """
    if access.open:
        return True, None
    if IN_URL & {name.lower() for name in websocket.query_params}:
        raise Refused(400, "a secret has no place in a URL; send it in hello or a header")
    headers = websocket.headers
    credential = presented(headers.get("authorization"), headers.get("x-api-key"))
    if not credential:
        may_wait(access, address)
        return False, None
    try:
        grant = await access.look(credential)
        if grant is None or not await access.enter(grant, session_id):
            raise Refused(401, "this key, token, ticket or pass does not open this session")
    except TokenRefused as error:
        raise Refused(503 if error.unavailable else 401, f"{error.reason}: {error}") from None
    except StoreError:
        raise Refused(503, "sessions cannot be stored or read now") from None
    client_identity.set(grant.identity)
    return True, access.until(grant)


def may_wait(access: Access, address: str | None) -> None:
    """Raises `Refused` where as many clients as may have not said yet who they are."""
    if access.waiting.total() >= MOST_WAITING:
        raise Refused(503, "too many clients have not said yet who they are")
    if access.waiting[network(address)] >= MOST_WAITING_AT:
        raise Refused(503, "too many clients of this address have not said yet who they are")


Returns = Callable[[ResumeRequest], Awaitable[float | None]]
"""When the session has to end whose token this is: its client has been let in before. None where it
is not the session's."""


async def first_messages(
    protocol: WebSocketProtocol,
    access: Access,
    session_id: str,
    message_bytes: int,
    returns: Returns,
    gone: Awaitable[Any],
    address: str | None = None,
    *,
    greeting: Greeting,
    known: bool = False,
) -> tuple[Sequence["Early"], float | None]:
    """The greeting of a client that may begin the session or `returns` to it, and what came with
    it; and when the session has to end by the client's credential.

    `address` is the client's, and `gone` returns when it has disconnected: its place is free then.
    Of a client that is `known` no ticket is looked at.

    Longer messages than a greeting are accepted from then on, up to `message_bytes`. Raises a fatal
    `ProtocolError` for any other client. If this is cancelled, a ticket may have been used.
    """
    waiting, left = _Hello(protocol, greeting), asyncio.ensure_future(gone)
    with _counted(access, network(address)):
        protocol.allow(greeting.longest_bytes)
        protocol.attach(waiting)
        try:
            either = (waiting.started, left)
            await asyncio.wait(either, timeout=HELLO_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            left.cancel()
        if left.done() or not waiting.started.done():
            text = f"{_first(greeting)}, within {HELLO_S:g} s"
            raise ProtocolError(greeting.missing, text, fatal=True)
        start = waiting.started.result()
        protocol.pause()
        protocol.allow(message_bytes)
        if known:
            return waiting.messages, None
        back = start.request.resume
        until = None if back is None else await returns(back)
        if until is None:
            until = await _enter(access, start.ticket, session_id, greeting)
    return waiting.messages, until


Early = tuple[bool, bytes]
"""A message: whether it is text, and what it holds."""


async def _enter(access: Access, ticket: str, session_id: str, greeting: Greeting) -> float | None:
    if not ticket:
        raise ProtocolError(REQUIRED, f"{greeting.name} needs a ticket", fatal=True)
    try:
        grant = await access.look(ticket)
        opened = grant is not None and await access.enter(grant, session_id)
    except TokenRefused as error:
        text = f"{error.reason}: {error}"
        raise ProtocolError(
            "not_stored" if error.unavailable else WRONG, text, fatal=True
        ) from None
    except StoreError:
        raise ProtocolError("not_stored", "the ticket cannot be read now", fatal=True) from None
    if grant is None or not opened:
        text = "the ticket was used, has expired, or is for another session"
        raise ProtocolError(WRONG, text, fatal=True)
    client_identity.set(grant.identity)
    return access.until(grant)


def _first(greeting: Greeting) -> str:
    return f"the first message is a {_named(greeting)}"


def _named(greeting: Greeting) -> str:
    return f"{greeting.name} with a ticket" if greeting.missing == REQUIRED else greeting.name


class _Hello:
    """A `gateway.live.transport.Receiver` until the client has said who it is."""

    def __init__(self, protocol: WebSocketProtocol, greeting: Greeting) -> None:
        self.started: asyncio.Future[Start] = asyncio.get_running_loop().create_future()
        self.messages: list[Early] = []
        self._protocol = protocol
        self._greeting = greeting
        self._controls = 0

    def on_text(self, data: bytes) -> None:
        if not self.started.done():
            try:
                start = self._greeting.parse(data)
            except ProtocolError as error:
                self._refuse(error.code, error.message, param=error.param, event_id=error.event_id)
                return
            if start is None:
                self.on_control()
                return
            if not isinstance(start, Start):
                self._refuse(self._greeting.missing, _first(self._greeting))
                return
            self.started.set_result(start)
        self._keep(True, data)

    def on_audio(self, data: bytes) -> None:
        if self.started.done():
            self._keep(False, data)
        else:
            text = f"audio comes after a {_named(self._greeting)}"
            self._refuse(self._greeting.missing, text)

    def on_control(self) -> bool:
        self._controls += 1
        if self._controls <= MOST_EARLY:
            return True
        self._protocol.abort()
        return False

    def emit(self, output: Outgoing) -> None:
        """The transport says nothing of its own here."""

    def _keep(self, text: bool, data: bytes) -> None:
        if len(self.messages) < MOST_EARLY:
            self.messages.append((text, data))
        else:
            self._protocol.abort()

    def _refuse(
        self, code: str, message: str, *, param: str | None = None, event_id: str | None = None
    ) -> None:
        error = ProtocolError(code, message, fatal=True, param=param, event_id=event_id)
        self.started.set_exception(error)


@contextmanager
def _counted(access: Access, where: str) -> Iterator[None]:
    access.waiting[where] += 1
    try:
        yield
    finally:
        access.waiting[where] -= 1
        if not access.waiting[where]:
            del access.waiting[where]
