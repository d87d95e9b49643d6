"""The reports about the stages of a process."""

from typing import Any

from gateway.providers.lineup import Lineup
from gateway.status import QueueReport
from pipeline.breaker import Breaker
from pipeline.guard import Candidate, Guard
from pipeline.session import Stages
from pipeline.testing import run_virtual
from stages._worker import WorkerStats
from stages.fakes import FakeDetector, FakeSynthesizer, FakeTranscriber
from stages.llm.scripted import ScriptedInterviewer


class Working(FakeTranscriber):
    def stats(self) -> WorkerStats:
        return WorkerStats(pid=7, ready=True, starts=1, jobs=3, pending_bytes=0)


class Counting(FakeSynthesizer):
    """From elsewhere: its statistics are something else."""

    def stats(self, of: str) -> str:
        return of


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
