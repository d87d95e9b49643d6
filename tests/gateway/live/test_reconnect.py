"""A client that comes back at once finds its session, also while the old connection is ending."""

import asyncio

import pytest

from gateway.live.connection import Connection
from gateway.live.host import InterviewHost
from gateway.live.registry import LEAVE_S, LiveSessions
from gateway.protocols.dialect import CloseCode
from pipeline.guard import Limits
from stages.fakes import FakeTranscriber, Script
from tests.support.calls import LocalCalls


@pytest.fixture
def held_up(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Connections that end give their session back once this is set."""
    go = asyncio.Event()
    release = InterviewHost.release

    async def later(self: InterviewHost) -> None:
        await go.wait()
        await release(self)

    monkeypatch.setattr(InterviewHost, "release", later)
    return go


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set once a connection has said that it leaves."""
    said = asyncio.Event()
    leave = Connection._leave

    def leaving(self: Connection) -> None:
        leave(self)
        said.set()

    monkeypatch.setattr(Connection, "_leave", leaving)
    return said


def test_a_client_that_comes_back_waits_for_its_old_connection(
    local: LocalCalls, held_up: asyncio.Event, left: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = asyncio.Event()
    look = LiveSessions._left

    async def seen(self: LiveSessions, session_id: str) -> None:
        if self._holds:
            waits.set()
        await look(self, session_id)

    monkeypatch.setattr(LiveSessions, "_left", seen)

    async def story() -> None:
        async with local.call() as first:
            await first.say(type="hello", version=1)
            await first.until("reply.done", turn=0)
        await left.wait()
        async with local.call() as second:
            await second.say(type="hello", version=1)
            await waits.wait()
            assert second.messages == []
            held_up.set()
            ready = await second.until("ready")
            assert ready["interview"]["currentQuestion"] == 1
            await second.until("reply.done", turn=0)
            assert "error" not in second.types()

    local.run(story)


def test_a_client_that_comes_back_during_a_late_answer_goes_on_behind_it(local: LocalCalls) -> None:
    local.hearing = Limits(first_s=60.0, slow_first_s=60.0, total_s=60.0)
    local.transcriber = FakeTranscriber(Script(first_s=20.0), texts=("I like late answers",))

    async def story() -> None:
        async with local.call() as first:
            await first.say(type="hello", version=1)
            await first.until("reply.done", turn=0)
            await first.speak_live(600, 1000)
            await first.until("speech.stopped", turn=1)
            await first.say(type="bye")
        async with local.call() as second:
            await second.say(type="hello", version=1)
            ready = await second.until("ready")
            assert ready["interview"]["currentQuestion"] == 2
            stored = await local.store.read("transcript:test")
            assert any(b"I like late answers" in line for _, line in stored)

    local.run(story)


def test_one_that_stays_is_not_waited_for(local: LocalCalls, held_up: asyncio.Event) -> None:
    async def story() -> None:
        async with local.call() as first:
            await first.until("reply.done", turn=0)
            async with local.call() as second:
                await second.say(type="hello", version=1)
                error = await second.until("error", fatal=True)
                assert error["code"] == "already_connected"
                await second.closed()
            held_up.set()

    local.run(story)


def test_one_that_takes_too_long_to_leave_is_given_up(
    local: LocalCalls, held_up: asyncio.Event, left: asyncio.Event
) -> None:

    async def story() -> None:
        async with local.call() as first:
            await first.until("ready")
        await left.wait()
        async with local.call() as second:
            await second.say(type="hello", version=1)
            began_s = asyncio.get_running_loop().time()
            error = await second.until("error", fatal=True)
            assert error["code"] == "still_ending"
            assert second.when("error") - began_s == pytest.approx(LEAVE_S, abs=0.002)
            assert (await second.closed())[0] is CloseCode.OVERLOADED
        held_up.set()

    local.run(story)
