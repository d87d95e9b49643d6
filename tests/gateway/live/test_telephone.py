"""Telephone calls in virtual time: what was heard by the marks, interruptions, keys, errors."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.live.connection import Connection
from gateway.protocols.dialect import CloseCode
from gateway.protocols.twilio import TwilioDialect
from stages.fakes import FakeSynthesizer
from tests.support.calls import LocalCalls
from tests.support.client import MemoryTransport
from tests.support.phone import FRAME_S, LOUD, QUIET, Telephone

ID = "CA0123456789abcdef0123456789abcdef"


class Caller(Telephone):
    """A telephone in the memory of this process, whose microphone never stops."""

    unread_bytes = 0
    over: tuple[CloseCode, str] | None = None

    def __init__(self, **options: Any) -> None:
        client: Any = self
        self.transport = MemoryTransport(TwilioDialect(), client)
        super().__init__(self.transport.arrive, **options)
        self.words = 0
        """Frames of speech that are to be said."""

    def end(self, code: CloseCode, reason: str) -> None:
        self.over = (code, reason)
        self.transport.hang_up()

    async def speak(self) -> None:
        while True:
            self.media(LOUD if self.words > 0 else QUIET)
            self.words -= 1
            await asyncio.sleep(FRAME_S)


@asynccontextmanager
async def calling(
    local: LocalCalls, parameters: dict[str, str] | None = None, **options: Any
) -> AsyncIterator[Caller]:
    caller = Caller(**options)
    dialect: Any = caller.transport._dialect

    async def hold() -> None:
        with local.calls.live.connected():
            caller.end(*await Connection(caller.transport, dialect, local.calls, ID).run())

    holding = asyncio.create_task(hold())
    await asyncio.sleep(0)
    caller.start(**(parameters or {}))
    speaking = asyncio.create_task(caller.speak())
    try:
        yield caller
    finally:
        speaking.cancel()
        caller.hang_up()
        caller.transport.hang_up()
        await holding


async def lines(local: LocalCalls, role: str) -> list[str]:
    """What a role said, as it is stored at last: a turn's later line replaces the one before."""
    found = [json.loads(line) for _, line in await local.store.read(f"transcript:{ID}")]
    by_turn = {line["turn"]: line["text"] for line in found if line["role"] == role}
    return list(by_turn.values())


async def sleep_until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def test_a_caller_is_greeted_and_answers_two_questions(local: LocalCalls) -> None:
    async def story() -> None:
        async with calling(local, {"role": "Data Analyst"}) as caller:
            for turn in range(3):
                await sleep_until(lambda turn=turn: f'"{turn}:' in json.dumps(caller.events))
                await asyncio.sleep(3)  # the reply has been heard
                caller.words = 20
            await asyncio.sleep(3)
            assert caller.clears == 0
            assert len(await lines(local, "user")) == 3
            assert len(await lines(local, "assistant")) == 4
            stored = json.loads((await local.store.get(f"session:{ID}")).value)  # type: ignore[union-attr]
            assert stored["role"] == "Data Analyst"

    local.run(story)


def test_speech_clears_the_reply_and_no_byte_of_it_comes_after_that(local: LocalCalls) -> None:
    local.synthesizer = FakeSynthesizer(ms_per_word=300)

    async def story() -> None:
        async with calling(local) as caller:
            await sleep_until(lambda: len(caller.played) > 100)  # 2 s of the greeting
            caller.words = 40
            await sleep_until(lambda: caller.clears)
            at = caller.kinds().index("clear")
            await asyncio.sleep(4)
            assert "media" in caller.kinds(at)
            assert caller.turns_after_clears() == [(0, 1)]

    local.run(story)


HEARD_BY_MARKS = [
    pytest.param({}, id="real time"),
    pytest.param({"delay_s": 0.6}, id="0.6 s late"),
    pytest.param({"slowness": 1.25}, id="slowly"),
]


@pytest.mark.parametrize("options", HEARD_BY_MARKS)
def test_what_is_remembered_is_what_the_telephone_has_played(
    local: LocalCalls, options: dict[str, float]
) -> None:
    word_ms = 300
    local.synthesizer = FakeSynthesizer(ms_per_word=word_ms)

    async def story() -> None:
        async with calling(local, **options) as caller:
            begun = await first_sound(caller)
            await asyncio.sleep(begun + 3.0 - asyncio.get_running_loop().time())
            caller.words = 60
            await sleep_until(lambda: caller.clears)
            heard_s = sum(piece.end - piece.at for piece in caller.played) / caller.slowness
            await asyncio.sleep(3)
            [heard, *_] = await lines(local, "assistant")
            words = len(heard.split())
            assert words * word_ms / 1000 == pytest.approx(heard_s, abs=0.001 * word_ms + 0.2)
            assert words * word_ms / 1000 <= heard_s + 0.001

    local.run(story)


async def first_sound(caller: Caller) -> float:
    """When the telephone plays its first sound."""
    await sleep_until(lambda: caller.played)
    return caller.played[0].at


def test_a_telephone_that_stands_still_is_not_thought_to_have_played_on(
    local: LocalCalls,
) -> None:
    word_ms = 300
    local.synthesizer = FakeSynthesizer(ms_per_word=word_ms)

    async def story() -> None:
        async with calling(local) as caller:
            await sleep_until(lambda: len(caller.played) > 75)
            caller.slowness = 1e6  # what comes from here on is not heard
            caller.delay_s = 1e6
            played = caller.played[-1]
            await asyncio.sleep(1.5)
            caller.words = 60
            await sleep_until(lambda: caller.clears)
            await asyncio.sleep(3)
            [heard, *_] = await lines(local, "assistant")
            told_s = len(heard.split()) * word_ms / 1000
            assert told_s <= played.end - caller.played[0].at + 0.2 + 0.001

    local.run(story)


def test_key_1_has_the_question_repeated_and_hash_ends_an_answer(local: LocalCalls) -> None:
    local.settings["silence_ms"] = 10_000

    async def story() -> None:
        async with calling(local) as caller:
            await asyncio.sleep(4)
            caller.press("1")
            await asyncio.sleep(4)
            assert await lines(local, "user") == ["Could you repeat the question?"]
            caller.words = 30
            await asyncio.sleep(1)
            assert len(await lines(local, "user")) == 1
            caller.press("#")
            await asyncio.sleep(1)
            assert (await lines(local, "user"))[1:] == ["I like to build things that last"]

    local.run(story)


def test_the_end_of_the_interview_ends_the_call_when_its_last_words_were_heard(
    local: LocalCalls,
) -> None:
    local.synthesizer = FakeSynthesizer(ms_per_word=100)

    async def story() -> None:
        one = {"role": "Data Analyst", "totalQuestions": "1"}
        async with calling(local, one, delay_s=0.4) as caller:
            await asyncio.sleep(4)
            caller.words = 30
            await sleep_until(lambda: caller.over)
            assert caller.over == (CloseCode.FINISHED, "")
            unheard_s = caller.played[-1].end - asyncio.get_running_loop().time()
            assert unheard_s <= 0.02
            farewell = (await lines(local, "assistant"))[-1]
            assert len(farewell.split()) > 3

    local.run(story)


def test_a_stop_stores_what_was_being_said(local: LocalCalls) -> None:
    async def story() -> None:
        async with calling(local) as caller:
            await asyncio.sleep(4)
            caller.words = 1000
            await asyncio.sleep(1)
            caller.stop()
            caller.stop()
            await sleep_until(lambda: caller.over)
            assert caller.over == (CloseCode.FINISHED, "")
        assert await lines(local, "user") == ["I like to build things that last"]

    local.run(story)


def test_a_second_start_ends_the_call(local: LocalCalls) -> None:
    async def story() -> None:
        async with calling(local) as caller:
            await asyncio.sleep(1)
            caller.start()
            await sleep_until(lambda: caller.over)
            assert caller.over == (CloseCode.POLICY, "start comes once")

    local.run(story)


def test_bad_messages_are_dropped_and_the_call_goes_on_but_not_for_ever(
    local: LocalCalls,
) -> None:
    async def story() -> None:
        async with calling(local) as caller:
            await asyncio.sleep(1)
            for _ in range(10):
                for bad in ("{", '{"event":"new"}', '{"event":"media","media":{"payload":"?"}}'):
                    caller.send(bad)
                caller.tell("media", media={"payload": ""})
            await asyncio.sleep(3)
            caller.words = 20
            await asyncio.sleep(3)
            assert len(await lines(local, "user")) == 1
            for _ in range(21):
                caller.send("{")
            await sleep_until(lambda: caller.over)
            assert caller.over == (CloseCode.POLICY, "too many errors")

    local.run(story)


def test_an_unknown_role_ends_the_call(local: LocalCalls) -> None:
    async def story() -> None:
        async with calling(local, {"role": "Astronaut"}) as caller:
            await sleep_until(lambda: caller.over)
            assert caller.over is not None
            assert caller.over[0] == CloseCode.POLICY
            assert "Astronaut" in caller.over[1]

    local.run(story)


def test_a_call_that_comes_again_goes_on_where_it_was(local: LocalCalls) -> None:
    async def story() -> None:
        async with calling(local) as caller:
            await asyncio.sleep(4)
            caller.words = 20
            await asyncio.sleep(4)
            assert len(await lines(local, "assistant")) == 2
        async with calling(local) as caller:
            await asyncio.sleep(4)
            again = json.loads((await local.store.read(f"transcript:{ID}"))[-1][1])
            assert again["text"].startswith("Welcome back")

    local.run(story)
