"""What the settings name answers, and what happens where it does not."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from gateway import runtime as module
from gateway.live.assistant import AssistantHost
from gateway.live.load_samples import LoadSamples
from gateway.live.pressure import Pressure
from gateway.protocols.request import AssistantRequest, SessionRequest
from gateway.providers.starts import START_S
from gateway.runtime import Runtime
from gateway.settings import Settings
from gateway.variables import variables
from pipeline.breaker import Breaker, Mode
from pipeline.errors import StageFailed
from pipeline.frames import Slot
from pipeline.guard import Candidate, Guard
from pipeline.session import Stages
from pipeline.testing import run_virtual
from stages import registry
from stages.avatar.local import Local
from stages.fakes import (
    FakeDetector,
    FakeResponder,
    FakeSynthesizer,
    FakeTranscriber,
    FakeTurnModel,
)
from stages.llm.scripted import ScriptedInterviewer
from stages.registry import NoProvider, Options, Provider
from stages.stt.recogniser_load import RecogniserLoad
from stages.turn.rules import Rules
from tests.support.memory_store import MemoryStore
from tests.support.served import free_port


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields.values():
        for name in variables(field):
            monkeypatch.delenv(name, raising=False)


@pytest.fixture
def served(gateway: Any, peer: Any) -> Any:
    """A gateway whose recognition, replies and speech come from the peer."""
    gateway.configured = True
    gateway.settings |= {
        "vad": "energy",
        "stt": "openai",
        "stt_url": peer.url,
        "stt_model": "verbose/engine",
        "llm": "openai",
        "llm_url": peer.url,
        "llm_model": "hello/engine",
        "tts_engine": "openai",
        "tts_url": peer.url,
        "tts_model": "tone/engine",
        "tts_voice": "anna",
    }
    return gateway


@pytest.fixture
def nowhere() -> str:
    """A URL at which nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


async def stages_of(gateway: Any) -> dict[str, dict[str, Any]]:
    """The stages in /health, by slot."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        health = (await client.get(f"http://127.0.0.1:{gateway.port}/health")).json()
    return {stage["slot"]: stage for stage in health["stages"]}


@pytest.mark.slow
def test_a_conversation_with_configured_servers(served: Any, peer: Any) -> None:
    served.settings["budget_ms"] = 5000  # a busy machine is late, and says so

    async def story() -> None:
        async with served.call() as caller:
            await caller.say(type="hello", version=1)
            ready = await caller.until("ready")
            assert ready["providers"] == {
                "vad": "energy",
                "stt": "openai",
                "llm": "openai",
                "tts": "openai",
                "avatar": "visemes",
            }
            await caller.until("reply.done", turn=0)
            await caller.say(type="text", text="I mend bicycles")
            await caller.until("reply.text", turn=1, text="Hello there.")
            done = await caller.until("reply.done", turn=1)
            assert done["heard"] == "Hello there."
            assert any(caller.audio)
            await caller.speak(ms=0, silence_ms=400)  # what the background sounds like
            await caller.speak()
            await caller.until("transcript", turn=2, text="Hello there.", final=True)
            await caller.until("reply.done", turn=2)
            assert "degraded" not in caller.types()
        stages = await stages_of(served)
        assert {"openai online chosen by configuration"} == {
            "{provider} {status} {why}".format(**stages[slot]) for slot in ("stt", "llm", "tts")
        }

    served.run(story)
    opening, answer, *_ = peer.requests("hello/engine")
    assert opening["path"] == "/v1/chat/completions"
    assert {"role": "user", "content": "I mend bicycles"} in answer["messages"]
    assert {"anna"} == {asked["voice"] for asked in peer.requests("tone/engine")}


@pytest.mark.slow
def test_a_server_that_is_down_gives_way_and_the_interview_goes_on(
    served: Any, nowhere: str
) -> None:
    served.settings["llm_url"] = nowhere

    async def story() -> None:
        await served.app.state.runtime.lineup().probes.ask()
        stages = await stages_of(served)
        async with served.call() as caller:
            await caller.say(type="hello", version=1)
            for turn in (0, 1):
                degraded = await caller.until("degraded", turn=turn)
                assert [degraded[field] for field in ("stage", "from", "to", "reason")] == [
                    "llm",
                    "openai",
                    "scripted",
                    "no connection",
                ]
                await caller.until("reply.done", turn=turn, interrupted=False)
                await caller.say(type="text", text="I repaired a slow query by adding an index")
            question = await caller.until("interview", currentQuestion=2)
            assert question["isComplete"] is False
        assert stages["llm"] == {
            "slot": "llm",
            "provider": "openai",
            "status": "degraded",
            "why": "chosen by configuration",
            "note": "its server does not answer",
            "detail": "",
        }
        assert stages["tts"]["status"] == "online"

    served.run(story)


# --- without a network -----------------------------------------------------------------------


def provider(slot: Slot, stage: Any, *, remote: bool = False) -> Provider:
    def build(options: Options) -> Any:
        if isinstance(stage, Exception):
            raise stage
        return stage

    name = getattr(stage, "provider", "torn")
    return Provider(slot, name, "for tests", lambda _: None, build, remote=remote)


class Loading(FakeTranscriber):
    """Has something to load before its first utterance."""

    def __init__(self, provider: str, load: Callable[[], Any]) -> None:
        super().__init__(provider=provider)
        self._load = load

    async def start(self) -> None:
        await self._load()


@pytest.fixture
def built_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces what is built in; slots that are not given get a stage that works."""

    def replace(*providers: Provider) -> None:
        working = (
            provider("vad", FakeDetector()),
            provider("turn", Rules()),
            provider("stt", FakeTranscriber()),
            provider("llm", ScriptedInterviewer()),
            provider("tts", FakeSynthesizer()),
            provider("avatar", Local("face")),
        )
        given = {entry.slot for entry in providers}
        rest = (entry for entry in working if entry.slot not in given)
        monkeypatch.setattr(registry, "PROVIDERS", (*providers, *rest))

    return replace


def started(look: Callable[[Runtime], Any] = lambda engine: None) -> Any:
    """What `look` sees of an engine whose providers have started, or could not."""

    async def main() -> Any:
        async with Runtime(Settings(), MemoryStore(time.monotonic)) as engine:
            await engine.lineup().starts.settled()
            await engine.lineup().probes.ask()
            return look(engine)

    return run_virtual(main())


def report(engine: Runtime, slot: Slot) -> dict[str, str]:
    (found,) = (asdict(entry) for entry in engine.reports() if entry.slot == slot)
    return found


def test_the_ladder_is_told_what_strains_the_machine_and_everything_follows_it(
    built_in: Callable[..., None],
) -> None:
    pytest.importorskip("resvg_py")
    built_in()

    def told(engine: Runtime) -> bool:
        assert engine.load is not None
        assert engine.studio is not None
        stages = engine.lineup().stages
        ladder = stages.ladder
        assert {id(guard.ladder) for guard in stages.guards()} == {id(ladder)}
        assert engine.studio.ladder is ladder
        assert engine.calls().faces._ladder is ladder
        return engine.load.strained == ladder.strained

    assert started(told)


def test_the_load_is_measured_at_the_stages_that_tell_it() -> None:
    class Told(FakeDetector):
        def shortest_wait_s(self) -> float:
            return 0.25

    class Busy(FakeTranscriber):
        load = RecogniserLoad()

    class Foreign(FakeTranscriber):
        load = "a third party's"

    def measured(detector: Any, *transcribers: Any) -> LoadSamples:
        load = LoadSamples(Pressure())
        guard = Guard("stt", [Candidate(one.provider, one, Breaker()) for one in transcribers])
        llm = Guard("llm", [Candidate("llm", FakeResponder(), Breaker())])
        tts = Guard("tts", [Candidate("tts", FakeSynthesizer(), Breaker())])
        module._measure_stages(load, Stages(detector, guard, llm, tts))
        return load

    load = measured(Told(), Foreign(), Busy())
    assert (load.uplink_s(), list(load.recognisers)) == (0.25, [Busy.load])
    load = measured(FakeDetector(), FakeTranscriber())
    assert (load.uplink_s(), list(load.recognisers)) == (0.0, [])


def test_those_who_answer_first_load_at_the_same_time(built_in: Callable[..., None]) -> None:
    loaded: list[str] = []

    async def load(name: str) -> None:
        await both.wait()
        loaded.append(name)

    class Speaker(FakeSynthesizer):
        async def start(self) -> None:
            await load("tts")

    async def main() -> None:
        nonlocal both
        both = asyncio.Barrier(2)
        async with Runtime(Settings(), MemoryStore(time.monotonic)) as engine:
            await engine.lineup().starts.settled()
            assert sorted(loaded) == ["first", "tts"]

    both: asyncio.Barrier
    built_in(
        provider("stt", Loading("first", lambda: load("first"))),
        provider("stt", Loading("second", lambda: load("second"))),
        provider("tts", Speaker()),
    )
    run_virtual(main())


def test_the_gateway_serves_while_models_load_and_says_so(built_in: Callable[..., None]) -> None:
    built_in(provider("stt", Loading("slow", lambda: asyncio.sleep(20))))

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        async with Runtime(Settings(), MemoryStore(time.monotonic)) as engine:
            assert (clock(), engine.readiness()) == (0, "starting")
            assert engine.unready() == ["stt: slow is loading"]
            await engine.lineup().starts.settled()
            assert (clock(), engine.readiness(), engine.unready()) == (20, "ready", [])

    run_virtual(main())


def test_a_provider_that_never_gets_ready_gives_way(
    built_in: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    built_in(
        provider("stt", Loading("slow", lambda: asyncio.sleep(1e6))),
        provider("stt", FakeTranscriber()),
    )

    def look(engine: Runtime) -> tuple[float, str, str]:
        return asyncio.get_running_loop().time(), engine.readiness(), report(engine, "stt")["why"]

    assert started(look) == (START_S, "ready", "slow: not ready after 60 s")
    assert "stt: slow cannot start: not ready after 60 s" in caplog.text


async def fail() -> None:
    raise StageFailed("stt", "torn", "connect", "the model is gone")


def test_a_provider_that_cannot_start_gives_way_and_no_turn_waits_for_it(
    built_in: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    second = FakeTranscriber()
    built_in(provider("stt", Loading("torn", fail)), provider("stt", second))

    def look(engine: Runtime) -> tuple[str, list[str], dict[str, str], list[bool]]:
        candidates = engine.lineup().stages.transcribers.candidates
        usable = [candidate.breaker.closed for candidate in candidates]
        return engine.readiness(), engine.unready(), report(engine, "stt"), usable

    assert started(look) == (
        "ready",
        [],
        {
            "slot": "stt",
            "provider": second.provider,
            "status": "online",
            "why": "torn: the model is gone",
            "note": "",
            "detail": "",
        },
        [False, True],
    )
    assert "stt: torn cannot start: the model is gone" in caplog.text


def test_a_slot_that_nobody_fills_is_told_and_tried_again(
    built_in: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[float] = []

    async def at_the_third_try() -> None:
        tries.append(asyncio.get_running_loop().time())
        if len(tries) < 3:
            await fail()

    built_in(provider("stt", Loading("torn", at_the_third_try)))

    async def main() -> None:
        async with Runtime(Settings(), MemoryStore(time.monotonic)) as engine:
            await engine.lineup().starts.settled()
            reasons = ["stt: torn: the model is gone"]
            assert (engine.readiness(), engine.unready()) == ("failed", reasons)
            assert "stt: no provider can work; next attempt in 5 s" in caplog.text
            await asyncio.sleep(15.5)
            assert (engine.readiness(), engine.unready(), tries) == ("ready", [], [0, 5, 15])

    run_virtual(main())


def test_an_error_that_is_not_of_the_engine_is_told_in_its_words(
    built_in: Callable[..., None],
) -> None:
    async def odd() -> None:
        raise OSError("disk\non fire")

    built_in(provider("stt", Loading("odd", odd)))
    assert started(lambda engine: engine.unready()) == ["stt: odd: OSError: disk on fire"]


def test_what_was_loaded_is_reported_with_its_provider(built_in: Callable[..., None]) -> None:
    class Telling(FakeTranscriber):
        def detail(self) -> str:
            return "tiny.en, 0.55 s for a 10 s answer"

    class Odd(FakeSynthesizer):
        detail = 7

    built_in(provider("stt", Telling()), provider("tts", Odd()))
    details = started(lambda e: [report(e, slot)["detail"] for slot in ("stt", "tts", "llm")])
    assert details == ["tiny.en, 0.55 s for a 10 s answer", "", ""]


def test_a_provider_that_cannot_be_built_gives_way_with_the_reason(
    built_in: Callable[..., None],
) -> None:
    torn = provider("tts", RuntimeError("no sound card"))
    built_in(torn, provider("tts", FakeSynthesizer()))
    assert started(lambda engine: report(engine, "tts")) == {
        "slot": "tts",
        "provider": FakeSynthesizer().provider,
        "status": "online",
        "why": "torn: it cannot be built: RuntimeError: no sound card",
        "note": "",
        "detail": "",
    }
    built_in(torn)
    with pytest.raises(NoProvider, match=r"torn: it cannot be built: RuntimeError: no sound card"):
        started()


def test_leaving_ends_what_is_still_loading(built_in: Callable[..., None]) -> None:
    ended: list[str] = []

    async def load() -> None:
        try:
            await asyncio.sleep(1e6)
        finally:
            ended.append("loading")

    class Speaker(FakeSynthesizer):
        async def aclose(self) -> None:
            ended.append("tts")

    built_in(provider("stt", Loading("slow", load)), provider("tts", Speaker()))

    async def main() -> None:
        async with Runtime(Settings(), MemoryStore(time.monotonic)):
            await asyncio.sleep(1)

    run_virtual(main())
    assert ended == ["loading", "tts"]


def test_a_recogniser_here_is_waited_for_and_the_last_one_is_never_called_slow(
    built_in: Callable[..., None],
) -> None:
    built_in(
        provider("stt", Loading("far", lambda: asyncio.sleep(0)), remote=True),
        provider("stt", Loading("near", lambda: asyncio.sleep(0))),
    )

    def limits(engine: Runtime) -> list[tuple[float, float, bool]]:
        candidates = engine.lineup().stages.transcribers.candidates
        return [(c.limits.first_s, c.limits.slow_first_s, c.limits.patient) for c in candidates]

    assert started(limits) == [(120.0, 2.5, False), (120.0, 20.0, True)]


def test_the_recogniser_behind_a_server_is_loaded_for_the_day_when_it_fails(
    built_in: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    loaded: list[str] = []

    async def load() -> None:
        loaded.append("near")

    server = FakeTranscriber(provider="far")
    behind = provider("stt", Loading("near", load))
    built_in(provider("stt", server, remote=True), behind)
    assert started(lambda engine: engine.readiness()) == "ready"
    assert loaded == ["near"]
    torn = provider("stt", Loading("torn", fail))
    built_in(provider("stt", server, remote=True), torn)
    assert started(lambda engine: engine.readiness()) == "ready"
    assert "stt: torn cannot start: the model is gone" in caplog.text


def test_one_whose_breaker_is_open_is_reported_with_who_answers_instead(
    built_in: Callable[..., None],
) -> None:
    built_in(
        provider("stt", Loading("first", lambda: asyncio.sleep(0))),
        provider("stt", Loading("second", lambda: asyncio.sleep(0))),
    )

    def trip(engine: Runtime) -> list[tuple[str, str, str]]:
        seen = []
        for candidate in engine.lineup().stages.transcribers.candidates:
            candidate.breaker.mode = Mode.FORCED_OPEN
            now = report(engine, "stt")
            seen.append((now["provider"], now["status"], now["why"]))
        return seen

    assert started(trip) == [
        ("second", "online", "first: its circuit breaker is open"),
        ("first", "degraded", "the best of those built in"),
    ]


def test_a_probe_that_finds_a_change_is_logged_once(
    built_in: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    class Far(FakeTranscriber):
        async def probe(self) -> str | None:
            return "http://gpu does not answer within 1 s"

    caplog.set_level(logging.INFO)
    built_in(provider("stt", Far(provider="far")))
    assert started(lambda engine: report(engine, "stt")["status"]) == "degraded"
    assert caplog.text.count("stt: far would not answer now: http://gpu does not answer") == 1


# --- turn models -----------------------------------------------------------------------------


class Judging(FakeTurnModel):
    """Has something to load."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(provider="smart-turn")
        self._error = error

    async def start(self) -> None:
        if self._error is not None:
            raise self._error


def asks(engine: Runtime) -> bool:
    """Whether the sessions' policy asks a turn model."""
    return engine.calls().turn_policy(SessionRequest()).judged


def told(engine: Runtime) -> dict[str, str]:
    """The providers in a client's `ready`."""
    host = AssistantHost(AssistantRequest(lambda turn: ()))
    request = SessionRequest()
    media: Any = SimpleNamespace(audio_in=None, audio_out=None)
    return engine.calls().ready("s", media, host, request, "face").providers


def test_where_the_rules_are_alone_no_model_is_asked(built_in: Callable[..., None]) -> None:
    built_in(provider("turn", Rules()))

    def look(engine: Runtime) -> Any:
        slots = [entry.slot for entry in engine.reports()]
        return asks(engine), "turn" in slots, "turn" in told(engine)

    assert started(look) == (False, False, False)


def test_a_turn_model_is_asked_reported_and_told_to_the_client(
    built_in: Callable[..., None],
) -> None:
    built_in(provider("turn", Judging()), provider("turn", Rules()))

    def look(engine: Runtime) -> Any:
        return asks(engine), report(engine, "turn")["provider"], told(engine)["turn"]

    assert started(look) == (True, "smart-turn", "smart-turn")


def test_a_turn_model_that_cannot_start_stops_nothing(built_in: Callable[..., None]) -> None:
    broken = Judging(StageFailed("turn", "smart-turn", "connect", "another file"))
    built_in(provider("turn", broken), provider("turn", Rules()))
    assert started(asks) is True
