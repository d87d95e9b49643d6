"""The process's engine: providers behind their guards, storage, and the sessions that are live."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from gateway.assessor import Assessor
from gateway.audio import converter
from gateway.desk import Desk, open_desk
from gateway.interviewer import Interviewer
from gateway.journals import Journals
from gateway.probes import StageProbes
from gateway.protocols.native import Hello, TurnDetection
from gateway.providers import build, chosen, options
from gateway.rest.health import ProviderReport, Readiness, StageReport
from gateway.sessions import SessionTaken, Worker
from gateway.settings import Settings
from gateway.store import Store
from pipeline.breaker import Breaker, BreakerPolicy
from pipeline.frames import Output, Slot
from pipeline.guard import Candidate, Guard, Limits
from pipeline.journal import Journal
from pipeline.pacer import Pacer
from pipeline.session import Session, SessionPolicy, Stages
from pipeline.stage import Detector, Responder, Synthesizer, Transcriber
from pipeline.turns import TurnPolicy
from stages.registry import Choice

logger = logging.getLogger("parley.engine")

P = TypeVar("P")

HARD_FACTOR = 6
"""The turn's hard limit, in budgets: after it a canned line answers."""

WITH_FALLBACK = BreakerPolicy(open_s=5, open_growth=2, open_max_s=60)
"""Where another candidate answers meanwhile, a provider may be tried again sooner."""

LIMITS: dict[Slot, Limits] = {
    "stt": Limits(first_s=5.0, slow_first_s=2.0, stall_s=2.0),
    "llm": Limits(first_s=3.0, slow_first_s=1.0, stall_s=2.0),
    "tts": Limits(first_s=2.0, slow_first_s=0.5, stall_s=1.0),
}

REMOTE_LIMITS: dict[Slot, Limits] = {
    "stt": Limits(first_s=8.0, slow_first_s=2.5, stall_s=2.0),
    "llm": Limits(first_s=5.0, slow_first_s=2.5, stall_s=2.0),
    "tts": Limits(first_s=2.0, slow_first_s=1.0, stall_s=1.0),
}
"""Of providers behind a network: the upload of an utterance, a prompt to be read."""

SILENT = "its server does not answer"

START_S = 60.0
"""How long what the providers load first may hold up the gateway's start."""

LEAVE_S = 6.0
"""How long a client that comes back waits for its old connection, which stores its last words."""


@dataclass(slots=True)
class _Hold:
    """What this process knows of a session that is live in it."""

    dismiss: Callable[[], None] | None
    leaving: bool = False
    released: asyncio.Event = field(default_factory=asyncio.Event)


class Engine:
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
        self._desk: Desk | None = None
        self._stages: Stages | None = None
        self._choices: dict[Slot, Choice] = {}
        self._probes = StageProbes({})
        self._pacer: Pacer | None = None
        self._journals: Journals | None = None
        self._worker = Worker.here()
        self._holds: dict[str, _Hold] = {}  # as many as there are connections
        self.live = 0
        self._started = False
        self.draining = False

    async def __aenter__(self) -> "Engine":
        async with AsyncExitStack() as stack:
            if self.settings.journal_dir is not None:
                texts = self.settings.journal_texts
                self._journals = Journals(self.settings.journal_dir, texts=texts)
                stack.callback(self._journals.close)
            self._stages = self._given or await self._build(stack)
            assessor = self._assessor or Assessor.of(self.settings)
            desk = open_desk(self.store, self._worker, self._stages, self.settings, assessor)
            self._desk = await stack.enter_async_context(desk)
            self._stack = stack.pop_all()
        self._pacer = Pacer()
        self._started = True
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.draining = True
        await self._stack.aclose()

    async def _build(self, stack: AsyncExitStack) -> Stages:
        told = options(self.settings)
        built: dict[Slot, list[Any]] = {}
        for slot, choice in chosen(self.settings).items():
            if slot == "vad":
                choice = replace(choice, providers=choice.providers[:1])
            self._choices[slot], built[slot] = build(choice, told)
            for stage in built[slot]:
                stack.push_async_callback(stage.aclose)
        self._probes = StageProbes(
            {
                (slot, provider.name): stage
                for slot, choice in self._choices.items()
                for provider, stage in zip(choice.providers, built[slot], strict=True)
            }
        )
        stack.push_async_callback(self._probes.aclose)
        await self._warm_up(built)
        for slot, choice in self._choices.items():
            note = f" ({choice.first.note})" if choice.first.note else ""
            logger.info("%s: %s%s, %s", slot, choice.first.name, note, choice.why)
        detector: Detector = built["vad"][0]
        transcribers: Guard[Transcriber] = self._guard("stt", built["stt"])
        responders: Guard[Responder] = self._guard("llm", built["llm"])
        synthesizers: Guard[Synthesizer] = self._guard("tts", built["tts"])
        return Stages(detector, transcribers, responders, synthesizers)

    async def _warm_up(self, built: dict[Slot, list[Any]]) -> None:
        """Have those who answer first load their models, and ask all of them how they are.

        Raises what kept a provider from starting that has nobody behind it.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._probes.ask())
            starts = {slot: group.create_task(_start(slot, built[slot][0])) for slot in built}
        for slot, start in starts.items():
            if (error := start.result()) is not None:
                if len(built[slot]) == 1:
                    raise error
                logger.warning("%s: %s, which is tried first, has not started", slot, error)

    def _guard(self, slot: Slot, stages: list[Any]) -> Guard[Any]:
        policy = WITH_FALLBACK if len(stages) > 1 else BreakerPolicy(open_s=5)
        return Guard(
            slot,
            [
                Candidate(
                    provider.name,
                    stage,
                    Breaker(policy),
                    (REMOTE_LIMITS if provider.remote else LIMITS)[slot],
                )
                for provider, stage in zip(self._choices[slot].providers, stages, strict=True)
            ],
        )

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
    ) -> AsyncIterator[Interviewer]:
        """The interview behind a session, owned by this process until the block ends.

        `dismiss` is called where the session is to end before its time.

        A connection of this process that is `leaving` the session is waited for. Raises
        `InterviewError` for a role or a count that cannot be, `SessionTaken` where another
        connection holds the session.
        """
        await self._left(session_id)
        hold = self._holds[session_id] = _Hold(dismiss)
        try:
            interviewer = await Interviewer.claim(
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

    def desk(self) -> Desk:
        """Where written interviews are held, once the engine has started."""
        assert self._desk is not None
        return self._desk

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
        interviewer: Interviewer,
        hello: Hello,
        emit: Callable[[Output], None],
        journal: Journal | None = None,
    ) -> Session:
        """A session for one client. A `journal` is opened here; the session closes it."""
        assert self._stages is not None
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
            self._stages,
            interviewer,
            emit=watched,
            pacer=self._pacer,
            convert=converter,
            policy=policy,
            journal=journal,
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
            choice.first.remote for slot, choice in self._choices.items() if slot in paid
        )

    def _turn_policy(self, wanted: TurnDetection) -> TurnPolicy:
        default = {
            "silence_ms": self.settings.silence_ms,
            "prompt_ms": self.settings.silence_prompt_s * 1000,
        }
        return TurnPolicy(**{**default, **wanted.model_dump(exclude_none=True)})

    # --- what is in use ----------------------------------------------------------------------

    def responders(self) -> tuple[Responder, ...]:
        """Who finds the words of replies, best first."""
        assert self._stages is not None
        return tuple(candidate.stage for candidate in self._stages.responders.candidates)

    def providers(self, avatar: str) -> dict[str, str]:
        """Provider names for the `ready` message."""
        assert self._stages is not None
        stages = self._stages
        return {
            "vad": stages.detector.provider,
            "stt": stages.transcribers.candidates[0].provider,
            "llm": stages.responders.candidates[0].provider,
            "tts": stages.synthesizers.candidates[0].provider,
            "avatar": "off" if avatar == "off" else "visemes",
        }

    def reports(self) -> list[StageReport]:
        """Which provider fills each slot, how it is and why it was chosen.

        One whose server did not answer when it was last asked counts as degraded, and so does a
        slot where every circuit breaker is open.
        """
        assert self._stages is not None
        now = asyncio.get_running_loop().time()
        stages = self._stages
        reports = [self._report("vad", stages.detector.provider)]
        guards: tuple[tuple[Slot, Guard[Any]], ...] = (
            ("stt", stages.transcribers),
            ("llm", stages.responders),
            ("tts", stages.synthesizers),
        )
        for slot, guard in guards:
            for candidate in guard.candidates:
                candidate.breaker.poll(now)
            answering = next((c for c in guard.candidates if c.breaker.closed), None)
            if answering is None:
                reports.append(self._report(slot, guard.candidates[0].provider, tripped=True))
            else:
                reports.append(self._report(slot, answering.provider))
        reports.append(StageReport("avatar", "visemes", "online", "drawn by the client"))
        return reports

    def candidates(self) -> list[ProviderReport]:
        """Who could answer in each slot that has a guard, best first."""
        assert self._stages is not None
        now = asyncio.get_running_loop().time()
        stages = self._stages
        guards: tuple[tuple[Slot, Guard[Any]], ...] = (
            ("stt", stages.transcribers),
            ("llm", stages.responders),
            ("tts", stages.synthesizers),
        )
        reports = []
        for slot, guard in guards:
            for candidate in guard.candidates:
                candidate.breaker.poll(now)
                state = candidate.breaker.state.name.lower()
                reports.append(ProviderReport(slot, candidate.provider, state))
        return reports

    def _report(self, slot: Slot, name: str, *, tripped: bool = False) -> StageReport:
        silent = (slot, name) in self._probes.latest()
        status = "degraded" if tripped or silent else "online"
        choice = self._choices.get(slot)
        if choice is None:
            return StageReport(slot, name, status, "given by the application")
        why = choice.why
        if name != choice.first.name:
            why = f"{choice.first.name}: its circuit breaker is open"
        note = next((provider.note for provider in choice.providers if provider.name == name), "")
        if silent:  # the log says why; the address of a server is not for everybody to read
            note = f"{note}; {SILENT}" if note else SILENT
        return StageReport(slot, name, status, why, note)


async def _start(slot: Slot, stage: Any) -> Exception | None:
    """Have a stage load what its first call would wait for; returns what went wrong."""
    start = getattr(stage, "start", None)
    if start is None:
        return None
    try:
        async with asyncio.timeout(START_S):
            await start()
    except TimeoutError:
        logger.warning("%s: %s is not ready after %g s", slot, stage.provider, START_S)
    except Exception as error:  # a third party's, or a model that cannot be loaded
        return error
    return None
