"""The interview: its questions, its rules and its state. Pure; the same for voice and text.

`start` opens an interview, `respond` answers the candidate, `prompt` gives a line for a candidate
who is silent, and `heard` corrects the last message after an interruption. Each step gives a new
`InterviewSession`; nothing is changed in place.

Afterwards `answers_of` finds the answers, `evaluate` scores them, `give_feedback` turns scores into
advice, `make_report` combines all of it, and `summary_of` shortens it. A `Judge` asks a chat model
for scores, feedback and summary instead.
"""

from stages.interview.answers import AnswerSpeech, InterviewAnswer, RecognitionSource, answers_of
from stages.interview.bank import RoleBank, bank_for, roles
from stages.interview.delivery import Delivery, delivery_of
from stages.interview.errors import (
    InterviewError,
    InvalidCount,
    InvalidReport,
    InvalidSession,
    UnknownLanguage,
    UnknownRole,
)
from stages.interview.evaluation import AnswerEvaluation, Evaluation, Score, evaluate
from stages.interview.feedback import Feedback, InterviewFeedback, give_feedback
from stages.interview.judge import Judge
from stages.interview.lines import LANGUAGES
from stages.interview.model import InterviewConfig, InterviewSession
from stages.interview.report import Report, ReportLine, make_report
from stages.interview.summary import spoken_summary, summary_of
from stages.interview.transitions import (
    Intent,
    Step,
    expire,
    heard,
    prompt,
    prompted,
    respond,
    resume,
    start,
)

__all__ = [
    "LANGUAGES",
    "AnswerEvaluation",
    "AnswerSpeech",
    "Delivery",
    "Evaluation",
    "Feedback",
    "Intent",
    "InterviewAnswer",
    "InterviewConfig",
    "InterviewError",
    "InterviewFeedback",
    "InterviewSession",
    "InvalidCount",
    "InvalidReport",
    "InvalidSession",
    "Judge",
    "RecognitionSource",
    "Report",
    "ReportLine",
    "RoleBank",
    "Score",
    "Step",
    "UnknownLanguage",
    "UnknownRole",
    "answers_of",
    "bank_for",
    "delivery_of",
    "evaluate",
    "expire",
    "give_feedback",
    "heard",
    "make_report",
    "prompt",
    "prompted",
    "respond",
    "resume",
    "roles",
    "spoken_summary",
    "start",
    "summary_of",
]
