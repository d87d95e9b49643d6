"""What somebody else says in the interviewer's place, and what of it is kept. Pure.

The interview's own rules say which answer counts, which question is due and when it is over; who
words the turn, a service or a chat model, decides only what it sounds like. So an interview that
several of them have led still has N questions and ends.
"""

import re
from dataclasses import dataclass, replace

from pipeline.stage import Message
from stages.interview import InterviewSession, Step, bank_for

MAX_SAID = 4_000
"""Characters of one turn of an interviewer; nobody reads more, and a voice takes minutes for it."""

MAX_LEAD = 400
"""Characters of what comes before a question."""

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
    """A turn that waits for words. `step` is what the scripted interviewer makes of it.

    `before` and `message` are None where the interview begins.
    """

    step: Step
    before: InterviewSession | None = None
    message: str | None = None


class Unusable(Exception):
    """What was said cannot be an interviewer's turn; the text says why."""


def cleaned(text: str, limit: int = MAX_SAID) -> str:
    """Text fit to be shown: no control characters, no half characters, no empty lines.

    Raises `Unusable` for what has no words or is longer than `limit`.
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
    """Whether the candidate is asked something, or told that a question will come."""
    return _ASKING.search(text) is not None


def closes(text: str) -> bool:
    """Whether this ends an interview: it has a closing phrase and asks nothing more.

    >>> closes("Thank you, that concludes our interview.")
    True
    >>> closes("Thank you for your answer. Moving to next question.")
    False
    """
    return _CLOSING.search(text) is not None and not asks(text)


def by_service(turn: StatelessTurn, text: str) -> InterviewSession:
    """The session after a turn worded by a service that leads interviews, with its own questions.

    Where a question is due and none was asked, ours is added; a closing message ends the interview
    early; after the last answer nothing is asked any more. Raises `Unusable`.
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
    """The session after a turn worded by a chat model, which was told what to ask.

    A model that has put it into its own words keeps its lead, and the question is ours: so the next
    turn, wherever it is made, finds in the messages what was asked. Raises `Unusable`.
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
    """A session that `start` has opened, with another system prompt. Raises `Unusable`."""
    prompt = Message("system", cleaned(system, 4 * MAX_SAID))
    return replace(session, messages=(prompt, *session.messages[1:]))


def _only_announces(text: str) -> bool:
    """Whether it ends in the contract's own fallback line: a question is told of, and none put."""
    return re.search(r"\bnext question[.! ]*$", text, re.IGNORECASE) is not None


def _lead(text: str) -> str:
    """The sentences before the first that asks something."""
    kept: list[str] = []
    for sentence in _SENTENCE.findall(text):
        if asks(sentence) or sum(map(len, kept)) + len(sentence) > MAX_LEAD:
            break
        kept.append(sentence)
    return "".join(kept).strip()


def _said(session: InterviewSession, text: str) -> InterviewSession:
    return replace(session, messages=(*session.messages[:-1], Message("assistant", text)))
