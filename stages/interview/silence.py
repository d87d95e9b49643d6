"""Lines to a candidate who is silent, and the meaning of the replies to them. Pure.

A line is remembered once there is an answer to it (`remember`): it is added to the interviewer's
last message. So the messages alone show, to `respond` and to later readers, that a "yes" accepted
an offer and answered no question.
"""

from dataclasses import replace
from functools import cache
from typing import Literal

from pipeline.stage import Message
from stages.interview.hearing import agrees, refuses, spoken, thanks, wants_time
from stages.interview.lines import LANGUAGES, lines_for
from stages.interview.model import InterviewSession

Meaning = Literal["wait", "skip", "answer"]


def line(session: InterviewSession, times: int, variant: int) -> str:
    """The line for a silence, for the `times`-th time, from 1 on; "" for none."""
    lines = session.config.lines
    if times == 1:
        return lines.patient[variant % len(lines.patient)]
    if times == 2:
        last = session.current_question == session.config.total_questions
        return lines.offer_to_end if last else lines.offer
    return ""


def remember(session: InterviewSession, line: str) -> InterviewSession:
    """The session in which the candidate has heard the line, and now answers it."""
    messages = session.messages
    if messages and messages[-1].role == "assistant":
        messages, line = messages[:-1], f"{messages[-1].content} {line}"
    return replace(session, messages=(*messages, Message("assistant", line)))


def without_line(text: str) -> str:
    """The interviewer's text without a line that was said into the silence after it."""
    found = next((line for line in _all() if text.endswith(line)), "")
    return text.removesuffix(found).rstrip()


@cache
def _all() -> tuple[str, ...]:
    known = map(lines_for, LANGUAGES)
    return tuple(line for lines in known for line in (*lines.patient, *lines.offers))


def meaning(messages: tuple[Message, ...], words: str, language: str) -> Meaning:
    """The meaning of `words` (see `hearing.spoken`) as a reply to the line that ends `messages`.

    If `messages` end in no such line, all words are an answer.
    """
    said = messages[-1].content if messages and messages[-1].role == "assistant" else ""
    lines = lines_for(language)
    if said.endswith(lines.offers):
        if wants_time(words, language) or refuses(words, language):
            return "wait"
        return "skip" if agrees(words, language) else "answer"
    if said.endswith(lines.patient) and (wants_time(words, language) or thanks(words, language)):
        return "wait"
    return "answer"


def waiting(messages: tuple[Message, ...], language: str) -> bool:
    """Whether the candidate last asked for time, even if the reply was cut off."""
    at = len(messages) - (1 if messages and messages[-1].role == "user" else 2)
    if at < 1 or messages[at].role != "user":
        return False
    return meaning(messages[:at], spoken(messages[at].content), language) == "wait"
