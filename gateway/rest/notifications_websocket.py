"""`/ws/notifications`: what happens in a client's sessions, over a WebSocket.

A client shows who it is as for `/ws`: in the handshake, or in a `hello` with a ticket or a pass.
"""

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.events.notification_stream import NotificationStream
from gateway.events.notifications import Notifications
from gateway.protocols.dialect import CloseCode, Outgoing, ProtocolError, Start
from gateway.protocols.native import NativeDialect
from gateway.protocols.native.messages import parse
from gateway.protocols.request import ResumeRequest
from gateway.rest.access import ACCESS_REQUIRED, HOW, WRONG, HttpAccess
from gateway.rest.notification_feed import End, NotificationFeed, holds, lasts_s, notification
from gateway.rest.notifications import (
    NOTIFICATIONS_OFF,
    STREAMS_FULL,
    NotificationsQuery,
    client_of,
    opened,
    viewer_of,
)
from gateway.rest.problems import INVALID_PARAMETER, RETRY, problem_of
from gateway.rest.reading import read_query
from gateway.security import Access, Grant, presented
from gateway.security.identities import TokenRefused
from gateway.store import Store
from gateway.transports.websocket.endpoint import address_of, close, protocol_of
from gateway.transports.websocket.entry import (
    IN_URL,
    LONGEST_HELLO_BYTES,
    REQUIRED,
    Early,
    Greeting,
    Refused,
    first_messages,
    may_wait,
)
from gateway.transports.websocket.entry import WRONG as BAD_TICKET
from gateway.transports.websocket.protocol import WebSocketProtocol

HELLO: Final = Greeting("hello", parse)

MOST_CONTROLS: Final = 100
"""Pings of a client between two looks, of which there is one each `HEARTBEAT_S` at least."""

MOST_UNSENT: Final = 64 * 1024
"""Bytes that may wait for a client before further events are read."""

ROOM_S: Final = 0.1

STALL_S: Final = 10.0
"""How long a client may read nothing while more than `MOST_UNSENT` waits; then it is dropped."""

ENDS: Final = {
    End.TIME: (CloseCode.FINISHED, "come again, with after"),
    End.CREDENTIAL: (CloseCode.POLICY, "the credential does not hold any more"),
    End.SESSION: (CloseCode.POLICY, "the session was deleted"),
    End.PROCESS: (CloseCode.RESTARTING, "the gateway ends; come again, with after"),
}
"""The code and the reason of each end."""


class NotificationSockets:
    """The endpoint; `notifications` is None where they are off."""

    def __init__(
        self,
        store: Store,
        notifications: Notifications | None,
        access: Access,
        http_access: HttpAccess,
    ) -> None:
        self._store = store
        self._notifications = notifications
        self._access = access
        self._http_access = http_access

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one WebSocket. Needs uvicorn with `WebSocketProtocol`."""
        try:
            query, grant = await self._asked(websocket)
            stream = None
            if grant is not None or self._access.open:
                stream = await self._opened(websocket, grant, query)
        except Exception as error:
            problem = problem_of(error)
            if isinstance(error, _TicketRefused):
                problem = ACCESS_REQUIRED(HOW, headers=WRONG)
            if problem is None:
                raise
            await websocket.send_denial_response(problem.response())
            return
        try:
            await websocket.accept()
            protocol = protocol_of(websocket)
            protocol.allow(LONGEST_HELLO_BYTES)
            credential = _of_handshake(websocket)
            early: Sequence[Early] = ()
            if stream is None:
                try:
                    grant, credential, early = await self._hello(websocket, protocol)
                    stream = await self._opened(websocket, grant, query)
                except Exception as error:
                    await _refuse(websocket, protocol, error)
                    return
            still = partial(holds, self._access, self._store, grant, credential)
            feed = NotificationFeed(stream, still, lasts_s(self._access, grant))
            code, reason = await _serve_feed(websocket, protocol, feed, early)
            await close(websocket, protocol, code, reason)
        except WebSocketDisconnect:
            return
        finally:
            if stream is not None:
                stream.close()

    async def _asked(self, websocket: WebSocket) -> tuple[NotificationsQuery, Grant | None]:
        """The query of a client, and the grant that its handshake shows.

        Raises `Problem`, `TokenRefused` and `StoreError`.
        """
        await self._http_access.check_handshake(websocket)
        if self._notifications is None:
            raise NOTIFICATIONS_OFF("The operator sets PARLEY_NOTIFICATIONS=on")
        given = websocket.query_params
        if not self._access.open and IN_URL & {name.lower() for name in given}:
            raise INVALID_PARAMETER("A secret has no place in a URL: send it in hello or a header")
        return read_query(NotificationsQuery, websocket), await self._shown(websocket)

    async def _shown(self, websocket: WebSocket) -> Grant | None:
        """The grant of the handshake; None where `hello` has to show it, or clients need none.

        Raises `Problem`, `TokenRefused` and `StoreError`.
        """
        if self._access.open:
            return None
        credential = _of_handshake(websocket)
        if not credential:
            try:
                may_wait(self._access, address_of(websocket))
            except Refused as error:
                raise STREAMS_FULL(str(error), headers=RETRY) from None
            return None
        grant = await self._access.look(credential)
        if grant is None:
            raise ACCESS_REQUIRED(HOW, headers=WRONG)
        return grant

    async def _hello(
        self, websocket: WebSocket, protocol: WebSocketProtocol
    ) -> tuple[Grant, str, Sequence[Early]]:
        """The grant of the ticket in a client's `hello`, the ticket, and all that the client says.

        Raises `_TicketRefused`, `ProtocolError`, `TokenRefused` and `StoreError`.
        """
        address = address_of(websocket)
        said, _ = await first_messages(
            protocol,
            self._access,
            "",
            LONGEST_HELLO_BYTES,
            _nobody_returns,
            websocket.receive(),
            address,
            greeting=HELLO,
            known=True,  # the ticket is for events, not for a session that begins
        )
        start = parse(said[0][1])
        if not isinstance(start, Start) or not start.ticket:
            raise ProtocolError(REQUIRED, "hello needs a ticket", fatal=True)
        grant = await self._access.look(start.ticket)
        if grant is None:
            raise _TicketRefused
        return grant, start.ticket, said

    async def _opened(
        self, websocket: WebSocket, grant: Grant | None, query: NotificationsQuery
    ) -> NotificationStream:
        """The stream of a client, whose ticket is used last.

        Raises `_TicketRefused`, `Problem`, `NoSuchSession` and `StoreError`.
        """
        assert self._notifications is not None
        ticket = None if grant is None else grant.ticket
        if ticket is not None and ticket.session_id is None:
            raise _TicketRefused  # a new session has no events
        viewer = await viewer_of(self._store, self._access, grant, query)
        client = client_of(websocket, grant)
        stream = await opened(self._notifications, viewer, client, query.after)
        try:
            if grant is not None and ticket is not None:
                assert ticket.session_id is not None
                if not await self._access.enter(grant, ticket.session_id):
                    raise _TicketRefused
        except BaseException:
            stream.close()
            raise
        return stream


class _TicketRefused(Exception):
    """A credential that does not hold, or a ticket that was used, or is for a new session."""


class _Listening:
    """A `gateway.live.transport.Receiver` of a client that has nothing to say but one `hello`."""

    def __init__(self, early: Sequence[Early]) -> None:
        self.spoke: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.controls = 0
        self._greeted = False
        for is_text, data in early:
            (self.on_text if is_text else self.on_audio)(data)

    def on_text(self, data: bytes) -> None:
        if not self._greeted and _is_hello(data):
            self._greeted = True
        else:
            self.on_audio(data)

    def on_audio(self, data: bytes) -> None:
        if not self.spoke.done():
            self.spoke.set_result(None)

    def on_control(self) -> bool:
        self.controls += 1
        return self.controls <= MOST_CONTROLS

    def emit(self, output: Outgoing) -> None:
        """The transport says nothing of its own here."""


async def _serve_feed(
    websocket: WebSocket,
    protocol: WebSocketProtocol,
    feed: NotificationFeed,
    early: Sequence[Early],
) -> tuple[CloseCode, str]:
    """Send an accepted client its feed until it has gone, or the feed ends: with this code and
    reason. `early` is what the client has said."""
    protocol.stall_s = STALL_S
    listening = _Listening(early)
    protocol.attach(listening)
    gone = asyncio.ensure_future(websocket.receive())
    sending = asyncio.create_task(_send_feed(protocol, feed, listening))
    try:
        either = (gone, sending, listening.spoke)
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if listening.spoke.done():
            return CloseCode.POLICY, "nothing is said here but hello"
        return sending.result() if sending.done() else (CloseCode.FINISHED, "")
    finally:
        for task in (gone, sending):
            task.cancel()
        await asyncio.wait((gone, sending))


async def _send_feed(
    protocol: WebSocketProtocol, feed: NotificationFeed, listening: _Listening
) -> tuple[CloseCode, str]:
    protocol.send_text(json.dumps(feed.ready()))
    while (piece := await feed.next()) is not None:
        listening.controls = 0
        if piece.missed:
            protocol.send_text(json.dumps(feed.missed()))
        for event in piece.events:
            protocol.send_text(json.dumps(notification(event)))
        while protocol.unsent > MOST_UNSENT:  # noqa: ASYNC110 (nothing says when it is sent)
            await asyncio.sleep(ROOM_S)
    return ENDS[feed.end]


async def _refuse(websocket: WebSocket, protocol: WebSocketProtocol, error: Exception) -> None:
    """Tell an accepted client why it is refused, as `/ws` does. Raises what is no refusal."""
    code, fault = CloseCode.POLICY, error
    if isinstance(error, _TicketRefused):
        text = "the ticket was used, has expired, or is for a new session"
        fault = ProtocolError(BAD_TICKET, text, fatal=True)
    elif isinstance(error, TokenRefused) and not error.unavailable:
        fault = ProtocolError(BAD_TICKET, f"{error.reason}: {error}", fatal=True)
    elif (problem := problem_of(error)) is not None:
        if problem.kind.status in (429, 503):
            code = CloseCode.OVERLOADED
        text = problem.detail or problem.kind.title
        fault = ProtocolError(problem.kind.code, text, fatal=True)
    if not isinstance(fault, ProtocolError):
        raise error
    for message in NativeDialect().refuse(fault):
        protocol.send_message(message)
    await close(websocket, protocol, code, fault.message)


def _of_handshake(websocket: WebSocket) -> str:
    """The credential in the headers of a handshake, "" without one."""
    headers = websocket.headers
    return presented(headers.get("authorization"), headers.get("x-api-key"))


def _is_hello(data: bytes) -> bool:
    try:
        return isinstance(parse(data), Start)
    except ProtocolError:
        return False


async def _nobody_returns(request: ResumeRequest) -> None:
    """There is no session that a client could come back to."""
