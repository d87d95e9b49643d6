"""A recogniser that fails after a long answer: the next one gets all of it, and the time for it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pipeline.canned import CannedLines
from pipeline.errors import StageFailed
from pipeline.frames import Degraded, ReplyText, SpeechStopped, Transcript
from pipeline.guard import Limits
from pipeline.session import SessionPolicy
from stages.fakes import FakeTranscriber, Script

LONG_MS = 34_000
REMOTE = Limits(first_s=120.0, slow_first_s=2.5, stall_s=2.0, total_s=120.0)
LOCAL = Limits(first_s=120.0, slow_first_s=20.0, stall_s=2.0, total_s=120.0, patient=True)
LINES = CannedLines()


class Thorough(FakeTranscriber):
    """Takes `pace` seconds for each second of its audio, once all of it is there."""

    def __init__(self, pace: float, provider: str = "local") -> None:
        super().__init__(texts=("a long answer",), provider=provider)
        self.pace = pace
        self.heard_s: list[float] = []

    def open(self, turn: int, *arguments: Any, **options: Any) -> Any:
        recognition = super().open(turn, *arguments, **options)
        samples = 0

        def feed(pcm: Any) -> None:
            nonlocal samples
            samples += len(pcm)

        async def finish() -> AsyncIterator[Transcript]:
            self.heard_s.append(samples / 16_000)
            await asyncio.sleep(self.pace * samples / 16_000)
            yield Transcript(turn, "a long answer", final=True)

        recognition.feed, recognition.finish = feed, finish
        return recognition


def talk(conversation: Any, *transcribers: Any, turns: int = 1, ms: int = LONG_MS) -> None:
    conversation.transcribers = list(transcribers)

    async def story() -> None:
        await conversation.until(ReplyText, 0)
        await conversation.pause(3000)
        for turn in range(1, turns + 1):
            await conversation.speak(ms)
            await conversation.until(Transcript, turn, within_ms=60_000)
            await conversation.pause(4000)

    conversation.run(story)


@pytest.fixture(params=[False, True], ids=["", "speculating"])
def long(request: pytest.FixtureRequest, conversation: Any) -> Any:
    """A conversation about a remote recogniser in front of local ones."""
    conversation.policy = SessionPolicy(speculate=request.param)
    conversation.limits = {"remote": REMOTE, "local": LOCAL, "second": REMOTE}
    return conversation


def remote(script: Script, provider: str = "remote") -> FakeTranscriber:
    return FakeTranscriber(script, provider=provider)


def stored(conversation: Any) -> list[str]:
    return [entry[2] for entry in conversation.host.log if entry[0] == "accept"]


def took_s(conversation: Any, turn: int = 1) -> float:
    [stopped] = [frame for frame in conversation.all(SpeechStopped) if frame.turn == turn]
    [final] = [frame for frame in conversation.all(Transcript) if frame.turn == turn]
    seconds: float = conversation.at(final) - conversation.at(stopped)
    return seconds


class Fails(FakeTranscriber):
    """Fails a second after the end of the speech."""

    async def transcripts(self, turn: int) -> AsyncIterator[Transcript]:  # type: ignore[override]
        await asyncio.sleep(1.0)
        raise StageFailed("stt", self.provider, "connect", "HTTP 500")
        yield


FAILURES: dict[str, FakeTranscriber] = {
    "500 at once": remote(Script(error=StageFailed("stt", "remote", "connect", "HTTP 500"))),
    "500 after a second": Fails(provider="remote"),
    "hangs": remote(Script(stall=True)),
    "breaks off": remote(Script(error=OSError("gone"))),
    "empty": remote(Script(end=True)),
}


@pytest.mark.parametrize("fault", FAILURES)
@pytest.mark.parametrize("pace", [0.05, 0.3, 0.5])
def test_the_next_recogniser_hears_all_of_a_long_answer(long: Any, fault: str, pace: float) -> None:
    local = Thorough(pace)
    talk(long, FAILURES[fault], local)
    assert stored(long) == ["a long answer"]
    assert local.heard_s[-1] >= LONG_MS / 1000
    assert LINES.unheard not in [text.text for text in long.all(ReplyText)]
    assert took_s(long) <= 3.5 + pace * 36


def test_the_person_is_told_while_the_next_recogniser_works(long: Any) -> None:
    talk(long, remote(Script(stall=True)), Thorough(0.3))
    assert [(d.source, d.target) for d in long.all(Degraded)] == [
        ("remote", "local"),
        ("local", "holding line"),
    ]


def test_a_second_server_that_hangs_leaves_the_last_recogniser_its_time(long: Any) -> None:
    servers = [remote(Script(stall=True)), remote(Script(stall=True), "second")]
    talk(long, *servers, Thorough(0.1))
    assert stored(long) == ["a long answer"]


def test_a_slow_recogniser_of_this_machine_is_waited_for(long: Any) -> None:
    long.limits = {"local": LOCAL, "demo": LOCAL}
    demo = Thorough(0.1, "demo")
    talk(long, Thorough(0.4), demo)
    assert stored(long) == ["a long answer"]
    assert demo.heard_s == []
    assert [d.target for d in long.all(Degraded)] == ["holding line"]


def test_one_that_never_ends_leaves_the_next_one_what_it_needs(long: Any) -> None:
    long.limits = {"local": LOCAL, "demo": LOCAL}
    talk(long, Thorough(60.0), Thorough(0.1, "demo"))
    assert stored(long) == ["a long answer"]
    assert took_s(long) <= 36 / 2 + 0.1 * 36


def test_a_server_that_is_down_costs_nothing_once_its_breaker_is_open(long: Any) -> None:
    talk(long, remote(Script(stall=True)), Thorough(0.1), turns=7, ms=2000)
    assert stored(long) == ["a long answer"] * 7
    assert took_s(long, 7) <= 0.5
