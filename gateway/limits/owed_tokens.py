"""Tokens of calls that could not be counted yet. Pure."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.limits.token_quotas import TokenQuota

MOST_OWED: Final = 10_000
"""Calls; some 3 MB."""


@dataclass(frozen=True, slots=True)
class OwedTokens:
    """The tokens of one call, by an id of its own, in the periods of `at` (a Unix time)."""

    id: str
    quotas: Sequence[TokenQuota]
    tokens: int
    at: float


class TokenDebts:
    """Tokens that are owed, the oldest first, of `most` calls at most."""

    def __init__(self, most: int = MOST_OWED) -> None:
        self._most = most
        self._owed: OrderedDict[str, OwedTokens] = OrderedDict()

    def __len__(self) -> int:
        return len(self._owed)

    def take(self) -> OwedTokens | None:
        """The oldest, which is owed no longer; None where nothing is."""
        return self._owed.popitem(last=False)[1] if self._owed else None

    def owe(self, debt: OwedTokens, *, first: bool = False) -> OwedTokens | None:
        """Owe it, as the last one or the first. Returns the oldest where it has to give way."""
        self._owed[debt.id] = debt
        if first:
            self._owed.move_to_end(debt.id, last=False)
        return self.take() if len(self._owed) > self._most else None
