"""One conversation, down the whole ladder and back up, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

from gateway.live.pressure import LoadSample, Pressure
from gateway.observe.metrics import Metrics
from gateway.observe.sessions import ObservedSessions
from pipeline.breaker import Breaker
from pipeline.fillers import Fillers
from pipeline.frames import TextDelta
from pipeline.guard import Candidate, Guard
from pipeline.ladder import PASSED_OVER, RISE_S, Ladder, LadderStep
from pipeline.session import Stages
from pipeline.stage import ReplyRequest
from pipeline.testing import play
from stages.fakes import FakeDetector, FakeSynthesizer, FakeTranscriber, Script
from stages.llm.scripted import ScriptedInterviewer
from tests.support.calls import LocalCalls
from tests.support.client import Client
from tests.support.faces import drawn_here

BUSY = "the processor is 95% busy"
CALM = "calm for 10 s"
SAMPLE_S = 0.5


class Interviewer(ScriptedInterviewer):
    """Works as its present script says."""

    script = Script()

    async def reply(self, request: ReplyRequest) -> AsyncIterator[Any]:
        said = [TextDelta(request.turn, delta.text) async for delta in super().reply(request)]
        async for delta in play(said, self.script):
            yield delta


class Machine:
    """A process with all that the ladder moves, on a machine that is as busy as it is told."""

    def __init__(self) -> None:
        self.ladder = Ladder(lighter=True)
        self.busy = 0.1
        self.interviewer = Interviewer()
        self.voice = FakeSynthesizer(ms_per_word=20)
        self.metrics = Metrics()
        self.observed = ObservedSessions(self.metrics.turn_over)
        self.ladder.on_step.append(self.metrics.stepped)
        self.fillers = Fillers()

    def stages(self) -> Stages:
        good, quick = FakeTranscriber(), FakeTranscriber(provider="quick-stt")
        return Stages(
            FakeDetector(),
            Guard(
                "stt",
                [
                    Candidate(good.provider, good, Breaker()),
                    Candidate(quick.provider, quick, Breaker(), light=True),
                ],
                ladder=self.ladder,
            ),
            Guard("llm", [Candidate("scripted", self.interviewer, Breaker())]),
            Guard("tts", [Candidate(self.voice.provider, self.voice, Breaker())]),
            fillers=self.fillers,
            ladder=self.ladder,
        )

    @asynccontextmanager
    async def measured(self) -> AsyncIterator[None]:
        """The load is measured twice a second while the block lasts, as `LoadSamples` does."""
        pressure, loop = Pressure(), asyncio.get_running_loop()

        async def measure() -> None:
            while True:
                await asyncio.sleep(SAMPLE_S)
                pressure.observe(LoadSample(busy=self.busy), loop.time())
                self.ladder.strained(pressure.strain(), loop.time())

        measuring = asyncio.create_task(measure())
        try:
            yield
        finally:
            measuring.cancel()
            await self.fillers.aclose()

    def counted(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


def told(client: Client, turn: int, stage: str | None = None) -> list[tuple[str, str, str]]:
    return [
        (message["from"], message["to"], message["reason"])
        for message in client.found("degraded", turn=turn)
        if stage in (None, message["stage"])
    ]


async def answer(client: Client, turn: int) -> None:
    await client.speak_live()
    await client.until("turn.metrics", turn=turn)


def test_a_conversation_goes_down_the_whole_ladder_and_back_up(local: LocalCalls) -> None:
    machine = Machine()
    local.stages = machine.stages
    local.faces = drawn_here
    local.observed = machine.observed
    local.settings |= {"silence_prompt_s": 0}

    clients: list[Client] = []

    async def story() -> None:
        async with machine.measured(), local.call() as client:
            clients.append(client)
            await client.say(type="hello", version=1, avatar="frames")
            await client.until("reply.done", turn=0)
            await asyncio.sleep(1)
            assert told(client, 0) == []

            machine.busy = 0.95
            await asyncio.sleep(15)
            assert machine.ladder.step is LadderStep.LIGHTER_FIRST
            assert told(client, 0) == [
                ("12 fps", "6 fps", BUSY),
                ("6 fps", "3 fps", BUSY),
                ("3 fps", "visemes", BUSY),
            ]

            pictures = len(client.found("avatar.frame"))
            await answer(client, 1)
            assert told(client, 1) == [
                ("ahead of the decision", "after the decision", BUSY),
                ("fake-stt", "quick-stt", PASSED_OVER + BUSY),
            ]
            assert len(client.found("avatar.frame")) == pictures

            machine.interviewer.script = Script(stall=True)
            await answer(client, 2)
            assert [to for _, to, _ in told(client, 2, "llm")[1:]] == ["filler", "canned line"]

            machine.interviewer.script = Script()
            machine.voice._scripts._scripts = [Script(error=OSError("gone"), after=0)]
            await answer(client, 3)
            assert {to for _, to, _ in told(client, 3, "tts")} == {"text"}

            machine.voice._scripts._scripts = [Script()]
            machine.busy = 0.1
            await asyncio.sleep(5 * RISE_S + 10)
            assert machine.ladder.step is LadderStep.EVERYTHING
            assert told(client, 3, "avatar") == [
                ("visemes", "3 fps", CALM),
                ("3 fps", "6 fps", CALM),
                ("6 fps", "12 fps", CALM),
            ]

            await answer(client, 4)
            assert told(client, 4) == []
            assert client.found("reply.done", turn=4)[0]["interrupted"] is False
            times = [frame["at_ms"] for frame in client.found("avatar.frame", turn=4)]
            spoken = [at_ms for at_ms in times if at_ms is not None]
            assert 80 in {later - sooner for sooner, later in pairwise(spoken)}
            finals = [message["turn"] for message in client.found("transcript", final=True)]
            assert finals == [1, 2, 3, 4]

    local.run(story)
    for step in list(LadderStep)[1:]:
        for direction in ("down", "up"):
            counted = machine.counted(
                "parley_ladder_steps_total", step=step.label, direction=direction
            )
            assert (step, direction, counted) == (step, direction, 1)
    steps = {"filler": "llm", "canned line": "llm", "text": "tts"}
    for target, stage in steps.items():
        counted = machine.counted("parley_degradations_total", stage=stage, target=target)
        sentences = len(told(clients[0], 3, "tts")) if target == "text" else 1
        assert (target, counted) == (target, sentences)
    ahead = machine.counted("parley_degradations_total", stage="llm", target="after the decision")
    assert ahead == 3
