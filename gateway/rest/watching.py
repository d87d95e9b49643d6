"""The events of a session as they happen: `/api/sessions/{id}/events` (server-sent events)."""

from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import Response

from gateway.interviews.events import LAST, TooManyWatchers, Watch
from gateway.interviews.service import InterviewService
from gateway.interviews.sessions import NoSuchSession
from gateway.rest.event_stream import FIRST, HEARTBEAT_S, EventResponse, sent_event
from gateway.rest.interview_kinds import TOO_MANY_WATCHERS
from gateway.rest.operation import Operation, ResponseSpec
from gateway.rest.problems import NO_SUCH_SESSION, STORE_UNAVAILABLE
from gateway.rest.sessions import TAGS, session_id_of
from gateway.store import StoreError

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
        return EventResponse(watch.close, _stream(interviews(), session_id, watch, ended))

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


async def _stream(
    service: InterviewService, session_id: str, watch: Watch, ended: bytes | None
) -> AsyncIterator[bytes]:
    yield FIRST
    while not watch.over:
        found = await watch.next(0.0 if ended else HEARTBEAT_S)
        for event in found:
            yield sent_event(event.kind, event.data, event.id)
            if event.kind in LAST:
                return
        if found:
            continue
        try:
            # The interview may have ended in another process, or before the watcher began.
            ended = ended or await _ended(service, session_id)
        except NoSuchSession:
            ended = sent_event("deleted", {})
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
    return sent_event("completed", state.interview.state())
