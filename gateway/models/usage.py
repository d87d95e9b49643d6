"""How many tokens calls of models have taken: of each key, session and model. Pure.

Figures are of this process since it began. Each table has a bound: who came least recently is
forgotten.
"""

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

CHARACTERS_A_TOKEN: Final = 4
"""Of English in the usual vocabularies, about. Assumed value, used where a server tells nothing."""

LONGEST_REPLY: Final = 1000
"""Tokens of a reply whose request says no bound, for as long as it is under way. Assumed value."""

MOST_KEPT: Final = 1000
LONGEST_TOLD: Final = 10_000_000
"""More tokens than this are no figure of one call."""


@dataclass(frozen=True, slots=True)
class CallUsage:
    """The tokens of one call. `estimated`: the server has not told them."""

    prompt: int = 0
    completion: int = 0
    estimated: bool = False

    @property
    def total(self) -> int:
        return self.prompt + self.completion


def told_usage(value: Any) -> CallUsage | None:
    """The `usage` of a completion, None where it tells nothing that can be one."""
    if not isinstance(value, dict):
        return None
    prompt, completion = (
        _count(value.get(name)) for name in ("prompt_tokens", "completion_tokens")
    )
    if prompt is None or completion is None:
        return None
    return CallUsage(prompt, completion)


def _count(value: Any) -> int | None:
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LONGEST_TOLD
    return value if good else None


def estimated_tokens(characters: int) -> int:
    """About so many tokens has a text of this length; at least 1, where there is one."""
    return -(-characters // CHARACTERS_A_TOKEN)


def prompt_tokens(body: Mapping[str, Any]) -> int:
    """About how many tokens a request has: its messages and its tools, at least 1."""
    texts = [_text_of(message) for message in body.get("messages") or ()]
    tools = body.get("tools")
    characters = sum(map(len, texts)) + (len(json.dumps(tools)) if tools else 0)
    return max(1, estimated_tokens(characters))


def most_tokens(body: Mapping[str, Any]) -> int:
    """About how many tokens a call may take: the request, and each reply at its longest."""
    names = ("max_completion_tokens", "max_tokens")
    longest = next((n for name in names if (n := _count(body.get(name)))), LONGEST_REPLY)
    return prompt_tokens(body) + (_count(body.get("n")) or 1) * longest


def _text_of(message: Any) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):  # pictures and sounds are not told by the length of their data
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


@dataclass(slots=True)
class UsageTotal:
    """What calls have taken together; `estimated` are those of its tokens that nobody has told."""

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
        """Those that came last, the last one first."""
        return iter(reversed(self._keys.items()))

    def of_sessions(self) -> Iterator[tuple[tuple[str, str], UsageTotal]]:
        """Those that came last, each with its key, the last one first."""
        return iter(reversed(self._sessions.items()))

    def of_models(self) -> Iterator[tuple[str, UsageTotal]]:
        """Those that were asked, the last one first."""
        return iter(reversed(self._models.items()))

    def _of(self, table: OrderedDict[Any, UsageTotal], name: Any) -> UsageTotal:
        found = table.setdefault(name, UsageTotal())
        table.move_to_end(name)
        if len(table) > self._most_kept:
            table.popitem(last=False)
        return found
