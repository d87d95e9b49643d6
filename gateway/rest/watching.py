"""The events of a session as they happen: `/api/sessions/{id}/events` (server-sent events)."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.interviews.events import LAST, TooManyWatchers, Watch
from gateway.interviews.service import InterviewService
from gateway.interviews.sessions import NoSuchSession
from gateway.rest.interview_kinds import TOO_MANY_WATCHERS
from gateway.rest.operation import Operation, ResponseSpec
from gateway.rest.problems import NO_SUCH_SESSION, STORE_UNAVAILABLE
from gateway.rest.sessions import TAGS, session_id_of
from gateway.store import StoreError

HEARTBEAT_S = 15.0
"""After this time without events a comment keeps the stream alive."""

RETRY_MS = 3_000
"""After this time a browser reconnects by itself."""

LONGEST_ID = 64


def watch_operation(interviews: Callable[[], InterviewService]) -> Operation:
    """The endpoint, served by the interview service of the process."""

    async def watch(request: Request) -> Response:
        session_id = session_id_of(request)
        await interviews().written.state(session_id)  # a missing session gets no ring of events
        after = request.headers.get("last-event-id")
        try:
            watch = interviews().events.watch(session_id, after[:LONGEST_ID] if after else None)
        except TooManyWatchers:
            raise TOO_MANY_WATCHERS(headers={"retry-after": "10"}) from None
        try:
            ended = await _ended(interviews(), session_id)
        except BaseException:
            watch.close()
            raise
        return EventResponse(watch, _stream(interviews(), session_id, watch, ended))

    return Operation(
        method="GET",
        path="/api/sessions/{id}/events",
        name="watchSession",
        handler=watch,
        summary="Watch what happens in a session",
        description="Server-sent events `upload` (progress), `answer`, `evaluation`, `interview`"
        " (live voice), `failed`, and `missed` where some are not kept any more. After `completed`"
        " or `deleted` the stream ends. `Last-Event-ID` goes on after that event.",
        tags=TAGS,
        answers={
            200: ResponseSpec("Events until the interview is over", media=("text/event-stream",))
        },
        errors=(NO_SUCH_SESSION, STORE_UNAVAILABLE, TOO_MANY_WATCHERS),
    )


class EventResponse(StreamingResponse):
    """A stream that closes its watcher, however it ends."""

    def __init__(self, watch: Watch, events: AsyncIterator[bytes]) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(events, 200, headers, media_type="text/event-stream")
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.release()

    def release(self) -> None:
        """Close the watcher, also if the stream was not begun."""
        self._watch.close()


async def _stream(
    service: InterviewService, session_id: str, watch: Watch, ended: bytes | None
) -> AsyncIterator[bytes]:
    yield b"retry: %d\n\n" % RETRY_MS
    while not watch.over:
        found = await watch.next(0.0 if ended else HEARTBEAT_S)
        for event in found:
            yield _event(event.kind, event.data, event.id)
            if event.kind in LAST:
                return
        if found:
            continue
        try:
            # The interview may have ended in another process, or before the watcher began.
            ended = ended or await _ended(service, session_id)
        except NoSuchSession:
            ended = _event("deleted", {})
        except StoreError:
            continue
        if ended is not None:
            yield ended
            return
        if not watch.over:
            yield b": still here\n\n"


async def _ended(service: InterviewService, session_id: str) -> bytes | None:
    """The last event of a session that is over, None if it is not over."""
    state = await service.written.state(session_id)
    if state.interview is None or not state.interview.is_complete:
        return None
    return _event("completed", state.interview.state())


def _event(kind: str, data: dict[str, Any], event_id: str | None = None) -> bytes:
    about = "" if event_id is None else f"id: {event_id}\n"
    return f"{about}event: {kind}\ndata: {json.dumps(data)}\n\n".encode()
