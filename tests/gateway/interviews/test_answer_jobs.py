"""Uploads while they are recognised: what becomes of one when everything around it goes wrong."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.interviews.answer_jobs import AnswerJob, AnswerJobs, AnswerRecord
from gateway.interviews.consent import Consent
from gateway.interviews.events import Events
from gateway.interviews.leases import renew
from gateway.interviews.recorder import Recorder
from gateway.interviews.recordings import recordings_of
from gateway.interviews.sessions import (
    NoSuchSession,
    SessionOwner,
    SessionTaken,
    create,
    delete,
    load,
    new,
    save,
)
from gateway.interviews.state import Given, InterviewState, SubmitOutcome
from gateway.interviews.uploads import UploadRecording, Uploads, UploadTranscript
from gateway.interviews.written import Writes, WrittenInterviews, no_writes
from gateway.store import Conflict, SqliteStore, StoreUnavailable
from stages.interview import InterviewConfig, RecognitionSource

HERE = SessionOwner.here()
HEARD = UploadTranscript(
    "we measured it first", RecognitionSource("whisper"), "", (), 2000, 100, 1900, ()
)

Recognise = Callable[[], Awaitable[UploadTranscript]]


class FakeUploads:
    """Recognises when the test says so, or fails."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.error: Exception | None = None
        self.heard = HEARD

    async def recognise(self, recording: UploadRecording, **options: Any) -> UploadTranscript:
        options["on_progress"](0.5)
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return self.heard


class Harness:
    """One session whose first question waits, and the jobs of a process."""

    def __init__(self, store: SqliteStore, group: asyncio.TaskGroup) -> None:
        self.store = store
        self.uploads = FakeUploads()
        self.events = Events()
        self.interviews = WrittenInterviews(store, HERE)
        uploads = cast("Uploads", self.uploads)
        self.recorder = Recorder(store, group, allowed=True)
        self.jobs = AnswerJobs(
            store, HERE, self.interviews, uploads, self.events, group, self.recorder
        )
        self.session_id = ""

    async def begin(self, finish: Any = None) -> AnswerJob:
        record, _ = await create(
            self.store, InterviewConfig("Software Engineer", "auto", 2), mode="text", ttl_s=60
        )
        self.session_id = record.id
        state = await self.interviews.start(record.id)
        self.recording = UploadRecording(io.BytesIO(b"\0\0"), 32_000)
        return await self.jobs.begin(state, self.recording, finish or self.submit)

    async def submit(self, state: InterviewState, given: Given, writes: Writes) -> SubmitOutcome:
        return SubmitOutcome(await self.interviews.submit(state, given, held=True, writes=writes))

    async def look(self) -> AnswerRecord:
        found = await self.jobs.look(self.session_id, 1)
        assert found is not None
        return found[0]

    async def owner(self) -> SessionOwner | None:
        return (await load(self.store, self.session_id))[0].worker


@pytest.fixture
def hold(tmp_path: Path) -> Callable[[Callable[[Harness], Coroutine[Any, Any, None]]], None]:
    @asynccontextmanager
    async def harness() -> AsyncIterator[Harness]:
        store = SqliteStore(tmp_path / "parley.sqlite3")
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            held = Harness(store, group)
            yield held
            await held.jobs.aclose()
        await store.aclose()

    def hold(story: Callable[[Harness], Coroutine[Any, Any, None]]) -> None:
        async def run() -> None:
            async with harness() as held:
                await story(held)

        asyncio.run(run())

    return hold


Hold = Callable[[Callable[[Harness], Coroutine[Any, Any, None]]], None]


def test_a_job_holds_its_session_and_lets_it_go_with_the_answer(hold: Hold) -> None:
    async def story(harness: Harness) -> None:
        job = await harness.begin()
        await asyncio.sleep(0)
        assert await harness.owner() == HERE
        assert await harness.jobs.look(harness.session_id, 1) == (job.record, 0.5)
        with pytest.raises(SessionTaken):
            await harness.jobs.begin(
                await harness.interviews.state(harness.session_id),
                harness.recording,
                harness.submit,
            )
        harness.uploads.go.set()
        outcome = await job.result()
        assert outcome.submitted.counted
        assert harness.recording.file.closed
        assert await harness.owner() is None
        record = await harness.look()
        assert (record.status, record.text, record.words) == ("accepted", HEARD.text, 4)

    hold(story)


def test_a_cancelled_waiter_does_not_stop_the_job(hold: Hold) -> None:
    async def story(harness: Harness) -> None:
        job = await harness.begin()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await job.result()
        harness.uploads.go.set()
        assert (await job.result()).submitted.counted

    hold(story)


def test_silence_does_not_replace_the_recording_of_the_answer_before(hold: Hold) -> None:
    async def story(harness: Harness) -> None:
        config = InterviewConfig("Software Engineer", "auto", 2)
        consent = Consent(by="Ada", at=1.0)
        record = new(config, mode="text", ttl_s=60, recording=consent)
        await save(harness.store, record, None)
        await harness.interviews.start(record.id)
        harness.uploads.go.set()
        for heard, seconds in ((HEARD, 2), (replace(HEARD, text=""), 1)):
            harness.uploads.heard = heard
            recording = UploadRecording(io.BytesIO(bytes(32_000 * seconds)), 16_000 * seconds)
            state = await harness.interviews.state(record.id)
            await (await harness.jobs.begin(state, recording, harness.submit)).result()
            await harness.recorder.aclose()
            assert recording.file.closed
        recordings = await recordings_of(harness.store, record)
        assert [(item.number, item.duration_ms) for item in recordings.items] == [(1, 2000)]

    hold(story)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ZeroDivisionError("a bug"), "internal"),
        (StoreUnavailable("full"), "not_stored"),
        (Conflict("session:x", 1, 2), "session_lost"),
    ],
)
def test_what_goes_wrong_is_stored_and_the_question_waits_again(
    hold: Hold, error: Exception, code: str
) -> None:
    async def story(harness: Harness) -> None:
        job = await harness.begin()
        watch = harness.events.watch(harness.session_id)
        harness.uploads.error = error
        harness.uploads.go.set()
        with pytest.raises(type(error)):
            await job.result()
        record = await harness.look()
        assert (record.status, record.code) == ("failed", code)
        assert await harness.owner() is None
        (told,) = [event for event in await watch.next(1) if event.kind == "failed"]
        assert told.data == {"answer": 1, "code": code, "reason": record.reason}
        state = await harness.interviews.state(harness.session_id)
        assert state.begun.current_question == 1

    hold(story)


def test_of_a_session_that_was_deleted_nothing_is_stored(hold: Hold) -> None:
    async def story(harness: Harness) -> None:
        job = await harness.begin()
        await delete(harness.store, harness.session_id)
        harness.uploads.go.set()
        with pytest.raises(NoSuchSession):
            await job.result()
        assert await harness.jobs.look(harness.session_id, 1) is None
        assert await harness.store.erase(harness.session_id) == 0

    hold(story)


def test_what_another_worker_has_taken_over_is_left_to_it(hold: Hold) -> None:
    async def story(harness: Harness) -> None:
        job = await harness.begin()
        other = SessionOwner(token="other")
        record, version = await load(harness.store, harness.session_id)
        await harness.store.commit(record.with_worker(other).put(version))
        harness.uploads.go.set()
        with pytest.raises(Conflict):
            await job.result()
        assert await harness.owner() == other
        assert (await harness.look()).code == "session_lost"

    hold(story)


def test_what_fails_after_the_answer_was_stored_does_not_take_it_back(hold: Hold) -> None:
    async def story(harness: Harness) -> None:
        async def finish(state: InterviewState, given: Given, writes: Writes) -> SubmitOutcome:
            await harness.submit(state, given, writes)
            raise ZeroDivisionError

        job = await harness.begin(finish)
        harness.uploads.go.set()
        with pytest.raises(ZeroDivisionError):
            await job.result()
        assert (await harness.look()).status == "accepted"

    hold(story)


def test_a_failure_that_could_not_be_stored_is_reported(
    hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(harness: Harness) -> None:
        job = await harness.begin()

        async def full(*writes: Any) -> tuple[int, ...]:
            raise StoreUnavailable("full")

        with monkeypatch.context() as patch:
            patch.setattr(harness.store, "commit", full)
            harness.uploads.go.set()
            with pytest.raises(StoreUnavailable):
                await job.result()
        record = await harness.look()
        assert (record.status, record.code) == ("failed", "not_stored")

    hold(story)


def test_of_an_upload_in_another_process_only_the_status_is_known(hold: Hold) -> None:
    async def story(harness: Harness) -> None:
        job = await harness.begin()
        elsewhere = job.record.model_copy(
            update={"number": 2, "worker": SessionOwner(token="other")}
        )
        await renew(harness.store, elsewhere.worker)
        await harness.store.commit(elsewhere.put(harness.session_id, None, 60))
        assert await harness.jobs.look(harness.session_id, 2) == (elsewhere, 0.0)

    hold(story)


def test_a_session_does_not_expire_while_its_upload_is_recognised(
    hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.interviews.answer_jobs.RENEWALS", 6000)  # every 10 ms

    async def story(harness: Harness) -> None:
        job = await harness.begin()
        kept: list[Any] = []
        renewed = asyncio.Event()
        commit = harness.store.commit

        async def noted(*writes: Any) -> tuple[int, ...]:
            kept.append(writes)
            if len(kept) == 1:
                raise StoreUnavailable("locked")
            renewed.set()
            return await commit(*writes)

        with monkeypatch.context() as patch:
            patch.setattr(harness.store, "commit", noted)
            await renewed.wait()
        names = [write.name.partition(":")[0] for write in kept[1]]
        assert names == ["session", "transcript", "answer"]
        harness.uploads.go.set()
        assert (await job.result()).submitted.counted

    hold(story)


def test_nothing_more_is_written_where_nothing_is_wanted() -> None:
    assert no_writes(cast("Any", None)) == ()
