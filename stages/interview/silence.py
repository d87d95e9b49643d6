"""What is said to a candidate who says nothing, and what the answer to that means. Pure.

A line is remembered, as the end of what the interviewer said last, only once there is an answer to
it (`remember`). So the messages alone tell, to `respond` and to whoever reads the interview later,
that a "yes" took up an offer and answered no question.
"""

from dataclasses import replace
from typing import Literal

from pipeline.stage import Message
from stages.interview.hearing import agrees, refuses, spoken, thanks, wants_time
from stages.interview.model import InterviewSession

Meaning = Literal["wait", "skip", "answer"]

PATIENT = (
    "Take your time.",
    "Take your time, there is no hurry.",
    "Please take all the time that you need.",
)
OFFER = "Shall we move on to the next question?"
OFFER_TO_END = "This was the last question. Shall we leave it at that?"
"""The offer where no further question would follow."""

_OFFERS = (OFFER, OFFER_TO_END)


def line(session: InterviewSession, times: int, variant: int) -> str:
    """What to say in a silence for the `times`-th time, from 1 on; "" for nothing."""
    if times == 1:
        return PATIENT[variant % len(PATIENT)]
    if times == 2:
        last = session.current_question == session.config.total_questions
        return OFFER_TO_END if last else OFFER
    return ""


def remember(session: InterviewSession, line: str) -> InterviewSession:
    """The session in which the candidate has heard the line, and now answers it."""
    messages = session.messages
    if messages and messages[-1].role == "assistant":
        messages, line = messages[:-1], f"{messages[-1].content} {line}"
    return replace(session, messages=(*messages, Message("assistant", line)))


def without_line(text: str) -> str:
    """What the interviewer said before the silence."""
    found = next((line for line in (*PATIENT, *_OFFERS) if text.endswith(line)), "")
    return text.removesuffix(found).rstrip()


def meaning(messages: tuple[Message, ...], words: str) -> Meaning:
    """What `words` (see `hearing.spoken`), said after `messages`, mean to the line they end in.

    Where they end in none, everything is an answer.
    """
    said = messages[-1].content if messages and messages[-1].role == "assistant" else ""
    if said.endswith(_OFFERS):
        if wants_time(words) or refuses(words):
            return "wait"
        return "skip" if agrees(words) else "answer"
    if said.endswith(PATIENT) and (wants_time(words) or thanks(words)):
        return "wait"
    return "answer"


def waiting(messages: tuple[Message, ...]) -> bool:
    """Whether the candidate last asked for time; what was heard of the reply does not matter."""
    at = len(messages) - (1 if messages and messages[-1].role == "user" else 2)
    if at < 1 or messages[at].role != "user":
        return False
    return meaning(messages[:at], spoken(messages[at].content)) == "wait"
