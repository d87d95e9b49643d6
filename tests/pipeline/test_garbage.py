"""A turn that is over is freed at once: nothing of it waits for a full garbage collection.

Those happen where nobody talks (`gateway.live.garbage`). Whatever lives longer than a few seconds
is old by then: if a turn left a cycle, the person's audio in it would stay for the whole call.
"""

import gc
import types
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from pipeline.fillers import Fillers
from pipeline.frames import ReplyDone, ReplyStarted, SpeechStopped
from stages.fakes import FakeResponder, FakeSynthesizer, FakeTranscriber, Script
from tests.support.session import LIMITS

TURNS = 3
TEXTS = ("I like tests",)
BREAKS_OFF = Script(error=OSError("gone"), after=1)
HANGS = Script(stall=True)


@contextmanager
def kept_garbage() -> Iterator[list[str]]:
    """What is in cycles of the engine's objects after the block, which alone is looked at."""
    found: list[str] = []
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found += sorted({name for thing in gc.garbage if (name := of_the_engine(thing))})
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def of_the_engine(thing: Any) -> str:
    """What it is, if it is the engine's; else ""."""
    match thing:
        case types.FrameType():
            return f"frame of {thing.f_code.co_qualname}" if "pipeline" in str(thing) else ""
        case types.FunctionType() | types.MethodType() | types.CoroutineType():
            module, name = getattr(thing, "__module__", None) or "", thing.__qualname__
        case _:
            module, name = type(thing).__module__, type(thing).__qualname__
    return name if module.startswith("pipeline") else ""


async def typed(conversation: Any) -> None:
    for turn in range(1, TURNS + 1):
        conversation.session.typed(f"answer {turn}")
        await conversation.until(ReplyDone, turn)


async def spoken(conversation: Any) -> None:
    for turn in range(1, TURNS + 1):
        await conversation.speak(800)
        await conversation.until(ReplyDone, turn)
        await conversation.pause(300)


async def interrupted(conversation: Any) -> None:
    for turn in range(1, TURNS + 1):
        await conversation.speak(1500)
        await conversation.until(ReplyStarted, turn)
        await conversation.pause(300)
    await conversation.until(ReplyDone, TURNS)


async def gone_on_with(conversation: Any) -> None:
    """The person speaks again before the turn's words are recognised."""
    await conversation.speak(800)
    for _ in range(TURNS):
        await conversation.until(SpeechStopped)
        conversation.frames.clear()
        await conversation.pause(100)
        await conversation.speak(800)
    await conversation.pause(30_000)


def without_fault(conversation: Any) -> None:
    pass


def ahead_of_the_decision(conversation: Any) -> None:
    conversation.policy = replace(conversation.policy, speculate=True)


def broken_first_choices(conversation: Any) -> None:
    conversation.transcribers.insert(0, FakeTranscriber(BREAKS_OFF, texts=TEXTS, provider="a"))
    conversation.responders.insert(0, FakeResponder(BREAKS_OFF, provider="b"))
    conversation.synthesizers.insert(0, FakeSynthesizer(BREAKS_OFF, provider="c"))


def hanging_first_choices(conversation: Any) -> None:
    conversation.transcribers.insert(0, FakeTranscriber(HANGS, texts=TEXTS, provider="a"))
    conversation.responders.insert(0, FakeResponder(HANGS, provider="b"))
    conversation.synthesizers.insert(0, FakeSynthesizer(HANGS, provider="c"))


def nobody_answers(conversation: Any) -> None:
    conversation.responders = [FakeResponder(HANGS)]
    conversation.fillers = Fillers()


def nobody_speaks(conversation: Any) -> None:
    conversation.synthesizers = [FakeSynthesizer(BREAKS_OFF)]


def late_recogniser(conversation: Any) -> None:
    conversation.transcribers = [FakeTranscriber(Script(first_s=6.0), texts=TEXTS)]
    conversation.limits["fake-stt"] = replace(LIMITS, first_s=9.0, total_s=20.0)


Setting = Callable[[Any], None]
Talk = Callable[[Any], Awaitable[None]]
CASES: dict[str, tuple[Setting, Talk]] = {
    "typed": (without_fault, typed),
    "spoken": (without_fault, spoken),
    "ahead of the decision": (ahead_of_the_decision, spoken),
    "interrupted": (without_fault, interrupted),
    "gone on with": (late_recogniser, gone_on_with),
    "first choices that break off": (broken_first_choices, spoken),
    "first choices that hang": (hanging_first_choices, spoken),
    "no answer": (nobody_answers, spoken),
    "no voice": (nobody_speaks, spoken),
    "a late recogniser": (late_recogniser, spoken),
}


@pytest.mark.parametrize("case", CASES)
def test_turns_that_are_over_leave_no_garbage(conversation: Any, case: str) -> None:
    setting, talk = CASES[case]
    found: list[str] = []

    async def story() -> None:
        nonlocal found
        await conversation.until(ReplyDone, 0)
        with kept_garbage() as found:
            await talk(conversation)

    conversation.journalled = False
    setting(conversation)
    conversation.run(story)
    assert found == []
