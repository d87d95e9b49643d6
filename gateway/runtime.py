"""The objects of a process: guarded providers, storage, faces, live sessions."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from importlib.util import find_spec

from gateway import __version__
from gateway.events.happenings import GatewayHappenings, OpenBreakers
from gateway.events.notifications import Notifications
from gateway.events.webhooks import webhooks_of
from gateway.faces.service import FaceService
from gateway.faces.studio import studio_of
from gateway.interviews.keys import SessionKeys
from gateway.interviews.leases import leased
from gateway.interviews.neighbours import Traits, compare
from gateway.interviews.service import InterviewService, open_interview_service
from gateway.interviews.sessions import SessionOwner
from gateway.limits.limiter import limiter_of
from gateway.live.calls import Calls
from gateway.live.elsewhere import Alone, Elsewhere
from gateway.live.journals import Journals
from gateway.live.load_samples import LoadSamples
from gateway.live.pressure import KINDS, Kind, LoadSample, Pressure
from gateway.live.registry import LiveSessions
from gateway.live.sideband import ControlledCalls
from gateway.media import noise_reduction
from gateway.observe.loop_lag import LoopLag
from gateway.observe.metrics import Metrics
from gateway.observe.sessions import ObservedSessions, log_turn
from gateway.providers.drills import Drills
from gateway.providers.lineup import Lineup, line_up
from gateway.providers.tools import ServerTools
from gateway.reports.assessor import Assessor
from gateway.security import Access, api_keys, pass_s
from gateway.security.tokens import tokens_of
from gateway.settings import Settings
from gateway.status import (
    BreakerReport,
    LanguageReport,
    PressureReport,
    ProviderReport,
    QueueReport,
    Readiness,
    StageReport,
)
from gateway.store import Store
from pipeline.ladder import LadderStep
from pipeline.pacer import Pacer
from pipeline.session import Stages
from pipeline.stage import Responder
from stages.avatar.face import name as face_name
from stages.avatar.quality import QUALITY_LEVELS
from stages.avatar.studio import MOST_WAITING, Studio
from stages.registry import AUTO
from stages.stt.recogniser_load import RecogniserLoad

logger = logging.getLogger("parley.engine")

OTEL_EXTRA = "pip install 'parley-gateway[otel]'"


class Runtime:
    """The objects that a process's sessions share. Use it as an async context manager.

    `stages` and `assessor` replace what the settings name, for tests and benchmarks. `elsewhere`
    are the gateway's other processes. Raises `KeyFileError` if a key is to be made and cannot be,
    and `SettingsError` if PyJWT is missing for tokens, or the file of webhooks cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        stages: Stages | None = None,
        assessor: Assessor | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self.elsewhere = elsewhere or Alone()
        self.owner = SessionOwner.here()
        self.settings = settings
        self.store = store
        pressure = Pressure() if settings.admission == "pressure" else None
        self.live = LiveSessions(
            settings.max_sessions,
            per_address=settings.per_address,
            pressure=pressure,
            elsewhere=self.elsewhere,
        )
        self.controlled = ControlledCalls()
        """The live calls that may have sidebands."""
        self.load = None if pressure is None else LoadSamples(pressure, settings.memory_mb)
        """Measures the load, once somebody runs it."""
        self.metrics = Metrics()
        self.observed = ObservedSessions(
            log_turn, self.metrics.turn_over, on_wait=self.metrics.waited
        )
        self.drills = Drills(lambda: self.lineup().guards())
        self.tokens = tokens_of(settings)
        """Checks the tokens of an identity provider, None where none are taken."""
        self.access = Access(
            api_keys(settings),
            store,
            self._exists,
            pass_s=pass_s(settings),
            tokens=self.tokens,
            required=settings.access == "required",
        )
        self.limiter = limiter_of(settings, store)
        """Counts requests, None where they are not limited."""
        self.webhooks = webhooks_of(settings)
        """The webhooks that get events, None without them."""
        self.notifications = Notifications(store) if settings.notifications == "on" else None
        """The events for clients, None where that is off."""
        self.service_breakers: OpenBreakers = tuple  # the application sets it
        self.studio: Studio | None = None
        """Draws faces as video; None where that is impossible or switched off."""
        self.end_process: Callable[[], None] | None = None
        """Begins the orderly end of the gateway, with all of its processes; its server sets it."""
        self._given = stages
        self._assessor = assessor
        self._calls: Calls | None = None
        self._interviews: InterviewService | None = None

    async def __aenter__(self) -> "Runtime":
        async with AsyncExitStack() as stack:
            if self.tokens is not None:
                stack.push_async_callback(self.tokens.aclose)
            journals = None
            if self.settings.journal_dir is not None:
                journals = Journals(
                    self.settings.journal_dir,
                    texts=self.settings.journal_texts,
                    audio=self.settings.journal_audio,
                    max_mb=self.settings.journal_max_mb,
                )
                stack.callback(journals.close)
            if self.settings.noise_reduction != "off" and (missing := noise_reduction.check()):
                logger.warning("PARLEY_NOISE_REDUCTION is without effect: %s", missing)
            if self._given is not None:
                lineup = Lineup.given(self._given, ServerTools.read(self.settings.tools))
                stack.push_async_callback(lineup.tools.aclose)
            else:
                lineup = await stack.enter_async_context(line_up(self.settings))
            ladder = lineup.stages.ladder
            ladder.on_step += [_log_step, self.metrics.stepped]
            if self.settings.tells:
                happenings = GatewayHappenings(self.store, self._open_breakers)
                await stack.enter_async_context(happenings.running())
                ladder.on_step.append(happenings.stepped)
            if self.load is not None:
                self.load.strained = ladder.strained
                _measure_stages(self.load, lineup.stages)
            self.studio = studio_of(self.settings, ladder)
            if self.studio is not None:
                await stack.enter_async_context(self.studio)
            self.metrics.know(lineup.providers())
            await self._trace(stack)
            stack.callback(self.drills.close)
            lag = LoopLag(self.metrics.lagged)
            stack.callback(lag.stop)
            lag.start()
            owner = self.owner
            traits = Traits.here(self.settings)
            await stack.enter_async_context(leased(self.store, owner, traits.told()))
            await compare(self.store, owner.token, traits)
            service = open_interview_service(
                self.store,
                owner,
                lineup.stages,
                self.settings,
                self._assessor or Assessor.of(self.settings),
                self.elsewhere.happened,
            )
            interviews = await stack.enter_async_context(service)
            if self.webhooks is not None:
                await stack.enter_async_context(self.webhooks.delivering(self.store))
            if self.notifications is not None:
                await stack.enter_async_context(self.notifications.running())
            pacer = Pacer()
            faces = FaceService(
                self.studio if self._draws(lineup) else None,
                lineup.stages.animators,
                pacer,
                default=face_name(self.settings.face),
                ladder=ladder,
            )
            await stack.enter_async_context(faces)
            self._interviews = interviews
            self._calls = Calls(
                settings=self.settings,
                store=self.store,
                lineup=lineup,
                pacer=pacer,
                faces=faces,
                live=self.live,
                load=self.load,
                owner=owner,
                events=interviews.events,
                recorder=interviews.recorder,
                journals=journals,
                observed=self.observed,
            )
            self._stack = stack.pop_all()
        return self

    async def _trace(self, stack: AsyncExitStack) -> None:
        """Send a trace of each turn, where the settings name a collector."""
        endpoint = self.settings.otlp_endpoint
        if endpoint is None:
            return
        if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter") is None:
            logger.warning("OTEL_EXPORTER_OTLP_ENDPOINT is without effect: %s", OTEL_EXTRA)
            return
        from gateway.observe.tracing import Tracing

        tracing = Tracing(endpoint, __version__)
        stack.push_async_callback(tracing.aclose)
        self.observed.on_turn.append(tracing.turn_over)
        self.observed.traced = True

    async def __aexit__(self, *exc: object) -> None:
        self.live.draining = True
        await self._stack.aclose()

    async def _exists(self, session_id: str) -> bool:
        return await self.store.get(SessionKeys(session_id).record) is not None

    def refuse(self) -> None:
        """The process is about to end: it is no longer ready, and begins no further session."""
        self.live.draining = True

    def refusal(self, kind: Kind) -> str | None:
        """Why no further session of this kind can be made over REST now, or None."""
        return self.live.refusal() if self.live.draining else self.live.pressed(kind)

    async def wind_down(self) -> None:
        """Refuse new sessions and let those that are live end: see `LiveSessions.wind_down`."""
        await self.live.wind_down(self.settings.drain_s)

    def drain(self) -> None:
        """Refuse new sessions, and close the event streams, which would never end."""
        self.refuse()
        if self._interviews is not None:
            self._interviews.events.close()
        if self.notifications is not None:
            self.notifications.close()

    async def end(self, session_id: str) -> None:
        """`dismiss` a deleted session in every process, and send watchers the event `deleted`."""
        self.dismiss(session_id)
        self.elsewhere.deleted(session_id)
        self.interviews().events.publish(session_id, "deleted", {})

    def dismiss(self, session_id: str) -> None:
        """End the connection that holds a deleted session in this process, if there is one, and
        delete the session's notifications and journals."""
        self.live.dismiss(session_id)
        if self.notifications is not None:
            self.notifications.deleted(session_id)
        if (journals := self.calls().journals) is not None:
            journals.delete(session_id)

    # --- its parts, once the runtime has started ---------------------------------------------

    def calls(self) -> Calls:
        """The builder of live sessions."""
        assert self._calls is not None
        return self._calls

    def interviews(self) -> InterviewService:
        """The service for written and uploaded answers."""
        assert self._interviews is not None
        return self._interviews

    def lineup(self) -> Lineup:
        """The providers of each slot."""
        return self.calls().lineup

    def responders(self) -> tuple[Responder, ...]:
        """The providers of replies, best first."""
        return tuple(candidate.stage for candidate in self.lineup().stages.responders.candidates)

    def _draws(self, lineup: Lineup) -> bool:
        """Whether the built-in face is drawn for clients that want pictures."""
        choice = lineup.choices.get("avatar")
        if choice is None:
            return self.settings.avatar in (AUTO, "face")
        return any(provider.name == "face" for provider in choice.providers)

    # --- its state ---------------------------------------------------------------------------

    def readiness(self) -> Readiness:
        """Whether a load balancer should send new sessions here."""
        if self.live.draining:
            return "draining"
        if self._calls is None:
            return "starting"
        starts = self.lineup().starts
        if starts.lost():
            return "failed"
        if starts.loading():
            return "starting"
        if self.live.pressed("voice"):
            return "overloaded"
        return "full" if self.live.refusal() else "ready"

    def unready(self) -> list[str]:
        """Why no session should be sent here: what loads, could not start, or is too much."""
        if self._calls is None:
            return []
        starts, pressed = self.lineup().starts, self.live.pressed("voice")
        return [*starts.lost(), *starts.loading(), *filter(None, [pressed])]

    def pressure(self) -> PressureReport:
        """The load of the process, as it was measured last."""
        pressure = self.live.pressure
        sample = LoadSample() if pressure is None else pressure.sample
        refused = {kind: self.live.pressed(kind) for kind in KINDS}
        return PressureReport(
            refuses=[kind for kind, why in refused.items() if why],
            why=[*dict.fromkeys(filter(None, refused.values()))],
            loop_lag_ms=round(sample.loop_lag_s * 1000, 1),
            busy=round(sample.busy, 3),
            uplink_ms=round(sample.uplink_s * 1000, 1),
            recognition_queue_ms=round(sample.recognition_queue_s * 1000),
            recogniser=round(sample.recogniser, 3),
            recognition_ms=round(sample.recognition_s * 1000),
            turn_factor=round(sample.turn_factor, 2),
            memory=round(sample.memory, 3),
        )

    def reports(self) -> list[StageReport]:
        """The provider of each slot, its state and the reason for its choice."""
        lineup = self.lineup()
        reports = lineup.reports()
        if lineup.stages.animators is None:
            reports.append(self._face_report())
        return reports

    def _face_report(self) -> StageReport:
        if self.studio is None:
            return StageReport("avatar", "visemes", "online", "drawn by the client")
        level = self.studio.level
        why = f"{self.studio.default}, drawn here"
        if level is QUALITY_LEVELS[0]:
            return StageReport("avatar", "face", "online", why)
        return StageReport("avatar", "face", "degraded", why, f"reduced to {level.name}")

    def candidates(self) -> list[ProviderReport]:
        """The providers that could answer in each slot that has a guard, best first."""
        return self.lineup().candidates()

    def pressure_shares(self) -> Mapping[str, float]:
        """Each measure of the load as a share of its limit; empty where none is measured."""
        return {} if self.live.pressure is None else self.live.pressure.shares()

    def step(self) -> LadderStep:
        """How far down the ladder the process is."""
        return LadderStep.EVERYTHING if self._calls is None else self.lineup().stages.ladder.step

    def breakers(self) -> list[BreakerReport]:
        """The circuit breakers of the candidates."""
        return self.lineup().breakers()

    def _open_breakers(self) -> Iterator[tuple[str, bool]]:
        """All breakers, and whether each is open; none before the providers are there."""
        for one in () if self._calls is None else self.breakers():
            yield one.name, one.state in ("open", "forced-open")
        yield from self.service_breakers()

    def dropped_chunks(self) -> int:
        """Chunks of input audio that voice detection never judged, where the detector counts."""
        stats = getattr(self.lineup().stages.detector, "stats", None)
        return getattr(stats() if callable(stats) else None, "dropped", 0)

    def languages(self) -> LanguageReport:
        """The languages in which an interview can be held, and heard and spoken."""
        return self.lineup().languages()

    def queues(self) -> list[QueueReport]:
        """The queues that all sessions share: worker processes, and pictures."""
        queues = self.lineup().queues()
        if (studio := self.studio) is not None:
            bound = studio.threads * MOST_WAITING
            queues.append(QueueReport("avatar face", "pictures", studio.under_way, bound))
        return queues


def _measure_stages(load: LoadSamples, stages: Stages) -> None:
    """Measure those stages that tell how long work waits for them, and how busy they are."""
    load.uplink_s = getattr(stages.detector, "shortest_wait_s", load.uplink_s)
    told = (getattr(one.stage, "load", None) for one in stages.transcribers.candidates)
    load.recognisers = [found for found in told if isinstance(found, RecogniserLoad)]


def _log_step(before: LadderStep, after: LadderStep, reason: str) -> None:
    level = logging.WARNING if after > before else logging.INFO
    logger.log(level, "ladder: from %s to %s: %s", before.label, after.label, reason)
