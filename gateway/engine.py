"""The process's engine: providers behind their guards, storage, and the sessions that are live."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, TypeVar

from gateway.audio import converter
from gateway.interviewer import Interviewer
from gateway.protocols.native import Hello, TurnDetection
from gateway.providers import chosen, options
from gateway.rest.health import Readiness, StageReport
from gateway.sessions import Worker
from gateway.settings import Settings
from gateway.store import Store
from pipeline.breaker import Breaker, BreakerPolicy
from pipeline.frames import Output, Slot
from pipeline.guard import Candidate, Guard, Limits
from pipeline.pacer import Pacer
from pipeline.session import Session, SessionPolicy, Stages
from pipeline.stage import Detector, Responder, Synthesizer, Transcriber
from pipeline.turns import TurnPolicy
from stages.registry import Choice, Options

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


class Engine:
    """Everything that the sessions of a process share. Use it as an async context manager."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        stages: Stages | None = None,
    ) -> None:
        self.settings = settings
        self.store = store
        self._given = stages
        self._stages: Stages | None = None
        self._choices: dict[Slot, Choice] = {}
        self._pacer: Pacer | None = None
        self._worker = Worker.here()
        self.live = 0
        self._started = False
        self.draining = False

    async def __aenter__(self) -> "Engine":
        self._stack = AsyncExitStack()
        if self._given is not None:
            self._stages = self._given
        else:
            self._stages = await self._build()
        self._pacer = Pacer()
        self._started = True
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.draining = True
        await self._stack.aclose()

    async def _build(self) -> Stages:
        told = options(self.settings)
        self._choices = chosen(self.settings)
        for slot, choice in self._choices.items():
            note = f" ({choice.first.note})" if choice.first.note else ""
            logger.info("%s: %s%s, %s", slot, choice.first.name, note, choice.why)
        detector: Detector = self._built("vad", told)[0]
        transcribers: Guard[Transcriber] = self._guard("stt", self._built("stt", told))
        responders: Guard[Responder] = self._guard("llm", self._built("llm", told))
        synthesizers: Guard[Synthesizer] = self._guard("tts", self._built("tts", told))
        for candidate in transcribers.candidates[:1]:
            start = getattr(candidate.stage, "start", None)
            if start is not None:  # a worker process: load its model before the first session
                await start()
        return Stages(detector, transcribers, responders, synthesizers)

    def _built(self, slot: Slot, told: Options) -> list[Any]:
        providers = self._choices[slot].providers
        if slot == "vad":
            providers = providers[:1]
        stages = [provider.build(told) for provider in providers]
        for stage in stages:
            self._stack.push_async_callback(stage.aclose)
        return stages

    def _guard(self, slot: Slot, stages: list[Any]) -> Guard[Any]:
        policy = WITH_FALLBACK if len(stages) > 1 else BreakerPolicy(open_s=5)
        return Guard(
            slot,
            [Candidate(stage.provider, stage, Breaker(policy), LIMITS[slot]) for stage in stages],
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
        self, session_id: str, hello: Hello, notify: Callable[[str, dict[str, Any]], None]
    ) -> AsyncIterator[Interviewer]:
        """The interview behind a session, owned by this process until the block ends.

        Raises `InterviewError` for a role or a count that cannot be, `SessionTaken` where another
        connection holds the session.
        """
        interviewer = await Interviewer.claim(
            self.store,
            session_id,
            hello.interview,
            worker=self._worker,
            ttl_s=self.settings.session_ttl_s,
            notify=notify,
        )
        try:
            yield interviewer
        finally:
            await interviewer.release()

    def session(
        self, interviewer: Interviewer, hello: Hello, emit: Callable[[Output], None]
    ) -> Session:
        """A session for one client."""
        assert self._stages is not None
        assert self._pacer is not None
        budget_s = self.settings.budget_ms / 1000
        policy = SessionPolicy(
            turns=self._turn_policy(hello.turn_detection),
            out_rate_hz=hello.audio_out.rate_hz,
            target_s=budget_s,
            hard_s=budget_s * HARD_FACTOR,
        )
        return Session(
            self._stages,
            interviewer,
            emit=emit,
            pacer=self._pacer,
            convert=converter,
            policy=policy,
        )

    def _turn_policy(self, wanted: TurnDetection) -> TurnPolicy:
        default = TurnPolicy(silence_ms=self.settings.silence_ms)
        return TurnPolicy(
            mode=wanted.mode,
            threshold=wanted.threshold or default.threshold,
            silence_ms=wanted.silence_ms or default.silence_ms,
            max_wait_ms=wanted.max_wait_ms or default.max_wait_ms,
        )

    # --- what is in use ----------------------------------------------------------------------

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
        """Which provider fills each slot, how it is and why it was chosen."""
        assert self._stages is not None
        now = asyncio.get_running_loop().time()
        stages = self._stages
        reports = [self._report("vad", stages.detector.provider, "online")]
        guards: tuple[tuple[Slot, Guard[Any]], ...] = (
            ("stt", stages.transcribers),
            ("llm", stages.responders),
            ("tts", stages.synthesizers),
        )
        for slot, guard in guards:
            for candidate in guard.candidates:
                candidate.breaker.poll(now)
                state = candidate.breaker.state
                if state.value == "closed":
                    reports.append(self._report(slot, candidate.provider, "online"))
                    break
            else:
                reports.append(self._report(slot, guard.candidates[0].provider, "degraded"))
        reports.append(StageReport("avatar", "visemes", "online", "drawn by the client"))
        return reports

    def _report(self, slot: Slot, provider: str, status: str) -> StageReport:
        choice = self._choices.get(slot)
        if choice is None:
            return StageReport(slot, provider, status, "given by the application")
        note = next((p.note for p in choice.providers if p.name == provider), "")
        return StageReport(slot, provider, status, choice.why, note)
