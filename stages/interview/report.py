"""The report of an interview as one value: everything that its JSON, Markdown and page show. Pure.

`from_json` is the inverse of `to_json`, so a stored report can be shown in any form later. Its text
is unescaped words of people: every renderer must escape it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel, to_snake

from stages.interview.answers import InterviewAnswer, RecognitionSource
from stages.interview.bank import is_follow_up
from stages.interview.errors import InvalidReport
from stages.interview.evaluation import HEURISTIC, AnswerEvaluation, Evaluation, Score
from stages.interview.feedback import Feedback, InterviewFeedback, give_feedback
from stages.interview.feedback_lines import feedback_lines
from stages.interview.lines import LANGUAGES
from stages.interview.model import InterviewSession

MAX_NAME = 120
MAX_LINES = 400
MAX_LINE = 20_000

_BEGIN = "Please start the interview."
_ENDS = (".", "?", "!", "…", '"', "”", ")", ":")
"""How a line ends that was not cut off."""


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One line of the conversation as it was heard; its recogniser if it was spoken.

    `interrupted`: the interviewer was cut off after these words.
    """

    speaker: Literal["interviewer", "candidate"]
    text: str
    recognition: RecognitionSource | None = None
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """One question with its answer, scores and feedback."""

    number: int
    question: str
    topic: str
    answer: str
    follow_up: bool
    recognition: RecognitionSource | None
    latency_ms: int | None
    evaluation: AnswerEvaluation
    feedback: Feedback


@dataclass(frozen=True, slots=True)
class Report:
    """An interview's report. `created` is its time, for the reader (RFC 3339, UTC).

    `questions` were planned, `answered` were answered or skipped, `scored` have scores. `notes` are
    sentences about how far to trust the report. `language` is the code of the interview's.
    """

    role: str
    model: str
    questions: int
    answered: int
    scored: int
    complete: bool
    overall: int | None
    skills: tuple[Score, ...]
    feedback: Feedback
    items: tuple[Item, ...]
    transcript: tuple[ReportLine, ...]
    source: str
    method: str
    notes: tuple[str, ...] = ()
    candidate: str | None = None
    session_id: str | None = None
    created: str | None = None
    language: str = LANGUAGES[0]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON, with names like `pauseCount`; no number in it is NaN."""
        named: dict[str, Any] = _renamed(asdict(self), to_camel)
        return named

    @classmethod
    def from_json(cls, obj: object) -> "Report":
        """Read the JSON of `to_json`; unknown keys are ignored. Raises `InvalidReport`."""
        try:
            return _REPORTS.validate_python(_renamed(obj, to_snake))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "report"
            raise InvalidReport(where, first["msg"]) from None


def make_report(
    session: InterviewSession,
    answers: Sequence[InterviewAnswer],
    evaluation: Evaluation,
    feedback: InterviewFeedback | None = None,
    *,
    transcript: Sequence[ReportLine] | None = None,
    notes: Sequence[str] = (),
    candidate: str | None = None,
    session_id: str | None = None,
    created: str | None = None,
) -> Report:
    """Make a report from its parts.

    `feedback` is the offline one by default, `transcript` is `transcript_of` the session.
    `evaluation` and `feedback` have one entry for each of `answers`.
    """
    bank = session.config.bank
    if feedback is None:
        feedback = give_feedback(session.config.role, answers, evaluation)
    items = []
    for answer, found, told in zip(answers, evaluation.answers, feedback.answers, strict=True):
        own = bank.question((answer.prompt_id or "").partition("/")[0])
        items.append(
            Item(
                number=found.number,
                question=answer.question,
                topic="" if own is None else own.topic,
                answer=answer.text,
                follow_up=answer.prompt_id is not None and is_follow_up(answer.prompt_id),
                recognition=answer.recognition,
                latency_ms=None if answer.latency_ms is None else round(answer.latency_ms),
                evaluation=found,
                feedback=told,
            )
        )
    lines = transcript_of(session, answers) if transcript is None else transcript[:MAX_LINES]
    return Report(
        role=session.config.role,
        model=session.config.model,
        questions=session.config.total_questions,
        answered=len(answers),
        scored=sum(found.overall is not None for found in evaluation.answers),
        complete=session.is_complete,
        overall=evaluation.overall,
        skills=evaluation.skills,
        feedback=feedback.overall,
        items=tuple(items),
        transcript=tuple(lines),
        source=evaluation.source,
        method=evaluation.method,
        notes=(*notes, *_notes(answers, evaluation, feedback, session.config.language)),
        candidate=None if candidate is None else " ".join(candidate.split())[:MAX_NAME] or None,
        session_id=session_id,
        created=created,
        language=session.config.language,
    )


def transcript_of(
    session: InterviewSession, answers: Sequence[InterviewAnswer] = ()
) -> tuple[ReportLine, ...]:
    """The conversation from the session's messages, which hold only words that were heard.

    `answers` have the recognition of the candidate's words.
    """
    heard = {answer.text: answer.recognition for answer in answers}
    lines = []
    for message in session.messages[:MAX_LINES]:
        text = " ".join(message.content[:MAX_LINE].split())
        if message.role == "system" or (message.role == "user" and text == _BEGIN):
            continue
        if message.role == "assistant":
            cut = not text.endswith(_ENDS)
            lines.append(ReportLine("interviewer", text, interrupted=cut))
        else:
            lines.append(ReportLine("candidate", text, _recognition_of(text, heard)))
    return tuple(lines)


def _recognition_of(
    text: str, heard: Mapping[str, RecognitionSource | None]
) -> RecognitionSource | None:
    """The recognition of the answer to which a line belongs."""
    if text in heard:
        return heard[text]
    return next((by for answer, by in heard.items() if text in answer), None)


def _notes(
    answers: Sequence[InterviewAnswer],
    evaluation: Evaluation,
    feedback: InterviewFeedback,
    language: str,
) -> Iterable[str]:
    lines = feedback_lines(language)
    joined = lines.joins[0].join
    recognisers = dict.fromkeys(a.recognition.provider for a in answers if a.recognition)
    demo = dict.fromkeys(
        a.recognition.provider
        for a in answers
        if a.recognition is not None and a.recognition.quality == "demo"
    )
    if recognisers:
        yield lines.notes["recognisers"].format(joined(recognisers))
    if demo:
        yield lines.notes["demo"].format(joined(demo))
    asked_in_vain = dict.fromkeys(
        source
        for source in (
            *(found.source for found in evaluation.answers),
            feedback.overall.source,
            *(told.source for told in feedback.answers),
        )
        if source != HEURISTIC and not source.startswith("model:")
    )
    yield from (lines.notes["source"].format(source) for source in asked_in_vain)


def cut_note(number: int, language: str) -> str:
    """A sentence about an uploaded answer whose end is missing."""
    return feedback_lines(language).notes["cut"].format(number)


def lost_note(number: int, lost_ms: int, language: str) -> str:
    """A sentence about an uploaded answer of which a part before its end could not be read."""
    seconds = -(-lost_ms // 1000)
    return feedback_lines(language).notes["lost"].format(number, seconds)


_REPORTS = TypeAdapter(Report)

_DEEPEST = 12


def _renamed(value: Any, name: Callable[[str], str], depth: int = 0) -> Any:
    """JSON with its keys renamed, down to the depth of a report."""
    if depth > _DEEPEST:
        return value
    if isinstance(value, dict):
        return {name(str(key)): _renamed(v, name, depth + 1) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(v, name, depth + 1) for v in value]
    return value
