"""Server-sent events: a response that lasts, and what it consists of."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

HEARTBEAT_S: Final = 15.0
"""After this time without events a comment keeps the stream alive."""

RETRY_MS: Final = 3_000
"""After this time a browser reconnects by itself."""

FIRST: Final = b"retry: %d\n\n" % RETRY_MS


class EventResponse(StreamingResponse):
    """A stream that calls `release` once it ends, however it does. `release` is idempotent."""

    def __init__(self, release: Callable[[], None], events: AsyncIterator[bytes]) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(events, 200, headers, media_type="text/event-stream")
        self._release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.release()

    def release(self) -> None:
        """Release what it holds, also if the stream was not begun."""
        self._release()


def sent_event(kind: str, data: dict[str, Any], event_id: str | None = None) -> bytes:
    """One event, with the id after which a client goes on."""
    about = "" if event_id is None else f"id: {event_id}\n"
    return f"{about}event: {kind}\ndata: {json.dumps(data)}\n\n".encode()
