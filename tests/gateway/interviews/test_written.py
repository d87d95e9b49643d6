"""Written interviews without HTTP: one step at a time, over the version that was read."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.interviews.kept_reports import KeptReports
from gateway.interviews.sessions import (
    NoSuchSession,
    SessionOwner,
    SessionTaken,
    create,
    delete,
    load,
)
from gateway.interviews.state import (
    MOST_MESSAGES,
    Completed,
    Given,
    InterviewState,
    NotStarted,
    TooManyTurns,
    answered,
    question_of,
)
from gateway.interviews.transcripts import known_of
from gateway.interviews.written import WrittenInterviews
from gateway.live.host import InterviewHost
from gateway.reports.assessor import Assessor
from gateway.store import Conflict, SqliteStore, StoreUnavailable
from pipeline.frames import Word
from stages.interview import AnswerSpeech, InterviewConfig, RecognitionSource

HERE = SessionOwner.here()
DEAD = SessionOwner(token="gone")
ANSWER = "I would begin with the logs and then try to reproduce it on my own machine"
SPOKEN = AnswerSpeech(
    RecognitionSource("whisper", confidence=0.8, language="en"),
    (Word("we", 300, 500), Word("measured", 600, 1100)),
    1500.0,
)

Story = Callable[[SqliteStore, WrittenInterviews], Coroutine[Any, Any, None]]


@pytest.fixture
def hold(tmp_path: Path) -> Callable[[Story], None]:
    def hold(story: Story) -> None:
        async def run() -> None:
            store = SqliteStore(tmp_path / "parley.sqlite3")
            try:
                await story(store, WrittenInterviews(store, HERE))
            finally:
                await store.aclose()

        asyncio.run(run())

    return hold


async def made(store: SqliteStore, total: int = 3, **fields: Any) -> str:
    config = InterviewConfig("Software Engineer", "auto", total)
    record, version = await create(store, config, mode="text", ttl_s=60)
    await store.commit(record.model_copy(update=fields).put(version))
    return record.id


async def transcript(store: SqliteStore, session_id: str) -> list[dict[str, Any]]:
    return [json.loads(item) for _, item in await store.read(f"transcript:{session_id}")]


async def submit(
    interviews: WrittenInterviews, session_id: str, text: str = ANSWER
) -> InterviewState:
    state = await interviews.state(session_id)
    return (await interviews.submit(state, Given(text))).state


Hold = Callable[[Story], None]


def test_an_interview_goes_from_its_first_question_to_its_end(hold: Hold) -> None:
    async def story(store: SqliteStore, interviews: WrittenInterviews) -> None:
        session_id = await made(store, total=2)
        state = await interviews.start(session_id)
        first = question_of(state)
        assert first is not None
        assert (first.number, first.follow_up) == (1, False)
        assert first.said.startswith("Hello, I'm Parley")
        assert first.said.endswith(first.text)
        taken = await interviews.submit(state, Given(ANSWER))
        second = question_of(taken.state)
        assert second is not None
        assert (taken.number, taken.counted, second.number) == (1, True, 2)
        assert taken.reply == second.said
        assert second.text != first.text
        last = await interviews.submit(taken.state, Given(ANSWER))
        assert (last.intent, question_of(last.state)) == ("close", None)
        assert last.state.record.finished
        lines = await transcript(store, session_id)
        assert [line["role"] for line in lines] == [
            "assistant", *("user", "assistant"), *("user", "assistant"),
        ]  # fmt: skip
        assert lines[1]["via"] == "typed"

    hold(story)


def test_starting_twice_gives_the_question_that_waits(hold: Hold) -> None:
    async def story(store: SqliteStore, interviews: WrittenInterviews) -> None:
        session_id = await made(store)
        states = await asyncio.gather(*(interviews.start(session_id) for _ in range(5)))
        assert {state.version for state in states} == {states[0].version}
        assert len(await transcript(store, session_id)) == 1
        after = await submit(interviews, session_id)
        assert await interviews.start(session_id) == after

    hold(story)


def test_an_answer_before_the_start_and_after_the_end_is_refused(hold: Hold) -> None:
    async def story(store: SqliteStore, interviews: WrittenInterviews) -> None:
        session_id = await made(store, total=1)
        state = await interviews.state(session_id)
        with pytest.raises(NotStarted):
            await interviews.submit(state, Given(ANSWER))
        with pytest.raises(NotStarted):
            question_of(state)
        with pytest.raises(NotStarted):
            await interviews.end(state)
        await interviews.start(session_id)
        state = await submit(interviews, session_id)
        for refused in (interviews.submit(state, Given(ANSWER)), interviews.start(session_id)):
            with pytest.raises(Completed):
                await refused
        with pytest.raises(NoSuchSession):
            await interviews.start("nobody")

    hold(story)


def test_of_two_answers_to_the_same_question_one_gets_a_conflict(hold: Hold) -> None:
    async def story(store: SqliteStore, interviews: WrittenInterviews) -> None:
        session_id = await made(store)
        state = await interviews.start(session_id)
        found = await asyncio.gather(
            interviews.submit(state, Given("mine is the first answer to this question")),
            interviews.submit(state, Given("mine is the second answer to this question")),
            return_exceptions=True,
        )
        (refused,) = [entry for entry in found if isinstance(entry, Conflict)]
        after = await interviews.state(session_id)
        assert (refused.expect, refused.found) == (state.version, after.version)
        assert after.begun.current_question == 2
        assert len([m for m in await transcript(store, session_id) if m["role"] == "user"]) == 1

    hold(story)


def test_a_request_to_repeat_the_question_is_no_answer(hold: Hold) -> None:
    async def story(store: SqliteStore, interviews: WrittenInterviews) -> None:
        session_id = await made(store)
        state = await interviews.start(session_id)
        taken = await interviews.submit(state, Given("could you repeat that please"))
        assert (taken.intent, taken.counted) == ("repeat", False)
        assert question_of(taken.state) == replace(
            question_of(state),
            said=taken.reply,  # type: ignore[type-var]
        )

    hold(story)


def test_a_session_that_is_live_is_not_touched(hold: Hold) -> None:
    async def story(store: SqliteStore, interviews: WrittenInterviews) -> None:
        session_id = await made(store, worker=HERE)
        with pytest.raises(SessionTaken):
            await interviews.start(session_id)
        record, version = await load(store, session_id)
        await store.commit(record.with_worker(None).put(version))
        state = await interviews.hold(await interviews.start(session_id), HERE)
        for refused in (
            interviews.submit(state, Given(ANSWER)),
            interviews.end(state),
            interviews.hold(state, HERE),
        ):
            with pytest.raises(SessionTaken):
                await refused
        free = await interviews.hold(state, None)
        assert (await interviews.submit(free, Given(ANSWER))).counted

    hold(story)


def test_what_a_dead_worker_held_is_taken_over(hold: Hold) -> None:
    async def story(store: SqliteStore, interviews: WrittenInterviews) -> None:
        session_id = await made(store, worker=DEAD)
        state = await interviews.start(session_id)
        assert state.record.worker is None
        assert (await interviews.submit(state, Given(ANSWER))).counted

    hold(story)


def test_an_interview_can_be_ended_early_and_ends_once(hold: Hold) -> None:
    async def story(store: SqliteStore, interviews: WrittenInterviews) -> None:
        session_id = await made(store)
        await interviews.start(session_id)
        state = await submit(interviews, session_id)
        ended = await interviews.end(state)
        assert (ended.begun.is_complete, ended.record.finished) == (True, True)
        assert await interviews.end(ended) == ended
        assert answered(ended)
        report = await KeptReports(store, Assessor()).report(ended)
        assert (report.questions, report.answered, report.complete) == (3, 1, True)

    hold(story)


def test_an_interview_has_a_greatest_number_of_messages(hold: Hold) -> None:
    async def story(store: SqliteStore, interviews: WrittenInterviews) -> None:
        session_id = await made(store)
        state = await interviews.start(session_id)
        messages = (*state.begun.messages[:-1], *state.begun.messages * (MOST_MESSAGES // 3))
        grown = replace(state, interview=replace(state.begun, messages=messages))
        with pytest.raises(TooManyTurns):
            interviews.answered(grown, Given(ANSWER))

    hold(story)


# --- voice and text are one interview --------------------------------------------------------


async def claimed(store: SqliteStore, session_id: str) -> InterviewHost:
    return await InterviewHost.claim(
        store, session_id, None, worker=HERE, ttl_s=60, notify=lambda *_: None
    )


def test_a_written_answer_answers_the_question_before_which_the_call_broke_off(hold: Hold) -> None:
    async def story(store: SqliteStore, interviews: WrittenInterviews) -> None:
        session_id = await made(store)
        voice = await claimed(store, session_id)
        await voice.commit(0, "", "Hello, I'm Parley, and I")
        with pytest.raises(SessionTaken):
            await submit(interviews, session_id)
        await voice.release()
        state = await interviews.start(session_id)
        question = question_of(state)
        assert question is not None
        assert (question.number, question.said) == (1, question.text)
        taken = await interviews.submit(state, Given(ANSWER))
        assert (taken.counted, taken.number) == (True, 1)
        roles = [line["role"] for line in await transcript(store, session_id)]
        assert roles == ["assistant", "assistant", "user", "assistant"]
        report = await KeptReports(store, Assessor()).report(taken.state)
        assert [(item.question, item.answer) for item in report.items] == [(question.text, ANSWER)]

    hold(story)


def test_a_call_goes_on_where_the_writing_stopped(hold: Hold) -> None:
    async def story(store: SqliteStore, interviews: WrittenInterviews) -> None:
        session_id = await made(store)
        await interviews.start(session_id)
        state = await submit(interviews, session_id)
        question = question_of(state)
        assert question is not None
        voice = await claimed(store, session_id)
        assert voice.brief(0, "").say[-1] == question.text
        await voice.release()

    hold(story)


def test_a_call_that_answers_the_last_question_finishes_the_session(hold: Hold) -> None:
    async def story(store: SqliteStore, interviews: WrittenInterviews) -> None:
        session_id = await made(store, total=1)
        await interviews.start(session_id)
        voice = await claimed(store, session_id)
        assert voice.brief(1, ANSWER).closes
        await voice.accept(1, ANSWER)
        await voice.commit(1, ANSWER, "Thank you.")
        await voice.release()
        state = await interviews.state(session_id)
        assert (state.record.finished, state.begun.is_complete) == (True, True)

    hold(story)


# --- what the report knows -------------------------------------------------------------------


def test_the_report_knows_how_each_answer_came(hold: Hold) -> None:
    async def story(store: SqliteStore, interviews: WrittenInterviews) -> None:
        session_id = await made(store, total=2)
        state = await interviews.start(session_id)
        taken = await interviews.submit(state, Given("we measured", SPOKEN, latency_ms=812.0))
        state = (await interviews.submit(taken.state, Given(ANSWER))).state
        items = [item for _, item in await store.read(f"transcript:{session_id}")]
        known = known_of(state.begun, items)
        assert known.speech == {3: SPOKEN}
        assert known.via == {3: "upload", 5: "typed"}
        report = await KeptReports(store, Assessor()).report(state)
        spoken, typed = report.items
        assert spoken.recognition == SPOKEN.recognition
        assert spoken.latency_ms == 812
        assert spoken.evaluation.delivery is not None
        assert spoken.evaluation.delivery.time_to_first_word_ms == 300
        assert (typed.recognition, typed.evaluation.delivery) == (None, None)

    hold(story)


def test_a_finished_report_is_kept_and_made_anew_where_more_was_said(hold: Hold) -> None:
    class Counting(Assessor):
        asked = 0

        async def report(self, *arguments: Any, **options: Any) -> Any:
            Counting.asked += 1
            return await super().report(*arguments, **options)

    async def story(store: SqliteStore, interviews: WrittenInterviews) -> None:
        reports = KeptReports(store, Counting())
        session_id = await made(store, total=1)
        state = await interviews.start(session_id)
        await reports.report(state)
        await reports.report(state)
        assert (Counting.asked, await store.get(f"report:{session_id}")) == (2, None)
        state = await submit(interviews, session_id)
        first = await reports.report(state)
        assert (await reports.report(state), Counting.asked) == (first, 3)
        messages = (*state.begun.messages, *state.begun.messages[-1:])
        more = replace(state.begun, messages=messages)
        changed = replace(
            state, record=state.record.with_interview(more.to_record()), interview=more
        )
        assert len((await reports.report(changed)).transcript) == len(first.transcript) + 1
        assert Counting.asked == 4

    hold(story)


def test_what_an_answer_was_found_to_be_worth_stays(hold: Hold) -> None:
    class Moody(Assessor):
        """Finds every answer worth one point more than the one before."""

        mood = 10

        async def evaluate(self, *arguments: Any, **options: Any) -> Any:
            found = await super().evaluate(*arguments, **options)
            Moody.mood += 1
            scored = [replace(entry, overall=Moody.mood) for entry in found.answers]
            return replace(found, answers=tuple(scored))

    async def story(store: SqliteStore, interviews: WrittenInterviews) -> None:
        reports = KeptReports(store, Moody())
        session_id = await made(store, total=2, evaluating="evaluate")
        state = await interviews.start(session_id)
        for expected in (11, 12):
            taken = await interviews.submit(state, Given(ANSWER))
            found = await reports.judge(taken)
            assert found is not None
            assert (found.number, found.overall) == (expected - 10, expected)
            state = taken.state
        report = await reports.report(state)
        assert [item.evaluation.overall for item in report.items] == [11, 12]

    hold(story)


def test_nothing_of_a_deleted_session_comes_back(hold: Hold) -> None:
    async def story(store: SqliteStore, interviews: WrittenInterviews) -> None:
        reports = KeptReports(store, Assessor())
        session_id = await made(store, total=1, evaluating="evaluate")
        state = await interviews.start(session_id)
        taken = await interviews.submit(state, Given(ANSWER))
        await delete(store, session_id)
        await reports.judge(taken)
        await reports.report(taken.state)
        with pytest.raises(Conflict):
            await interviews.hold(taken.state, HERE)
        assert await store.erase(session_id) == 0

    hold(story)


def test_a_report_that_an_older_version_wrote_is_made_anew(hold: Hold) -> None:
    async def story(store: SqliteStore, interviews: WrittenInterviews) -> None:
        reports = KeptReports(store, Assessor())
        session_id = await made(store, total=1)
        await interviews.start(session_id)
        state = await submit(interviews, session_id)
        report = await reports.report(state)
        entry = await store.get(f"report:{session_id}")
        assert entry is not None
        old = json.dumps({**json.loads(entry.value), "report": {"role": "Software Engineer"}})
        await store.put(f"report:{session_id}", old.encode(), expect=entry.version)
        assert await reports.report(state) == report
        again = await store.get(f"report:{session_id}")
        assert again is not None
        assert json.loads(again.value) == json.loads(entry.value)

    hold(story)


@pytest.mark.parametrize("error", [StoreUnavailable("full"), Conflict("report:s", None, 7)])
def test_a_report_that_cannot_be_kept_is_given_all_the_same(
    hold: Hold, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def story(store: SqliteStore, interviews: WrittenInterviews) -> None:
        session_id = await made(store, total=1)
        await interviews.start(session_id)
        state = await submit(interviews, session_id)

        async def fail(*writes: Any) -> tuple[int, ...]:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(store, "commit", fail)
            report = await KeptReports(store, Assessor()).report(state)
        assert report.answered == 1
        assert await store.get(f"report:{session_id}") is None

    hold(story)


def test_lines_of_a_transcript_that_are_no_messages_are_passed_over(hold: Hold) -> None:
    async def story(store: SqliteStore, interviews: WrittenInterviews) -> None:
        session_id = await made(store)
        state = await interviews.start(session_id)
        state = (await interviews.submit(state, Given("...", SPOKEN))).state
        state = (await interviews.submit(state, Given(ANSWER))).state
        items = [item for _, item in await store.read(f"transcript:{session_id}")]
        older = [json.dumps({"turn": 9, "role": "user", "text": "of another day"}).encode()]
        known = known_of(state.begun, [*older, *items])
        assert (known.speech, list(known.via.values())) == ({}, ["typed"])

    hold(story)
