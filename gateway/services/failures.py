"""Why a service did not answer, in words that hold no URL."""

import errno
from collections.abc import Iterator

import httpx

from gateway.services.answer_reader import MalformedAnswer
from gateway.services.http_connection import ConnectFailed


def failure_text(failure: BaseException) -> str:
    """The reason of a failed request. Never the exception's own text, which may have the URL."""
    for cause in _causes(failure):
        if isinstance(cause, ConnectionRefusedError):
            return "Connection refused"
        if isinstance(cause, OSError) and cause.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
            return "Host unreachable"
    match failure:
        case httpx.ConnectError() | ConnectFailed():
            return "Connection failed"
        case httpx.InvalidURL() | httpx.UnsupportedProtocol() | UnicodeError():
            return "Invalid URL"
        case httpx.RemoteProtocolError() | MalformedAnswer():
            return "Answer is not HTTP"
        case _:
            return "Connection broke off"


def duration_text(seconds: float) -> str:
    """A duration as people read it."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:g} s"


def _causes(failure: BaseException) -> Iterator[BaseException]:
    if isinstance(failure, BaseExceptionGroup):
        for member in failure.exceptions:
            yield from _causes(member)
        return
    yield failure
    if (cause := failure.__cause__ or failure.__context__) is not None:
        yield from _causes(cause)
