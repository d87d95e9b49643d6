"""Faces for calls without a server: a transport's own, one that is drawn here, and a server's."""

import functools
from collections.abc import AsyncIterator
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager
from typing import Any, cast

from gateway.faces.service import FaceService
from gateway.protocols.dialect import ProtocolError
from pipeline.pacer import Pacer
from pipeline.session import Stages
from pipeline.stage import Observed, Observer
from stages.avatar.face import FACES, load
from stages.avatar.renderer import LayerBitmaps
from stages.avatar.studio import Studio


class OwnFace:
    """A `gateway.live.transport.ClientFace` of a transport. `refused` is told at its start."""

    provider = "own"

    def __init__(self, refused: ProtocolError | None = None) -> None:
        self.shown = False
        self.seen: list[Observed] = []
        self._refused = refused

    @asynccontextmanager
    async def running(self) -> AsyncIterator["OwnFace"]:
        yield self
        self.shown = False

    def start(self) -> ProtocolError | None:
        self.shown = True
        return self._refused

    def observers(self) -> tuple[Observer, ...]:
        return (self,)

    def observe(self, output: Observed, now: float) -> None:
        self.seen.append(output)


class Inline(Executor):
    """Does at once, in the caller's thread, what it is given."""

    def submit(self, do: Any, /, *args: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(do(*args, **named))
        return future


@functools.cache
def plates(face: str, size: int) -> LayerBitmaps:
    """The layers of a shipped face; it takes 0.3 s to make them."""
    return LayerBitmaps(load(FACES / face), size)


class InlineStudio:
    """What `FaceService` needs of a `Studio`, without threads: faces drawn in virtual time."""

    def __init__(self) -> None:
        self.faces = {name: load(FACES / name) for name in ("jonas", "mira")}

    async def bitmaps(self, face: str, size: int) -> LayerBitmaps:
        return plates(face, size)


def drawn_here(stages: Stages, pacer: Pacer) -> FaceService:
    """The built-in faces, each drawn in the moment in which it is asked for."""
    studio = cast("Studio", InlineStudio())
    service = FaceService(studio, stages.animators, pacer, default="mira", ladder=stages.ladder)
    service._pool = cast("Any", Inline())
    return service
