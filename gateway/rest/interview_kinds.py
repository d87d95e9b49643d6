"""Errors of requests about interviews, and the version that a request relies on."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from starlette.requests import Request

from gateway.interviews.state import InterviewState, OutOfOrder
from gateway.interviews.uploads import UploadError
from gateway.rest.problems import INVALID_PARAMETER, SESSION_LIVE, UPLOADS_FULL, Kind, Problem
from gateway.store import Conflict

NOT_STARTED = Kind("not_started", 409, "The interview has not been started")
COMPLETE = Kind("interview_complete", 409, "The interview is over")
NOTHING_ANSWERED = Kind("nothing_answered", 409, "No question has been answered yet")
TOO_MANY_TURNS = Kind("too_many_turns", 409, "The interview has too many turns")
NO_SUCH_ANSWER = Kind("no_such_answer", 404, "There is no upload with this number")
TOO_MANY_WATCHERS = Kind("too_many_watchers", 503, "Too many are watching")

_OUT_OF_ORDER = {
    kind.code: kind for kind in (NOT_STARTED, COMPLETE, NOTHING_ANSWERED, TOO_MANY_TURNS)
}

UPLOAD_KINDS = {
    kind.code: kind
    for kind in (
        Kind("incomplete_body", 400, "The body broke off"),
        Kind("invalid_multipart", 400, "The body is no multipart form"),
        Kind("no_file", 400, "The form holds no file"),
        Kind("several_files", 400, "The form holds more than one file"),
        Kind("invalid_form_field", 400, "A field of the form is wrong"),
        Kind("too_slow", 408, "The body came too slowly"),
        Kind("too_large", 413, "The recording is too large"),
        Kind("too_long", 413, "The recording is too long"),
        Kind("unsupported_media_type", 415, "The body's type is not read here"),
        Kind("not_audio", 415, "The file is no recording that is read here"),
        Kind("no_audio_track", 415, "The file has no sound"),
        Kind("unsupported_codec", 415, "The recording's codec is not read here"),
        Kind("language_not_recognised", 409, "No recogniser knows the session's language"),
        Kind("undecodable", 422, "The recording cannot be decoded"),
        UPLOADS_FULL,
        Kind("live_voice_first", 503, "Live conversations need the recogniser"),
        Kind("no_decoder", 503, "No decoder could be started"),
        Kind("no_recogniser", 503, "No recogniser could take the recording"),
    )
}

ANSWERING = (
    NOT_STARTED,
    COMPLETE,
    TOO_MANY_TURNS,
    SESSION_LIVE,
    *UPLOAD_KINDS.values(),
)

_ETAG = re.compile(r'(?:W/)?"([0-9]{1,18})"')


@contextmanager
def refusing() -> Iterator[None]:
    """Turn `OutOfOrder` and `UploadError` into problems."""
    try:
        yield
    except OutOfOrder as error:
        raise _OUT_OF_ORDER[error.code](str(error)) from None
    except UploadError as error:
        raise _of_upload(error) from None


def wanted_version(request: Request) -> int | None:
    """The version in If-Match, None without one. Raises `Problem` if it is not a version."""
    given = request.headers.get("if-match")
    if given is None or given.strip() == "*":
        return None
    found = _ETAG.fullmatch(given.strip())
    if found is None:
        raise INVALID_PARAMETER('If-Match holds one version as the ETag header gives it, "7" say')
    return int(found[1])


def check_version(state: InterviewState, wanted: int | None) -> None:
    """Raise the store's `Conflict` if the session is not at the version that the client wants.

    With None any version will do.
    """
    if wanted is not None and wanted != state.version:
        raise Conflict(state.record.keys.record, wanted, state.version)


def etag(version: int) -> Mapping[str, str]:
    """The header with a session's version."""
    return {"etag": f'"{version}"'}


def _of_upload(error: UploadError) -> Problem:
    kind = UPLOAD_KINDS.get(error.code)
    if kind is None:  # a code of the decoder for a damaged file
        kind = Kind(error.code, error.status, UPLOAD_KINDS["undecodable"].title)
    wait = error.retry_after_s
    headers = None if wait is None else {"retry-after": str(round(wait))}
    return kind(error.message, headers=headers)
