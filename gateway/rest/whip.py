"""Endpoints in the shape of WHIP (RFC 9725): an offer is posted, and its connection is a resource.

`/webrtc/{id}` is such a shape for sound both ways, `/whip/{id}` for a client that only sends, and
`/whep/{id}` for one that only listens (`gateway.rest.whep`).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from gateway.rest.operation import Handler, HttpReply, Operation, ResponseSpec
from gateway.rest.problems import NO_PLACE, NO_SUCH_SESSION, Kind
from gateway.rest.signalling import (
    FRAGMENT,
    INVALID_OFFER,
    NO_SUCH_PEER,
    NOT_INSTALLED,
    SDP,
    TOKEN_REQUIRED,
    UNUSABLE_OFFER,
    Signalling,
    offer_problem,
    session_of,
    text_of,
)
from gateway.transports.webrtc.offers import OfferError, Purpose

if TYPE_CHECKING:  # they need the extra
    from gateway.transports.webrtc.link import PeerLink
    from gateway.transports.webrtc.peers import Answered

VERSION_REQUIRED = Kind("version_required", 428, "The request must say which state it knows")
VERSION_PASSED = Kind("version_passed", 412, "The connection is in another state by now")

TAGS = ("webrtc",)
OFFERED = (
    "Takes an SDP offer with an Opus section and, for the messages of the native dialect, a data"
    " channel."
)
MADE = {
    "Location": "The connection: PATCH and DELETE it there",
    "Link": "A STUN or TURN server, if there are any",
}
VERSIONED = {"ETag": "The state of ICE, for PATCH"}
TAKEN = {"Accept-Post": "The type of offers", "Accept-Patch": "The type of candidates"}

REFUSALS = (INVALID_OFFER, UNUSABLE_OFFER, NO_PLACE, NOT_INSTALLED, TOKEN_REQUIRED)
_OF_ONE = (NO_SUCH_SESSION, NO_SUCH_PEER, NOT_INSTALLED, TOKEN_REQUIRED)

Answer = Callable[[Request, str, str, Any], Awaitable["Answered"]]
"""Answers the offer of a request for a session; the last argument is its query, as `Shape.query`
has it, or None. Raises `Problem` and `NoSuchSession`."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One path of this shape. `names` begin the operations' names.

    With `versions` a connection has an `ETag`, which PATCH has to name. `errors` are those of the
    answer beside `REFUSALS`.
    """

    path: str
    names: str
    purpose: Purpose
    summary: str
    description: str
    answer: Answer
    versions: bool = True
    errors: tuple[Kind, ...] = ()
    query: type[BaseModel] | None = None


def _admitted(signalling: Signalling, purpose: Purpose) -> Answer:
    async def answer(request: Request, session_id: str, sdp: str, query: Any) -> "Answered":
        return await signalling.admit(request, session_id, sdp, purpose=purpose)

    return answer


def calls(signalling: Signalling) -> Shape:
    """Sound both ways."""
    return Shape(
        "/webrtc/{id}",
        "whip",
        "call",
        "Connect over WebRTC, in the shape of WHIP",
        f"{OFFERED} This is RFC 9725, but for audio that goes both ways.",
        _admitted(signalling, "call"),
        versions=False,
    )


def ingest(signalling: Signalling) -> Shape:
    """Sound of an encoder."""
    return Shape(
        "/whip/{id}",
        "ingest",
        "ingest",
        "Speak through an encoder (WHIP)",
        "RFC 9725: the person is heard, and hears by WHEP. Sections of video are rejected alone.",
        _admitted(signalling, "ingest"),
    )


class WhipEndpoints:
    """The endpoints of one shape."""

    def __init__(self, signalling: Signalling, shape: Shape) -> None:
        self._signalling = signalling
        self._shape = shape

    def operations(self) -> list[Operation]:
        """The endpoints, as entries of the table of operations."""
        shape, guard = self._shape, self._signalling.guard
        endpoint, connection = shape.path, f"{shape.path}/{{peer}}"
        guarded = partial(Operation, tags=TAGS, guard=guard)
        made = MADE | VERSIONED if shape.versions else MADE
        tried = {204: ResponseSpec("Usable candidates are tried")}
        if shape.versions:
            # Its type is not negotiated: clients do not say that they accept it.
            anew = ResponseSpec(f"ICE begins anew: {FRAGMENT}", headers=VERSIONED)
            tried |= {200: anew}
        conditions = (VERSION_REQUIRED, VERSION_PASSED) if shape.versions else ()
        return [
            guarded(
                method="POST",
                path=endpoint,
                name=shape.names,
                handler=self._offer,
                summary=shape.summary,
                description=shape.description,
                text=SDP,
                query=shape.query,
                answers={201: ResponseSpec("The answer", media=(SDP,), headers=made)},
                errors=(*REFUSALS, NO_SUCH_SESSION, *shape.errors),
            ),
            guarded(
                method="PATCH",
                path=connection,
                name=f"{shape.names}Trickle",
                handler=self._patch,
                summary="Further candidates of the client",
                text=FRAGMENT,
                answers=tried,
                errors=(INVALID_OFFER, UNUSABLE_OFFER, *conditions, *_OF_ONE),
            ),
            guarded(
                method="DELETE",
                path=connection,
                name=f"{shape.names}HangUp",
                handler=self._delete,
                summary="Hang up",
                answers={200: ResponseSpec("The connection ends")},
                errors=_OF_ONE,
            ),
            _taken("OPTIONS", endpoint, f"{shape.names}Options", self._options),
            _taken("GET", endpoint, f"{shape.names}Probe", self._probe),
            _taken("OPTIONS", connection, f"{shape.names}ConnectionOptions", self._options),
            guarded(
                method="GET",
                path=connection,
                name=f"{shape.names}Connection",
                handler=self._look,
                summary="Whether the connection exists",
                answers={204: ResponseSpec("It does")},
                errors=_OF_ONE,
            ),
        ]

    async def _offer(self, request: Request, query: Any = None) -> Response:
        self._signalling.check()
        session_id = session_of(request)
        answered = await self._shape.answer(request, session_id, await text_of(request, SDP), query)
        headers = {
            "location": f"{self._shape.path.format(id=session_id)}/{answered.id}",
            "cache-control": "no-store",
        }
        if self._shape.versions:
            headers |= {"etag": f'"{answered.version}"', "accept-patch": FRAGMENT}
        response = Response(answered.sdp, 201, headers, media_type=SDP)
        for link in self._signalling.links:
            response.headers.append("link", link)
        return response

    async def _patch(self, request: Request) -> HttpReply | Response:
        peer = self._peer(request)
        fragment = await text_of(request, FRAGMENT)
        try:
            if self._shape.versions and _any_version(request, peer):
                anew = await peer.restart(fragment)
                if anew is not None:
                    headers = {"etag": f'"{peer.version}"', "cache-control": "no-store"}
                    return Response(anew, 200, headers, media_type=FRAGMENT)
            await peer.trickle(fragment)
        except OfferError as error:
            raise offer_problem(error) from None
        return HttpReply(status=204)

    async def _delete(self, request: Request) -> HttpReply:
        session_id, peer_id = session_of(request), request.path_params["peer"]
        if not self._signalling.end(session_id, peer_id, self._shape.purpose):
            raise NO_SUCH_PEER()
        return HttpReply(status=200)

    async def _look(self, request: Request) -> HttpReply:
        self._peer(request)
        return HttpReply(status=204)

    async def _options(self, request: Request) -> HttpReply:
        session_of(request)
        return HttpReply(status=204, headers={"accept-post": SDP, "accept-patch": FRAGMENT})

    async def _probe(self, request: Request) -> HttpReply:
        """Answer a HEAD of a WHEP endpoint, which tells what to post there."""
        reply = await self._options(request)
        if self._shape.purpose != "playback":
            return reply
        return HttpReply(status=200, headers={**reply.headers, "content-type": SDP})

    def _peer(self, request: Request) -> "PeerLink":
        found = self._signalling.peer(
            session_of(request), request.path_params["peer"], self._shape.purpose
        )
        if found is None:
            raise NO_SUCH_PEER()
        return found


def _any_version(request: Request, peer: "PeerLink") -> bool:
    """Whether a request is about any state of ICE, so that ICE may be restarted.

    Raises `Problem` if it names another state than the connection's.
    """
    given = request.headers.getlist("if-match")
    if not given:
        raise VERSION_REQUIRED("Send If-Match with the ETag of the answer")
    known = {tag.strip() for line in given for tag in line.split(",")}
    if not known & {"*", f'"{peer.version}"'}:
        raise VERSION_PASSED("Send If-Match with the ETag of the last answer")
    return "*" in known


def _taken(method: str, path: str, name: str, handler: Handler) -> Operation:
    return Operation(
        method=method,
        path=path,
        name=name,
        handler=handler,
        summary="The types that are accepted here",
        tags=TAGS,
        answers={
            204: ResponseSpec("Said by the headers", headers=TAKEN),
            200: ResponseSpec("Likewise, of an endpoint for listening", headers=TAKEN),
        },
        errors=(NO_SUCH_SESSION,),
    )
