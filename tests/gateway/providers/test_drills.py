"""An operator breaks a provider of a running gateway, and conversations go on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from gateway.providers.broken_stage import BrokenStage, DrillFault, slow_by_s
from gateway.providers.drills import LONGEST_S, Drills, DrillUnderWay
from gateway.status import DrillReport
from pipeline.breaker import Breaker
from pipeline.errors import StageFailed
from pipeline.frames import Sentence, Spoken
from pipeline.guard import Candidate, Guard, Limits
from pipeline.session import Stages
from pipeline.stage import Scene
from pipeline.testing import run_virtual
from stages.fakes import FakeAnimator, FakeSynthesizer, FakeTurnModel
from stages.llm.scripted import ScriptedInterviewer
from tests.support.calls import LocalCalls

LIMITS = Limits(first_s=2.0, slow_first_s=1.0)


@pytest.fixture
def local() -> LocalCalls:
    return LocalCalls()


def two_voices(local: LocalCalls) -> Stages:
    """A line-up with a second voice behind the first."""
    first, second = FakeSynthesizer(ms_per_word=20), FakeSynthesizer(ms_per_word=20)
    second.provider = "second-tts"
    voices = [Candidate(one.provider, one, Breaker(), LIMITS) for one in (first, second)]
    stages = local.scripted()
    return Stages(stages.detector, stages.transcribers, stages.responders, Guard("tts", voices))


@pytest.mark.parametrize("fault", ["hang", "error"])
def test_another_provider_answers_while_one_is_broken_and_it_comes_back(
    local: LocalCalls, fault: DrillFault
) -> None:
    local.stages = lambda: two_voices(local)

    async def story() -> None:
        drills = Drills(local.calls.lineup.guards)
        async with local.call() as client:
            await client.say(type="hello", version=1)
            await client.until("reply.done", turn=0)
            assert drills.begin("tts", fault, 20) == DrillReport("tts.fake-tts", fault, 20.0)
            await client.say(type="text", text="I built a queue.")
            degraded = await client.until("degraded", turn=1)
            assert (degraded["from"], degraded["to"]) == ("fake-tts", "second-tts")
            done = await client.until("reply.done", turn=1)
            assert done["heard"]
            await asyncio.sleep(21)
            assert drills.reports() == []
            await client.say(type="text", text="I built another one.")
            await client.until("reply.done", turn=2)
            assert client.found("degraded", turn=2) == []

    local.run(story)


def test_a_slow_provider_answers_late_and_counts_as_slow(local: LocalCalls) -> None:
    async def story() -> None:
        (candidate,) = local.calls.lineup.stages.responders.candidates
        drills = Drills(local.calls.lineup.guards)
        async with local.call() as client:
            await client.say(type="hello", version=1)
            await client.until("reply.done", turn=0)
            drills.begin("llm.scripted", "slow", 60)
            await client.say(type="text", text="I built a queue.")
            await client.until("reply.done", turn=1)
            (metrics,) = client.found("turn.metrics", turn=1)
            late_s = slow_by_s(candidate.limits)
            assert candidate.limits.slow_first_s < late_s < candidate.limits.first_s
            assert metrics["voice_to_voice_ms"] >= late_s * 1000
            assert client.found("degraded") == []
            drills.close()
            assert isinstance(candidate.stage, ScriptedInterviewer)

    local.run(story)


@pytest.mark.parametrize("fault", ["hang", "error", "slow"])
def test_a_broken_recogniser_loses_no_session(local: LocalCalls, fault: DrillFault) -> None:
    async def story() -> None:
        drills = Drills(local.calls.lineup.guards)
        async with local.call() as client:
            await client.say(type="hello", version=1)
            await client.until("reply.done", turn=0)
            drills.begin("stt", fault, 600)
            await client.speak_live()
            await client.until("reply.done", turn=1)
            assert drills.end("stt.fake-stt")
            await client.speak_live()
            await client.until("transcript", turn=2, final=True)
            await client.until("reply.done", turn=2)

    local.run(story)


def test_a_provider_has_one_drill_at_a_time_and_drills_have_an_end(local: LocalCalls) -> None:
    async def story() -> None:
        drills = Drills(local.calls.lineup.guards)
        drills.begin("llm", "hang", LONGEST_S)
        with pytest.raises(DrillUnderWay):
            drills.begin("llm.scripted", "error", 1)
        for seconds in (0, -1, LONGEST_S + 1):
            with pytest.raises(ValueError, match="up to 600"):
                drills.begin("tts", "hang", seconds)
        for name in ("vad", "tts.nobody", "nothing", ""):
            assert drills.begin(name, "hang", 1) is None
        assert [drill.name for drill in drills.reports()] == ["llm.scripted"]
        await asyncio.sleep(LONGEST_S + 1)
        assert drills.reports() == []
        assert not drills.end("llm.scripted")

    local.run(story)


class _Endless:
    """A voice whose stream says whether it was closed."""

    provider = "endless"
    rate_hz = 16_000
    languages = ("en",)
    closed = False

    async def speak(self, sentence: Sentence) -> AsyncIterator[Any]:
        try:
            while True:
                yield sentence
        finally:
            self.closed = True


def broken(stage: Any, fault: DrillFault) -> BrokenStage:
    return BrokenStage("tts", Candidate(stage.provider, stage, Breaker(), LIMITS), fault)


def test_a_broken_stage_is_the_providers_own_in_everything_but_its_calls() -> None:
    voice = _Endless()
    stage = broken(voice, "slow")
    assert (stage.rate_hz, stage.languages, stage.provider) == (16_000, ("en",), "endless")
    assert not hasattr(stage, "stats")

    async def story() -> None:
        items = stage.speak(Sentence(1, "Hello."))
        assert (await anext(items)).text == "Hello."
        await items.aclose()  # type: ignore[attr-defined]

    run_virtual(story())
    assert voice.closed


def test_pictures_and_turn_models_can_be_broken_as_well() -> None:
    async def story() -> None:
        turns = broken(FakeTurnModel(), "error")
        with pytest.raises(StageFailed, match="drill"):
            await turns.finished(np.zeros(0, np.int16))
        slow = broken(FakeTurnModel(), "slow")
        loop = asyncio.get_running_loop()
        before = loop.time()
        assert 0 <= await slow.finished(np.zeros(0, np.int16)) <= 1
        assert loop.time() - before == slow_by_s(LIMITS)
        pictures = broken(FakeAnimator(), "error")
        scene = Scene(Spoken(1, 0, 16_000, np.zeros(320, np.int16)), "mira", 64, 40)
        with pytest.raises(StageFailed, match="drill"):
            await anext(pictures.animate(scene))

    run_virtual(story())
