"""A conversation of hundreds of turns holds no more than one of a few; and what hears goes on while
recognition does not."""

import gc
import types
from typing import Any

from pipeline.frames import ReplyDone, SpeechStarted, SpeechStopped
from stages.fakes import FakeTranscriber, Script

SHARED = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType)


def held(root: object, *, without: tuple[object, ...]) -> int:
    """How many objects can be reached from `root`, but for what stands outside the engine."""
    seen = {id(thing) for thing in without}
    waiting, count = [root], 0
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, SHARED):
            continue
        seen.add(id(thing))
        count += 1
        waiting += gc.get_referents(thing)
    return count


def test_a_long_conversation_holds_no_more_than_a_short_one(conversation: Any) -> None:
    counts = []

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        loop = conversation.running.get_loop()
        for turn in range(1, 181):
            conversation.session.typed(f"answer {turn}")
            await conversation.until(ReplyDone, turn)
            await conversation.pause(300)
            conversation.frames.clear()  # the tests' own records
            conversation.spoken.clear()
            conversation.responders[0].requests.clear()
            conversation.host.log.clear()
            if turn in (80, 180):  # the latest 64 calls of each provider are remembered
                outside = (conversation, conversation.host, loop, conversation.running)
                counts.append(held(conversation.session, without=outside))

    conversation.journalled = False
    conversation.run(story)
    short, long = counts
    assert short > 100, "the session was not looked at"
    assert long <= short + 20


def test_speech_is_noticed_while_recognition_hangs(conversation: Any) -> None:
    conversation.transcribers = [FakeTranscriber(Script(stall=True))]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(800)
        await conversation.until(SpeechStopped, 1)
        await conversation.pause(200)
        begun = conversation.running.get_loop().time()
        await conversation.speak(800)
        second = conversation.all(SpeechStarted)[1]
        assert conversation.at(second) - begun <= 0.3

    conversation.run(story)
