"""Error responses: problem details (RFC 9457).

A `Kind` is one kind of error: its code is for programs and stable, its title is for people. Calling
it makes a `Problem` with the details of this occurrence. Internal causes are logged and never sent
to a client.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.interviews.sessions import NoSuchSession, SessionTaken
from gateway.security.identities import TokenRefused
from gateway.store import Conflict, StoreError
from stages.interview import InterviewError

logger = logging.getLogger("parley.rest")

MEDIA_TYPE = "application/problem+json"

LONGEST_DETAIL = 500
"""The most characters of a detail, which may quote what a client sent."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of error, the same wherever it happens."""

    code: str
    status: int
    title: str

    @property
    def type(self) -> str:
        """The URI reference of the gateway's own description of the kind."""
        return f"/problems#{self.code}"

    def __call__(
        self, detail: str | None = None, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> "Problem":
        """An occurrence, to be raised. `members` are added to the standard ones in the response."""
        return Problem(self, detail, headers, members)


class Problem(Exception):
    """An error response, raised by handlers."""

    def __init__(
        self,
        kind: Kind,
        detail: str | None = None,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(kind.code, detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers
        self.members = members or {}

    def to_json(self) -> dict[str, Any]:
        """The members of the response's object."""
        detail = self.detail if self.detail is None else self.detail[:LONGEST_DETAIL]
        return {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "code": self.kind.code,
            **({} if detail is None else {"detail": detail}),
            **self.members,
        }

    def response(self) -> Response:
        """The complete response."""
        # A quoted text of a client may hold half of a surrogate pair, which is replaced.
        body = json.dumps(self.to_json(), ensure_ascii=False, separators=(",", ":"))
        headers = {"cache-control": "no-store", **(self.headers or {})}
        return Response(
            body.encode(errors="replace"), self.kind.status, headers, media_type=MEDIA_TYPE
        )


class InvalidField(BaseModel):
    """A part of the request that is wrong, and why."""

    detail: str
    pointer: Annotated[str | None, Field(description="JSON Pointer into the body (RFC 6901)")] = (
        None
    )
    parameter: Annotated[str | None, Field(description="the name of the query parameter")] = None


class ProblemDetails(BaseModel):
    """Problem details (RFC 9457). `code` is stable; `title` and `detail` are for people."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[str, Field(json_schema_extra={"format": "uri-reference"})]
    title: str
    status: int
    code: str
    detail: str | None = None
    errors: Annotated[
        list[InvalidField] | None, Field(description="everything that is wrong with the request")
    ] = None
    reason: Annotated[
        str | None, Field(description="of a refused token: why it does not hold, for programs")
    ] = None
    version: Annotated[
        int | None, Field(description="of a conflict: the version that is stored now")
    ] = None


# --- of any operation ----------------------------------------------------------------------------

NOT_FOUND = Kind("not_found", 404, "There is nothing at this path")
METHOD_NOT_ALLOWED = Kind("method_not_allowed", 405, "This path does not know the method")
NOT_ACCEPTABLE = Kind("not_acceptable", 406, "The answer cannot be given in a type you accept")
INVALID_PARAMETER = Kind("invalid_parameter", 400, "A parameter is wrong")
INTERNAL = Kind("internal", 500, "Something went wrong inside the gateway")
STORE_UNAVAILABLE = Kind("store_unavailable", 503, "Sessions cannot be stored or read now")

# --- tokens of an identity provider --------------------------------------------------------------

TOKEN_REFUSED = Kind("token_refused", 401, "The token does not hold here")
TOKEN_KEYS_UNAVAILABLE = Kind("token_keys_unavailable", 503, "Tokens cannot be checked now")

# --- limits --------------------------------------------------------------------------------------

TOO_MANY_REQUESTS = Kind("too_many_requests", 429, "Requests come faster than they may")
QUOTA_USED = Kind("quota_used", 429, "A quota is used up")
LIMITS_UNAVAILABLE = Kind("limits_unavailable", 503, "Requests cannot be counted now")

OF_LIMITS = (TOO_MANY_REQUESTS, QUOTA_USED, LIMITS_UNAVAILABLE)

# --- bodies --------------------------------------------------------------------------------------

INVALID_JSON = Kind("invalid_json", 400, "The body is not one JSON object in UTF-8")
INVALID_FIELD = Kind("invalid_field", 400, "A field of the body is missing or wrong")
INCOMPLETE_BODY = Kind("incomplete_body", 400, "The body broke off")
BODY_TOO_SLOW = Kind("body_too_slow", 408, "The body did not come in time")
BODY_TOO_LARGE = Kind("body_too_large", 413, "The body is too large")
UNSUPPORTED_MEDIA_TYPE = Kind("unsupported_media_type", 415, "The body's type is not read here")
UPLOADS_FULL = Kind("uploads_full", 503, "Too many uploads are under way")

# --- idempotency keys ----------------------------------------------------------------------------

INVALID_KEY = Kind("invalid_idempotency_key", 400, "The Idempotency-Key cannot be one")
KEY_REUSED = Kind("idempotency_key_reused", 422, "The Idempotency-Key came with another request")
KEY_IN_USE = Kind("idempotency_key_in_use", 409, "The first request with this key is under way")
ANSWER_NOT_KEPT = Kind("answer_not_kept", 409, "This was done, but its answer is not kept")

# --- sessions and interviews ---------------------------------------------------------------------

NO_SUCH_SESSION = Kind("no_such_session", 404, "There is no session with this id")
SESSION_LIVE = Kind("session_live", 409, "Somebody is in this session now")
CONFLICT = Kind("conflict", 409, "Somebody else changed this in the meantime")
UNKNOWN_ROLE = Kind("unknown_role", 400, "There are no interviews for this role")
UNKNOWN_LANGUAGE = Kind("unknown_language", 400, "There are no interviews in this language")
INVALID_COUNT = Kind("invalid_count", 400, "An interview cannot have so many questions")
INVALID_SESSION = Kind("invalid_session", 400, "The interview's session is inconsistent")
RETRY = {"retry-after": "5"}
NO_PLACE = Kind("no_place", 503, "No further session can begin here now")
INVALID_HOST = Kind("invalid_host", 400, "The Host header is missing or is no host name")

# --- services behind the gateway -----------------------------------------------------------------

INVALID_REQUEST = Kind("invalid_request", 400, "Services may read this request in several ways")
SERVICE_UNAVAILABLE = Kind("service_unavailable", 503, "No instance of the service is well")
SERVICE_BUSY = Kind("service_busy", 503, "The service has as many calls as it may have")
SERVICE_FAILED = Kind("service_failed", 502, "The service did not answer as it should")
SERVICE_TIMEOUT = Kind("service_timeout", 504, "The service did not answer in time")

OF_SERVICES = (
    INVALID_REQUEST,
    BODY_TOO_LARGE,
    SERVICE_UNAVAILABLE,
    SERVICE_BUSY,
    SERVICE_FAILED,
    SERVICE_TIMEOUT,
)
"""The problems that the gateway answers in place of a service; other answers are the service's."""

_OF_INTERVIEWS = {
    kind.code: kind for kind in (UNKNOWN_ROLE, UNKNOWN_LANGUAGE, INVALID_COUNT, INVALID_SESSION)
}
_OF_STATUS = {404: NOT_FOUND, 405: METHOD_NOT_ALLOWED, 406: NOT_ACCEPTABLE}


def problem_of(error: Exception) -> Problem | None:
    """The problem for an exception, None for an unexpected exception."""
    match error:
        case Problem():
            return error
        case NoSuchSession():
            return NO_SUCH_SESSION()
        case SessionTaken():
            return SESSION_LIVE()
        case TokenRefused():
            return of_token(error)
        case Conflict():
            return CONFLICT("Read it again, then try again", version=error.found)
        case StoreError():
            logger.error("store failed: %s", error)
            return STORE_UNAVAILABLE("Try again later", headers={"retry-after": "5"})
        case HTTPException():
            return _of_http(error)
    return None


def of_token(error: TokenRefused) -> Problem:
    """The problem for a token that is not valid; `reason` says why, for programs."""
    if error.unavailable:
        return TOKEN_KEYS_UNAVAILABLE(str(error), headers=RETRY, reason=error.reason)
    challenge = 'Bearer realm="parley", error="invalid_token"'
    return TOKEN_REFUSED(str(error), headers={"www-authenticate": challenge}, reason=error.reason)


def of_interview(error: InterviewError) -> Problem:
    """The problem for a request that the interview refused.

    Not for errors in stored data, which are no fault of the client.
    """
    return _OF_INTERVIEWS[error.code](str(error))


def _of_http(error: HTTPException) -> Problem:
    status = HTTPStatus(error.status_code)
    kind = _OF_STATUS.get(status) or Kind(status.name.lower(), status, status.phrase)
    return kind(headers=error.headers)


def invalid(kind: Kind, errors: Sequence[InvalidField]) -> Problem:
    """The problem for a request with these errors, at least one; the first is the detail."""
    shown = [error.model_dump(exclude_none=True) for error in errors]
    return kind(errors[0].detail, errors=shown)


async def _expected(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    assert problem is not None
    return problem.response()


async def _unexpected(request: Request, error: Exception) -> Response:
    # Starlette raises the error again once this is sent, and the server logs it.
    return INTERNAL().response()


Handler = Callable[[Request, Exception], Awaitable[Response]]

EXCEPTION_HANDLERS: Mapping[Any, Handler] = cast(
    "Mapping[Any, Handler]",
    {
        Problem: _expected,
        HTTPException: _expected,
        StoreError: _expected,
        Exception: _unexpected,
    },
)
"""For the application: exceptions outside of an operation get responses of the same form."""
