"""What happens to a session is stored with its event, or not at all."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from gateway.events.event import EVENT_KIND, OutboxEvent, events_of
from gateway.interviews.kept_reports import KeptReports
from gateway.interviews.sessions import SessionOwner, create, delete
from gateway.interviews.state import Given
from gateway.interviews.written import WrittenInterviews
from gateway.live.host import InterviewHost
from gateway.reports.assessor import Assessor
from gateway.store import Conflict, SqliteStore
from stages.interview import InterviewConfig

HERE = SessionOwner.here()
Story = Callable[[SqliteStore], Coroutine[Any, Any, None]]


@pytest.fixture
def tell(tmp_path: Path) -> Callable[[Story], None]:
    def tell(story: Story) -> None:
        async def main() -> None:
            store = SqliteStore(tmp_path / "parley.sqlite3")
            try:
                async with asyncio.timeout(20):
                    await story(store)
            finally:
                await store.aclose()

        asyncio.run(main())

    return tell


async def told(store: SqliteStore) -> list[OutboxEvent]:
    return events_of(await store.since(EVENT_KIND, after=0, limit=100))


def shape(events: list[OutboxEvent]) -> list[tuple[str | None, int | None, str]]:
    return [(event.session_id, event.number, event.type) for event in events]


async def made(store: SqliteStore, total: int = 2, *, tells: bool = True) -> None:
    config = InterviewConfig("Software Engineer", "auto", total)
    await create(store, config, mode="text", ttl_s=60, session_id="s", tells=tells)


ANSWER = "I profiled it first, and found one query that ran four hundred times in a loop."


def test_a_written_interview_tells_its_steps_in_their_order_without_a_word_of_them(
    tell: Any,
) -> None:
    async def story(store: SqliteStore) -> None:
        await made(store)
        interviews = WrittenInterviews(store, HERE)
        state = await interviews.start("s")
        while not state.begun.is_complete:
            state = (await interviews.submit(state, Given(ANSWER))).state
        reports = KeptReports(store, Assessor())
        await reports.report(state)
        await reports.report(state)  # the same one
        events = await told(store)
        accepted = len(events) - 3
        assert accepted >= 2
        assert shape(events) == [
            ("s", 1, "session.created"),
            *(("s", number, "answer.accepted") for number in range(2, accepted + 2)),
            ("s", accepted + 2, "interview.completed"),
            ("s", accepted + 3, "report.ready"),
        ]
        assert [one.position for one in events] == sorted({one.position for one in events})
        assert len({one.id for one in events}) == len(events)
        assert b"profiled" not in b"".join(one.value for one in events)
        await interviews.end(state)  # it is over already
        assert len(await told(store)) == len(events)

    tell(story)


def test_a_request_to_repeat_is_no_answer(tell: Any) -> None:
    async def story(store: SqliteStore) -> None:
        await made(store)
        interviews = WrittenInterviews(store, HERE)
        state = await interviews.start("s")
        submitted = await interviews.submit(state, Given("Could you repeat the question?"))
        assert submitted.intent == "repeat"
        assert shape(await told(store)) == [("s", 1, "session.created")]

    tell(story)


def test_an_answer_that_is_refused_tells_nothing(tell: Any) -> None:
    async def story(store: SqliteStore) -> None:
        await made(store)
        interviews = WrittenInterviews(store, HERE)
        state = await interviews.start("s")
        await interviews.submit(state, Given(ANSWER))
        with pytest.raises(Conflict):
            await interviews.submit(state, Given(ANSWER))
        assert [number for _, number, _ in shape(await told(store))] == [1, 2]

    tell(story)


def test_an_interview_that_is_ended_early_is_completed_once(tell: Any) -> None:
    async def story(store: SqliteStore) -> None:
        await made(store)
        interviews = WrittenInterviews(store, HERE)
        state = await interviews.end(await interviews.start("s"))
        await interviews.end(state)
        assert shape(await told(store))[1:] == [("s", 2, "interview.completed")]

    tell(story)


def test_nothing_is_written_where_nobody_is_told(tell: Any) -> None:
    async def story(store: SqliteStore) -> None:
        await made(store, total=1, tells=False)
        interviews = WrittenInterviews(store, HERE)
        state = await interviews.start("s")
        while not state.begun.is_complete:
            state = (await interviews.submit(state, Given(ANSWER))).state
        await KeptReports(store, Assessor()).report(state)
        assert await told(store) == []

    tell(story)


def test_a_spoken_interview_tells_the_same(tell: Any) -> None:
    async def story(store: SqliteStore) -> None:
        await made(store, total=1)
        host = await InterviewHost.claim(
            store, "s", None, worker=HERE, ttl_s=60, notify=lambda state: None
        )
        for turn, text in enumerate(("", ANSWER, ANSWER, ANSWER, ANSWER)):
            if host.state()["isComplete"]:
                break
            brief = host.brief(turn, text)
            if text:
                await host.accept(turn, text)
            await host.commit(turn, text, " ".join(brief.say))
        assert host.state()["isComplete"] is True
        events = shape(await told(store))
        assert [number for _, number, _ in events] == list(range(1, len(events) + 1))
        kinds = [kind for _, _, kind in events]
        assert kinds[0] == "session.created"
        assert set(kinds[1:-1]) == {"answer.accepted"}
        assert kinds[-1] == "interview.completed"

    tell(story)


def test_an_end_that_was_stored_although_that_seemed_to_fail_is_told_once(tell: Any) -> None:
    async def story(store: SqliteStore) -> None:
        await made(store, total=1)
        host = await InterviewHost.claim(
            store, "s", None, worker=HERE, ttl_s=60, notify=lambda state: None
        )
        host.brief(0, "")
        await host.commit(0, "", "What have you built?")
        before = (host._record, host._version)
        turn = 0
        while "interview.completed" not in (kinds := [one.type for one in await told(store)]):
            turn += 1
            brief = host.brief(turn, ANSWER)
            await host.accept(turn, ANSWER)
            if brief.closes:
                break
            await host.commit(turn, ANSWER, " ".join(brief.say))
            before = (host._record, host._version)
        host._record, host._version = before  # as it is where the store did not answer in time
        await host.accept(turn + 1, ANSWER)
        numbers = [one.number for one in await told(store)]
        kinds = [one.type for one in await told(store)]
        assert kinds.count("interview.completed") == 1
        assert numbers == [*range(1, len(kinds) + 1)]

    tell(story)


def test_the_events_of_a_session_are_erased_with_it(tell: Any) -> None:
    async def story(store: SqliteStore) -> None:
        await made(store)
        await delete(store, "s")
        assert await told(store) == []

    tell(story)
