"""Uploaded answers while they are recognised; each ends as accepted or failed.

From its acceptance to its end a job owns its session as a live connection does, so that no other
client answers the same question meanwhile. The job's record is stored before recognition begins and
outlives the process. The recording does not: once the answer is accepted it goes to the recorder,
which keeps it only with consent. A job whose process has died is reported as failed, and its client
is asked to send the answer again. Its session is free, as every session of a dead process is.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import BaseModel, ConfigDict

from gateway.interviews.events import Events
from gateway.interviews.keys import SessionKeys
from gateway.interviews.recorder import Recorder
from gateway.interviews.recordings import number_added
from gateway.interviews.sessions import (
    NoSuchSession,
    SessionOwner,
    SessionRecord,
    SessionTaken,
    alive,
    load,
)
from gateway.interviews.state import Given, InterviewState, SubmitOutcome, Submitted
from gateway.interviews.uploads import UploadError, UploadRecording, Uploads, UploadTranscript
from gateway.interviews.written import Writes, WrittenInterviews
from gateway.store import Conflict, Put, Store, StoreError, Write

logger = logging.getLogger("parley.uploads")

Status = Literal["recognising", "accepted", "failed"]

MAX_WAIT_S = 600.0
"""How long an accepted upload may wait for live voice."""

RENEWALS = 3
"""How many times within its lifetime a session is renewed while its upload is recognised."""

PROGRESS_STEP = 0.05
"""Growth of the progress, from 0 to 1, after which the next event is published."""

INTERRUPTED = ("interrupted", "The gateway was stopped before this was recognised: send it again")
LOST = ("session_lost", "The session was changed or deleted while this was recognised")
NOT_STORED = ("not_stored", "The answer was recognised but could not be stored: send it again")
INTERNAL = ("internal", "Something went wrong inside the gateway")


class AnswerRecord(BaseModel):
    """The stored record of an uploaded answer. `number` counts a session's uploads from 1.

    `question` is the number of the question that it answers. `code` and `reason` say why it failed;
    the other optional fields are None until it is accepted.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    question: int
    status: Status
    duration_ms: int
    worker: SessionOwner
    text: str | None = None
    language: str | None = None
    confidence: float | None = None
    provider: str | None = None
    quality: str | None = None
    words: int | None = None
    truncated: bool | None = None
    lost_ms: int | None = None
    counted: bool | None = None
    code: str | None = None
    reason: str | None = None

    def put(self, session_id: str, version: int | None, lifetime_s: float | None) -> Put:
        """The write that stores it over `version`."""
        value = self.model_dump_json(exclude_none=True).encode()
        return Put(SessionKeys(session_id).answer(self.number), value, version, lifetime_s)


Finish = Callable[[InterviewState, Given, Writes], Awaitable[SubmitOutcome]]
"""Stores a recognised answer for the session's owner, with further writes for its outcome."""


@dataclass(slots=True)
class AnswerJob:
    """A job of this process."""

    record: AnswerRecord
    done: asyncio.Task[SubmitOutcome | Exception]
    progress: float = 0.0

    async def result(self) -> SubmitOutcome:
        """The answer's outcome. Raises `UploadError` and what storing raises.

        Cancelling only stops waiting.
        """
        found = await asyncio.shield(self.done)
        if isinstance(found, Exception):
            raise found
        return found


class AnswerJobs:
    """The jobs of a process; each runs as a task of `group`."""

    def __init__(
        self,
        store: Store,
        worker: SessionOwner,
        interviews: WrittenInterviews,
        uploads: Uploads,
        events: Events,
        group: asyncio.TaskGroup,
        recorder: Recorder,
    ) -> None:
        self._store = store
        self._worker = worker
        self._interviews = interviews
        self._uploads = uploads
        self._events = events
        self._group = group
        self._recorder = recorder
        self._jobs: dict[tuple[str, int], AnswerJob] = {}  # bounded by `uploads`

    async def begin(
        self, state: InterviewState, recording: UploadRecording, finish: Finish, *extra: Write
    ) -> AnswerJob:
        """Accept a recording as the answer to the question that waits; closes it in any case.

        The job's record is stored with `extra` before this returns. Raises what
        `WrittenInterviews.answered` raises, `SessionTaken` and `Conflict`.
        """
        try:
            self._interviews.answered(state, Given(""))
            session = state.record
            number = session.uploads + 1
            record = AnswerRecord(
                number=number,
                question=state.begun.current_question,
                status="recognising",
                duration_ms=recording.duration_ms,
                truncated=recording.truncated,
                lost_ms=recording.lost_ms,
                worker=self._worker,
            )
            counted = replace(state, record=session.model_copy(update={"uploads": number}))
            put = record.put(session.id, None, session.lifetime_s)
            held = await self._interviews.hold(counted, self._worker, put, *extra)
        except BaseException:
            recording.close()
            raise
        key = (session.id, number)
        running = self._run(held, record, recording, finish)
        job = self._jobs[key] = AnswerJob(record, self._group.create_task(running))
        job.done.add_done_callback(lambda _: self._jobs.pop(key))
        return job

    async def look(self, session_id: str, number: int) -> tuple[AnswerRecord, float] | None:
        """An upload's record and progress (0..1), None if there is no such upload."""
        job = self._jobs.get((session_id, number))
        entry = await self._store.get(SessionKeys(session_id).answer(number))
        if entry is None:
            return None
        record = AnswerRecord.model_validate_json(entry.value)
        if record.status != "recognising":
            return record, 1.0
        if job is not None:
            return record, job.progress
        if record.worker == self._worker:  # its failure could not be stored
            return _failed(record, NOT_STORED), 1.0
        if not await alive(self._store, record.worker, self._worker):
            return _failed(record, INTERRUPTED), 1.0
        return record, 0.0

    async def aclose(self) -> None:
        """Cancel the jobs under way and store them as failed."""
        tasks = [job.done for job in self._jobs.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # --- one job -----------------------------------------------------------------------------

    async def _run(
        self,
        state: InterviewState,
        record: AnswerRecord,
        recording: UploadRecording,
        finish: Finish,
    ) -> SubmitOutcome | Exception:
        """The whole job. Raises only cancellation: an error would end the other jobs' group."""
        session_id = state.record.id
        failure: tuple[str, str] | None = INTERRUPTED  # if it is cancelled
        try:
            given, transcript = await self._recognise(state, record, recording)
            outcome = await self._store_answer(state, record, given, transcript, finish)
            failure = None
            answered = outcome.submitted.state
            number = number_added(state.begun, answered.begun)
            if number is None:  # no words were recognised
                recording.close()
            else:
                self._recorder.keep(answered.record, number, recording)
            return outcome
        except UploadError as error:
            failure = (error.code, error.message)
            return error
        except (SessionTaken, Conflict, NoSuchSession) as error:
            failure = LOST
            return error
        except StoreError as error:
            failure = NOT_STORED
            return error
        except Exception as error:
            logger.exception("answer %d of session %s failed", record.number, session_id)
            failure = INTERNAL
            return error
        finally:
            if failure is not None:
                recording.close()
                await self._fail(state, record, failure)

    async def _recognise(
        self, state: InterviewState, record: AnswerRecord, recording: UploadRecording
    ) -> tuple[Given, UploadTranscript]:
        began = asyncio.get_running_loop().time()
        reported = 0.0

        def progress(share: float) -> None:
            nonlocal reported
            if (job := self._jobs.get((state.record.id, record.number))) is not None:
                job.progress = share
            if share >= reported:
                reported = share + PROGRESS_STEP
                self._publish_progress(state, record, share)

        keeping = asyncio.create_task(self._keep(state.record))
        try:
            transcript = await self._uploads.recognise(
                recording,
                hints=state.record.config.bank.key_terms,
                language=state.record.language,
                max_wait_s=MAX_WAIT_S,
                on_progress=progress,
            )
        finally:
            keeping.cancel()
        took_s = asyncio.get_running_loop().time() - began
        given = Given(
            transcript.text,
            transcript.speech,
            took_s * 1000,
            transcript.truncated,
            transcript.lost_ms,
        )
        return given, transcript

    async def _keep(self, session: SessionRecord) -> None:
        """Keep the session from expiring until cancelled; its version does not change."""
        while True:
            await asyncio.sleep(session.ttl_s / RENEWALS)
            try:
                await self._store.commit(*session.keep())
            except StoreError as error:
                logger.warning("session %s was not renewed: %s", session.id, error)

    async def _store_answer(
        self,
        state: InterviewState,
        record: AnswerRecord,
        given: Given,
        transcript: UploadTranscript,
        finish: Finish,
    ) -> SubmitOutcome:
        accepted = record.model_copy(
            update={
                "status": "accepted",
                "text": transcript.text,
                "language": transcript.recognition.language,
                "confidence": transcript.recognition.confidence,
                "provider": transcript.recognition.provider,
                "quality": transcript.recognition.quality,
                "words": len(transcript.text.split()),
            }
        )
        entry = await self._store.get(state.record.keys.answer(record.number))
        if entry is None:
            raise NoSuchSession(state.record.id)

        def writes(submitted: Submitted) -> Sequence[Write]:
            counted = accepted.model_copy(update={"counted": submitted.counted})
            lifetime_s = submitted.state.record.lifetime_s
            return (counted.put(state.record.id, entry.version, lifetime_s),)

        return await finish(state, given, writes)

    async def _fail(
        self, state: InterviewState, record: AnswerRecord, failure: tuple[str, str]
    ) -> None:
        """Store that the answer has failed, and end the ownership of the session."""
        session_id = state.record.id
        try:
            entry = await self._store.get(state.record.keys.answer(record.number))
            if entry is None or not _under_way(entry.value):
                return  # the answer was deleted, or its outcome was stored before the failure
            held, version = await load(self._store, session_id)
            put = _failed(record, failure).put(session_id, entry.version, held.lifetime_s)
            if held.worker == self._worker and held.uploads == record.number:
                await self._interviews.hold(replace(state, record=held, version=version), None, put)
            else:
                await self._store.commit(put)
        except (NoSuchSession, Conflict):
            return  # the session was deleted or has another owner
        except StoreError as error:
            logger.error("answer %d of session %s: %s", record.number, session_id, error)
        data = {"answer": record.number, "code": failure[0], "reason": failure[1]}
        self._events.publish(session_id, "failed", data)

    def _publish_progress(self, state: InterviewState, record: AnswerRecord, share: float) -> None:
        data = {"answer": record.number, "question": record.question, "progress": round(share, 3)}
        self._events.publish(state.record.id, "upload", data)


def _under_way(value: bytes) -> bool:
    return AnswerRecord.model_validate_json(value).status == "recognising"


def _failed(record: AnswerRecord, failure: tuple[str, str]) -> AnswerRecord:
    code, reason = failure
    return record.model_copy(update={"status": "failed", "code": code, "reason": reason})
