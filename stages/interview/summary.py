"""The short text at the end of an interview: by the client contract, and to be spoken. Pure."""

from stages.interview.answers import answers_of
from stages.interview.evaluation import Evaluation
from stages.interview.feedback import LABELS, InterviewFeedback
from stages.interview.feedback_lines import feedback_lines
from stages.interview.model import InterviewSession
from stages.interview.report import Report

_THANKS = feedback_lines("en").thanks
"""The client contract's, which is English."""


def summary_of(
    session: InterviewSession,
    evaluation: Evaluation | None = None,
    feedback: InterviewFeedback | None = None,
    *,
    text: str | None = None,
) -> dict[str, str]:
    """The answer to `/api/v1/interviews/summary`: `{"summary": …}`.

    With the session alone it is the contract's template, word for word; its "Responses" counts
    answers. An evaluation, its feedback and a `text` (such as a model's) come before the thanks.
    """
    config = session.config
    parts = [
        "Interview Complete!",
        f"Role: {config.role}\nQuestions: {config.total_questions}\n"
        f"Responses: {len(answers_of(session))}",
    ]
    if text:
        parts.append(text)
    if evaluation is not None and evaluation.overall is not None:
        skills = "\n".join(f"{LABELS[s.criterion]}: {s.value} of 100" for s in evaluation.skills)
        parts.append(f"Overall: {evaluation.overall} of 100 ({evaluation.source})\n{skills}")
    if feedback is not None:
        told = feedback.overall
        lines = (*told.strengths, *told.improvements, told.next_step)
        parts.append("\n".join(line for line in lines if line))
    return {"summary": "\n\n".join((*parts, _THANKS))}


def spoken_summary(report: Report) -> str:
    """A few sentences about a report, to be spoken in its language."""
    told, phrases = report.feedback, feedback_lines(report.language)
    answered = phrases.answered_one if report.answered == 1 else phrases.answered
    lines = [answered.format(report.questions, report.answered)]
    if report.overall is not None:
        lines.append(phrases.overall.format(report.overall))
        if report.source == "heuristic":
            lines.append(phrases.rough)
    lines += [*told.strengths[:2], *told.improvements[:2], told.next_step]
    return " ".join(line for line in (*lines, phrases.thanks) if line)
