"""The HTTP side of RTVI: `/start`, `/status`, and the offers of Pipecat's SmallWebRTC.

Its paths and answers are those that Pipecat's clients expect, so the operations are not described
in `/openapi.json`; `docs/rtvi.md` describes them. Errors are problem details: the clients show
their `detail`.
"""

import time
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from gateway.interviews import sessions
from gateway.interviews.sessions import DEFAULT_MODEL
from gateway.live.epoch import epoch_clock
from gateway.live.host import DEFAULT_ROLE
from gateway.protocols.request import SessionRequest
from gateway.protocols.rtvi import Rtvi
from gateway.protocols.tool_wish import ToolWishes
from gateway.rest.access import (
    ACCESS_REQUIRED,
    ADMITTED,
    CHALLENGE,
    FOREIGN_PAGE,
    HOW,
    WRONG,
    Admitted,
    Maker,
    counted_as,
    until,
)
from gateway.rest.limits import HttpLimits
from gateway.rest.operation import Handler, Operation, ResponseSpec
from gateway.rest.problems import NO_PLACE, NO_SUCH_SESSION, RETRY, Kind, of_interview
from gateway.rest.sessions import session_id_of, websocket_base
from gateway.rest.signalling import INVALID_OFFER, NO_SUCH_PEER, Signalling, offer_problem
from gateway.rest.webrtc import Id
from gateway.runtime import Runtime
from gateway.security import digest_of, may_connect, origin_of, presented
from gateway.security.clients import client_identity
from gateway.security.grants import Grant
from gateway.security.tickets import TICKET
from gateway.transports.webrtc.offers import LONGEST_LINE, MAX_BYTES, OfferError
from gateway.transports.websocket.endpoint import address_of
from stages.interview import InterviewConfig, InterviewError
from stages.interview.languages import default_language, interviewers, requested
from stages.interview.model import DEFAULT_QUESTIONS

UNKNOWN_TRANSPORT = Kind("unknown_transport", 400, "This transport is not to be had here")

TOKEN_S = 60
"""How long the token of a new session can be used; it can be once."""

MOST_TRICKLED = 128
"""A browser names each of its addresses for each section; those of one section are looked at."""

START, STATUS = "/start", "/status"
OFFER, OFFER_OF_SESSION = "/api/offer", "/sessions/{id}/api/offer"


class _Sent(BaseModel):
    # Clients send what applications add; what is not known is ignored.
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class RtviInterview(_Sent):
    """The interview that is wanted: a new one, or with `sessionId` one that goes on."""

    role: str = DEFAULT_ROLE
    model: str | None = None
    total_questions: Annotated[int, Field(alias="totalQuestions")] = DEFAULT_QUESTIONS
    language: str | None = None
    session_id: Annotated[Id | None, Field(alias="sessionId")] = None
    tools: ToolWishes = Field(default_factory=list)


class RtviStart(_Sent):
    """The body of `/start`."""

    transport: str = "webrtc"
    body: RtviInterview = RtviInterview()


class RtviOffer(_Sent):
    """An SDP offer. `pc_id` names the connection that it replaces."""

    sdp: Annotated[str, Field(max_length=MAX_BYTES)]
    type: Literal["offer"]
    pc_id: Id | None = None
    restart_pc: bool | None = None


class RtviCandidate(_Sent):
    candidate: Annotated[str, Field(max_length=LONGEST_LINE)]
    sdp_mid: str | None = None


class RtviCandidates(_Sent):
    """Further candidates of a connection; an empty one says that there are no more."""

    pc_id: Id
    candidates: Annotated[list[RtviCandidate], Field(max_length=MOST_TRICKLED)]


class RtviStarted(BaseModel):
    """The answer to `/start`: the fields that the client's transport connects with, which for
    "websocket" are others than for "webrtc"."""

    model_config = ConfigDict(extra="allow")


class RtviAnswer(BaseModel):
    sdp: str
    type: Literal["answer"] = "answer"
    pc_id: str


class RtviDone(BaseModel):
    status: Literal["success"] = "success"


class RtviStatus(BaseModel):
    status: Literal["ready"] = "ready"
    transports: list[str]


class RtviEndpoints:
    """The endpoints. Offers are answered by `webrtc`."""

    def __init__(self, runtime: Runtime, webrtc: Signalling) -> None:
        self._runtime = runtime
        self._webrtc = webrtc
        self._limits = None if runtime.limiter is None else HttpLimits(runtime.limiter)

    def operations(self) -> list[Operation]:
        """The endpoints, as entries of the table of operations."""
        of_session = ("POST", OFFER_OF_SESSION, "rtviOffer", self._offer)
        return [
            _hidden("GET", STATUS, "rtviStatus", self._status),
            _hidden("POST", START, "rtviStart", self._start, RtviStart),
            _hidden(*of_session, RtviOffer),
            _hidden("PATCH", OFFER_OF_SESSION, "rtviTrickle", self._trickle, RtviCandidates),
            _hidden("PATCH", OFFER, "offerTrickle", self._trickle, RtviCandidates),
        ]

    async def _status(self, request: Request) -> RtviStatus:
        has_webrtc = find_spec("aiortc") is not None
        return RtviStatus(transports=["webrtc", "websocket"] if has_webrtc else ["websocket"])

    # --- a new session -----------------------------------------------------------------------

    async def _start(self, request: Request, wanted: RtviStart) -> RtviStarted:
        if wanted.transport not in ("webrtc", "websocket"):
            raise UNKNOWN_TRANSPORT("webrtc and websocket are")
        base = websocket_base(request)
        session_id = wanted.body.session_id or ""
        if session_id:
            await self._goes_on(request, session_id)
        else:
            session_id = await self._made(wanted.body)
        token = None
        if not self._runtime.access.open:
            token = await self._token(request, session_id)
        if wanted.transport == "websocket":
            given = {} if token is None else {"token": token}
            return RtviStarted.model_validate({"wsUrl": f"{base}/ws-client/{session_id}", **given})
        found: dict[str, Any] = {"sessionId": session_id}
        if servers := self._webrtc.ice_servers():
            found["iceConfig"] = {"iceServers": servers}
        if token is not None:
            path = OFFER_OF_SESSION.format(id=session_id)
            endpoint = f"http{base.removeprefix('ws')}{path}?token={token}"
            found["webrtcRequestParams"] = {"endpoint": endpoint}
        return RtviStarted.model_validate(found)

    async def _token(self, request: Request, session_id: str) -> str:
        """A ticket for the session, with which it ends no later than with the client's own."""
        access = self._runtime.access
        lasts_s: int | None = None
        if (ends := until(request)) is not None:
            lasts_s = max(1, int(ends - time.time()))
        admitted: Admitted | None = request.scope.get(ADMITTED)
        if admitted is not None and not await access.own(admitted.grant, session_id):
            raise NO_SUCH_SESSION()
        return (await access.ticket(session_id, TOKEN_S, lasts_s)).value

    async def _goes_on(self, request: Request, session_id: str) -> None:
        """Raise `Problem` or `NoSuchSession` where the client may not have the session again."""
        admitted: Admitted | None = request.scope.get(ADMITTED)
        if admitted is not None and not await admitted.access.owns(admitted.grant, session_id):
            raise NO_SUCH_SESSION()
        await sessions.load(self._runtime.store, session_id)

    async def _made(self, wanted: RtviInterview) -> str:
        settings = self._runtime.settings
        if (why := self._runtime.refusal("voice")) is not None:
            raise NO_PLACE(why, headers=RETRY)
        try:
            own = default_language(settings.stt_language)
            if wanted.language is not None:
                own = requested(wanted.language)
            config = InterviewConfig(
                wanted.role,
                wanted.model or DEFAULT_MODEL,
                wanted.total_questions,
                interviewers(own),
            )
        except InterviewError as error:
            raise of_interview(error) from None
        record, _ = await sessions.create(
            self._runtime.store,
            config,
            mode="voice",
            ttl_s=settings.session_ttl_s,
            language=own,
            tools=tuple(wanted.tools),
            tells=settings.tells,
            made_by=client_identity.get(),
        )
        return record.id

    # --- WebRTC ------------------------------------------------------------------------------

    async def _offer(self, request: Request, offer: RtviOffer) -> RtviAnswer:
        session_id = session_id_of(request)
        old = offer.pc_id if self._webrtc.session_of(offer.pc_id) == session_id else None
        maker, grant = await self._admitted(request, session_id, old)
        access = self._runtime.access
        dialect = Rtvi(SessionRequest(avatar="off"), epoch_clock())
        ends_at = self._webrtc.ends_at(old) if grant is None else access.until(grant)
        try:
            made = await self._webrtc.answer(
                session_id,
                offer.sdp,
                dialect,
                address_of(request),
                until=ends_at,
                replaces=old is not None,
            )
        except OfferError as error:
            raise offer_problem(error) from None
        try:
            # Only now: an offer that is refused uses no ticket up.
            if grant is not None and not await access.enter(grant, session_id):
                raise NO_SUCH_SESSION()
        except BaseException:  # another request was faster with the ticket, or this one has ended
            self._webrtc.hang_up(made.id)
            raise
        self._webrtc.remember(made.id, maker, ends_at)
        if old is not None:  # only now: a refused offer must not end the connection that works
            self._webrtc.hang_up(old)
        return RtviAnswer(sdp=made.sdp, pc_id=made.id)

    async def _trickle(self, request: Request, sent: RtviCandidates) -> RtviDone:
        session_id = self._webrtc.session_of(sent.pc_id)
        if session_id is None or request.path_params.get("id", session_id) != session_id:
            raise NO_SUCH_PEER()
        await self._admitted(request, session_id, sent.pc_id)
        peer = self._webrtc.peer(session_id, sent.pc_id)
        if peer is None:
            raise NO_SUCH_PEER()
        lines = [
            f"a={one.candidate}"
            for one in sent.candidates
            if one.candidate and one.sdp_mid in (None, "", peer.mid)
        ]
        try:
            await peer.trickle("\r\n".join(lines))
        except OfferError as error:
            raise offer_problem(error) from None
        return RtviDone()

    async def _admitted(
        self, request: Request, session_id: str, peer_id: str | None
    ) -> tuple[Maker, Grant | None]:
        """Whose credential the client has, and what it allows; no ticket is used.

        A connection may be replaced and given candidates with the credential that made it: then,
        and where none is needed, there is no grant. Counts the request. Raises `Problem` and
        `NoSuchSession`.
        """
        headers, access = request.headers, self._runtime.access
        origin = origin_of(headers.getlist("origin"))
        if not may_connect(origin, headers.get("host", ""), self._runtime.settings.cors_origins):
            raise FOREIGN_PAGE("PARLEY_CORS_ORIGINS names the pages that may")
        if access.open:
            self._webrtc.guard(request)
            return Maker("", ""), None
        shown = presented(headers.get("authorization"), headers.get("x-api-key"))
        credential = shown or request.query_params.get("token", "")
        if not credential:
            raise ACCESS_REQUIRED(HOW, headers=CHALLENGE)
        digest = digest_of(credential)
        token = self._webrtc.token
        if shown and token is not None and token.accepts(shown):
            await self._count(request, digest)
            return Maker(digest, digest), None
        used = credential.startswith(TICKET)  # all else has to hold still
        maker = self._webrtc.maker(peer_id) if used and peer_id is not None else None
        if maker is not None and maker.digest == digest:
            await self._count(request, maker.counted)
            return maker, None
        grant = await access.look(credential)
        if grant is None or not (shown or _once(grant)):
            raise ACCESS_REQUIRED(HOW, headers=WRONG)
        maker = Maker(digest, counted_as(grant))
        client_identity.set(maker.counted)
        await self._count(request, maker.counted)
        if not await access.holds(grant, session_id):
            raise NO_SUCH_SESSION()
        return maker, grant

    async def _count(self, request: Request, client: str) -> None:
        if self._limits is not None:
            await self._limits.client(request, client)


def _once(grant: Grant) -> bool:
    """Whether it can be used once: what can be used twice has no place in a URL."""
    return grant.ticket is not None


def _hidden(
    method: str,
    path: str,
    name: str,
    handler: Handler,
    body: type[BaseModel] | None = None,
) -> Operation:
    return Operation(
        method=method,
        path=path,
        name=name,
        handler=handler,
        summary=name,
        body=body,
        max_body_bytes=4 * MAX_BYTES,
        answers={200: ResponseSpec("Done", BaseModel)},
        errors=(INVALID_OFFER,),
        hidden=True,
    )
