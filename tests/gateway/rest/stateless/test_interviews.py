"""The order and time limits of upstreams, in virtual time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.breakers import JITTER
from gateway.rest.stateless import StatelessInterviews, session_of
from gateway.rest.stateless.proposals import StatelessTurn, by_service
from pipeline.errors import CallerError, StageFailed
from pipeline.stage import Message
from pipeline.testing import run_virtual
from stages.interview import (
    InterviewConfig,
    InterviewSession,
    InvalidSession,
    bank_for,
    respond,
    roles,
    start,
    summary_of,
)

CONFIG = InterviewConfig("Software Engineer", "granite", 3)
ANSWER = "I traced it to a lock in the database and moved the slow query out of the transaction."
UP_TO_S = 5.0
"""The contract's limit for one request."""


@dataclass
class Fake:
    """An upstream that says `text` after `delay_s`, or raises; `installed` is for local ones."""

    provider: str
    text: str = "Thanks. Why was that?"
    delay_s: float = 0.0
    error: Exception | None = None
    installed: bool = True
    calls: list[str] = field(default_factory=list)

    async def say(self, turn: StatelessTurn) -> AsyncIterator[InterviewSession]:
        await self._work("say")
        yield by_service(turn, self.text)

    async def summarise(self, session: InterviewSession) -> AsyncIterator[str]:
        await self._work("summarise")
        yield self.text

    async def can(self, model: str) -> bool:
        return self.installed

    async def _work(self, call: str) -> None:
        self.calls.append(call)
        await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error


def hanging(provider: str) -> Fake:
    return Fake(provider, delay_s=1e6)


def failing(provider: str) -> Fake:
    return Fake(provider, error=StageFailed("llm", provider, "protocol", "no JSON"))


def desktop(
    *services: Fake, chats: tuple[Fake, ...] = (), local: Fake | None = None
) -> StatelessInterviews:
    first = services[:1]
    return StatelessInterviews(
        {"start": first, "respond": services, "summary": first}, lambda: chats, local
    )


def said(session: InterviewSession) -> str:
    return session.messages[-1].content


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario()

    run_virtual(main())


def now() -> float:
    return asyncio.get_running_loop().time()


OPENED = start(CONFIG).session
SCRIPTED = respond(OPENED, ANSWER).session


def test_the_first_service_answers_and_no_other_is_asked() -> None:
    one, two, chat = Fake("one", "Why so?"), Fake("two"), Fake("chat")

    async def scenario() -> None:
        after = await desktop(one, two, chats=(chat,)).respond(OPENED, ANSWER)
        assert (said(after), after.current_question) == ("Why so?", 2)

    run(scenario)
    assert (one.calls, two.calls, chat.calls) == (["say"], [], [])


def test_they_are_asked_in_order_until_one_answers() -> None:
    one, two, chat, local = failing("one"), failing("two"), failing("chat"), Fake("local", "So?")

    async def scenario() -> None:
        it = desktop(one, two, chats=(chat,), local=local)
        assert said(await it.respond(OPENED, ANSWER)) == "So?"

    run(scenario)
    assert [one.calls, two.calls, chat.calls, local.calls] == [["say"]] * 4


def test_a_local_model_that_is_not_installed_is_not_asked() -> None:
    local = Fake("local", installed=False)

    async def scenario() -> None:
        it = desktop(failing("one"), local=local)
        assert await it.respond(OPENED, ANSWER) == SCRIPTED
        local.installed = True
        assert await it.respond(OPENED, ANSWER) != SCRIPTED

    run(scenario)


def test_without_services_the_scripted_interviewer_answers() -> None:
    async def scenario() -> None:
        it = StatelessInterviews({"start": (), "respond": (), "summary": ()})
        assert await it.start(CONFIG) == OPENED
        assert await it.respond(OPENED, ANSWER) == SCRIPTED
        assert summary_of(SCRIPTED)["summary"] == await it.summary(SCRIPTED)

    asyncio.run(_awaited(scenario))  # a summary is made in a thread


async def _awaited(scenario: Callable[[], Awaitable[None]]) -> None:
    await scenario()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_answer_comes_in_time_though_every_upstream_hangs(count: int) -> None:
    async def scenario() -> None:
        services = (hanging("one"), hanging("two"))[:count]
        chats = (hanging("chat"),)[: max(0, count - 2)]
        it = desktop(*services, chats=chats, local=hanging("local") if count == 4 else None)
        for _ in range(8):  # breakers open on the way
            began = now()
            assert await it.respond(OPENED, ANSWER) == SCRIPTED
            assert now() - began < UP_TO_S
        for _ in range(3):
            began = now()
            assert await it.start(CONFIG) == OPENED
            assert now() - began < UP_TO_S

    run(scenario)


def test_a_slow_local_check_is_part_of_the_time() -> None:
    class Slow(Fake):
        async def can(self, model: str) -> bool:
            await asyncio.sleep(0.4)
            return True

    async def scenario() -> None:
        began = now()
        it = desktop(hanging("one"), hanging("two"), local=Slow("local", delay_s=1e6))
        assert await it.respond(OPENED, ANSWER) == SCRIPTED
        assert now() - began < UP_TO_S

    run(scenario)


def test_an_upstream_that_hangs_three_times_is_skipped_and_tried_again_later() -> None:
    one, two = hanging("one"), Fake("two", "So?")

    async def scenario() -> None:
        it = desktop(one, two)
        for _ in range(10):
            assert said(await it.respond(OPENED, ANSWER)) == "So?"
        assert len(one.calls) == 3
        began = now()
        await it.respond(OPENED, ANSWER)
        assert began == now()
        await asyncio.sleep(5.0 * (1 + JITTER))
        one.delay_s, one.text = 0.0, "Back. And?"
        assert said(await it.respond(OPENED, ANSWER)) == "Back. And?"

    run(scenario)


def test_a_request_that_a_service_refuses_does_not_cost_it_its_standing() -> None:
    one = Fake("one", error=CallerError("llm", "one", "connect", "HTTP 422"))

    async def scenario() -> None:
        it = desktop(one, Fake("two"))
        for _ in range(10):
            await it.respond(OPENED, ANSWER)
        assert len(one.calls) == 10

    run(scenario)


def test_one_operation_that_fails_leaves_the_others_alone() -> None:
    class NoSummaries(Fake):
        async def summarise(self, session: InterviewSession) -> AsyncIterator[str]:
            raise StageFailed("llm", "one", "protocol", "HTTP 404")
            yield ""

    async def scenario() -> None:
        it = desktop(NoSummaries("one", "Why so?"))
        for _ in range(5):
            assert summary_of(OPENED)["summary"] == await it.summary(OPENED)
        assert said(await it.respond(OPENED, ANSWER)) == "Why so?"

    asyncio.run(_awaited(scenario))


def test_a_services_summary_is_returned() -> None:
    async def scenario() -> None:
        assert await desktop(Fake("one", "Well done.")).summary(OPENED) == "Well done."

    run(scenario)


def test_why_a_service_gave_way_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        await desktop(failing("one"), hanging("two")).respond(OPENED, ANSWER)

    with caplog.at_level(logging.INFO, "parley.desktop"):
        run(scenario)
    assert [record.message for record in caplog.records] == [
        "respond: llm provider 'one': protocol: no JSON",
        "respond: two was given up after 3.0 s",
    ]


def test_a_complete_session_always_answers_the_same() -> None:
    one = Fake("one")
    done = InterviewSession(CONFIG, SCRIPTED.messages, 3, True)

    async def scenario() -> None:
        for _ in range(3):
            assert done == await desktop(one).respond(done, "Are you still there?")

    run(scenario)
    assert one.calls == []


def test_an_interview_of_several_minds_has_its_number_of_questions() -> None:
    """A service words the first question itself, then only the scripted interviewer is left."""
    one = Fake("one", "Welcome. What is a monad?")

    async def scenario() -> None:
        it = desktop(one)
        session = await it.start(CONFIG)
        assert said(session) == "Welcome. What is a monad?"
        one.error = StageFailed("llm", "one", "connect", "gone")
        asked = []
        while not session.is_complete:
            held = session_of(
                session.config, session.messages, session.current_question, session.is_complete
            )
            session = await it.respond(held, ANSWER)
            asked.append(said(session))
        assert len(asked) == 3
        assert len(set(asked)) == 3

    run(scenario)


# --- sessions that come back -----------------------------------------------------------------


@pytest.mark.parametrize("role", roles())
def test_what_was_asked_is_found_in_the_messages(role: str) -> None:
    session = start(InterviewConfig(role, "granite", 15)).session
    while not session.is_complete:
        found = session_of(session.config, session.messages, session.current_question, False)
        assert session.asked == found.asked
        assert InterviewSession.from_contract(session.to_contract()) == found
        session = respond(session, ANSWER).session


def test_a_question_that_cannot_be_is_refused() -> None:
    for current in (-5, 0, 4, 10**9):
        with pytest.raises(InvalidSession, match="currentQuestion"):
            session_of(CONFIG, (), current, False)


LINES = st.one_of(
    st.text(max_size=60),
    st.sampled_from([text for role in roles() for text in bank_for(role).texts.values()]),
    st.sampled_from(["Please start the interview.", "Thank you.", "skip", "again?", "  ", "\x00"]),
)
MESSAGES = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant"]), LINES), max_size=40
)


@given(MESSAGES, st.integers(1, 15), st.integers(1, 15), st.booleans(), LINES)
def test_any_session_goes_on_by_a_step_at_most(
    messages: list[Message], total: int, current: int, complete: bool, text: str
) -> None:
    config = InterviewConfig("Data Analyst", "granite", total)
    session = session_of(config, messages, min(current, total), complete)

    async def scenario() -> None:
        after = await StatelessInterviews({"start": (), "respond": (), "summary": ()}).respond(
            session, text
        )
        assert session.messages == after.messages[: len(messages)]
        assert after.current_question - session.current_question in (0, 1)
        assert after.current_question <= total
        assert after.is_complete or after.messages[-1].role == "assistant"
        if after.is_complete:
            assert complete or session.current_question == total

    run(scenario)
