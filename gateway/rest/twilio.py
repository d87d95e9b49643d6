"""`POST /twilio/voice`: tells Twilio what to do with an incoming call.

The answer, in TwiML, connects the call to a WebSocket (`gateway.transports.websocket.twilio`), in
the session whose id is the call's. When the WebSocket has ended, Twilio asks again: if the
connection to the gateway broke off, the call goes on in the same interview.
"""

from typing import Annotated
from urllib.parse import parse_qsl, urlencode

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from gateway.interviews.sessions import (
    DEFAULT_MODEL,
    SESSION_ID,
    NoSuchSession,
    load,
    was_deleted,
)
from gateway.live.host import DEFAULT_ROLE
from gateway.protocols.twilio import twiml
from gateway.rest.operation import Operation, ResponseSpec
from gateway.rest.problems import (
    INVALID_COUNT,
    STORE_UNAVAILABLE,
    UNKNOWN_LANGUAGE,
    UNKNOWN_ROLE,
    UNSUPPORTED_MEDIA_TYPE,
    Kind,
    of_interview,
)
from gateway.rest.reading import BODY_S, Query, chunks, media_type
from gateway.runtime import Runtime
from gateway.security.twilio_signature import HEADER, is_signed
from gateway.settings import Settings
from stages.interview import InterviewConfig, InterviewError
from stages.interview.languages import interviewers, requested
from stages.interview.model import DEFAULT_QUESTIONS

TWILIO_OFF = Kind("twilio_off", 404, "This gateway takes no calls from Twilio")
BAD_SIGNATURE = Kind("bad_signature", 403, "The request is not signed by Twilio")
INVALID_FORM = Kind("invalid_form", 400, "The form cannot be read, or lacks what is needed")

FORM = "application/x-www-form-urlencoded"
LONGEST_FORM_BYTES = 16 * 1024
MOST_FIELDS = 100

TICKET_S = 60
"""How long the ticket of a call is valid; Twilio opens the WebSocket at once."""

MOST_ATTEMPTS = 5
"""How often a call is connected before it is hung up, so that no fault keeps it forever."""


class VoiceQuery(Query):
    """The interview that a call is to have: the query of the URL that is given to Twilio."""

    role: Annotated[str | None, Field(max_length=100)] = None
    model: Annotated[str | None, Field(max_length=100, pattern=r"^[!-~]+$")] = None
    totalQuestions: int | None = None
    language: Annotated[str | None, Field(max_length=40)] = None
    silence_ms: Annotated[int | None, Field(ge=100, le=10_000)] = None
    attempt: Annotated[
        int, Field(ge=1, le=MOST_ATTEMPTS + 1, description="set by the gateway itself")
    ] = 1


class TwilioVoice:
    """The endpoint that Twilio requests. It needs `settings.twilio_token`."""

    def __init__(self, runtime: Runtime, settings: Settings) -> None:
        self._runtime = runtime
        token = settings.twilio_token
        self._token = None if token is None else token.get_secret_value()
        self._public_url = settings.public_url

    def operations(self) -> list[Operation]:
        """The endpoint."""
        return [
            Operation(
                method="POST",
                path="/twilio/voice",
                name="twilioVoice",
                handler=self._voice,
                summary="What Twilio is to do with a call",
                description="The webhook of a telephone number at Twilio, for calls that come in."
                " Its requests are signed with PARLEY_TWILIO_TOKEN.",
                tags=("twilio",),
                text=FORM,
                query=VoiceQuery,
                answers={200: ResponseSpec("TwiML", media=(twiml.MEDIA_TYPE,))},
                errors=(
                    TWILIO_OFF,
                    BAD_SIGNATURE,
                    INVALID_FORM,
                    UNKNOWN_ROLE,
                    UNKNOWN_LANGUAGE,
                    INVALID_COUNT,
                    STORE_UNAVAILABLE,
                ),
            )
        ]

    async def _voice(self, request: Request, query: VoiceQuery) -> Response:
        if self._token is None:
            raise TWILIO_OFF("Set PARLEY_TWILIO_TOKEN to the auth token of your account")
        fields = await _form(request)
        base = self._public_url or _own_url(request)
        scope = request.scope
        asked = scope["raw_path"].decode("latin-1")
        if scope["query_string"]:
            asked = f"{asked}?{scope['query_string'].decode('latin-1')}"
        signed = request.headers.get(HEADER, "")
        if not is_signed(signed, self._token, base + asked, fields):
            raise BAD_SIGNATURE(
                "PARLEY_TWILIO_TOKEN and, behind a proxy, PARLEY_PUBLIC_URL have to be right"
            )
        call = dict(fields).get("CallSid", "")
        if SESSION_ID.fullmatch(call) is None:
            raise INVALID_FORM("CallSid names the call")
        wanted = _checked(query)
        first = query.attempt == 1
        if await self._over(call) or query.attempt > MOST_ATTEMPTS:
            return _twiml(twiml.HANG_UP)
        again = {**query.model_dump(exclude_none=True), "attempt": query.attempt + 1}
        path = scope["path"]
        afterwards = f"{base}{path}?{urlencode(again)}"
        if self._runtime.live.refusal(call) is not None:
            # A call that was being held is not cut off: the next process may be up by then.
            return _twiml(twiml.REJECT if first else twiml.wait(afterwards))
        if not self._runtime.access.open:
            wanted["ticket"] = (await self._runtime.access.ticket(call, TICKET_S)).value
        stream = f"ws{base.removeprefix('http')}/twilio/{call}"
        return _twiml(twiml.connect(stream, wanted, afterwards))

    async def _over(self, call: str) -> bool:
        """Whether the call's interview is over."""
        store = self._runtime.store
        try:
            record, _ = await load(store, call)
        except NoSuchSession:
            return await was_deleted(store, call)
        return record.finished


def _checked(query: VoiceQuery) -> dict[str, str]:
    """The parameters for the stream. Raises `Problem` for an interview that cannot be held."""
    try:
        language = None if query.language is None else requested(query.language)
        spoken = interviewers(language or "en")
        total = DEFAULT_QUESTIONS if query.totalQuestions is None else query.totalQuestions
        role = query.role or DEFAULT_ROLE
        role = InterviewConfig(role, query.model or DEFAULT_MODEL, total, spoken).role
    except InterviewError as error:
        raise of_interview(error) from None
    wanted = {"role": role, "totalQuestions": str(total)}
    if query.model is not None:
        wanted["model"] = query.model
    if language is not None:
        wanted["language"] = language
    if query.silence_ms is not None:
        wanted["silence_ms"] = str(query.silence_ms)
    return wanted


async def _form(request: Request) -> list[tuple[str, str]]:
    """The fields of the form. Raises `Problem`."""
    if media_type(request) != FORM:
        raise UNSUPPORTED_MEDIA_TYPE(f"The body must be {FORM}", headers={"accept": FORM})
    body = bytearray()
    async for chunk in chunks(request, LONGEST_FORM_BYTES, BODY_S):
        body += chunk
    try:
        return parse_qsl(
            body.decode(),
            keep_blank_values=True,
            max_num_fields=MOST_FIELDS,
            errors="strict",
        )
    except ValueError:
        raise INVALID_FORM("It is not a form in UTF-8") from None


def _own_url(request: Request) -> str:
    """The URL of this gateway, as the request names it."""
    return f"{request.scope['scheme']}://{request.headers.get('host', '')}"


def _twiml(text: str) -> Response:
    return Response(text, 200, {"cache-control": "no-store"}, media_type=twiml.MEDIA_TYPE)
