"""The process's engine: providers behind their guards, storage, and the sessions that are live."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from gateway.faces.service import FaceService
from gateway.interviews.service import InterviewService, open_interview_service
from gateway.interviews.sessions import SessionOwner, SessionTaken
from gateway.live.host import InterviewHost
from gateway.live.journals import Journals
from gateway.media.resampling import converter
from gateway.protocols.native.messages import Hello, TurnDetection
from gateway.providers.build import options
from gateway.providers.lineup import Lineup, line_up
from gateway.reports.assessor import Assessor
from gateway.rest.health import ProviderReport, QueueReport, Readiness, StageReport
from gateway.settings import Settings
from gateway.store import Store
from pipeline.frames import Output, Spoken
from pipeline.journal import Journal
from pipeline.pacer import Pacer
from pipeline.session import Session, SessionPolicy, Stages
from pipeline.stage import Responder
from pipeline.turns import TurnPolicy
from stages.avatar.face import FACES, load, shipped
from stages.avatar.face import find as find_face
from stages.avatar.face import name as face_name
from stages.avatar.ladder import QUALITY_LEVELS
from stages.avatar.studio import MOST_WAITING, Studio
from stages.registry import AUTO

HARD_FACTOR = 6
"""The turn's hard limit, in budgets: after it a canned line answers."""

LEAVE_S = 6.0
"""How long a client that comes back waits for its old connection, which stores its last words."""


@dataclass(slots=True)
class _Hold:
    """What this process knows of a session that is live in it."""

    dismiss: Callable[[], None] | None
    leaving: bool = False
    released: asyncio.Event = field(default_factory=asyncio.Event)


class Runtime:
    """Everything that the sessions of a process share. Use it as an async context manager."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        stages: Stages | None = None,
        assessor: Assessor | None = None,
    ) -> None:
        self.settings = settings
        self.store = store
        self._given = stages
        self._assessor = assessor
        self._desk: InterviewService | None = None
        self._lineup: Lineup | None = None
        self._pacer: Pacer | None = None
        self._journals: Journals | None = None
        self._gallery: FaceService | None = None
        self.studio: Studio | None = None
        """Where faces become video; None where they cannot, or are not to."""
        self._worker = SessionOwner.here()
        self._holds: dict[str, _Hold] = {}  # as many as there are connections
        self.live = 0
        self._started = False
        self.draining = False

    async def __aenter__(self) -> "Runtime":
        async with AsyncExitStack() as stack:
            if self.settings.journal_dir is not None:
                texts = self.settings.journal_texts
                self._journals = Journals(self.settings.journal_dir, texts=texts)
                stack.callback(self._journals.close)
            self.studio = _studio(self.settings)
            if self.studio is not None:
                await stack.enter_async_context(self.studio)
            if self._given is not None:
                self._lineup = Lineup.given(self._given)
            else:
                self._lineup = await stack.enter_async_context(line_up(self.settings))
            stages = self._lineup.stages
            assessor = self._assessor or Assessor.of(self.settings)
            desk = open_interview_service(self.store, self._worker, stages, self.settings, assessor)
            self._desk = await stack.enter_async_context(desk)
            self._pacer = Pacer()
            gallery = FaceService(
                self.studio if self._draws() else None,
                stages.animators,
                self._pacer,
                default=face_name(self.settings.face),
            )
            self._gallery = await stack.enter_async_context(gallery)
            self._stack = stack.pop_all()
        self._started = True
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.draining = True
        await self._stack.aclose()

    # --- sessions ----------------------------------------------------------------------------

    def refusal(self) -> str | None:
        """Why no further session can start now, or None."""
        if self.draining:
            return "the server is shutting down"
        if self.live >= self.settings.max_sessions:
            return f"all {self.settings.max_sessions} places are taken"
        return None

    def readiness(self) -> Readiness:
        """Whether a load balancer should send new sessions here."""
        if self.draining:
            return "draining"
        if not self._started:
            return "starting"
        return "full" if self.refusal() else "ready"

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Count a connection as long as it lasts."""
        self.live += 1
        try:
            yield
        finally:
            self.live -= 1

    @asynccontextmanager
    async def interview(
        self,
        session_id: str,
        hello: Hello,
        notify: Callable[[str, dict[str, Any]], None],
        dismiss: Callable[[], None] | None = None,
    ) -> AsyncIterator[InterviewHost]:
        """The interview behind a session, owned by this process until the block ends.

        `dismiss` is called where the session is to end before its time.

        A connection of this process that is `leaving` the session is waited for. Raises
        `InterviewError` for a role or a count that cannot be, `SessionTaken` where another
        connection holds the session.
        """
        await self._left(session_id)
        hold = self._holds[session_id] = _Hold(dismiss)
        try:
            interviewer = await InterviewHost.claim(
                self.store,
                session_id,
                hello.interview,
                worker=self._worker,
                ttl_s=self.settings.session_ttl_s,
                notify=self._told(session_id, notify),
                recorder=self.desk().recorder,
            )
            keeping = asyncio.create_task(interviewer.keep())
            try:
                yield interviewer
            finally:
                keeping.cancel()
                try:
                    await asyncio.wait([keeping])
                finally:
                    await interviewer.release()
        finally:
            del self._holds[session_id]
            hold.released.set()

    def leaving(self, session_id: str) -> None:
        """Say that the connection that holds a session is about to let it go."""
        if (hold := self._holds.get(session_id)) is not None:
            hold.leaving = True

    async def end(self, session_id: str) -> None:
        """End the connection that holds a session in this process; harmless where there is none."""
        hold = self._holds.get(session_id)
        if hold is not None and hold.dismiss is not None:
            hold.dismiss()
        self.desk().events.publish(session_id, "deleted", {})

    def desk(self) -> InterviewService:
        """Where written interviews are held, once the engine has started."""
        assert self._desk is not None
        return self._desk

    def _draws(self) -> bool:
        """Whether the built-in face is drawn for clients that want pictures."""
        choice = self.lineup().choices.get("avatar")
        if choice is None:
            return self.settings.avatar in (AUTO, "face")
        return any(provider.name == "face" for provider in choice.providers)

    def gallery(self) -> FaceService:
        """Where pictures of faces come from, once the engine has started."""
        assert self._gallery is not None
        return self._gallery

    def drain(self) -> None:
        """The process is about to end: nobody new comes in, and who only watches leaves."""
        self.draining = True
        if self._desk is not None:
            self._desk.events.close()

    def _told(
        self, session_id: str, notify: Callable[[str, dict[str, Any]], None]
    ) -> Callable[[str, dict[str, Any]], None]:
        """`notify` for a live session that others may watch."""
        events = self.desk().events

        def both(kind: str, fields: dict[str, Any]) -> None:
            notify(kind, fields)
            events.publish(session_id, "interview", fields)
            if fields["isComplete"]:
                events.publish(session_id, "completed", fields)

        return both

    async def _left(self, session_id: str) -> None:
        """Return once no connection of this process holds the session.

        Raises `SessionTaken`: at once for one that stays, after `LEAVE_S` for one that leaves.
        """
        try:
            async with asyncio.timeout(LEAVE_S):
                while (hold := self._holds.get(session_id)) is not None:
                    if not hold.leaving:
                        raise SessionTaken(session_id)
                    await hold.released.wait()
        except TimeoutError:
            raise SessionTaken(session_id) from None

    def session(
        self,
        interviewer: InterviewHost,
        hello: Hello,
        emit: Callable[[Output], None],
        journal: Journal | None = None,
        overheard: Callable[[Spoken], None] | None = None,
    ) -> Session:
        """A session for one client. A `journal` is opened here; the session closes it.

        `overheard` gets the reply's speech before it is heard.
        """
        assert self._pacer is not None
        budget_s = self.settings.budget_ms / 1000
        longest_s = self.settings.longest_interview_min * 60
        left_s = interviewer.seconds_left(longest_s, time.time())
        if left_s == 0:  # it was up before this client came back
            interviewer.time_is_up()
        policy = SessionPolicy(
            turns=self._turn_policy(hello.turn_detection),
            out_rate_hz=hello.audio_out.rate_hz,
            target_s=budget_s,
            hard_s=budget_s * HARD_FACTOR,
            speculate=self._speculates(),
            longest_s=left_s,
        )
        if journal is not None:
            now = asyncio.get_running_loop().time()
            journal.opened(interviewer.session_id, policy.turns, now)
        loop = asyncio.get_running_loop()

        def watched(frame: Output) -> None:
            interviewer.watch(frame, loop.time())
            emit(frame)

        return Session(
            self.lineup().stages,
            interviewer,
            emit=watched,
            pacer=self._pacer,
            convert=converter,
            policy=policy,
            journal=journal,
            overheard=overheard,
        )

    @contextmanager
    def journal(self, session_id: str) -> Iterator[Journal | None]:
        """The journal of a session, as long as it lasts; None where none is kept."""
        if self._journals is None:
            yield None
            return
        journal, file = self._journals.open(session_id)
        try:
            yield journal
        finally:
            file.close()

    def _speculates(self) -> bool:
        """Whether answers are prepared that may never be heard: not where each of them costs."""
        if self.settings.speculate != "auto":
            return self.settings.speculate == "on"
        told = options(self.settings)
        servers = {"stt": told.stt_server, "llm": told.llm_server, "tts": told.tts_server}
        paid = {slot for slot, server in servers.items() if server and server.key}
        return not any(
            choice.first.remote for slot, choice in self.lineup().choices.items() if slot in paid
        )

    def _turn_policy(self, wanted: TurnDetection) -> TurnPolicy:
        default = {
            "silence_ms": self.settings.silence_ms,
            "prompt_ms": self.settings.silence_prompt_s * 1000,
        }
        return TurnPolicy(**{**default, **wanted.model_dump(exclude_none=True)})

    # --- what is in use ----------------------------------------------------------------------

    def lineup(self) -> Lineup:
        """Who answers in each slot, once the engine has started."""
        assert self._lineup is not None
        return self._lineup

    def responders(self) -> tuple[Responder, ...]:
        """Who finds the words of replies, best first."""
        return tuple(candidate.stage for candidate in self.lineup().stages.responders.candidates)

    def providers(self, avatar: str) -> dict[str, str]:
        """Provider names for the `ready` message; `avatar` draws the face."""
        stages = self.lineup().stages
        return {
            "vad": stages.detector.provider,
            "stt": stages.transcribers.candidates[0].provider,
            "llm": stages.responders.candidates[0].provider,
            "tts": stages.synthesizers.candidates[0].provider,
            "avatar": avatar,
        }

    def reports(self) -> list[StageReport]:
        """Which provider fills each slot, how it is and why it was chosen."""
        lineup = self.lineup()
        reports = lineup.reports()
        if lineup.stages.animators is None:
            reports.append(self._face_report())
        return reports

    def _face_report(self) -> StageReport:
        if self.studio is None:
            return StageReport("avatar", "visemes", "online", "drawn by the client")
        rung = self.studio.rung
        why = f"{self.studio.default}, drawn here"
        if rung is QUALITY_LEVELS[0]:
            return StageReport("avatar", "face", "online", why)
        return StageReport("avatar", "face", "degraded", why, f"reduced to {rung.name}")

    def candidates(self) -> list[ProviderReport]:
        """Who could answer in each slot that has a guard, best first."""
        return self.lineup().candidates()

    def queues(self) -> list[QueueReport]:
        """What all sessions share and may have to wait for: worker processes, and pictures."""
        queues = self.lineup().queues()
        if (studio := self.studio) is not None:
            bound = studio.threads * MOST_WAITING
            queues.append(QueueReport("avatar face", "pictures", studio.under_way, bound))
        return queues


def _studio(settings: Settings) -> Studio | None:
    """The studio with every face that clients may name, if faces can be drawn here.

    Raises `FaceError` where the configured face has changed since the settings were read.
    """
    if settings.avatar_video == "off" or find_spec("resvg_py") is None:
        return None
    faces = {name: load(FACES / name) for name in shipped()}
    default = face_name(settings.face)
    faces[default] = find_face(settings.face)
    return Studio(faces, default=default, threads=settings.avatar_threads)
