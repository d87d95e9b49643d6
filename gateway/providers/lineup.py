"""The providers that the settings name for each slot of a process, behind guards."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.providers.breakers import breaker
from gateway.providers.build import build, chosen, options
from gateway.providers.languages import known
from gateway.providers.probes import StageProbes
from gateway.providers.starts import Starts
from gateway.providers.tools import ServerTools
from gateway.settings import Settings
from gateway.status import BreakerReport, LanguageReport, ProviderReport, QueueReport, StageReport
from pipeline.breaker import Breaker, BreakerPolicy, Mode, Outcome
from pipeline.fillers import Fillers
from pipeline.frames import Slot
from pipeline.guard import Candidate, Guard, Limits
from pipeline.ladder import Ladder
from pipeline.session import Stages
from pipeline.stage import Detector, Responder, Synthesizer, Transcriber
from stages.avatar.local import Local
from stages.interview import LANGUAGES
from stages.registry import Choice
from stages.tts.viseme_fallback import VisemeFallback
from stages.turn.rules import Rules

logger = logging.getLogger("parley.engine")

WITH_FALLBACK = BreakerPolicy(open_s=5, open_growth=2, open_grown_s=10, open_max_s=60)
"""The breaker policy of a provider with another candidate behind it. With the jitter of open times
it is asked again 11 s after it is well, at the latest."""

TURN_LIMITS = Limits(first_s=0.19, slow_first_s=0.19, stall_s=0.19, total_s=0.5)
"""Just below `pipeline.turn_questions.ANSWER_S`, so that a model that hangs counts as failed."""

RECOGNITION_S = 120.0
"""No recogniser takes longer: the turn's limits end the recognition before
(`pipeline.answer.LATE_FACTOR`), or let another recogniser follow."""

LAST_SLOW_S = 20.0
"""From this time on the last recogniser counts as slow. Its breaker must not open for a slowness
that the person can wait for, because no other recogniser would hear the answer. One that takes
until the second limit has failed."""

LIMITS: dict[Slot, Limits] = {
    "stt": Limits(
        first_s=RECOGNITION_S, slow_first_s=2.0, stall_s=2.0, total_s=RECOGNITION_S, patient=True
    ),
    "llm": Limits(first_s=3.0, slow_first_s=1.0, stall_s=2.0),
    "tts": Limits(first_s=2.0, slow_first_s=0.5, stall_s=1.0),
    "turn": TURN_LIMITS,
}

REMOTE_LIMITS: dict[Slot, Limits] = {
    "stt": Limits(first_s=RECOGNITION_S, slow_first_s=2.5, stall_s=2.0, total_s=RECOGNITION_S),
    "llm": Limits(first_s=5.0, slow_first_s=2.5, stall_s=2.0),
    "tts": Limits(first_s=2.0, slow_first_s=1.0, stall_s=1.0),
    "avatar": Limits(first_s=2.0, slow_first_s=1.0, stall_s=1.0, total_s=15.0),
    "turn": TURN_LIMITS,
}
"""Limits of remote providers, which also upload an utterance or process a prompt."""

SET_BY_HAND = (Mode.FORCED_OPEN, Mode.DISABLED)
"""The modes of a breaker in which its state does not depend on the calls."""

SILENT = "its server does not answer"

TROUBLE_S = 300.0
"""How long a failure is reported if no call follows it. Assumed value."""


@dataclass(frozen=True, slots=True)
class Lineup:
    """The stages of a process, why they were chosen, and their state.

    Stages that the application itself supplies have no entry in `choices`.
    """

    stages: Stages
    choices: Mapping[Slot, Choice]
    probes: StageProbes
    starts: Starts
    tools: ServerTools = field(default_factory=lambda: ServerTools({}))

    @classmethod
    def given(cls, stages: Stages, tools: ServerTools | None = None) -> "Lineup":
        """The line-up of an application that supplies its own stages."""
        return cls(stages, {}, StageProbes({}), Starts({}), tools or ServerTools({}))

    def reports(self) -> list[StageReport]:
        """The provider of each slot, its status and why it was chosen; without the slot `avatar` if
        no provider makes pictures, and without `turn` if the rules alone end turns.

        A provider whose server did not answer the last probe is degraded, and so is one whose last
        call failed, and a slot in which every circuit breaker is open.
        """
        reports = [self._report("vad", self.stages.detector)]
        for slot, guard in self.guards():
            answering = next((c for c in guard.candidates if c.breaker.closed), None)
            if answering is None:
                first = guard.candidates[0]
                problem = _problem(first)
                reports.append(self._report(slot, first.stage, tripped=True, problem=problem))
            else:
                problem = _problem(answering)
                reports.append(self._report(slot, answering.stage, problem=problem))
        return reports

    def candidates(self) -> list[ProviderReport]:
        """The candidates of each slot that has a guard, best first."""
        return [
            ProviderReport(
                slot,
                candidate.provider,
                _breaker_state(candidate.breaker),
                _problem(candidate),
                learned(candidate.stage),
            )
            for slot, guard in self.guards()
            for candidate in guard.candidates
        ]

    def breakers(self) -> list[BreakerReport]:
        """The circuit breakers of the candidates, in the order of `candidates`."""
        now = asyncio.get_running_loop().time()
        return [
            breaker_report(slot, candidate, now)
            for slot, guard in self.guards()
            for candidate in guard.candidates
        ]

    def change_breaker(self, name: str, change: str) -> BreakerReport | None:
        """Reset, force open or disable a breaker ("reset", "force-open", "disable"); None if no
        provider has a breaker of this name."""
        slot, _, provider = name.partition(".")
        now = asyncio.get_running_loop().time()
        for guarded, guard in self.guards():
            for candidate in guard.candidates:
                if (guarded, candidate.provider) == (slot, provider):
                    changes = {"force-open": Breaker.force_open, "disable": Breaker.disable}
                    changes.get(change, Breaker.reset)(candidate.breaker, now)
                    return breaker_report(guarded, candidate, now)
        return None

    def providers(self) -> set[str]:
        """The names of all providers of the process."""
        reports = self.candidates()
        return {self.stages.detector.provider, *(report.provider for report in reports)}

    def queues(self) -> list[QueueReport]:
        """The jobs, waiting or under way, of each provider that has a worker process."""
        return [
            QueueReport(f"{slot} {candidate.provider}", "jobs", jobs)
            for slot, guard in self.guards()
            for candidate in guard.candidates
            if (jobs := _jobs(candidate.stage)) is not None
        ]

    def trip(self, slot: Slot, provider: str) -> None:
        """Open the breaker of a provider that could not start, if another candidate is behind it:
        no turn waits for it then. Its next start is a probe of the breaker's."""
        now = asyncio.get_running_loop().time()
        for guarded, guard in self.guards():
            for candidate in guard.candidates if len(guard.candidates) > 1 else ():
                if (guarded, candidate.provider) == (slot, provider):
                    for _ in range(candidate.breaker.policy.consecutive_failures):
                        if (permit := candidate.breaker.try_acquire(now)) is not None:
                            candidate.breaker.settle(permit, Outcome.FAILURE, now)

    def languages(self) -> LanguageReport:
        """The languages in which an interview can be held, and heard and spoken."""
        return LanguageReport(
            LANGUAGES, known(self.stages.transcribers), known(self.stages.synthesizers)
        )

    def guards(self) -> list[tuple[Slot, Guard[Any]]]:
        """The guard of each slot that has one, and of each function of the operator, with breakers
        brought up to the current time."""
        guards: list[tuple[Slot, Guard[Any]]] = [
            (guard.slot, guard) for guard in (*self.stages.guards(), *self.tools.guards())
        ]
        now = asyncio.get_running_loop().time()
        for _, guard in guards:
            for candidate in guard.candidates:
                candidate.breaker.poll(now)
        return guards

    def _report(
        self, slot: Slot, stage: Any, *, tripped: bool = False, problem: str = ""
    ) -> StageReport:
        name = stage.provider
        silent = (slot, name) in self.probes.latest()
        status = "degraded" if tripped or silent or problem else "online"
        detail = _detail(stage)
        choice = self.choices.get(slot)
        if choice is None:
            why = "given by the application"
            return StageReport(slot, name, status, why, problem, detail)
        why = choice.why
        if name != choice.first.name:
            failed = self.starts.errors.get((slot, choice.first.name))
            why = f"{choice.first.name}: {failed or 'its circuit breaker is open'}"
        note = next((provider.note for provider in choice.providers if provider.name == name), "")
        if silent:  # the reason, which may hold a server's address, is in the log only
            problem = f"{SILENT}; {problem}" if problem else SILENT
        note = "; ".join(filter(None, (note, problem)))
        return StageReport(slot, name, status, why, note, detail)


def _detail(stage: Any) -> str:
    """The stage's own words on what it has loaded; "" if it has none."""
    try:
        text = stage.detail()
    except Exception:  # most stages have no `detail`, and a third party's may raise anything
        return ""
    return text if isinstance(text, str) else ""


def _problem(candidate: Candidate[Any]) -> str:
    """Why the candidate's latest calls failed, "" if the last one succeeded or is long ago."""
    trouble = candidate.trouble
    if trouble is None or asyncio.get_running_loop().time() - trouble.at > TROUBLE_S:
        return ""
    times = f", {trouble.times} times in a row" if trouble.times > 1 else ""
    return f"its last call failed: {trouble.words}{times}"


def _breaker_state(breaker: Breaker) -> str:
    """The state for `/health`, or what an operator has made of it."""
    if breaker.mode in SET_BY_HAND:
        return breaker.mode.value
    return breaker.state.name.lower()


def breaker_report(slot: Slot, candidate: Candidate[Any], now: float) -> BreakerReport:
    """A candidate's circuit breaker at `now` (loop time)."""
    breaker = candidate.breaker
    shown = breaker.mode if breaker.mode in SET_BY_HAND else breaker.state
    return BreakerReport(
        f"{slot}.{candidate.provider}",
        slot,
        candidate.provider,
        shown.value,
        breaker.generation,
        round(breaker.retry_after(now), 1),
    )


def learned(stage: Any) -> tuple[str, ...]:
    """The facts that a stage has learned about its server, in a few words each, by its method
    `learned`; none without that method. Raises nothing."""
    try:
        return tuple(map(str, stage.learned()))
    except Exception:  # most stages have none, and a third party's may do anything
        return ()


def _jobs(stage: Any) -> int | None:
    """The jobs of a stage with a worker process (`stages._worker`), None for another stage: a third
    party's `stats` may be something else."""
    try:
        jobs = stage.stats().jobs
    except Exception:
        return None
    return jobs if isinstance(jobs, int) else None


@asynccontextmanager
async def line_up(settings: Settings) -> AsyncIterator[Lineup]:
    """Build the providers of each slot; their models are loaded in the background.

    `Lineup.starts` says how far that is. Leaving closes all of them. Raises
    `stages.registry.NoProvider` for a slot that no provider can fill.
    """
    provider_options = options(settings)
    choices: dict[Slot, Choice] = {}
    built: dict[Slot, list[Any]] = {}
    async with AsyncExitStack() as stack:
        for slot, choice in chosen(settings).items():
            if slot == "vad":
                choice = replace(choice, providers=choice.providers[:1])
            choices[slot], built[slot] = build(choice, provider_options)
            for stage in built[slot]:
                stack.push_async_callback(stage.aclose)
        probes = StageProbes(
            {
                (slot, provider.name): stage
                for slot, choice in choices.items()
                for provider, stage in zip(choice.providers, built[slot], strict=True)
            }
        )
        stack.push_async_callback(probes.aclose)
        fillers = Fillers()
        stack.push_async_callback(fillers.aclose)
        lighter = frozenset(filter(None, settings.lighter.split(",")))
        stages = replace(_guarded(choices, built, lighter), fillers=fillers)
        starts = Starts(built, lambda slot, name: lineup.trip(slot, name))
        stack.push_async_callback(starts.aclose)
        tools = ServerTools.read(settings.tools)
        stack.push_async_callback(tools.aclose)
        lineup = Lineup(stages, choices, probes, starts, tools)
        for slot, choice in choices.items():
            note = f" ({choice.first.note})" if choice.first.note else ""
            logger.info("%s: %s%s, %s", slot, choice.first.name, note, choice.why)
        starts.begin()
        probes.latest()  # begins the first round
        yield lineup


def _guarded(
    choices: Mapping[Slot, Choice], built: Mapping[Slot, list[Any]], lighter: frozenset[str]
) -> Stages:
    detector: Detector = built["vad"][0]
    transcribers: Guard[Transcriber] = _guard(choices["stt"], built["stt"])
    responders: Guard[Responder] = _guard(choices["llm"], built["llm"])
    voices = [VisemeFallback(stage) for stage in built["tts"]]
    synthesizers: Guard[Synthesizer] = _guard(choices["tts"], voices)
    animators = _optional(choices["avatar"], built["avatar"])
    turn_models = _optional(choices["turn"], built["turn"])
    stages = Stages(detector, transcribers, responders, synthesizers, animators, turn_models)
    return replace(stages, ladder=_ladder(stages, lighter))


def _ladder(stages: Stages, lighter: frozenset[str]) -> Ladder:
    """The ladder that all guards follow; the candidates named in `lighter` are."""
    found: set[str] = set()
    for guard in stages.guards():
        for candidate in guard.candidates:
            name = f"{guard.slot}.{candidate.provider}"
            candidate.light = name in lighter
            found |= {name} & lighter
    for name in sorted(lighter - found):
        logger.warning("PARLEY_LIGHTER: %s is not among the providers that work here", name)
    ladder = Ladder(lighter=bool(found))
    for guard in stages.guards():
        guard.ladder = ladder
    _wait_for_the_last(stages.transcribers, ladder)
    return ladder


def _wait_for_the_last(recognisers: Guard[Transcriber], ladder: Ladder) -> None:
    """The recogniser that is asked last may take its time, whichever that is at a step."""
    usual = [candidate.limits for candidate in recognisers.candidates]

    def settle(*_: object) -> None:
        for candidate, limits in zip(recognisers.candidates, usual, strict=True):
            candidate.limits = limits
        last = recognisers.line[-1]
        last.limits = replace(last.limits, slow_first_s=LAST_SLOW_S)

    settle()
    ladder.on_step.append(settle)


def _guard(choice: Choice, stages: Sequence[Any]) -> Guard[Any]:
    policy = WITH_FALLBACK if len(stages) > 1 else BreakerPolicy(open_s=5)
    candidates = [
        Candidate(
            provider.name,
            stage,
            breaker(policy),
            (REMOTE_LIMITS if provider.remote else LIMITS)[choice.slot],
        )
        for provider, stage in zip(choice.providers, stages, strict=True)
    ]
    return Guard(choice.slot, candidates)


def _optional(choice: Choice, stages: Sequence[Any]) -> Guard[Any] | None:
    """The guard of a slot's providers but those that are only names; None without any."""
    candidates = [
        Candidate(provider.name, stage, breaker(WITH_FALLBACK), REMOTE_LIMITS[choice.slot])
        for provider, stage in zip(choice.providers, stages, strict=True)
        if not isinstance(stage, (Local, Rules))
    ]
    return Guard(choice.slot, candidates) if candidates else None
