"""Live sessions as the operator sees them, and the one line of each turn."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.logs import JsonLine
from gateway.observe.sessions import ObservedSession, ObservedSessions
from gateway.observe.turn_record import TurnRecord
from pipeline.frames import Degraded, TextDelta, TurnMetrics
from pipeline.stage import ReplyRequest
from tests.support.calls import LocalCalls


class _Lines(logging.Handler):
    """Keeps the JSON lines as they would be written, in the context of their task."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(JsonLine())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class _Chatty:
    """A responder that writes to the log while it replies."""

    provider = "chatty"

    async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
        await asyncio.sleep(0.05)
        logging.getLogger("chatty").warning("thinking about %s", request.text)
        yield TextDelta(request.turn, "Tell me more.")

    async def aclose(self) -> None: ...


@pytest.fixture
def lines() -> Iterator[list[str]]:
    handler = _Lines()
    root = logging.getLogger()
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.INFO)
    try:
        yield handler.lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def test_every_turn_has_one_line_with_its_figures(local: LocalCalls, lines: list[str]) -> None:
    async def story() -> None:
        async with local.call("s-1") as client:
            await client.say(type="hello", version=1)
            await client.until("reply.done", turn=0)
            await client.speak_live()
            await client.until("turn.metrics", turn=1)

    local.run(story)
    told = [json.loads(line) for line in lines]
    turns = [line for line in told if line["logger"] == "parley.turn"]
    assert [(line["session"], line["turn"], line["outcome"]) for line in turns] == [
        ("s-1", 0, "answered"),
        ("s-1", 1, "answered"),
    ]
    spoken = turns[1]
    assert spoken["spoken"] is True
    assert spoken["budget_ms"] == 1000
    assert 0 < spoken["voice_to_voice_ms"] <= 1000
    assert {name: stage["provider"] for name, stage in spoken["stages"].items()} == {
        "endpointing": "fake",
        "stt": "fake-stt",
        "llm": "scripted",
        "tts": "fake-tts",
    }
    assert "I like to build things" not in "".join(lines)


def test_what_is_logged_for_a_turn_names_its_session_and_turn(
    local: LocalCalls, lines: list[str]
) -> None:
    local.responder = _Chatty()

    async def talk(name: str) -> None:
        async with local.call(name) as client:
            await client.say(type="hello", version=1)
            await client.until("reply.done", turn=0)
            await client.speak_live()
            await client.until("reply.done", turn=1)

    async def story() -> None:
        await asyncio.gather(talk("left"), talk("right"))

    local.run(story)
    told = [json.loads(line) for line in lines if '"chatty"' in line]
    assert sorted({(line["session"], line["turn"]) for line in told}) == [
        ("left", 0),
        ("left", 1),
        ("right", 0),
        ("right", 1),
    ]


def test_a_session_is_listed_while_it_lives_with_what_happened_in_it() -> None:
    sessions = ObservedSessions()
    with sessions.open("s-1", transport="webrtc", kind="interview") as session:
        session.observe(TurnMetrics(0, 1000, (), 412.5), 1.0)
        session.observe(TurnMetrics(1, 1000, (), None), 2.0)
        (listed,) = sessions
        assert (listed.session_id, listed.transport, listed.kind) == (
            "s-1",
            "webrtc",
            "interview",
        )
        assert (listed.turns, listed.degraded, listed.voice_to_voice_ms) == (2, 0, 412.5)
    assert [*sessions] == []


def test_a_session_tells_what_stands_in_now() -> None:
    with ObservedSessions().open("s-1", transport="webrtc", kind="interview") as session:
        session.observe(Degraded(1, "llm", "openai", "scripted", "stalled"), 1.0)
        session.observe(TurnMetrics(1, 1000, (), 412.5), 2.0)
        session.stepped(Degraded(1, "avatar", "25 fps", "12 fps", "the processor is 80% busy"))
        assert session.steps == {"llm": "scripted", "avatar": "12 fps"}
        session.observe(TurnMetrics(2, 1000, (), 412.5), 3.0)
        assert session.steps == {"avatar": "12 fps"}


def test_a_watcher_that_fails_harms_neither_the_session_nor_the_next_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[int] = []

    def broken(session: ObservedSession, record: TurnRecord) -> None:
        raise RuntimeError("no disk")

    sessions = ObservedSessions(broken, lambda session, record: seen.append(record.turn))
    with sessions.open("s-1", transport="websocket", kind="interview") as session:
        session.observe(TurnMetrics(3, 1000, (), None), 1.0)
    assert seen == [3]
    assert "could not be recorded" in caplog.text
