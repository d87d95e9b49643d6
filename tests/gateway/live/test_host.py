"""The host of a live session: stored before it is answered; only what was heard is remembered."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from gateway.interviews.keys import lease_key
from gateway.interviews.recorder import Recorder
from gateway.interviews.sessions import (
    SessionOwner,
    SessionRecord,
    SessionTaken,
    delete,
    load,
    save,
)
from gateway.interviews.transcripts import known_of
from gateway.live.calls import LiveHost
from gateway.live.host import InterviewHost
from gateway.protocols.request import InterviewRequest, SessionRequest
from gateway.runtime import Runtime
from gateway.settings import Settings
from gateway.store import Conflict, Entry, Keep, Page, Put, SqliteStore, StoreUnavailable
from pipeline.frames import Output, ReplyDone, Samples, SpeechStarted, Transcript, TurnMetrics, Word
from pipeline.session import Session, Stages
from pipeline.stage import RecognizedSpeech
from pipeline.testing import ManualClock, run_virtual
from stages.interview import InterviewSession, RecognitionSource, UnknownRole

HERE = SessionOwner.here()
ANSWER = "I would begin with the logs and then try to reproduce it on my own machine"


def transcript_log(session_id: str) -> str:
    return f"transcript:{session_id}"


def with_store(tmp_path: Path, story: Callable[[SqliteStore], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        store = SqliteStore(tmp_path / "parley.sqlite3")
        try:
            await story(store)
        finally:
            await store.aclose()

    asyncio.run(run())


def asked_for(told: dict[str, Any]) -> InterviewRequest:
    return InterviewRequest(told["role"], told.get("model"), told.get("totalQuestions"))


async def claimed(
    store: SqliteStore, sent: list[dict[str, Any]] | None = None, **wanted: Any
) -> InterviewHost:
    request = asked_for({"role": "Software Engineer", **wanted})
    return await InterviewHost.claim(
        store,
        "s",
        request,
        worker=HERE,
        ttl_s=60,
        notify=lambda state: None if sent is None else sent.append({"type": "interview", **state}),
    )


async def take_turn(
    interviewer: InterviewHost, turn: int, text: str, heard: str | None = None
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


def test_a_reply_of_which_less_was_heard_is_cut_in_the_store_and_in_the_history(
    tmp_path: Path,
) -> None:
    async def story(store: SqliteStore) -> None:
        interviewer = await claimed(store)
        await take_turn(interviewer, 0, "")
        await take_turn(interviewer, 1, ANSWER, heard="Thank you. What did you build last?")
        _, before = await load(store, "s")
        await interviewer.correct(1, "Thank you.")
        record, after = await load(store, "s")
        assert record.interview is not None
        assert record.interview["messages"][-1] == {"role": "assistant", "content": "Thank you."}
        assert after == before + 1
        lines = [json.loads(line) for _, line in await store.read(transcript_log("s"))]
        assert [(line["turn"], line["text"]) for line in lines[-2:]] == [
            (1, "Thank you. What did you build last?"),
            (1, "Thank you."),
        ]
        assert interviewer.brief(2, "A compiler").history[-2].content == "Thank you."

    with_store(tmp_path, story)


@pytest.mark.parametrize("turn", [0, 2])
def test_only_the_latest_reply_can_be_corrected(tmp_path: Path, turn: int) -> None:
    async def story(store: SqliteStore) -> None:
        interviewer = await claimed(store)
        await take_turn(interviewer, 0, "")
        await take_turn(interviewer, 1, ANSWER)
        before = await load(store, "s")
        await interviewer.correct(turn, "Hello")
        assert await load(store, "s") == before

    with_store(tmp_path, story)


def test_a_reply_that_was_answered_meanwhile_is_not_corrected(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        interviewer = await claimed(store)
        await take_turn(interviewer, 0, "")
        await interviewer.accept(1, ANSWER)
        before = await load(store, "s")
        await interviewer.correct(0, "Hello")
        assert await load(store, "s") == before

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
        interviewer = await InterviewHost.claim(
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


# --- silence and time --------------------------------------------------------------------------


def test_the_words_of_the_trade_are_hints_for_the_recogniser(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        hints = (await claimed(store)).hints
        assert {"Python", "Kubernetes", "Postgres"} <= set(hints)

    with_store(tmp_path, story)


def test_the_words_of_the_question_are_the_first_hints(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        interviewer = await claimed(store)
        before = interviewer.hints
        await take_turn(interviewer, 0, "", heard="Why Redis and not Kafka?")
        assert interviewer.hints[:2] == ("Redis", "Kafka")
        assert sorted(interviewer.hints) == sorted(before)

    with_store(tmp_path, story)


def test_an_offer_is_taken_up_alike_in_brief_accept_and_commit(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        interviewer = await claimed(store)
        assert interviewer.prompt(1, 1) == ""  # the opening question has not been put yet
        asked = await take_turn(interviewer, 0, "")
        assert "our time" in interviewer.prompt(1, 1)
        await interviewer.commit(1, "", "")
        assert interviewer.prompt(2, 2) == "Shall we move on to the next question?"
        await interviewer.commit(2, "", "")
        assert interviewer.prompt(3, 3) == ""
        await interviewer.commit(3, "", "")
        interviewer.brief(4, ANSWER)  # prepared for what turned out not to be all
        brief = interviewer.brief(4, "yes please")
        assert brief == interviewer.brief(4, "yes please")
        assert brief.history[-2].content == f"{asked} Shall we move on to the next question?"
        assert asked not in brief.say
        await take_turn(interviewer, 4, "yes please")
        assert interviewer.state()["currentQuestion"] == 2
        await take_turn(interviewer, 5, "yes please")  # answers the question: the offer is over
        assert interviewer.state()["currentQuestion"] == 3
        record, _ = await load(store, "s")
        assert record.interview is not None
        assert InterviewSession.from_record(record.interview).state() == interviewer.state()

    with_store(tmp_path, story)


def test_who_refuses_the_offer_may_be_silent_again(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        interviewer = await claimed(store)
        await take_turn(interviewer, 0, "")
        interviewer.prompt(1, 2)
        assert (await take_turn(interviewer, 2, "no, not yet")).endswith("take your time.")
        assert interviewer.state()["currentQuestion"] == 1
        assert interviewer.prompt(3, 2) == "Shall we move on to the next question?"
        await take_turn(interviewer, 4, ANSWER)
        assert interviewer.state()["currentQuestion"] == 2

    with_store(tmp_path, story)


def test_an_offer_stands_until_somebody_is_understood(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        interviewer = await claimed(store)
        asked = await take_turn(interviewer, 0, "")
        interviewer.prompt(1, 2)
        await interviewer.commit(2, "", "")
        await take_turn(interviewer, 3, "yes")
        assert interviewer.state()["currentQuestion"] == 2
        lines = [json.loads(line)["text"] for _, line in await store.read(transcript_log("s"))]
        assert lines[:2] == [asked, "yes"]

    with_store(tmp_path, story)


def test_a_turn_from_before_the_offer_does_not_take_it_up(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        interviewer = await claimed(store)
        await take_turn(interviewer, 0, "")
        said = interviewer.brief(1, "yes").say
        await interviewer.accept(1, "yes")
        interviewer.prompt(2, 2)  # while the store is slow
        await interviewer.commit(1, "yes", " ".join(said))
        assert interviewer.brief(3, "okay").say[0] in (
            "No problem, let us move on.",
            "That is fine, we can skip that one.",
        )
        assert interviewer.brief(1, "yes").say[0] not in (
            "No problem, let us move on.",
            "That is fine, we can skip that one.",
        )

    with_store(tmp_path, story)


def test_when_the_time_is_up_the_next_answer_closes_the_interview(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        sent: list[dict[str, Any]] = []
        interviewer = await claimed(store, sent)
        await take_turn(interviewer, 0, "")
        interviewer.time_is_up()
        assert (interviewer.prompt(1, 1), interviewer.prompt(2, 2)) == ("", "")
        assert not interviewer.brief(3, "could you repeat that").closes
        brief = interviewer.brief(3, ANSWER)
        assert brief.closes
        assert brief.say[1].startswith("That is all the time we have today.")
        await take_turn(interviewer, 3, ANSWER)
        expected = {"currentQuestion": 1, "totalQuestions": 5, "isComplete": True}
        assert sent[-1] == {"type": "interview", **expected}
        await interviewer.release()
        again = await claimed(store)
        assert again.describe()["isComplete"] is True
        assert "already over" in again.brief(0, "").say[0]

    with_store(tmp_path, story)


def test_a_turn_that_is_answered_as_the_time_runs_out_is_stored_as_it_was_answered(
    tmp_path: Path,
) -> None:
    async def story(store: SqliteStore) -> None:
        interviewer = await claimed(store)
        await take_turn(interviewer, 0, "")
        brief = interviewer.brief(1, ANSWER)
        interviewer.time_is_up()
        await interviewer.accept(1, ANSWER)
        await interviewer.commit(1, ANSWER, " ".join(brief.say))
        assert interviewer.state() == {
            "currentQuestion": 2,
            "totalQuestions": 5,
            "isComplete": False,
        }
        assert interviewer.brief(2, ANSWER).closes

    with_store(tmp_path, story)


def test_last_words_after_the_time_close_the_interview_without_a_reply(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        interviewer = await claimed(store)
        await take_turn(interviewer, 0, "")
        interviewer.time_is_up()
        await interviewer.accept(1, ANSWER)
        await interviewer.commit(1, ANSWER, "")
        assert interviewer.state()["isComplete"] is True

    with_store(tmp_path, story)


def test_after_a_farewell_the_stored_interview_is_closed(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        sent: list[dict[str, Any]] = []
        interviewer = await claimed(store, sent)
        assert interviewer.farewell() == ""  # nothing has been said that could be closed
        await take_turn(interviewer, 0, "")
        interviewer.time_is_up()
        assert interviewer.farewell() == "Our time is up. Thank you for talking with me today."
        await interviewer.commit(1, "", "")
        await interviewer.commit(2, "", "")
        assert [line["isComplete"] for line in sent] == [False, True]
        lines = [json.loads(line) for _, line in await store.read(transcript_log("s"))]
        assert [(line["turn"], line["role"]) for line in lines] == [
            (0, "assistant"),
            (1, "assistant"),
        ]
        await interviewer.release()
        assert (await claimed(store)).describe()["isComplete"] is True

    with_store(tmp_path, story)


def test_who_speaks_into_the_farewell_has_given_an_answer(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        interviewer = await claimed(store)
        await take_turn(interviewer, 0, "")
        interviewer.time_is_up()
        interviewer.farewell()
        await interviewer.commit(1, "", "")
        assert interviewer.brief(2, ANSWER).closes
        await take_turn(interviewer, 2, ANSWER)
        record, _ = await load(store, "s")
        assert record.interview is not None
        assert record.interview["isComplete"] is True
        assert ANSWER in [message["content"] for message in record.interview["messages"]]

    with_store(tmp_path, story)


def test_who_comes_back_after_the_time_is_bidden_farewell(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        first = await claimed(store)
        await take_turn(first, 0, "")
        await first.release()
        second = await claimed(store)
        second.time_is_up()
        brief = second.brief(0, "")
        assert brief.closes
        assert brief.say == ("Our time is up. Thank you for talking with me today.",)
        await take_turn(second, 0, "")
        assert second.state()["isComplete"] is True
        assert "already over" in second.farewell()

    with_store(tmp_path, story)


def test_the_time_runs_from_the_opening_across_reconnects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock(5000.0)

    async def story(store: SqliteStore) -> None:
        first = await claimed(store)
        clock.advance(500)  # made long before it began
        assert first.seconds_left(600, clock()) == 600
        await take_turn(first, 0, "")
        clock.advance(100)
        await take_turn(first, 1, ANSWER)
        assert first.seconds_left(600, clock()) == 500
        await first.release()
        second = await claimed(store)
        clock.advance(450)
        assert second.seconds_left(600, clock()) == 50
        assert second.seconds_left(60, clock()) == 0
        assert second.seconds_left(600, 0) == 600  # a clock that was set back

    monkeypatch.setattr("gateway.live.host.time.time", clock)
    with_store(tmp_path, story)


def test_an_interview_that_an_older_version_began_counts_from_its_making(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        first = await claimed(store)
        await take_turn(first, 0, "")
        await first.release()
        entry = await store.get("session:s")
        assert entry is not None
        stored = json.loads(entry.value)
        del stored["started_at"]
        await store.put("session:s", json.dumps(stored).encode(), expect=entry.version)
        second = await claimed(store)
        assert second.seconds_left(600, stored["created_at"] + 100) == 500
        await take_turn(second, 0, "")
        assert second.seconds_left(600, stored["created_at"] + 200) == 400

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


def test_a_session_that_was_deleted_while_it_is_live_stays_deleted(tmp_path: Path) -> None:
    async def story(store: SqliteStore, clock: ManualClock) -> None:
        interviewer = await claimed(store)
        await take_turn(interviewer, 0, "")
        await delete(store, "s")
        with pytest.raises(Conflict):
            await take_turn(interviewer, 1, ANSWER)
        await interviewer.release()
        assert await store.get("session:s") is None
        assert await store.read(transcript_log("s")) == []

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
        other = SessionOwner(token="t")
        request = asked_for({"role": "Data Analyst"})
        await InterviewHost.claim(
            store, "s", request, worker=other, ttl_s=60, notify=lambda *_: None
        )
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
        self.kept: list[Keep] = []
        self.entry: Entry | None = None

    async def get(self, key: str) -> Entry | None:
        return self.entry

    async def delete(self, key: str) -> None:
        """The lease is given up."""

    async def page(self, kind: str, *, limit: int) -> Page:
        return Page((), None)  # no other process

    async def commit(self, *writes: Put | Keep) -> tuple[int, ...]:
        if lease_key("") in str(writes):
            return (0,)
        self.kept += [write for write in writes if isinstance(write, Keep)]
        self.times.append(asyncio.get_running_loop().time())
        if len(self.times) == 3:
            raise StoreUnavailable("full")
        version = len(self.times)
        assert isinstance(writes[0], Put)
        self.entry = Entry(writes[0].value, version)
        return (version,)


def no_stages() -> Stages:
    """Stages that nobody uses."""
    nobody: Any = SimpleNamespace(slot="none", candidates=())
    detector: Any = SimpleNamespace(provider="none")
    return Stages(detector, nobody, nobody, nobody)


def held(runtime: Runtime) -> AbstractAsyncContextManager[LiveHost]:
    """The interview of the session "s", owned by this process."""
    return runtime.calls().host("s", SessionRequest(), lambda state: None, lambda: None)


def session_of(runtime: Runtime, host: LiveHost) -> Session:
    return runtime.calls().session("s", host, SessionRequest(), rate_hz=16_000, observers=())


@asynccontextmanager
async def runtime_with(store: SqliteStore, **settings: int) -> AsyncIterator[Runtime]:
    """A runtime whose sessions are made but never run."""
    async with Runtime(Settings(**cast("Any", settings)), store, stages=no_stages()) as runtime:
        yield runtime


@pytest.mark.parametrize(
    ("settings", "prompt_ms", "longest_s"),
    [
        ({}, 15_000, 3600),
        ({"silence_prompt_s": 0, "longest_interview_min": 480}, 0, 28_800),
        ({"silence_prompt_s": 30, "longest_interview_min": 1}, 30_000, 60),
    ],
)
def test_the_settings_reach_the_session(
    tmp_path: Path, settings: dict[str, int], prompt_ms: int, longest_s: float
) -> None:
    async def story(store: SqliteStore) -> None:
        async with (
            runtime_with(store, **settings) as runtime,
            held(runtime) as interviewer,
        ):
            policy = session_of(runtime, interviewer).policy
            assert (policy.turns.prompt_ms, policy.longest_s) == (prompt_ms, longest_s)

    with_store(tmp_path, story)


def test_who_comes_back_too_late_is_bidden_farewell_at_once(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        first = await claimed(store)
        await take_turn(first, 0, "")
        await first.release()
        record, version = await load(store, "s")
        assert record.started_at is not None
        earlier = record.model_copy(update={"started_at": record.started_at - 61})
        await save(store, earlier, version)
        async with (
            runtime_with(store, longest_interview_min=1) as runtime,
            held(runtime) as interviewer,
        ):
            session = session_of(runtime, interviewer)
            assert session.policy.longest_s == 0
            assert interviewer.brief(0, "").closes

    with_store(tmp_path, story)


def test_a_live_session_is_stored_three_times_in_its_lifetime_and_no_more_after_it() -> None:
    store = Puts()

    async def main() -> None:
        settings = Settings(session_ttl_s=60)
        async with Runtime(settings, cast("Any", store), stages=no_stages()) as runtime:
            async with held(runtime):
                await asyncio.sleep(70)
            await asyncio.sleep(100)

    run_virtual(main())
    assert store.times == [0, 0, 20, 40, 60, 70]  # made, claimed, renewed, given back
    assert store.kept == [Keep("transcript:s", 60)] * 5  # each time but the first
    assert store.entry is not None
    assert json.loads(store.entry.value)["worker"] is None


# --- how spoken answers were heard -------------------------------------------------------------


def observe(host: InterviewHost, output: Output, now: float) -> None:
    for observer in host.observers():
        observer.observe(output, now)


def heard_as(text: str, start_ms: int = 5_000) -> RecognizedSpeech:
    words = (Word("we", 300, 500), Word("measured", 600, 1100))
    transcript = Transcript(1, text, final=True, language="en", confidence=0.8, words=words)
    return RecognizedSpeech(transcript, "whisper", start_ms, 1500)


def test_what_the_recogniser_told_is_kept_with_the_answer(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        interviewer = await claimed(store)
        await take_turn(interviewer, 0, "")
        observe(interviewer, ReplyDone(0, interrupted=False, heard=""), 20.0)
        observe(interviewer, ReplyDone(1, interrupted=False, heard=""), 24.0)  # into the silence
        observe(interviewer, SpeechStarted(2, at_ms=5_300), 26.0)
        await interviewer.accept(2, ANSWER, heard_as(ANSWER))
        observe(interviewer, TurnMetrics(2, 1000, (), 640.0), 30.0)
        await interviewer.commit(2, ANSWER, "Thank you.")
        record, _ = await load(store, "s")
        interview = InterviewSession.from_record(record.interview)
        items = [item for _, item in await store.read(transcript_log("s"))]
        known = known_of(interview, items)
        (speech,) = known.speech.values()
        assert speech.recognition == RecognitionSource("whisper", "full", 0.8, "en")
        assert [word.text for word in speech.words] == ["we", "measured"]
        # 6 s after the question they spoke; the audio begins 0.3 s before that
        assert (speech.duration_ms, speech.wait_ms) == (1500, 5700)
        assert (list(known.via.values()), list(known.latencies_ms.values())) == (["voice"], [640])

    with_store(tmp_path, story)


def test_the_sound_of_an_answer_goes_to_the_recorder_once_it_is_stored(tmp_path: Path) -> None:
    kept: list[tuple[int, int]] = []

    class FakeRecorder:
        def keep(self, record: SessionRecord, number: int, sound: Samples) -> None:
            assert record.interview is not None
            assert record.interview["messages"][-2]["content"] in (ANSWER, f"{ANSWER} too")
            kept.append((number, len(sound)))

    async def story(store: SqliteStore) -> None:
        recorder = cast("Recorder", FakeRecorder())
        wanted = asked_for({"role": "Software Engineer", "totalQuestions": 3})
        interviewer = await InterviewHost.claim(
            store, "s", wanted, worker=HERE, ttl_s=60, notify=lambda *_: None, recorder=recorder
        )
        await take_turn(interviewer, 0, "")
        sound = replace(heard_as(ANSWER), audio=np.zeros(320, np.int16))
        await interviewer.accept(1, ANSWER, sound)
        await interviewer.commit(1, ANSWER, "Thank you.")
        await take_turn(interviewer, 2, ANSWER)  # typed
        await interviewer.accept(3, f"{ANSWER} too", sound)
        assert kept == [(1, 320), (3, 320)]

    with_store(tmp_path, story)


@pytest.mark.parametrize(
    "before",
    [
        [ReplyDone(0, interrupted=True, heard="")],
        [],
    ],
)
def test_where_the_question_was_not_heard_to_its_end_nobody_knows_the_wait(
    tmp_path: Path, before: list[ReplyDone]
) -> None:
    async def story(store: SqliteStore) -> None:
        interviewer = await claimed(store)
        await take_turn(interviewer, 0, "")
        for frame in before:
            observe(interviewer, frame, 20.0)
        observe(interviewer, SpeechStarted(1, at_ms=5_300), 26.0)
        await interviewer.accept(1, ANSWER, heard_as(ANSWER))
        await interviewer.commit(1, ANSWER, "Thank you.")
        items = [json.loads(item) for _, item in await store.read(transcript_log("s"))]
        assert items[1]["speech"]["wait_ms"] is None
        assert "latency_ms" not in items[2]

    with_store(tmp_path, story)


def test_a_typed_turn_says_so(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> None:
        interviewer = await claimed(store)
        await take_turn(interviewer, 0, "")
        await take_turn(interviewer, 1, ANSWER)
        line = json.loads((await store.read(transcript_log("s")))[1][1])
        assert (line["via"], "speech" in line) == ("typed", False)

    with_store(tmp_path, story)
