"""The interview: its questions, its rules and its state. Pure; the same for voice and text.

`start` opens an interview, `respond` answers what the candidate said, and `heard` corrects what an
interruption cut off. Each gives a new `InterviewSession`; nothing is changed in place.
"""

from stages.interview.bank import RoleBank, bank_for, roles
from stages.interview.errors import InterviewError, InvalidCount, InvalidSession, UnknownRole
from stages.interview.model import InterviewConfig, InterviewSession
from stages.interview.transitions import Intent, Step, heard, respond, resume, start

__all__ = [
    "Intent",
    "InterviewConfig",
    "InterviewError",
    "InterviewSession",
    "InvalidCount",
    "InvalidSession",
    "RoleBank",
    "Step",
    "UnknownRole",
    "bank_for",
    "heard",
    "respond",
    "resume",
    "roles",
    "start",
]
