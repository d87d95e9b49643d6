"""What the work for a turn knows of it, and what a session tells of its queues."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from typing import Any

from pipeline.canned import CannedLines
from pipeline.fillers import Fillers
from pipeline.frames import ReplyDone, ReplyText, Sentence, Speech, TextDelta
from pipeline.pacer import Pacer
from pipeline.stage import Observed, ReplyRequest
from pipeline.turn_context import current_turn, request_headers
from stages.fakes import FakeResponder, FakeSynthesizer, Script

NAMED: ContextVar[str] = ContextVar("named", default="nobody")


class Notes:
    """A responder that notes in which context it works."""

    provider = "notes"

    def __init__(self) -> None:
        self.seen: list[tuple[str, int | None, Mapping[str, str]]] = []

    async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
        await asyncio.sleep(0)
        self.seen.append((NAMED.get(), current_turn.get(), request_headers.get()("llm")))
        yield TextDelta(request.turn, "Tell me more.")

    async def aclose(self) -> None: ...


def test_a_turn_works_in_the_context_in_which_its_session_was_made(conversation: Any) -> None:
    notes = Notes()
    conversation.responders = [notes]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        NAMED.set("whoever feeds the detector")
        await conversation.speak()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert notes.seen == [("nobody", 0, {}), ("nobody", 1, {})]


def test_the_pacers_timer_has_the_context_of_nobody() -> None:
    seen: list[str] = []

    async def story() -> None:
        pacer = Pacer()
        NAMED.set("one session")
        pacer.schedule(lambda now: seen.append(NAMED.get()), asyncio.get_running_loop().time())
        await asyncio.sleep(0.01)

    asyncio.run(story())
    assert seen == ["nobody"]


def test_a_filler_is_made_for_nobody_and_spoken_by_its_session(conversation: Any) -> None:
    seen: list[tuple[str, str]] = []

    class Voice(FakeSynthesizer):
        def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
            seen.append((NAMED.get(), sentence.text))
            return super().speak(sentence)

    class Observer:
        def observe(self, output: Observed, now: float) -> None:
            if isinstance(output, ReplyText):
                seen.append((NAMED.get(), f"{output.text} (shown)"))

    conversation.fillers = Fillers()
    conversation.observers = (Observer(),)
    conversation.responders = [FakeResponder(Script(first_s=1.9), text="Tell me more.")]
    conversation.synthesizers = [Voice(Script(first_s=0.9))]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)

    token = NAMED.set("one session")
    conversation.run(story)
    NAMED.reset(token)
    opening = CannedLines().opening
    assert [(who, text) for who, text in seen if text.startswith(opening)] == [
        ("nobody", opening),
        ("one session", f"{opening} (shown)"),
    ]


def test_a_session_tells_how_long_work_waited(conversation: Any) -> None:
    waits: list[tuple[str, float]] = []

    conversation.waited = lambda queue, age_ms: waits.append((queue, age_ms))

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert {queue for queue, _ in waits} == {"recognition", "synthesis"}
    assert all(age_ms >= 0 for _, age_ms in waits)
