"""`GET /api/notifications`: what happens in a client's sessions, as server-sent events.

`notifications_websocket` sends the same over a WebSocket, by the same rules of access.
"""

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Final

from pydantic import Field
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from gateway.events.catch_ups import CatchUpsFull
from gateway.events.notification_stream import NotificationStream
from gateway.events.notifications import Notifications, NotificationsClosed, TooManyStreams
from gateway.events.viewers import EventViewer
from gateway.interviews import sessions
from gateway.interviews.sessions import NoSuchSession
from gateway.live.registry import network
from gateway.rest.access import ADMITTED, Admitted
from gateway.rest.event_stream import FIRST, EventResponse, sent_event
from gateway.rest.notification_feed import NotificationFeed, holds, lasts_s, notification
from gateway.rest.operation import Operation, ResponseSpec
from gateway.rest.problems import NO_SUCH_SESSION, STORE_UNAVAILABLE, Kind
from gateway.rest.reading import LARGEST_WHOLE, Query
from gateway.rest.tickets import SESSION_ID_PATTERN
from gateway.security import Access, Grant, presented
from gateway.security.clients import LOCAL
from gateway.security.roles import ClientRole
from gateway.store import Store

NOTIFICATIONS_OFF = Kind("notifications_off", 404, "Notifications are off here")
INVALID_EVENT_ID = Kind("invalid_event_id", 400, "Last-Event-ID is not the id of a notification")
TOO_MANY_OF_ONE = Kind("too_many_streams", 429, "This client has too many streams open")
STREAMS_FULL = Kind("streams_full", 503, "Too many streams are open")
CATCHING_UP = Kind("catching_up", 503, "As many clients catch up as may, or this one does already")
GATEWAY_ENDS = Kind("gateway_ends", 503, "The gateway ends, and no stream begins")

LATER: Final = {"retry-after": "10"}


class NotificationsQuery(Query):
    """Which events are wanted."""

    after: Annotated[
        int | None,
        Field(
            ge=0, le=LARGEST_WHOLE, description="the id after which to go on; 0: all that is kept"
        ),
    ] = None
    session_id: Annotated[
        str | None, Field(pattern=SESSION_ID_PATTERN, description="of this session alone")
    ] = None
    mine: Annotated[bool, Field(description="of the sessions alone that this client has made")] = (
        False
    )


def notifications_operation(
    store: Store, notifications: Notifications | None, access: Access
) -> Operation:
    """The endpoint; `notifications` is None where they are off."""

    async def notify(request: Request, query: NotificationsQuery) -> Response:
        if notifications is None:
            raise NOTIFICATIONS_OFF("The operator sets PARLEY_NOTIFICATIONS=on")
        if (last := request.headers.get("last-event-id")) is not None:  # newer than the URL
            query = query.model_copy(update={"after": position_of(last)})
        admitted: Admitted | None = request.scope.get(ADMITTED)
        grant = None if admitted is None else admitted.grant
        viewer = await viewer_of(store, access, grant, query)
        stream = await opened(notifications, viewer, client_of(request, grant), query.after)
        headers = request.headers
        credential = presented(headers.get("authorization"), headers.get("x-api-key"))
        still = partial(holds, access, store, grant, credential)
        feed = NotificationFeed(stream, still, lasts_s(access, grant))
        return EventResponse(stream.close, sent_events(feed))

    return Operation(
        method="GET",
        path="/api/notifications",
        name="watchNotifications",
        handler=notify,
        summary="Watch what happens in all of the client's sessions",
        description="Server-sent events `session.created`, `answer.accepted`,"
        " `interview.completed`, `report.ready` and, for admins, `breaker.opened` and `degraded`"
        " (docs/events.md), after `ready`, and `missed` where some are left out. `Last-Event-ID`"
        " goes on after that event. `/ws/notifications` sends the same over a WebSocket.",
        tags=("sessions",),
        query=NotificationsQuery,
        answers={200: ResponseSpec("Events as they happen", media=("text/event-stream",))},
        errors=(
            NOTIFICATIONS_OFF,
            INVALID_EVENT_ID,
            NO_SUCH_SESSION,
            TOO_MANY_OF_ONE,
            STREAMS_FULL,
            CATCHING_UP,
            GATEWAY_ENDS,
            STORE_UNAVAILABLE,
        ),
    )


async def viewer_of(
    store: Store, access: Access, grant: Grant | None, query: NotificationsQuery
) -> EventViewer:
    """The viewer that a client is, by its grant and its query; None: every client is `LOCAL`.

    Raises `NoSuchSession` for a session that does not exist, or is another client's.
    """
    own, wanted = (
        (None, query.session_id) if grant is None else (grant.session_id, query.session_id)
    )
    if wanted is not None:
        if grant is not None and not await access.owns(grant, wanted):
            raise NoSuchSession(wanted)
        await sessions.load(store, wanted)
    if grant is None:
        return EventViewer(LOCAL, everything=True, session_id=wanted, mine=query.mine)
    return EventViewer(
        grant.identity,
        everything=grant.everything or own is not None,  # a session's client sees all of it
        operator=grant.role is ClientRole.ADMIN,
        session_id=wanted if own is None else own,
        mine=query.mine and own is None,
        bound=own is not None,
    )


def client_of(client: HTTPConnection, grant: Grant | None) -> str:
    """The name under which a client's streams are counted: its own, or else its network address."""
    if grant is not None:
        return grant.identity
    return f"at:{network(None if client.client is None else client.client.host)}"


async def opened(
    notifications: Notifications, viewer: EventViewer, client: str, after: int | None
) -> NotificationStream:
    """A stream, to be closed. Raises `Problem` where none can begin, and `StoreError`."""
    try:
        return await notifications.open(viewer, client, after)
    except TooManyStreams as error:
        raise (TOO_MANY_OF_ONE if error.of_one else STREAMS_FULL)(headers=LATER) from None
    except CatchUpsFull:
        raise CATCHING_UP("Begin without an id, or come again", headers=LATER) from None
    except NotificationsClosed:
        raise GATEWAY_ENDS("Come again, with the last id", headers=LATER) from None


def position_of(event_id: str) -> int:
    """The position that an event's id is. Raises `Problem`."""
    if event_id.isascii() and event_id.isdigit() and len(event_id) <= len(str(LARGEST_WHOLE)):
        position = int(event_id)
        if position <= LARGEST_WHOLE:
            return position
    raise INVALID_EVENT_ID("Send the id of the last event, or leave the header out")


async def sent_events(feed: NotificationFeed) -> AsyncIterator[bytes]:
    """The bytes of a feed, as server-sent events."""
    stream = feed.stream
    yield FIRST + sent_event("ready", feed.ready(), str(stream.position))
    while (piece := await feed.next()) is not None:
        if piece.missed:
            yield sent_event("missed", feed.missed(), str(stream.position))
        elif piece.events:
            yield b"".join(
                sent_event(event.type, notification(event), str(event.position))
                for event in piece.events
            )
        else:
            # The id alone is no event. A client that comes back with it skips what it may not see.
            yield b": still here\nid: %d\n\n" % stream.position
