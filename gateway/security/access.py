"""The table that says which client may use which path of the gateway. Pure.

Where clients need credentials, a request needs the one that its row names, and the client a role
that allows it (`gateway.security.roles`). A path without a row cannot be served: `need_of` raises,
and so does the making of the application.
"""

from enum import Enum

ANY = "*"
"""In place of a method: every other one of the path."""

WEBSOCKET = "WEBSOCKET"
"""In place of a method: the handshake of a WebSocket."""

PROXIED = "/{service}/{path:path}"
PROXIED_V1 = "/v1/{service}/{path:path}"
"""The paths of the services behind the gateway; its own paths come before."""

OWN_UNDER_V1 = frozenset({"live"})
"""Names under `/v1/` that are reserved for the gateway, beside those in `NEEDS`."""


class Need(Enum):
    """The credential that a client needs for a path."""

    NOTHING = "nothing: it tells and changes nothing of any session"
    KEY = "an API key"
    PROGRAM = "an API key of a program"
    SERVICE = "an API key of one of PARLEY_SERVICE_ROLES, beside what the service itself asks for"
    NEW_SESSION = "an API key, or a ticket for a new session"
    SESSION = "an API key, or a ticket or a pass for the session in the path"
    OFFER = "an API key, or a ticket or a pass for the session; a ticket is used with the answer"
    CONNECTION = "an API key, a pass for its session, or the ticket with which it was made"
    LISTEN = "an API key, a pass for the session, or an observer's token for it"
    NOTIFICATIONS = "an API key, or a pass for a session: each sees what it may"
    HELLO = "an API key in the handshake, or a ticket or a pass there or in the first message"
    OPERATOR = "the operator's key; without one /metrics is for this machine, and /admin is off"
    ENDPOINT = "what the endpoint asks for itself: a client secret or a signature, in its own form"


NEEDS: dict[str, dict[str, Need]] = {
    # The page, and what it is made of.
    "/": {"GET": Need.NOTHING},
    "/static/{name:path}": {"GET": Need.NOTHING},
    "/faces": {"GET": Need.NOTHING},
    "/faces/{name:path}": {"GET": Need.NOTHING},
    # Health, for supervisors and for the page.
    "/health": {"GET": Need.NOTHING},
    "/health/live": {"GET": Need.NOTHING},
    "/health/ready": {"GET": Need.NOTHING},
    "/ready": {"GET": Need.NOTHING},
    # What the API is like.
    "/openapi.json": {"GET": Need.NOTHING},
    "/asyncapi.json": {"GET": Need.NOTHING},
    "/docs": {"GET": Need.NOTHING},
    "/redoc": {"GET": Need.NOTHING},
    "/docs/assets/{name}": {"GET": Need.NOTHING},
    "/api-docs": {"GET": Need.NOTHING},
    "/problems": {"GET": Need.NOTHING},
    # Sessions.
    "/api/tickets": {"POST": Need.KEY},
    "/api/sessions": {"GET": Need.KEY, "POST": Need.NEW_SESSION},
    "/api/sessions/{id}": {ANY: Need.SESSION},
    "/api/sessions/{id}/pass": {ANY: Need.SESSION},
    "/api/sessions/{id}/observers": {"POST": Need.KEY},
    "/api/sessions/{id}/start": {ANY: Need.SESSION},
    "/api/sessions/{id}/next": {ANY: Need.SESSION},
    "/api/sessions/{id}/evaluate": {ANY: Need.SESSION},
    "/api/sessions/{id}/end": {ANY: Need.SESSION},
    "/api/sessions/{id}/report": {ANY: Need.SESSION},
    "/api/sessions/{id}/submit-answer": {ANY: Need.SESSION},
    "/api/sessions/{id}/answers/{number}": {ANY: Need.SESSION},
    "/api/sessions/{id}/transcript": {ANY: Need.SESSION},
    "/api/sessions/{id}/events": {ANY: Need.SESSION},
    "/api/sessions/{id}/recordings": {ANY: Need.SESSION},
    "/api/sessions/{id}/recordings/{number}": {ANY: Need.SESSION},
    # What happens in them.
    "/api/notifications": {"GET": Need.NOTIFICATIONS},
    "/ws/notifications": {WEBSOCKET: Need.HELLO},
    # Interviews whose state the client keeps.
    "/api/v1/interviews/start": {"POST": Need.PROGRAM},
    "/api/v1/interviews/respond": {"POST": Need.PROGRAM},
    "/api/v1/interviews/summary": {"POST": Need.PROGRAM},
    "/api/v1/models": {"GET": Need.PROGRAM},
    "/api/v1/models/select": {"POST": Need.PROGRAM},
    # Chat models.
    "/v1/chat/completions": {"POST": Need.PROGRAM},
    "/v1/models": {"GET": Need.PROGRAM},
    # The operator's view.
    "/admin": {"GET": Need.NOTHING},  # the page; it asks for the key
    "/metrics": {"GET": Need.OPERATOR},
    "/admin/stages": {"GET": Need.OPERATOR},
    "/admin/sessions": {"GET": Need.OPERATOR},
    "/admin/sessions/{session}": {"DELETE": Need.OPERATOR},
    "/admin/limits": {"GET": Need.OPERATOR},
    "/admin/breakers": {"GET": Need.OPERATOR},
    "/admin/breakers/{breaker}/reset": {"POST": Need.OPERATOR},
    "/admin/breakers/{breaker}/force-open": {"POST": Need.OPERATOR},
    "/admin/breakers/{breaker}/disable": {"POST": Need.OPERATOR},
    "/admin/drills": {"GET": Need.OPERATOR, "POST": Need.OPERATOR},
    "/admin/drills/{drill}": {"DELETE": Need.OPERATOR},
    "/admin/drain": {"POST": Need.OPERATOR},
    "/admin/metrics": {"GET": Need.OPERATOR},
    "/admin/usage": {"GET": Need.OPERATOR},
    "/admin/services": {"GET": Need.OPERATOR},
    "/admin/services/reload": {"POST": Need.OPERATOR},
    "/admin/services/{service}/health": {"GET": Need.OPERATOR},
    "/admin/services/{service}/circuit-reset": {"POST": Need.OPERATOR},
    "/admin/services/{service}/instances/{id}": {"PUT": Need.OPERATOR, "DELETE": Need.OPERATOR},
    "/admin/webhooks": {"GET": Need.OPERATOR},
    "/admin/webhooks/{webhook}/switch-on": {"POST": Need.OPERATOR},
    "/admin/webhooks/dead-letters/{letter}/replay": {"POST": Need.OPERATOR},
    # Live conversations. OPTIONS and GET of an endpoint say which types it takes.
    "/ws/{session_id}": {WEBSOCKET: Need.HELLO},
    "/api/offer": {"POST": Need.OFFER, "PATCH": Need.ENDPOINT},
    "/webrtc/{id}": {"POST": Need.OFFER, "OPTIONS": Need.NOTHING, "GET": Need.NOTHING},
    "/webrtc/{id}/{peer}": {"OPTIONS": Need.NOTHING, ANY: Need.CONNECTION},
    "/whip/{id}": {"POST": Need.OFFER, "OPTIONS": Need.NOTHING, "GET": Need.NOTHING},
    "/whip/{id}/{peer}": {"OPTIONS": Need.NOTHING, ANY: Need.CONNECTION},
    "/whep/{id}": {"POST": Need.LISTEN, "OPTIONS": Need.NOTHING, "GET": Need.NOTHING},
    "/whep/{id}/{peer}": {"OPTIONS": Need.NOTHING, ANY: Need.LISTEN},
    "/twilio/{session_id}": {WEBSOCKET: Need.HELLO},
    "/twilio/voice": {"POST": Need.ENDPOINT},
    "/status": {"GET": Need.NOTHING},
    "/start": {"POST": Need.NEW_SESSION},
    "/sessions/{id}/api/offer": {"POST": Need.ENDPOINT, "PATCH": Need.ENDPOINT},
    "/ws-client": {WEBSOCKET: Need.ENDPOINT},
    "/ws-client/{session_id}": {WEBSOCKET: Need.ENDPOINT},
    "/v1/live/sessions": {WEBSOCKET: Need.ENDPOINT},
    "/v1/realtime": {WEBSOCKET: Need.ENDPOINT},
    "/v1/realtime/calls": {"POST": Need.ENDPOINT},
    "/v1/realtime/calls/{call}/hangup": {"POST": Need.ENDPOINT},
    "/v1/realtime/client_secrets": {"POST": Need.ENDPOINT},
    # Whatever a service behind the gateway answers; last, since these match every path.
    PROXIED_V1: {ANY: Need.SERVICE, WEBSOCKET: Need.SERVICE},
    PROXIED: {ANY: Need.SERVICE, WEBSOCKET: Need.SERVICE},
}
"""The need of each path and method. A path that is not here is not served."""


def need_of(method: str, path: str) -> Need:
    """The need of a route. Raises `LookupError` for a route that is not in the table."""
    methods = NEEDS.get(path, {})
    found = methods.get(method, methods.get(ANY) if method != WEBSOCKET else None)
    if found is None:
        raise LookupError(f"{method} {path} is not in the table of who may use what")
    return found


def own_beginnings() -> frozenset[str]:
    """The first parts of the gateway's own paths, which name no service; behind `/v1/` the
    second ones, too."""
    own = [path.split("/") for path in NEEDS if path not in (PROXIED, PROXIED_V1)]
    return OWN_UNDER_V1 | {parts[1] for parts in own} | {p[2] for p in own if p[1] == "v1"}
