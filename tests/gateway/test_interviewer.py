"""The host of a live session: stored before it is answered; only what was heard is remembered."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.engine import Engine
from gateway.interviewer import Interviewer
from gateway.protocols.native import Hello, InterviewRequest
from gateway.sessions import SessionTaken, Worker, load, save, transcript_log
from gateway.settings import Settings
from gateway.store import Conflict, Entry, Put, SqliteStore, StoreUnavailable
from pipeline.testing import ManualClock, run_virtual
from stages.interview import InterviewSession, UnknownRole

HERE = Worker.here()
ANSWER = "I would begin with the logs and then try to reproduce it on my own machine"


def with_store(tmp_path: Path, story: Callable[[SqliteStore], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        store = SqliteStore(tmp_path / "parley.sqlite3")
        try:
            await story(store)
        finally:
            await store.aclose()

    asyncio.run(run())


async def claimed(
    store: SqliteStore, sent: list[dict[str, Any]] | None = None, **wanted: Any
) -> Interviewer:
    request = InterviewRequest.model_validate({"role": "Software Engineer", **wanted})
    return await Interviewer.claim(
        store,
        "s",
        request,
        worker=HERE,
        ttl_s=60,
        notify=lambda kind, fields: None if sent is None else sent.append({"type": kind, **fields}),
    )


async def take_turn(
    interviewer: Interviewer, turn: int, text: str, heard: str | None = None
) -> str:
    brief = interviewer.brief(turn, text)
    if text:
        await interviewer.accept(turn, text)
    said = " ".join(brief.say) if heard is None else heard
    await interviewer.commit(turn, text, said)
    return said


def test_the_opening_introduces_itself_and_asks_question_1(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        interviewer = await claimed(store)
        brief = interviewer.brief(0, "")
        assert brief.say[0].startswith("Hello, I'm Parley")
        assert brief.say[1].startswith("Question 1: ")
        assert not brief.closes
        assert brief.history[0].role == "system"

    with_store(tmp_path, story)


def test_an_answer_is_in_the_store_before_it_is_answered(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        interviewer = await claimed(store)
        await take_turn(interviewer, 0, "")
        await interviewer.accept(1, ANSWER)
        lines = [json.loads(line) for _, line in await store.read(transcript_log("s"))]
        assert [(line["turn"], line["role"]) for line in lines] == [(0, "assistant"), (1, "user")]
        assert lines[1]["text"] == ANSWER
        record, _ = await load(store, "s")
        assert record.interview is not None
        assert record.interview["currentQuestion"] == 2

    with_store(tmp_path, story)


def test_n_answers_complete_n_questions_and_close_the_conversation(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        sent: list[dict[str, Any]] = []
        interviewer = await claimed(store, sent, totalQuestions=2)
        await take_turn(interviewer, 0, "")
        await take_turn(interviewer, 1, ANSWER)
        assert interviewer.brief(2, ANSWER).closes
        await take_turn(interviewer, 2, ANSWER)
        assert sent == [
            {"type": "interview", "currentQuestion": 1, "totalQuestions": 2, "isComplete": False},
            {"type": "interview", "currentQuestion": 2, "totalQuestions": 2, "isComplete": False},
            {"type": "interview", "currentQuestion": 2, "totalQuestions": 2, "isComplete": True},
        ]

    with_store(tmp_path, story)


def test_a_question_that_nobody_heard_is_asked_again(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        interviewer = await claimed(store)
        await take_turn(interviewer, 0, "")
        unheard = interviewer.brief(1, ANSWER).say[-1]
        await take_turn(interviewer, 1, ANSWER, heard="")
        again = interviewer.brief(2, "and then I would write a test for it")
        assert again.say[-1] == unheard
        await take_turn(interviewer, 2, "and then I would write a test for it")
        assert interviewer.state()["currentQuestion"] == 2

    with_store(tmp_path, story)


def test_history_holds_only_what_was_heard(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        interviewer = await claimed(store)
        await take_turn(interviewer, 0, "", heard="Hello, I'm Parley, and I")
        history = interviewer.brief(1, ANSWER).history
        assert history[-2].content == "Hello, I'm Parley, and I"
        assert history[-1].content == ANSWER

    with_store(tmp_path, story)


def test_a_turn_in_which_nobody_was_understood_changes_nothing(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        sent: list[dict[str, Any]] = []
        interviewer = await claimed(store, sent)
        await take_turn(interviewer, 0, "")
        before, _ = await load(store, "s")
        await interviewer.commit(1, "", "")
        after, _ = await load(store, "s")
        assert (after, len(sent)) == (before, 1)

    with_store(tmp_path, story)


def test_a_session_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        first = await claimed(store)
        await take_turn(first, 0, "")
        asked = await take_turn(first, 1, ANSWER)
        await first.release()
        second = await claimed(store)
        assert second.describe()["currentQuestion"] == 2
        brief = second.brief(0, "")
        assert brief.say[0].startswith("Welcome back.")
        assert asked.endswith(brief.say[1])

    with_store(tmp_path, story)


def test_a_complete_interview_stays_complete(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        first = await claimed(store, totalQuestions=1)
        await take_turn(first, 0, "")
        await take_turn(first, 1, ANSWER)
        await first.release()
        second = await claimed(store)
        brief = second.brief(0, "")
        assert brief.closes
        assert "already over" in brief.say[0]

    with_store(tmp_path, story)


def test_a_live_session_cannot_be_claimed_twice(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        interviewer = await claimed(store)
        with pytest.raises(SessionTaken):
            await claimed(store)
        await interviewer.release()
        await claimed(store)

    with_store(tmp_path, story)


def test_without_a_wish_it_is_five_questions_for_a_software_engineer(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        interviewer = await Interviewer.claim(
            store, "new", None, worker=HERE, ttl_s=60, notify=lambda *_: None
        )
        assert interviewer.describe() == {
            "role": "Software Engineer",
            "model": "auto",
            "currentQuestion": 1,
            "totalQuestions": 5,
            "isComplete": False,
        }

    with_store(tmp_path, story)


def test_an_unknown_role_makes_no_session(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        with pytest.raises(UnknownRole):
            await claimed(store, role="Astronaut")
        assert await store.get("session:s") is None

    with_store(tmp_path, story)


# --- a record that expires ---------------------------------------------------------------------


def with_clock(
    tmp_path: Path,
    story: Callable[[SqliteStore, ManualClock], Coroutine[Any, Any, None]],
) -> None:
    async def run() -> None:
        clock = ManualClock(1000.0)
        store = SqliteStore(tmp_path / "parley.sqlite3", clock=clock)
        try:
            await story(store, clock)
        finally:
            await store.aclose()

    asyncio.run(run())


def test_a_live_session_that_has_expired_is_stored_anew(tmp_path: Path) -> None:
    async def story(store: SqliteStore, clock: ManualClock) -> None:
        interviewer = await claimed(store)
        await take_turn(interviewer, 0, "")
        clock.advance(61)
        assert await store.get("session:s") is None
        await take_turn(interviewer, 1, ANSWER)
        await take_turn(interviewer, 2, ANSWER)
        record, _ = await load(store, "s")
        assert record.worker == HERE
        assert record.interview is not None
        assert InterviewSession.from_record(record.interview).state() == interviewer.state()
        lines = [json.loads(line) for _, line in await store.read(transcript_log("s"))]
        assert [line["turn"] for line in lines] == [1, 1, 2, 2]

    with_clock(tmp_path, story)


def test_what_our_worker_stored_meanwhile_is_stored_over(tmp_path: Path) -> None:
    async def story(store: SqliteStore, clock: ManualClock) -> None:
        interviewer = await claimed(store)
        record, version = await load(store, "s")
        await save(store, record, version)
        await take_turn(interviewer, 0, "")
        record, _ = await load(store, "s")
        assert record.interview is not None

    with_clock(tmp_path, story)


def test_a_session_that_somebody_else_has_taken_is_not_stored_over(tmp_path: Path) -> None:
    async def story(store: SqliteStore, clock: ManualClock) -> None:
        interviewer = await claimed(store)
        clock.advance(61)
        other = Worker(host="elsewhere", pid=1, token="t")
        request = InterviewRequest.model_validate({"role": "Data Analyst"})
        await Interviewer.claim(store, "s", request, worker=other, ttl_s=60, notify=lambda *_: None)
        with pytest.raises(Conflict):
            await take_turn(interviewer, 0, "")
        record, _ = await load(store, "s")
        assert (record.worker, record.interview) == (other, None)
        assert await store.read(transcript_log("s")) == []

    with_clock(tmp_path, story)


class Puts:
    """A store in memory, for virtual time; it is out of order when the first renewal comes."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.entry: Entry | None = None

    async def get(self, key: str) -> Entry | None:
        return self.entry

    async def commit(self, *writes: Put) -> tuple[int, ...]:
        self.times.append(asyncio.get_running_loop().time())
        if len(self.times) == 3:
            raise StoreUnavailable("full")
        version = len(self.times)
        self.entry = Entry(writes[0].value, version)
        return (version,)


def test_a_live_session_is_stored_three_times_in_its_lifetime_and_no_more_after_it() -> None:
    store = Puts()

    async def main() -> None:
        settings = Settings(session_ttl_s=60)
        stages = cast("Any", object())
        async with Engine(settings, cast("Any", store), stages=stages) as engine:
            async with engine.interview("s", Hello(), lambda *_: None):
                await asyncio.sleep(70)
            await asyncio.sleep(100)

    run_virtual(main())
    assert store.times == [0, 0, 20, 40, 60, 70]  # made, claimed, renewed, given back
    assert store.entry is not None
    assert json.loads(store.entry.value)["worker"] is None
