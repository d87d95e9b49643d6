"""`/{service}/{path}` for WebSockets: the handshake, and the messages in both directions.

A client is accepted once the service has accepted it, with the subprotocol that the service chose;
if it is not accepted, the client gets an HTTP answer, as for any other request.
"""

import asyncio
import logging

from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.rest import problems
from gateway.rest.access import ADMITTED, OFFERED, HttpAccess
from gateway.rest.problems import problem_of
from gateway.rest.proxied_request import request_origin
from gateway.rest.proxy import OWN, no_answer
from gateway.security import SUBPROTOCOL_KEY
from gateway.services.exchange import NoAnswer
from gateway.services.forwarding import RefusedRequest
from gateway.services.registry import Registry, Service
from gateway.services.upstreams import Upstreams
from gateway.services.websocket_calls import (
    ClientLeft,
    Handshake,
    HandshakeRefused,
    ServiceSocket,
    WebSocketCall,
)
from gateway.transports.websocket.endpoint import LONGEST_REASON_BYTES, protocol_of
from gateway.transports.websocket.relay import WebSocketRelay

logger = logging.getLogger("parley.services")


class ServiceWebSockets:
    """The endpoint of the WebSockets of services behind a `version`, such as "/v1", or ""."""

    def __init__(
        self, registry: Registry, upstreams: Upstreams, access: HttpAccess, version: str
    ) -> None:
        self._registry = registry
        self._upstreams = upstreams
        self._access = access
        self._version = version

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one WebSocket. Needs uvicorn with `WebSocketProtocol`."""
        try:
            await self._passed_on(websocket)
        except (WebSocketDisconnect, ClientLeft):
            return
        except HandshakeRefused as refused:
            answer = Response(refused.body, refused.status)
            answer.raw_headers = [
                *refused.head,
                (b"content-length", b"%d" % len(refused.body)),
            ]
            await websocket.send_denial_response(answer)
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                raise
            await websocket.send_denial_response(problem.response())

    async def _passed_on(self, websocket: WebSocket) -> None:
        name = websocket.path_params["service"]
        if name in OWN or not self._registry:
            raise problems.NOT_FOUND()
        await self._access.check_websocket(websocket)
        service = self._registry.find(name)
        if service is None:
            raise problems.NOT_FOUND()
        try:
            call = WebSocketCall(service, self._upstreams, self._handshake(websocket, name))
        except RefusedRequest as error:
            raise problems.INVALID_REQUEST(str(error)) from None
        await websocket.receive()  # "websocket.connect"; the next is that the client has left
        gone = asyncio.create_task(websocket.receive())
        try:
            async with call.opened(gone) as socket:
                gone.cancel()
                await self._joined(websocket, service, socket)
        except NoAnswer as missing:
            raise no_answer(service, missing) from None
        finally:
            gone.cancel()

    def _handshake(self, websocket: WebSocket, name: str) -> Handshake:
        scope = websocket.scope
        admitted = scope.get(ADMITTED)
        hides = admitted is not None and OFFERED in admitted.shown_in
        return Handshake(
            raw_path=scope.get("raw_path") or scope["path"].encode(),
            query=scope["query_string"],
            headers=websocket.headers.raw,
            subprotocols=[
                one
                for one in scope["subprotocols"]
                if not (hides and one.startswith(SUBPROTOCOL_KEY))
            ],
            origin=request_origin(websocket, f"{self._version}/{name}"),
        )

    async def _joined(self, websocket: WebSocket, service: Service, socket: ServiceSocket) -> None:
        protocol = protocol_of(websocket)
        protocol.allow(service.spec.max_message_bytes)
        await websocket.accept(socket.subprotocol, socket.head)
        relay = WebSocketRelay(
            protocol,
            websocket.receive,
            socket.connection,
            idle_s=service.spec.websocket_idle_s,
        )
        ending = await relay.run()
        if ending is not None and protocol.open:
            reason = ending.reason.encode()[:LONGEST_REASON_BYTES].decode(errors="ignore")
            await websocket.close(ending.code, reason)
