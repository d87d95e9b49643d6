"""Drafts of the events of an interview's steps, which are committed with the steps. Pure."""

from typing import Any

from gateway.events.event import EventDraft
from gateway.interviews.transcripts import Via
from stages.interview import InterviewSession


def answer_accepted(number: int, via: Via, after: InterviewSession) -> EventDraft:
    """An answer to the question `number` was accepted; `after` is the interview after it."""
    return EventDraft("answer.accepted", {"question": number, "via": via, **_progress(after)})


def interview_completed(after: InterviewSession) -> EventDraft:
    """The interview is over."""
    return EventDraft("interview.completed", _progress(after))


def report_ready(answers: int) -> EventDraft:
    """A report of `answers` answers was stored."""
    return EventDraft("report.ready", {"answers": answers})


def _progress(interview: InterviewSession) -> dict[str, Any]:
    return {
        "current_question": interview.current_question,
        "total_questions": interview.config.total_questions,
        "complete": interview.is_complete,
    }
