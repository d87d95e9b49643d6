"""Opens one client's session: makes its host, its journal and its face, and sends `ready`."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from gateway.live.audience import Audience
from gateway.live.calls import Calls, LiveHost
from gateway.live.client_output import ClientOutput
from gateway.live.face import client_face
from gateway.live.reply_rate import ReplyRate
from gateway.live.resumption import Resumption
from gateway.live.returning import offered
from gateway.live.tools import ClientTools, session_tools
from gateway.live.transport import Media, P, Transport
from gateway.protocols.dialect import ProtocolError
from gateway.protocols.request import SessionRequest
from pipeline.session import Session
from pipeline.stage import Observer


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A session that can run, and its host. `refused` has the requests that its client does not
    get: a face, or functions that it named. `audience` has the session's listeners; an assistant's
    session has none."""

    session: Session
    host: LiveHost
    tools: ClientTools
    refused: tuple[ProtocolError, ...]
    audience: Audience | None


async def open_session(
    stack: AsyncExitStack,
    calls: Calls,
    session_id: str,
    request: SessionRequest,
    transport: Transport[P],
    media: Media[P],
    output: ClientOutput,
    resumption: Resumption,
    *,
    progress: Callable[[dict[str, Any]], None],
    dismiss: Callable[[], None],
    lost: Callable[[], None],
) -> OpenedSession:
    """Open the session that a client requests; all of its parts end with `stack`.

    `output` gets the `ready` for the client. `progress`, `dismiss` and `lost` are for the host.
    Raises what `Calls.host` raises. May be cancelled.
    """
    rate_hz = media.reply_rate_hz
    output.rate = ReplyRate(rate_hz)
    host = await stack.enter_async_context(calls.host(session_id, request, progress, dismiss, lost))
    journal = stack.enter_context(calls.journal(session_id))
    output.observed = stack.enter_context(calls.observe(session_id, request, transport.kind))
    face = await stack.enter_async_context(
        client_face(
            transport,
            calls.faces,
            request,
            session_id=session_id,
            rate_hz=rate_hz,
            emit=output.emit,
        )
    )
    observers: tuple[Observer, ...] = (*face.observers(), output)
    audience = None
    if request.assistant is None:
        audience = Audience(rate_hz, request.face)
        stack.enter_context(calls.live.heard_by(session_id, audience))
        observers = (*observers, audience)
    tools = ClientTools(output.emit)
    wishes = host.tools if request.tools is None else request.tools
    if not output.runs_tools:  # nobody would answer their calls
        wishes = tuple(wish for wish in wishes if not wish.of_client)
    own, unknown = session_tools(wishes, calls.lineup.tools, tools, session_id)
    session = calls.session(
        session_id,
        host,
        request,
        rate_hz=rate_hz,
        observers=observers,
        journal=journal,
        tools=own,
    )
    ready = calls.ready(session_id, media, host, request, face.provider)
    output.emit(await stack.enter_async_context(offered(calls, ready, request, resumption)))
    no_face = face.start()
    refused = unknown if no_face is None else (no_face, *unknown)
    return OpenedSession(session, host, tools, refused, audience)
