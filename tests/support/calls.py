"""Live calls without a server: `Connection` over `MemoryTransport`, with scripted stages."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.faces.service import FaceService
from gateway.interviews.events import Events
from gateway.interviews.sessions import SessionOwner
from gateway.live.calls import Calls
from gateway.live.connection import Connection
from gateway.live.journals import Journals
from gateway.live.registry import LiveSessions
from gateway.live.transport import ClientFace
from gateway.observe.sessions import ObservedSessions, log_turn
from gateway.protocols.dialect import Dialect
from gateway.protocols.native import NativeDialect
from gateway.providers.lineup import Lineup
from gateway.settings import Settings
from pipeline.breaker import Breaker
from pipeline.guard import Candidate, Guard, Limits
from pipeline.pacer import Pacer
from pipeline.session import Stages
from pipeline.testing import run_virtual
from stages.fakes import FakeDetector, FakeSynthesizer, FakeTranscriber
from stages.llm.scripted import ScriptedInterviewer
from tests.support.client import PATIENCE_S, Client
from tests.support.memory_store import MemoryStore

Story = Callable[[], Coroutine[Any, Any, None]]


class LocalCalls:
    """A process's live calls. `settings`, the stages and `faces` may be changed before they run.

    `calls` and `store` are there while a story runs. At its end nothing may be left behind: no
    task, and nothing that is still played.
    """

    calls: Calls
    store: MemoryStore

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {"silence_ms": 300}
        self.detector: Any = FakeDetector()
        self.transcriber: Any = FakeTranscriber(texts=("I like to build things that last",))
        self.hearing = Limits()
        """How long the transcriber may take."""
        self.responder: Any = ScriptedInterviewer()
        self.synthesizer: Any = FakeSynthesizer(ms_per_word=20)
        self.stages: Callable[[], Stages] = self.scripted
        self.journals: Path | None = None
        """The folder in which journals are kept, with the person's audio."""
        self.faces: Callable[[Stages, Pacer], FaceService] = faces_of_servers
        self.observed = ObservedSessions(log_turn)
        self._connections: list[asyncio.Task[None]] = []

    def scripted(self) -> Stages:
        """The stages, each the only one of its slot."""
        return Stages(
            self.detector,
            Guard("stt", [self._transcribes()]),
            Guard("llm", [Candidate(self.responder.provider, self.responder, Breaker())]),
            Guard("tts", [Candidate(self.synthesizer.provider, self.synthesizer, Breaker())]),
        )

    def _transcribes(self) -> Candidate[Any]:
        return Candidate(self.transcriber.provider, self.transcriber, Breaker(), self.hearing)

    def run(self, story: Story) -> None:
        """Hold calls in virtual time while the story lasts."""
        run_virtual(self._run(story))

    def run_in_real_time(self, story: Story) -> None:
        """The same where the story needs another process."""
        asyncio.run(self._run(story))

    @asynccontextmanager
    async def call(
        self,
        session_id: str = "test",
        dialect: Dialect | None = None,
        *,
        own: AbstractAsyncContextManager[ClientFace] | None = None,
        lasts_s: float | None = None,
    ) -> AsyncIterator[Client]:
        """A client that leaves when the block ends; it speaks the native dialect by default.

        Its credential holds for `lasts_s`.
        """
        dialect = NativeDialect() if dialect is None else dialect
        client = Client(dialect, own)
        until = None if lasts_s is None else time.time() + lasts_s
        connection = asyncio.create_task(self._hold(client, dialect, session_id, until))
        self._connections.append(connection)
        try:
            yield client
        finally:
            client.leave()

    async def _hold(
        self, client: Client, dialect: Dialect, session_id: str, until: float | None
    ) -> None:
        with self.calls.live.connected():
            connection = Connection(client.transport, dialect, self.calls, session_id, until=until)
            client.end(*await connection.run())

    async def _run(self, story: Story) -> None:
        settings = Settings(**self.settings)
        stages, pacer, events = self.stages(), Pacer(), Events()
        self.store = MemoryStore(asyncio.get_running_loop().time)
        journals = None if self.journals is None else Journals(self.journals, audio=True)
        async with self.faces(stages, pacer) as faces:
            self.calls = Calls(
                settings=settings,
                store=self.store,
                lineup=Lineup.given(stages),
                pacer=pacer,
                faces=faces,
                live=LiveSessions(settings.max_sessions),
                owner=SessionOwner.here(),
                events=events,
                recorder=None,
                journals=journals,
                observed=self.observed,
            )
            try:
                await story()
                async with asyncio.timeout(PATIENCE_S):
                    await asyncio.gather(*self._connections)
            finally:
                for connection in self._connections:
                    connection.cancel()
                if journals is not None:
                    journals.close()
        async with asyncio.timeout(PATIENCE_S):
            while len(pacer) or len(asyncio.all_tasks()) > 1:
                await asyncio.sleep(0.02)


def faces_of_servers(stages: Stages, pacer: Pacer) -> FaceService:
    """Faces that an avatar server draws, where there is one; else the client draws them."""
    return FaceService(None, stages.animators, pacer, default="mira")
