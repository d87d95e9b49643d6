"""The interviewer's face for one client: a transport's video, pictures in messages, or none."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.faces.service import NOT_DRAWN, VISEMES, FaceService
from gateway.faces.stream import FaceStream
from gateway.live.transport import ClientFace, P, Transport
from gateway.protocols.dialect import Outgoing, ProtocolError
from gateway.protocols.request import SessionRequest
from pipeline.frames import Degraded
from pipeline.stage import Observer

MOST_UNSENT_BYTES = 32 * 1024
"""A client with more unsent bytes gets no pictures, so that audio waits behind few of them. The
first 200 ms of a reply, with their pictures, take about as much."""


@asynccontextmanager
async def client_face(
    transport: Transport[P],
    faces: FaceService,
    request: SessionRequest,
    *,
    session_id: str,
    rate_hz: int,
    emit: Callable[[Outgoing], None],
) -> AsyncIterator[ClientFace]:
    """The face that a client asked for, until the block ends. `rate_hz` is the reply audio's."""
    own = transport.face(request)
    if own is not None:
        async with own as face:
            yield face
        return
    if request.avatar != "frames":
        yield DrawnByClient(request.avatar)
        return
    stream = faces.stream(
        request.face,
        session_id=session_id,
        rate_hz=rate_hz,
        show=emit,
        degraded=emit,
        room=lambda: transport.unsent < MOST_UNSENT_BYTES,
    )
    async with stream as pictures:
        if pictures is None:
            yield Undrawn(emit)
        else:
            yield PicturesInMessages(pictures, faces, request.face)


class DrawnByClient:
    """The client draws the face by itself, from the visemes, or shows none."""

    def __init__(self, provider: str) -> None:
        self.provider = provider

    def start(self) -> ProtocolError | None:
        return None

    def observers(self) -> tuple[Observer, ...]:
        return ()


class Undrawn(DrawnByClient):
    """The client asked for pictures, but no provider draws any: it gets visemes."""

    def __init__(self, emit: Callable[[Outgoing], None]) -> None:
        super().__init__(VISEMES)
        self._emit = emit

    def start(self) -> ProtocolError | None:
        self._emit(Degraded(0, "avatar", "frames", VISEMES, NOT_DRAWN))
        return None


class PicturesInMessages:
    """Pictures in the session's messages."""

    def __init__(self, stream: FaceStream, faces: FaceService, wanted: str | None) -> None:
        self.provider = faces.provider
        self._stream = stream
        self._faces = faces
        self._wanted = wanted

    def observers(self) -> tuple[Observer, ...]:
        return (self._stream,)

    def start(self) -> ProtocolError | None:
        self._stream.start()
        return unknown_face(self._wanted, self._faces.faces, self._faces.default)


def unknown_face(wanted: str | None, faces: tuple[str, ...], default: str) -> ProtocolError | None:
    """The error for a client whose face is not one of `faces`; None if it is."""
    if wanted is None or wanted in faces:
        return None
    known = ", ".join(faces)
    return ProtocolError(
        "unknown_face", f"face: {wanted[:40]!r} is not one of {known}; {default} is shown"
    )
