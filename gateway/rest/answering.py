"""Answers, typed or uploaded: `/api/sessions/{id}/submit-answer` and `/answers/{n}`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from starlette.requests import Request

from gateway.interviews.service import InterviewService
from gateway.interviews.state import Given, SubmitOutcome, Submitted
from gateway.interviews.written import no_writes
from gateway.rest.interview_kinds import (
    ANSWERING,
    NO_SUCH_ANSWER,
    check_version,
    etag,
    refusing,
    wanted_version,
)
from gateway.rest.interview_models import (
    TakenTurn,
    TypedAnswer,
    UploadedAnswer,
    WithAudio,
    with_audio,
)
from gateway.rest.once import Once
from gateway.rest.operation import HttpReply, Operation, ResponseSpec, claim_of
from gateway.rest.problems import CONFLICT, NO_SUCH_SESSION, STORE_UNAVAILABLE
from gateway.rest.sessions import TAGS, session_id_of
from gateway.rest.upload import Accepts, Upload
from gateway.store import Write

AUDIO = (
    "audio/wav",
    "audio/x-wav",
    "audio/wave",
    "audio/vnd.wave",
    "audio/flac",
    "audio/x-flac",
    "audio/mpeg",
    "audio/mp3",
    "audio/ogg",
    "application/ogg",
    "audio/opus",
    "audio/webm",
    "video/webm",
    "audio/mp4",
    "video/mp4",
    "audio/m4a",
    "audio/x-m4a",
    "audio/aac",
    "application/octet-stream",
)
"""Media types with which recordings are sent. The decoder finds out the actual format."""

FORM = "multipart/form-data"
FORM_BYTES = 512 * 1024
"""The most bytes of a form without its file."""

AT_ONCE_MS = 30_000
"""The request of a recording up to this length waits for its recognition."""

WAIT_S = 20.0
"""How long it waits, because live voice has precedence; then it is answered like a longer one."""

READ_BYTES = 256 * 1024


def answer_operations(
    interviews: Callable[[], InterviewService], once: Once, *, max_mb: int
) -> list[Operation]:
    """Both endpoints, served by the interview service of the process."""

    async def submit(request: Request, query: WithAudio, answer: TypedAnswer | Upload) -> HttpReply:
        session_id = session_id_of(request)
        with refusing():
            if isinstance(answer, Upload):
                return await _uploaded(interviews(), request, session_id, answer, query.audio)
            return await _typed(interviews(), request, session_id, answer, query.audio)

    async def look(request: Request) -> UploadedAnswer:
        session_id = session_id_of(request)
        number = request.path_params["number"]
        await interviews().written.state(session_id)
        found = None
        if number.isascii() and number.isdigit() and len(number) < 10:
            found = await interviews().answer_jobs.look(session_id, int(number))
        if found is None:
            raise NO_SUCH_ANSWER()
        return UploadedAnswer.of(session_id, *found)

    return [
        Operation(
            method="POST",
            path="/api/sessions/{id}/submit-answer",
            name="submitAnswer",
            handler=submit,
            summary="Answer the question that waits",
            description="In writing as JSON, or as a recording: the body is the file, or a form"
            " with one file in it. A recording longer than 30 s is answered with 202 at once;"
            " `Location` shows its progress, and so do the session's events.",
            tags=TAGS,
            query=WithAudio,
            body=TypedAnswer,
            body_example={"text": "I profiled it first, and found one query that ran 400 times."},
            upload=Accepts((*AUDIO, FORM), max_bytes=(max_mb << 20) + FORM_BYTES),
            answers={
                200: ResponseSpec(
                    "The answer was taken", TakenTurn, headers={"ETag": "the version"}
                ),
                202: ResponseSpec(
                    "The recording was taken and is being recognised",
                    UploadedAnswer,
                    headers={"Location": "its progress", "Retry-After": "seconds"},
                ),
            },
            errors=(*ANSWERING, NO_SUCH_SESSION, CONFLICT, STORE_UNAVAILABLE),
            once=once,
        ),
        Operation(
            method="GET",
            path="/api/sessions/{id}/answers/{number}",
            name="getAnswer",
            handler=look,
            summary="Show the progress of an uploaded answer",
            tags=TAGS,
            answers={200: ResponseSpec("The upload", UploadedAnswer)},
            errors=(NO_SUCH_SESSION, NO_SUCH_ANSWER, STORE_UNAVAILABLE),
        ),
    ]


async def _typed(
    service: InterviewService, request: Request, session_id: str, answer: TypedAnswer, audio: bool
) -> HttpReply:
    state = await service.written.state(session_id)
    check_version(state, answer.version)
    check_version(state, wanted_version(request))
    kept = _Kept(request)
    outcome = await service.submit(state, Given(answer.text), writes=kept.writes)
    return await _taken(service, outcome, audio)


async def _uploaded(
    service: InterviewService, request: Request, session_id: str, upload: Upload, audio: bool
) -> HttpReply:
    state = await service.written.state(session_id)
    check_version(state, wanted_version(request))
    await service.written.check_free(state)
    service.written.answered(state, Given(""))  # refuse early, before reading and decoding
    with await service.uploads.read(request.headers, _chunks(upload)) as body:
        recording = await service.uploads.decode(body)
    kept = _Kept(request)
    later = recording.duration_ms > AT_ONCE_MS
    accepted = UploadedAnswer(
        session_id=session_id,
        number=state.record.uploads + 1,
        question=state.begun.current_question,
        status="recognising",
        progress=0.0,
        duration_ms=recording.duration_ms,
        truncated=recording.truncated,
        lost_ms=recording.lost_ms,
    )
    location = f"/api/sessions/{session_id}/answers/{accepted.number}"
    reply = HttpReply(accepted, 202, {"location": location, "retry-after": "1"})
    job = await service.upload(
        state,
        recording,
        no_writes if later else kept.writes,
        *(kept.now(reply) if later else ()),
    )
    if later:
        return reply
    try:
        async with asyncio.timeout(WAIT_S):
            outcome = await job.result()
    except TimeoutError:
        kept.given = True
        return reply
    return await _taken(service, outcome, audio)


class _Kept:
    """The writes that store the reply under the request's idempotency key, if it has one."""

    def __init__(self, request: Request) -> None:
        self._claim = claim_of(request)
        self.given = False
        """The request has already been answered with 202."""

    def writes(self, submitted: Submitted) -> Sequence[Write]:
        """The write for an accepted answer. The new version is not known yet, and left out."""
        if self._claim is None or self.given:
            return ()
        return self.now(HttpReply(TakenTurn.after(SubmitOutcome(submitted), None)))

    def now(self, reply: HttpReply) -> Sequence[Write]:
        """The write for this reply."""
        return () if self._claim is None else (self._claim.write(reply),)


async def _taken(service: InterviewService, outcome: SubmitOutcome, audio: bool) -> HttpReply:
    version = outcome.submitted.state.version
    turn = TakenTurn.after(outcome, version)
    if audio:
        language = outcome.submitted.state.record.config.language
        await with_audio(service, turn, outcome.submitted.reply, language)
    return HttpReply(turn, 200, etag(version))


async def _chunks(upload: Upload) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(upload.file.read, READ_BYTES):
        yield chunk
