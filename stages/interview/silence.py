"""Lines to a candidate who is silent, and the meaning of the replies to them. Pure.

A line is remembered once there is an answer to it (`remember`): it is added to the interviewer's
last message. So the messages alone show, to `respond` and to later readers, that a "yes" accepted
an offer and answered no question.
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
"""The offer after the last question."""

_OFFERS = (OFFER, OFFER_TO_END)


def line(session: InterviewSession, times: int, variant: int) -> str:
    """The line for a silence, for the `times`-th time, from 1 on; "" for none."""
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
    """The interviewer's text without a line that was said into the silence after it."""
    found = next((line for line in (*PATIENT, *_OFFERS) if text.endswith(line)), "")
    return text.removesuffix(found).rstrip()


def meaning(messages: tuple[Message, ...], words: str) -> Meaning:
    """The meaning of `words` (see `hearing.spoken`) as a reply to the line that ends `messages`.

    If `messages` end in no such line, all words are an answer.
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
    """Whether the candidate last asked for time, even if the reply was cut off."""
    at = len(messages) - (1 if messages and messages[-1].role == "user" else 2)
    if at < 1 or messages[at].role != "user":
        return False
    return meaning(messages[:at], spoken(messages[at].content)) == "wait"
