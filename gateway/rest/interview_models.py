"""The request and response bodies of the endpoints of written interviews."""

import base64
import logging
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, RootModel

from gateway.interviews.answer_jobs import AnswerRecord, Status
from gateway.interviews.kept_reports import evaluation_json
from gateway.interviews.service import InterviewService
from gateway.interviews.speech_files import SoundFile
from gateway.interviews.state import AskedQuestion, InterviewState, SubmitOutcome, question_of
from gateway.interviews.transcripts import Via
from gateway.rest.reading import Body, Query
from gateway.rest.session_models import Progress
from pipeline.errors import PipelineError
from stages.interview.answers import MAX_ANSWER

logger = logging.getLogger("parley.rest")

Version = Annotated[
    int | None,
    Field(description="the session's; null in a repeated response to an idempotency key"),
]


class WithAudio(Query):
    """Whether the response is to contain the words as audio, too."""

    audio: Annotated[bool, Field(description="add the words as a WAV file, in base64")] = False


class ReportQuery(WithAudio):
    """The report's format; without it the Accept header decides."""

    format: Annotated[
        Literal["json", "markdown", "html"] | None, Field(description="instead of Accept")
    ] = None


async def with_audio(
    service: InterviewService, spoken: "Turn | Summary", text: str, language: str
) -> None:
    """Add the text as audio. A failed synthesis does not fail the request."""
    try:
        spoken.audio = Audio.of(await service.speech_files.speak(text, language))
    except PipelineError as error:
        logger.warning("nothing was spoken: %s", error)
        spoken.audio_problem = "No synthesizer could speak it"


class TypedAnswer(Body):
    """An answer in writing."""

    text: Annotated[str, Field(min_length=1, max_length=MAX_ANSWER)]
    version: Annotated[
        int | None, Field(ge=0, description="refuse if the session has another version")
    ] = None


class ShownQuestion(BaseModel):
    """The question that waits. `said` is the interviewer's whole message, with its first words."""

    number: int
    text: str
    said: str
    follow_up: bool

    @classmethod
    def of(cls, question: AskedQuestion | None) -> "ShownQuestion | None":
        """The question for a response."""
        if question is None:
            return None
        return cls(
            number=question.number,
            text=question.text,
            said=question.said,
            follow_up=question.follow_up,
        )


class Audio(BaseModel):
    """A sound file: 16-bit mono WAV."""

    content_type: Literal["audio/wav"] = "audio/wav"
    rate_hz: int
    duration_ms: int
    provider: str
    base64: Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})]

    @classmethod
    def of(cls, file: SoundFile) -> "Audio":
        """The file for a response."""
        return cls(
            rate_hz=file.rate_hz,
            duration_ms=file.duration_ms,
            provider=file.provider,
            base64=base64.b64encode(file.wav).decode(),
        )


Sound = Annotated[Audio | None, Field(description="the words as audio, if requested")]
SoundProblem = Annotated[str | None, Field(description="why there is no audio")]


class Turn(BaseModel):
    """The state of an interview. `question` is null if the interview is over."""

    # Clients are generated from /openapi.json, where this schema has the name of the class.

    session_id: str
    version: Version
    question: ShownQuestion | None
    interview: Progress
    audio: Sound = None
    audio_problem: SoundProblem = None

    @classmethod
    def of(cls, state: InterviewState, version: int | None = None) -> "Turn":
        """The state of a session's interview."""
        return cls(
            session_id=state.record.id,
            version=version,
            question=ShownQuestion.of(question_of(state)),
            interview=Progress(**state.begun.state()),
        )


class TakenAnswer(BaseModel):
    """An accepted answer. `question` is the number of the question that it answers.

    `counted` is false if the words were no answer but, say, a request to repeat the question.
    `truncated` says that the end of the recording was missing, `lost_ms` how much of it before its
    end could not be read and is not in `duration_ms`. `language`, `confidence`, `duration_ms`,
    `truncated`, `lost_ms`, `recogniser` and `quality` are null if it was typed.
    """

    question: int
    text: str
    via: Via
    counted: bool
    language: str | None
    confidence: float | None
    duration_ms: int | None
    truncated: bool | None
    lost_ms: int | None
    recogniser: str | None
    quality: Annotated[
        str | None, Field(description="demo: about every fourth word is wrong, nothing is scored")
    ]


class TakenTurn(Turn):
    """The outcome of an answer: the interviewer's reply, and the question that waits now.

    `evaluation` is there in sessions that evaluate each answer, with the form that it has in a
    report.
    """

    answer: TakenAnswer
    intent: str
    reply: str
    evaluation: dict[str, Any] | None = None

    @classmethod
    def after(cls, outcome: SubmitOutcome, version: int | None) -> "TakenTurn":
        """The state after an accepted answer."""
        submitted = outcome.submitted
        given = submitted.given
        speech = given.speech
        recognition = None if speech is None else speech.recognition
        evaluation = outcome.evaluation
        answer = TakenAnswer(
            question=submitted.number,
            text=given.text,
            via=given.via,
            counted=submitted.counted,
            language=None if recognition is None else recognition.language,
            confidence=None if recognition is None else recognition.confidence,
            duration_ms=None if speech is None else round(speech.duration_ms or 0),
            truncated=None if speech is None else given.truncated,
            lost_ms=None if speech is None else given.lost_ms,
            recogniser=None if recognition is None else recognition.provider,
            quality=None if recognition is None else recognition.quality,
        )
        return cls(
            session_id=submitted.state.record.id,
            version=version,
            question=ShownQuestion.of(question_of(submitted.state)),
            interview=Progress(**submitted.state.begun.state()),
            answer=answer,
            intent=submitted.intent,
            reply=submitted.reply,
            evaluation=None if evaluation is None else evaluation_json(evaluation),
        )


class UploadedAnswer(BaseModel):
    """An uploaded answer and its progress. The recognised words are null until it is accepted.

    `code` and `reason` say why it failed; its question still waits then.
    """

    session_id: str
    number: Annotated[int, Field(description="counts the session's uploads from 1")]
    question: int
    status: Status
    progress: Annotated[float, Field(ge=0, le=1)]
    duration_ms: int
    truncated: bool | None = None
    lost_ms: int | None = None
    text: str | None = None
    language: str | None = None
    confidence: float | None = None
    recogniser: str | None = None
    quality: str | None = None
    counted: bool | None = None
    code: str | None = None
    reason: str | None = None

    @classmethod
    def of(cls, session_id: str, record: AnswerRecord, progress: float) -> "UploadedAnswer":
        """The upload for a response."""
        return cls(
            session_id=session_id,
            progress=round(progress, 3),
            recogniser=record.provider,
            **record.model_dump(exclude={"worker", "provider"}),
        )


class EvaluationBody(RootModel[dict[str, Any]]):
    """All answers with their scores and feedback, as in a report, without the transcript."""


class ReportBody(RootModel[dict[str, Any]]):
    """A report, with a short spoken form of it in `summary`."""


class Summary(BaseModel):
    """A few sentences about an interview, to be spoken."""

    text: str
    audio: Sound = None
    audio_problem: SoundProblem = None


class Ended(BaseModel):
    """An interview that is over, and its report."""

    session_id: str
    version: Version
    interview: Progress
    summary: Summary
    report: ReportBody
