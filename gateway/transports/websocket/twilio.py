"""`/twilio/<session_id>`: one telephone call over one WebSocket, in the dialect of Twilio.

`gateway.rest.twilio` tells Twilio to come here.
"""

from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket

from gateway.protocols.twilio import TwilioDialect, greeting
from gateway.runtime import Runtime
from gateway.transports.websocket.endpoint import (
    RETRY,
    accepted,
    address_of,
    converse,
    denied,
    greeted,
)
from gateway.transports.websocket.entry import Greeting, Refused, may_wait

START = Greeting("start", greeting)


async def twilio_endpoint(websocket: WebSocket) -> None:
    """The endpoint of the route. Needs uvicorn with `WebSocketProtocol`."""
    runtime: Runtime = websocket.app.state.runtime
    if await denied(websocket, runtime):
        return
    try:
        may_wait(runtime.access, address_of(websocket))  # every call waits for its `start`
    except Refused as refused:
        answer = PlainTextResponse(str(refused), refused.status, RETRY)
        await websocket.send_denial_response(answer)
        return
    session_id, dialect = websocket.path_params["session_id"], TwilioDialect()
    shown_to_be = await accepted(websocket, runtime, session_id)
    if shown_to_be is None:
        return
    known, until = shown_to_be
    begun = await greeted(websocket, runtime, session_id, dialect, START, known=known)
    if begun is not None:
        early, by_ticket = begun
        await converse(
            websocket, runtime, session_id, dialect, early, until if known else by_ticket
        )
