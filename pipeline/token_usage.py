"""Tokens of a language model: those that its server tells, or about as many. Pure."""

from dataclasses import dataclass
from typing import Final

CHARACTERS_A_TOKEN: Final = 4
"""The usual length of an English token. Assumed value, used where a server gives no counts."""


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """The tokens that a model has used: of its prompt, `cached` among them, and of its reply.

    `estimated`: the server has not given all of these counts.
    """

    prompt: int = 0
    completion: int = 0
    estimated: bool = False
    cached: int = 0

    @property
    def total(self) -> int:
        return self.prompt + self.completion

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        return TokenUsage(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.estimated or other.estimated,
            self.cached + other.cached,
        )


def estimated_tokens(characters: int) -> int:
    """About so many tokens has a text of this length; at least 1, where there is one."""
    return -(-characters // CHARACTERS_A_TOKEN)
