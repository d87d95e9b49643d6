"""The interview service: the parts of the process that requests about interviews use."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from gateway.interviews.answer_jobs import AnswerJob, AnswerJobs
from gateway.interviews.events import Events, Happening
from gateway.interviews.kept_reports import KeptReports
from gateway.interviews.recorder import Recorder
from gateway.interviews.sessions import SessionOwner
from gateway.interviews.speech_files import SpeechFiles
from gateway.interviews.state import Given, InterviewState, SubmitOutcome, Submitted
from gateway.interviews.uploads import UploadRecording, Uploads
from gateway.interviews.written import Writes, WrittenInterviews, no_writes
from gateway.providers.languages import Notice, notices
from gateway.reports.assessor import Assessor
from gateway.settings import Settings
from gateway.store import Store, Write
from pipeline.session import Stages


class InterviewService:
    """The parts for written interviews, and the steps that combine several of them.

    `open_interview_service` makes one.
    """

    def __init__(
        self,
        written: WrittenInterviews,
        reports: KeptReports,
        speech_files: SpeechFiles,
        uploads: Uploads,
        events: Events,
        answer_jobs: AnswerJobs,
        recorder: Recorder,
        stages: Stages,
    ) -> None:
        self.written = written
        self.reports = reports
        self.speech_files = speech_files
        self.uploads = uploads
        self.events = events
        self.answer_jobs = answer_jobs
        self.recorder = recorder
        self._stages = stages

    def notices(self, language: str) -> Sequence[Notice]:
        """Notices for the client if no interviewer, recogniser or voice here knows the language."""
        return notices(self._stages, language)

    async def submit(
        self, state: InterviewState, given: Given, *, held: bool = False, writes: Writes = no_writes
    ) -> SubmitOutcome:
        """Store an answer, notify the watchers, and evaluate it if the session asks for that.

        Raises what `WrittenInterviews.submit` raises. A later failure does not fail the answer.
        """
        submitted = await self.written.submit(state, given, held=held, writes=writes)
        record = submitted.state.record
        self.events.publish(record.id, "answer", _answer_data(submitted))
        evaluation = None
        if record.evaluating == "evaluate" and submitted.counted:
            evaluation = await self.reports.judge(submitted)
            if evaluation is not None:
                data = {
                    "question": submitted.number,
                    "overall": evaluation.overall,
                    "source": evaluation.source,
                    "unscored": evaluation.unscored,
                }
                self.events.publish(record.id, "evaluation", data)
        if submitted.state.begun.is_complete:
            self.completed(submitted.state)
        return SubmitOutcome(submitted, evaluation)

    async def upload(
        self, state: InterviewState, recording: UploadRecording, writes: Writes, *extra: Write
    ) -> AnswerJob:
        """Recognise and submit a recording; see `AnswerJobs.begin`.

        `writes` are committed when it is submitted, `extra` when it is accepted.
        """

        async def finish(held: InterviewState, given: Given, own: Writes) -> SubmitOutcome:
            def both(submitted: Submitted) -> Sequence[Write]:
                return (*own(submitted), *writes(submitted))

            return await self.submit(held, given, held=True, writes=both)

        return await self.answer_jobs.begin(state, recording, finish, *extra)

    async def end(self, state: InterviewState) -> InterviewState:
        """Complete the interview; see `WrittenInterviews.end`."""
        ended = await self.written.end(state)
        self.completed(ended)
        return ended

    def completed(self, state: InterviewState) -> None:
        """Notify the watchers that the interview is over."""
        self.events.publish(state.record.id, "completed", state.begun.state())


@asynccontextmanager
async def open_interview_service(
    store: Store,
    worker: SessionOwner,
    stages: Stages,
    settings: Settings,
    assessor: Assessor,
    happened: Happening | None = None,
) -> AsyncIterator[InterviewService]:
    """The interview service of a process; `happened` is called with each event of its sessions.

    Leaving ends the watchers, cancels the uploads under way and closes the assessor.
    """
    events = Events(happened)
    written = WrittenInterviews(store, worker)
    uploads = Uploads(
        stages.detector,
        stages.transcribers,
        max_mb=settings.upload_max_mb,
        max_min=settings.upload_max_min,
    )
    try:
        async with asyncio.TaskGroup() as group:
            recorder = Recorder(store, group, allowed=settings.recording == "allowed")
            jobs = AnswerJobs(store, worker, written, uploads, events, group, recorder)
            reports = KeptReports(store, assessor)
            speech_files = SpeechFiles(stages.synthesizers)
            try:
                yield InterviewService(
                    written, reports, speech_files, uploads, events, jobs, recorder, stages
                )
            finally:
                events.close()
                await jobs.aclose()
                await recorder.aclose()
    finally:
        await assessor.aclose()


def _answer_data(submitted: Submitted) -> dict[str, object]:
    return {
        "question": submitted.number,
        "counted": submitted.counted,
        "via": submitted.given.via,
        "version": submitted.state.version,
        **submitted.state.begun.state(),
    }
