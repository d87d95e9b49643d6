"""Spoken, written and uploaded answers are stored alike, and renew everything of their session."""

import asyncio
import io
import json
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest

import gateway
from gateway.interviews.answer_jobs import AnswerJobs
from gateway.interviews.answers import commit_step
from gateway.interviews.consent import Consent
from gateway.interviews.events import Events
from gateway.interviews.kept_reports import KeptReports
from gateway.interviews.recorder import Recorder
from gateway.interviews.sessions import (
    SessionOwner,
    claim,
    delete,
    load,
    new,
    release,
    save,
)
from gateway.interviews.state import Given, InterviewState, SubmitOutcome
from gateway.interviews.uploads import UploadRecording, Uploads, UploadTranscript
from gateway.interviews.written import Writes, WrittenInterviews
from gateway.live.host import InterviewHost
from gateway.reports.assessor import Assessor
from gateway.store import Append, Conflict, Put, SqliteStore, Write
from pipeline.testing import ManualClock
from stages.interview import InterviewConfig, RecognitionSource

HERE = SessionOwner.here()
OTHER = SessionOwner(token="t")
ANSWER = "we measured it first"
TTL_S = 60


class Watched(SqliteStore):
    """A store that notes what is committed."""

    commits: list[tuple[Write, ...]]

    async def commit(self, *writes: Write) -> tuple[int, ...]:
        numbers = await super().commit(*writes)
        self.commits.append(writes)
        return numbers


Story = Callable[[Watched, ManualClock], Coroutine[Any, Any, None]]


@pytest.fixture
def tell(tmp_path: Path) -> Callable[[Story], None]:
    def tell(story: Story) -> None:
        async def main() -> None:
            clock = ManualClock(1_000.0)
            store = Watched(tmp_path / "parley.sqlite3", clock=clock)
            store.commits = []
            try:
                async with asyncio.timeout(20):
                    await story(store, clock)
            finally:
                await store.aclose()

        asyncio.run(main())

    return tell


async def made(store: SqliteStore) -> None:
    """A session of which everything is kept that can be."""
    record = new(
        InterviewConfig("Software Engineer", "auto", 4),
        mode="voice",
        ttl_s=TTL_S,
        session_id="s",
        evaluating="evaluate",
        recording=Consent(by="Ada", at=1_000.0),
    )
    await save(store, record, None)


class FakeUploads:
    async def recognise(self, recording: UploadRecording, **options: Any) -> UploadTranscript:
        source = RecognitionSource("whisper")
        return UploadTranscript(ANSWER, source, "", (), 2000, 100, 1900, ())


async def write(store: SqliteStore) -> None:
    interviews = WrittenInterviews(store, HERE)
    await interviews.submit(await interviews.state("s"), Given(ANSWER))


async def upload(store: SqliteStore) -> None:
    interviews = WrittenInterviews(store, HERE)

    async def finish(state: InterviewState, given: Given, writes: Writes) -> SubmitOutcome:
        return SubmitOutcome(await interviews.submit(state, given, held=True, writes=writes))

    async with asyncio.TaskGroup() as group:
        jobs = AnswerJobs(
            store,
            HERE,
            interviews,
            cast("Uploads", FakeUploads()),
            Events(),
            group,
            Recorder(store, group, allowed=False),
        )
        recording = UploadRecording(io.BytesIO(b"\0\0"), 32_000)
        job = await jobs.begin(await interviews.state("s"), recording, finish)
        await job.result()


async def speak(store: SqliteStore) -> None:
    host = await InterviewHost.claim(
        store, "s", None, worker=HERE, ttl_s=TTL_S, notify=lambda *_: None
    )
    await host.accept(1, ANSWER)
    await host.release()


def has_words(writes: tuple[Write, ...]) -> bool:
    """Whether a line of the candidate's is among them."""
    lines = (write.item for write in writes if isinstance(write, Append))
    return any(b'"role": "user"' in line for line in lines)


WAYS = pytest.mark.parametrize("answer", [speak, write, upload])


@WAYS
def test_an_answer_comes_with_the_record_and_all_that_it_renews_in_one_transaction(
    tell: Any, answer: Callable[[SqliteStore], Coroutine[Any, Any, None]]
) -> None:
    async def story(store: Watched, clock: ManualClock) -> None:
        await made(store)
        await WrittenInterviews(store, HERE).start("s")
        store.commits.clear()
        await answer(store)
        (writes,) = filter(has_words, store.commits)
        record, said, *rest = writes
        assert isinstance(record, Put)
        assert isinstance(said, Append)
        assert record.key == "session:s"
        assert json.loads(record.value)["interview"]["currentQuestion"] == 2
        assert (said.log, json.loads(said.item)["text"]) == ("transcript:s", ANSWER)
        renewed = {"recordings:s", "recording:s:1", "evaluations:s", "transcript:s"}
        assert renewed <= {getattr(write, "name", "") for write in rest}

    tell(story)


def test_no_other_module_adds_to_a_transcript() -> None:
    folder = Path(gateway.__file__).parent
    adding = {
        str(file.relative_to(folder))
        for file in folder.rglob("*.py")
        if re.search(r"\b(record|created|stored)\.(writes|transcript)\(", file.read_text())
    }
    assert adding == {"interviews/sessions.py", "interviews/answers.py"}


async def stored(store: SqliteStore) -> set[str]:
    """Everything that is stored about the session."""
    entries = ("session:s", "recording:s:1", "answer:s:1", "answer:s:2")
    logs = ("transcript:s", "recordings:s", "evaluations:s")
    return {name for name in entries if await store.get(name) is not None} | {
        name for name in logs if await store.read(name)
    }


EVERYTHING = {
    "session:s",
    "transcript:s",
    "recordings:s",
    "recording:s:1",
    "evaluations:s",
    "answer:s:1",
}


async def filled(store: SqliteStore) -> None:
    """A session that has everything but a report."""
    await made(store)
    interviews = WrittenInterviews(store, HERE)
    await interviews.start("s")
    await upload(store)
    await store.commit(
        Append("evaluations:s", b"{}", TTL_S),
        Append("recordings:s", b'{"number": 1, "at": 1.0}', TTL_S),
        Put("recording:s:1", b"fLaC", None, TTL_S),
    )
    assert await stored(store) == EVERYTHING


@WAYS
def test_an_answer_lets_everything_of_its_session_live_as_long(
    tell: Any, answer: Callable[[SqliteStore], Coroutine[Any, Any, None]]
) -> None:
    async def story(store: Watched, clock: ManualClock) -> None:
        await filled(store)
        clock.advance(50)
        await answer(store)
        clock.advance(59)
        assert await stored(store) >= EVERYTHING
        clock.advance(1)
        assert await stored(store) == set()

    tell(story)


def test_so_does_a_connection_that_comes_and_goes(tell: Any) -> None:
    async def story(store: Watched, clock: ManualClock) -> None:
        await filled(store)
        for step in (claim, release):
            clock.advance(50)
            await step(store, "s", HERE)
        clock.advance(59)
        assert await stored(store) == EVERYTHING
        clock.advance(1)
        assert await stored(store) == set()

    tell(story)


def test_what_is_finished_stays_with_everything(tell: Any) -> None:
    async def story(store: Watched, clock: ManualClock) -> None:
        await filled(store)
        interviews = WrittenInterviews(store, HERE)
        await interviews.end(await interviews.state("s"))
        clock.advance(1e6)
        assert await stored(store) == EVERYTHING

    tell(story)


# --- conflicts ---------------------------------------------------------------------------------


def test_over_another_version_an_answer_is_refused_and_nothing_of_it_stored(tell: Any) -> None:
    async def story(store: Watched, clock: ManualClock) -> None:
        await made(store)
        record, version = await load(store, "s")
        newer = await save(store, record, version)
        with pytest.raises(Conflict) as caught:
            await commit_step(store, record, version, [b"{}"], extra=[Put("answer:s:1", b"", None)])
        assert caught.value.found == newer
        assert await stored(store) == {"session:s"}

    tell(story)


def test_a_live_session_is_stored_over_whatever_its_worker_has_stored_meanwhile(tell: Any) -> None:
    async def story(store: Watched, clock: ManualClock) -> None:
        await made(store)
        record, version = await claim(store, "s", HERE)
        await save(store, record, version)
        stale = record.model_copy(update={"role": "Data Analyst"})
        later = await commit_step(store, stale, version, [b"{}"], owner=HERE)
        assert later[0] == stale
        assert await load(store, "s") == later
        assert len(await store.read("transcript:s")) == 1

    tell(story)


def test_a_live_session_that_has_expired_is_stored_again(tell: Any) -> None:
    async def story(store: Watched, clock: ManualClock) -> None:
        await made(store)
        record, version = await claim(store, "s", HERE)
        clock.advance(TTL_S)
        later = await commit_step(store, record, version, [b"{}"], owner=HERE)
        assert later[0] == record
        assert await load(store, "s") == later

    tell(story)


@pytest.mark.parametrize("event", ["taken", "deleted"])
def test_a_live_session_that_is_its_workers_no_more_is_not_stored_over(
    tell: Any, event: str
) -> None:
    async def story(store: Watched, clock: ManualClock) -> None:
        await made(store)
        record, version = await claim(store, "s", HERE)
        if event == "taken":
            await save(store, record.with_worker(OTHER), version)
        else:
            await delete(store, "s")
        with pytest.raises(Conflict):
            await commit_step(store, record, version, [b"{}"], owner=HERE)
        assert await stored(store) == ({"session:s"} if event == "taken" else set())

    tell(story)


# --- what is found out later --------------------------------------------------------------------


class Late(Assessor):
    """Something happens before it has judged."""

    def __init__(self, event: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        super().__init__()
        self._event = event

    async def evaluate(self, *args: Any, **options: Any) -> Any:
        await self._event()
        return await super().evaluate(*args, **options)


def test_an_evaluation_that_comes_after_the_end_stays_with_the_session(tell: Any) -> None:
    async def story(store: Watched, clock: ManualClock) -> None:
        await made(store)
        interviews = WrittenInterviews(store, HERE)
        submitted = await interviews.submit(await interviews.start("s"), Given(ANSWER))
        reports = KeptReports(store, Late(lambda: interviews.end(submitted.state)))
        assert await reports.judge(submitted) is not None
        clock.advance(1e6)
        assert len(await store.read("evaluations:s")) == 1

    tell(story)


def test_a_session_made_again_under_a_deleted_id_keeps_its_report(tell: Any) -> None:
    async def story(store: Watched, clock: ManualClock) -> None:
        await made(store)
        await delete(store, "s")
        await made(store)
        interviews = WrittenInterviews(store, HERE)
        await interviews.submit(await interviews.start("s"), Given(ANSWER))
        ended = await interviews.end(await interviews.state("s"))
        await KeptReports(store, Assessor()).report(ended)
        assert (await load(store, "s"))[0] == ended.record
        assert await store.get("report:s") is not None

    tell(story)
