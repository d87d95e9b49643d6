"""The reports about the stages of a process."""

import asyncio
from typing import Any

import pytest

from gateway.providers import lineup as module
from gateway.providers.languages import in_language
from gateway.providers.lineup import TROUBLE_S, Lineup
from gateway.status import QueueReport
from pipeline.breaker import Breaker
from pipeline.errors import CallerError, StageBusy, StageFailed
from pipeline.guard import Candidate, Guard
from pipeline.ladder import LadderStep
from pipeline.session import Stages
from pipeline.stage import Brief, ReplyRequest
from pipeline.testing import run_virtual
from stages._http import HttpRefused
from stages._worker import WorkerStats
from stages.fakes import (
    FakeDetector,
    FakeResponder,
    FakeSynthesizer,
    FakeTranscriber,
    Script,
)
from stages.llm.scripted import ScriptedInterviewer
from stages.provider import Provider
from stages.registry import Choice


class Working(FakeTranscriber):
    def stats(self) -> WorkerStats:
        return WorkerStats(pid=7, ready=True, starts=1, jobs=3, pending_bytes=0)


class Counting(FakeSynthesizer):
    """From elsewhere: its statistics are something else."""

    def stats(self, of: str) -> str:
        return of


class Taught(ScriptedInterviewer):
    def learned(self) -> tuple[str, ...]:
        return ("no stream_options",)


def only(slot: Any, stage: Any) -> Any:
    return Guard(slot, [Candidate(stage.provider, stage, Breaker())])


def test_jobs_are_reported_only_for_stages_with_a_worker_process() -> None:
    stages = Stages(
        FakeDetector(),
        only("stt", Working()),
        only("llm", ScriptedInterviewer()),
        only("tts", Counting()),
    )

    async def story() -> None:
        name = f"stt {stages.transcribers.candidates[0].provider}"
        assert Lineup.given(stages).queues() == [QueueReport(name, "jobs", 3)]

    run_virtual(story())


def test_the_operator_names_lighter_providers(caplog: pytest.LogCaptureFixture) -> None:
    def provided(slot: Any, stage: Any) -> Provider:
        return Provider(slot, stage.provider, "", lambda options: None, lambda options: stage)

    slots: dict[Any, list[Any]] = {
        "stt": [FakeTranscriber(), FakeTranscriber(provider="small")],
        "llm": [FakeResponder()],
        "tts": [FakeSynthesizer(), FakeSynthesizer(provider="quick")],
        "vad": [FakeDetector()],
    }
    slots |= {"avatar": [], "turn": []}
    choices = {
        slot: Choice(slot, tuple(provided(slot, one) for one in built), "")
        for slot, built in slots.items()
    }
    stages = module._guarded(choices, slots, frozenset({"stt.small", "tts.gone"}))
    light = [one.provider for guard in stages.guards() for one in guard.candidates if one.light]
    assert light == ["small"]
    assert {guard.ladder for guard in stages.guards()} == {stages.ladder}
    assert stages.ladder._last is LadderStep.LIGHTER_FIRST
    assert caplog.messages == ["PARLEY_LIGHTER: tts.gone is not among the providers that work here"]
    slow = [one.limits.slow_first_s for one in stages.transcribers.candidates]
    assert slow == [module.LIMITS["stt"].slow_first_s, module.LAST_SLOW_S]
    stages.ladder._change(LadderStep.LIGHTER_FIRST)
    assert [one.provider for one in stages.transcribers.line] == ["small", "fake-stt"]
    # Nobody else hears the answer then: the recogniser that is asked last may take its time.
    slow = [one.limits.slow_first_s for one in stages.transcribers.candidates]
    assert slow == [module.LAST_SLOW_S, module.LIMITS["stt"].slow_first_s]
    stages.ladder._change(LadderStep.NOTHING_AHEAD)
    slow = [one.limits.slow_first_s for one in stages.transcribers.candidates]
    assert slow == [module.LIMITS["stt"].slow_first_s, module.LAST_SLOW_S]
    stages.ladder._change(LadderStep.LIGHTER_FIRST)
    knows = FakeTranscriber(provider="german")
    knows.languages = ("de",)  # type: ignore[attr-defined]
    stages.transcribers.candidates += (Candidate("german", knows, Breaker()),)
    assert in_language(stages, "en", None).transcribers.ladder is stages.ladder


BUSY = StageBusy("llm", "one", "HTTP 429: slow down")
REFUSED = HttpRefused("llm", "one", 400, "HTTP 400: organization org-AbC123 has no such field")
GONE = StageFailed("llm", "one", "connect", "ConnectError: secret.host")
SAID = "HTTP 500: upstream http://10.0.3.7:8080 refused (my name is Jane Doe)"
BROKEN = StageFailed("llm", "one", "connect", SAID, reason=f"server error ({SAID})")
CUT = CallerError("llm", "one", "stream", reason="cut at its token limit")
FOREIGN = CallerError("llm", "one", "connect", "it does not know the language 'de'")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (BUSY, "at capacity (HTTP 429)"),
        (REFUSED, "refused the request (HTTP 400)"),
        (GONE, "no connection"),
        (BROKEN, "server error (HTTP 500)"),
    ],
)
def test_a_failure_shows_at_once_and_until_a_call_succeeds(error: Exception, words: str) -> None:
    one = Candidate(
        "one", FakeResponder(Script(error=error), Script(error=error), Script()), Breaker()
    )
    responders = Guard("llm", [one, Candidate("two", FakeResponder(), Breaker())])
    lineup = Lineup.given(
        Stages(FakeDetector(), only("stt", Working()), responders, only("tts", Counting()))
    )

    async def ask() -> None:
        request = ReplyRequest(1, "So.", Brief(("Why?",)))
        async with responders.stream(lambda s: s.reply(request), useful=bool) as items:
            async for _ in items:
                pass

    def told() -> tuple[str, str, str]:
        llm = next(report for report in lineup.reports() if report.slot == "llm")
        return llm.status, llm.note, lineup.candidates()[1].problem

    async def story() -> None:
        assert told() == ("online", "", "")
        await ask()
        problem = f"its last call failed: {words}"
        assert told() == ("degraded", problem, problem)
        one.breaker = Breaker()  # whatever it thinks: the failures count
        await ask()
        assert told()[1] == f"{problem}, 2 times in a row"
        one.breaker = Breaker()
        await ask()
        assert told() == ("online", "", "")

    run_virtual(story())


@pytest.mark.parametrize("error", [CUT, FOREIGN])
def test_a_refusal_of_one_text_is_no_failure(error: Exception) -> None:
    one = Candidate("one", FakeResponder(Script(error=error)), Breaker())
    responders = Guard("llm", [one, Candidate("two", FakeResponder(), Breaker())])
    lineup = Lineup.given(
        Stages(FakeDetector(), only("stt", Working()), responders, only("tts", Counting()))
    )

    async def story() -> None:
        request = ReplyRequest(1, "So.", Brief(("Why?",)))
        async with responders.stream(lambda s: s.reply(request), useful=bool) as items:
            async for _ in items:
                pass
        llm = next(report for report in lineup.reports() if report.slot == "llm")
        assert (llm.status, llm.note, lineup.candidates()[1].problem) == ("online", "", "")

    run_virtual(story())


def test_a_failure_of_long_ago_is_no_longer_told() -> None:
    one = Candidate("one", ScriptedInterviewer(), Breaker())
    lineup = Lineup.given(
        Stages(FakeDetector(), only("stt", Working()), Guard("llm", [one]), only("tts", Counting()))
    )

    async def story() -> None:
        one.failed("stalled", asyncio.get_running_loop().time())
        await asyncio.sleep(TROUBLE_S)
        assert lineup.candidates()[1].problem == "its last call failed: stalled"
        await asyncio.sleep(1)
        assert lineup.candidates()[1].problem == ""

    run_virtual(story())


def test_what_a_provider_learned_about_its_server_is_told() -> None:
    lineup = Lineup.given(
        Stages(
            FakeDetector(), only("stt", Working()), only("llm", Taught()), only("tts", Counting())
        )
    )

    async def story() -> None:
        assert [report.learned for report in lineup.candidates()] == [
            *((), ("no stream_options",), ()),
        ]

    run_virtual(story())
