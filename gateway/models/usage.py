"""How many tokens calls of models have taken: of each key, session and model. Pure.

Figures are of this process since it began. Each table has a bound: who came least recently is
forgotten.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from pipeline.token_usage import TokenUsage
from pipeline.token_usage import estimated_tokens as estimated_tokens
from stages.llm._usage import count
from stages.llm._usage import prompt_tokens as prompt_tokens
from stages.llm._usage import told_usage as told_usage

LONGEST_REPLY: Final = 1000
"""Tokens of a reply whose request says no bound, for as long as it is under way. Assumed value."""

MOST_KEPT: Final = 1000

CallUsage: TypeAlias = TokenUsage
"""The tokens of one call."""


def most_tokens(body: Mapping[str, Any]) -> int:
    """About how many tokens a call may take: the request, and each reply at its longest."""
    names = ("max_completion_tokens", "max_tokens")
    longest = next((n for name in names if (n := count(body.get(name)))), LONGEST_REPLY)
    return prompt_tokens(body) + (count(body.get("n")) or 1) * longest


@dataclass(slots=True)
class UsageTotal:
    """The sums of several calls; `estimated`: tokens whose number no server reported."""

    requests: int = 0
    prompt: int = 0
    completion: int = 0
    estimated: int = 0
    escalated: int = 0

    def add(self, usage: CallUsage, *, asked: bool, escalated: bool) -> None:
        """Add the tokens of a model's reply; `asked`: it is the first one of a client's request."""
        self.requests += asked
        self.prompt += usage.prompt
        self.completion += usage.completion
        self.estimated += usage.total if usage.estimated else 0
        self.escalated += escalated


class UsageLedger:
    """Counts calls. A session is one of a key's: the names of two keys' sessions may be alike."""

    def __init__(self, *, most_kept: int = MOST_KEPT) -> None:
        self._most_kept = most_kept
        self._keys: OrderedDict[str, UsageTotal] = OrderedDict()
        self._sessions: OrderedDict[tuple[str, str], UsageTotal] = OrderedDict()
        self._models: OrderedDict[str, UsageTotal] = OrderedDict()

    def add(
        self,
        key: str,
        session: str,
        model: str,
        usage: CallUsage,
        *,
        asked: bool = True,
        escalated: bool = False,
    ) -> None:
        """Count a model's reply, of a client's request in a session, or in none ("")."""
        totals = [self._of(self._keys, key), self._of(self._models, model)]
        if session:
            totals.append(self._of(self._sessions, (key, session)))
        for total in totals:
            total.add(usage, asked=asked or total is totals[1], escalated=escalated)

    def of_keys(self) -> Iterator[tuple[str, UsageTotal]]:
        """The totals of the keys that were used last, the latest first."""
        return iter(reversed(self._keys.items()))

    def of_sessions(self) -> Iterator[tuple[tuple[str, str], UsageTotal]]:
        """The totals of the sessions that were used last, by key and session, the latest first."""
        return iter(reversed(self._sessions.items()))

    def of_models(self) -> Iterator[tuple[str, UsageTotal]]:
        """The totals of the models that were used last, the latest first."""
        return iter(reversed(self._models.items()))

    def _of(self, table: OrderedDict[Any, UsageTotal], name: Any) -> UsageTotal:
        found = table.setdefault(name, UsageTotal())
        table.move_to_end(name)
        if len(table) > self._most_kept:
            table.popitem(last=False)
        return found
