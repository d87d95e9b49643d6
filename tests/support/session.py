"""One session under test: fake stages, a host that remembers, an observer that writes down."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from pipeline.breaker import BreakerPolicy
from pipeline.channel import Waited
from pipeline.fillers import Fillers
from pipeline.frames import Output, ReplyAudio, Samples, Spoken
from pipeline.guard import Candidate, Guard, Limits
from pipeline.journal import Journal
from pipeline.ladder import Ladder
from pipeline.pacer import Pacer
from pipeline.replay import replay
from pipeline.session import Session, SessionPolicy, Stages
from pipeline.stage import (
    Brief,
    Converter,
    Observed,
    Observer,
    RecognizedSpeech,
    ToolRequest,
)
from pipeline.testing import run_virtual
from stages.fakes import FakeDetector, FakeResponder, FakeSynthesizer, FakeTranscriber
from tests.support.breakers import Recorder

FRAME = 320
LIMITS = Limits(first_s=2.0, slow_first_s=1.0, stall_s=1.0)
F = TypeVar("F")


class Plain:
    """A converter for fakes, which all speak at the client's rate."""

    def push(self, pcm: Samples) -> Samples:
        return pcm

    def flush(self) -> Samples:
        return np.zeros(0, np.int16)


def convert(source_hz: int, target_hz: int) -> Converter:
    assert source_hz == target_hz
    return Plain()


class Host:
    """Answers everything with the same line and writes down what it is told."""

    def __init__(self) -> None:
        self.say: tuple[str, ...] = ("Well, tell me more about that.",)
        self.wishes = Brief(())
        """What else its briefs say."""
        self.closes = False
        self.log: list[tuple[str, int, str] | tuple[str, int, str, str]] = []
        self.calls: list[tuple[ToolRequest, ...]] = []
        self.heard: list[RecognizedSpeech | None] = []
        self.accept_s = 0.0
        self.commit_s = 0.0
        self.correct_s = 0.0
        self.error: Exception | None = None
        self.hints: tuple[str, ...] = ()
        self.prompts: tuple[str, ...] = ()
        self.goodbye = ""
        self.time_is_up_at: float | None = None

    def prompt(self, turn: int, times: int) -> str:
        return self.prompts[times - 1] if times <= len(self.prompts) else ""

    def time_is_up(self) -> None:
        self.time_is_up_at = asyncio.get_running_loop().time()

    def farewell(self) -> str:
        return self.goodbye

    def brief(self, turn: int, text: str) -> Brief:
        return replace(self.wishes, say=self.say, closes=self.closes and turn > 0)

    async def accept(self, turn: int, text: str, heard: RecognizedSpeech | None = None) -> None:
        if self.accept_s:
            await asyncio.sleep(self.accept_s)
        if self.error is not None:
            raise self.error
        self.log.append(("accept", turn, text))
        self.heard.append(heard)

    async def commit(
        self, turn: int, user_text: str, heard_text: str, calls: tuple[ToolRequest, ...] = ()
    ) -> None:
        if self.commit_s:
            await asyncio.sleep(self.commit_s)
        if self.error is not None:
            raise self.error
        self.log.append(("commit", turn, user_text, heard_text))
        self.calls.append(calls)

    async def correct(self, turn: int, heard_text: str) -> None:
        if self.correct_s:
            await asyncio.sleep(self.correct_s)
        if self.error is not None:
            raise self.error
        self.log.append(("correct", turn, heard_text))


class Conversation:
    """One session under virtual time. Write the test as a coroutine and pass it to `run`."""

    def __init__(self) -> None:
        self.detector: Any = FakeDetector()
        self.transcribers: list[Any] = [FakeTranscriber(texts=("I like tests",))]
        self.responders: list[Any] = [FakeResponder()]
        self.synthesizers: list[Any] = [FakeSynthesizer()]
        self.turn_models: list[Any] = []
        self.fillers: Fillers | None = None
        self.ladder = Ladder(lighter=True)
        self.lighter: set[str] = set()
        """The names of the providers that the operator calls lighter."""
        self.breaker_policy = BreakerPolicy()
        self.host = Host()
        self.policy = SessionPolicy(speculate=False)
        self.limits: dict[str, Limits] = {}
        """Those of providers, by name; others have the usual ones."""
        self.breakers: dict[str, Recorder] = {}
        """What each provider's breaker was told, by name."""
        self.journalled = True
        self.waited: Waited | None = None
        self.early: Callable[[], None] = lambda: None
        """Is called before the session runs."""
        self.observed = True
        self.observers: tuple[Observer, ...] = ()
        """More of them, after the one that writes down."""
        self.frames: list[tuple[float, Output]] = []
        self.spoken: list[tuple[float, Spoken]] = []
        self.session: Session

    def run(self, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run the session and the story beside it; the session ends when the story does."""
        run_virtual(self._run(story))

    async def _run(self, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
        loop = asyncio.get_running_loop()
        stages = Stages(
            self.detector,
            self._guard("stt", self.transcribers),
            self._guard("llm", self.responders),
            self._guard("tts", self.synthesizers),
            turn_models=self._guard("turn", self.turn_models) if self.turn_models else None,
            fillers=self.fillers,
            ladder=self.ladder,
        )
        self.lines: list[str] = []
        """What the journal says so far."""
        journal = Journal(self.lines.append)
        journal.opened("conversation", self.policy.turns, loop.time())
        self.session = Session(
            stages,
            self.host,
            observers=(self, *self.observers) if self.observed else (),
            pacer=Pacer(),
            convert=convert,
            policy=self.policy,
            journal=journal if self.journalled else None,
            waited=self.waited,
        )
        self.early()
        before = asyncio.all_tasks()
        self.running = running = asyncio.create_task(self.session.run())
        await asyncio.sleep(0)
        try:
            await story()
        finally:
            self.session.end()
            await asyncio.wait([running])
        if not running.cancelled():
            running.result()
        if self.fillers is not None:
            await self.fillers.aclose()
        # Streams that were abandoned have three times a quarter of a second to close.
        await asyncio.sleep(0.8)
        left = asyncio.all_tasks() - before
        watched = [task for task in left if getattr(task.get_coro(), "__name__", "") == "watch"]
        if watched:  # they end by their providers' limits
            await asyncio.wait(watched, timeout=LIMITS.total_s + 1)
        assert asyncio.all_tasks() == before, "something was left running"
        if self.journalled:
            assert replay(self.lines).differences == (), "the journal replays to other decisions"

    def observe(self, output: Observed, now: float) -> None:
        """Write down what the session puts out, as `pipeline.stage.Observer`."""
        if isinstance(output, Spoken):
            self.spoken.append((now, output))
        else:
            self.frames.append((now, output))

    # --- what the person does ----------------------------------------------------------------

    async def feed(self, ms: int, level: int) -> None:
        """Audio in real time, 20 ms a frame."""
        pcm = np.full(FRAME, level, np.int16)
        for _ in range(ms // 20):
            self.session.feed(pcm)
            await asyncio.sleep(0.02)

    async def speak(self, ms: int = 1000) -> None:
        await self.feed(ms, 4000)

    async def pause(self, ms: int) -> None:
        await self.feed(ms, 0)

    async def until(self, kind: type[F], turn: int | None = None, *, within_ms: int = 30_000) -> F:
        """Keep quiet until such a frame has come."""
        for _ in range(within_ms // 20):
            for frame in self.all(kind):
                if turn in (None, getattr(frame, "turn", None)):
                    return frame
            await self.pause(20)
        raise AssertionError(f"no {kind.__name__} for turn {turn} within {within_ms} ms")

    # --- what the client saw -----------------------------------------------------------------

    def all(self, kind: type[F]) -> list[F]:
        return [frame for _, frame in self.frames if isinstance(frame, kind)]

    def at(self, wanted: Output) -> float:
        """When a frame came, in virtual seconds."""
        return next(at for at, frame in self.frames if frame is wanted)

    def audio_ms(self, turn: int) -> int:
        """How much reply audio of a turn was sent."""
        sent = [frame.pcm for frame in self.all(ReplyAudio) if frame.turn == turn]
        return sum(map(len, sent)) * 1000 // 16_000

    def _guard(self, slot: Any, stages: list[Any]) -> Guard[Any]:
        candidates = []
        for stage in stages:
            name = stage.provider
            breaker = self.breakers[name] = Recorder(self.breaker_policy)
            limits, light = self.limits.get(name, LIMITS), name in self.lighter
            candidates.append(Candidate(name, stage, breaker, limits, light=light))
        return Guard(slot, candidates, ladder=self.ladder)
