"""Which model is asked, and whether its reply is good enough. Pure.

The cheap model is asked first. Its reply goes to the client unless it is refused, failed, or has
too little confidence: then the next model is asked, and a session stays with it.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gateway.models.usage import CallUsage
from gateway.services.model_specs import Models, ModelSpec

Reason = Literal["error", "refusal", "confidence"]
"""Why another model is asked."""

MOST_PINNED: Final = 10_000


@dataclass(frozen=True, slots=True)
class ReplyFacts:
    """The facts about a reply: `confidence` is 0 to 1, or None if there are no probabilities."""

    empty: bool = False
    failed: bool = False
    refused: bool = False
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class ModelReply:
    """The tokens of one model's reply, and why another one was asked after it."""

    model: str
    usage: CallUsage
    escalated: Reason | None = None


def judge(spec: ModelSpec, facts: ReplyFacts | None) -> Reason | None:
    """Why the next model is to be asked after this reply; None: it is good enough.

    `facts` None: there was no reply. The reply of a model without a next one is always good enough.
    """
    if not spec.escalate_to:
        return None
    if facts is None or facts.failed:
        return "error"
    if facts.refused:
        return "refusal"
    if facts.empty:
        return "error"
    if facts.confidence is not None and facts.confidence < spec.confidence:
        return "confidence"
    return None


def confidence_of(logprobs: Sequence[float]) -> float | None:
    """How sure a model was of a reply: the geometric mean of the probabilities of its tokens."""
    if not logprobs:
        return None
    return math.exp(min(0.0, math.fsum(logprobs) / len(logprobs)))


class Pins:
    """The model with which a client's session goes on; the least recently used are forgotten."""

    def __init__(self, *, most_kept: int = MOST_PINNED) -> None:
        self._most_kept = most_kept
        self._kept: OrderedDict[tuple[str, str, str], str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def first(self, models: Models, client: str, session: str, asked: str) -> ModelSpec | None:
        """The model to ask first; None if there is no model of the name that is `asked` for.

        A session's pin counts only while `asked` still leads to the pinned model.
        """
        spec = models.find(asked)
        pinned = self._kept.get((client, session, asked)) if session else None
        following = spec
        while pinned is not None and following is not None:
            if following.name == pinned:
                return following
            following = models.find(following.escalate_to)
        return spec

    def pin(self, client: str, session: str, asked: str, answered: str) -> None:
        """Let a session, if there is one, go on with the model that has answered."""
        if not session:
            return
        key = client, session, asked
        self._kept[key] = answered
        self._kept.move_to_end(key)
        if len(self._kept) > self._most_kept:
            self._kept.popitem(last=False)
