"""Turns worded by a service or chat model, and what is kept of their text. Pure.

The interview's own rules decide which answer counts, which question is due and when the interview
is over; a service or a chat model decides only the wording. So an interview that was worded by
several of them still has N questions and an end.
"""

import re
from dataclasses import dataclass, replace

from pipeline.stage import Message
from stages.interview import InterviewSession, Step, bank_for

MAX_SAID = 4_000
"""The most characters of an interviewer's turn: some minutes of speech."""

MAX_LEAD = 400
"""The most characters before a question."""

_PAIR = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n[ \n]*")
_SENTENCE = re.compile(r"[^.!?…\n]*(?:[.!?…]+[\"'”’)]*|\n|$)\s*")

_REQUEST = (
    r"(?:tell|describe|explain|walk|give|share|talk|discuss|outline|summari[sz]e|imagine|suppose|"
    r"consider|compare|pick|choose|elaborate|introduce)"
)
_ASKING = re.compile(
    rf"[?？]|(?:^|[.!:;,–—\n]\s*|\b(?:please|so|then|now|next|and|first|finally)[,:]?\s+){_REQUEST}\b"
    r"|\b(?:could|can|would|will) you\b|\bi(?:'d|’d| would) (?:like|love) you to\b"
    r"|\b(?:like|love|want|curious) to (?:ask|hear|know|learn|understand|explore)\b"
    r"|\bquestion (?:number )?\d|\bnext (?:question|one|topic)\b"
    r"|\bmov(?:e|ing) (?:on|to|ahead)\b|\bgo(?:ing)? on\b|\bcontinu(?:e|ing)\b",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"\bthank you\b|\bconclude[sd]?\b|\bend of (?:the |this |our |your )?interview\b"
    r"|\binterview is (?:now )?(?:over|complete|finished)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class StatelessTurn:
    """A turn to be worded. `step` is the scripted interviewer's version of it.

    `before` and `message` are None for the first turn.
    """

    step: Step
    before: InterviewSession | None = None
    message: str | None = None


class Unusable(Exception):
    """A text cannot be used as an interviewer's turn; the message says why."""


def cleaned(text: str, limit: int = MAX_SAID) -> str:
    """Text fit to be shown: without control characters, lone surrogates and empty lines.

    Raises `Unusable` for text without words or longer than `limit` characters.
    """
    if len(text) > 2 * limit:  # not worth cleaning
        raise Unusable(f"a text of more than {limit} characters")
    kept = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    kept = _LINES.sub("\n", _PAIR.sub(" ", kept)).strip()
    if not any(map(str.isalnum, kept)):
        raise Unusable("a text without words")
    if len(kept) > limit:
        raise Unusable(f"a text of more than {limit} characters")
    return kept


def asks(text: str) -> bool:
    """Whether the text asks the candidate something, or announces a question."""
    return _ASKING.search(text) is not None


def closes(text: str) -> bool:
    """Whether the text ends an interview: it has a closing phrase and asks nothing more.

    >>> closes("Thank you, that concludes our interview.")
    True
    >>> closes("Thank you for your answer. Moving to next question.")
    False
    """
    return _CLOSING.search(text) is not None and not asks(text)


def by_service(turn: StatelessTurn, text: str) -> InterviewSession:
    """The session after a turn worded by a service, which asks its own questions.

    If a question is due and the text asks none, the interview's own is added; a closing message
    ends the interview early; after the last answer a text that asks is replaced. Raises `Unusable`.
    """
    text = cleaned(text)
    step = turn.step
    if step.intent == "close":
        return step.session if asks(text) else _said(step.session, text)
    if step.intent == "wait":
        return _said(step.session, text)
    going_on = step.intent in ("ask", "follow_up", "skip")
    if going_on and turn.before is not None and closes(text):
        over = replace(
            step.session,
            current_question=turn.before.current_question,
            asked=turn.before.asked,
            is_complete=True,
        )
        return _said(over, text)
    if not asks(text) or _only_announces(text):
        text = f"{text} {step.say[-1]}"
    return _said(step.session, text)


def by_model(turn: StatelessTurn, text: str) -> InterviewSession:
    """The session after a turn worded by a chat model, whose prompt named the question.

    If the model has reworded the question, its sentences before the question are kept and the
    interview's own question follows: so the next turn finds the question in the messages, whichever
    process makes that turn. Raises `Unusable`.
    """
    text = cleaned(text)
    step = turn.step
    if step.intent in ("close", "closed"):
        return step.session if asks(text) else _said(step.session, text)
    if step.intent == "wait":
        return step.session if "?" in text else _said(step.session, text)
    question = step.say[-1]
    due = step.session.asked[-1:]
    if due and due == bank_for(step.session.config.role).asked_in([text]):
        return _said(step.session, text)
    lead = _lead(text) or " ".join(step.say[:-1])
    return _said(step.session, f"{lead} {question}")


def opened_by(session: InterviewSession, system: str) -> InterviewSession:
    """A session from `start` with another system prompt. Raises `Unusable`."""
    prompt = Message("system", cleaned(system, 4 * MAX_SAID))
    return replace(session, messages=(prompt, *session.messages[1:]))


def _only_announces(text: str) -> bool:
    """Whether the text ends in the contract's fallback line, which announces a question only."""
    return re.search(r"\bnext question[.! ]*$", text, re.IGNORECASE) is not None


def _lead(text: str) -> str:
    """The sentences before the first one that asks something."""
    kept: list[str] = []
    for sentence in _SENTENCE.findall(text):
        if asks(sentence) or sum(map(len, kept)) + len(sentence) > MAX_LEAD:
            break
        kept.append(sentence)
    return "".join(kept).strip()


def _said(session: InterviewSession, text: str) -> InterviewSession:
    return replace(session, messages=(*session.messages[:-1], Message("assistant", text)))
