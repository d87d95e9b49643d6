"""The roles of the sessions in a load run. Pure."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Scenario: TypeAlias = Literal[
    "listening", "silence", "turns", "barge-in", "conversation", "mixed", "storm"
]

SCENARIOS: dict[Scenario, str] = {
    "listening": "everyone speaks without a pause that would end a turn",
    "silence": "nobody speaks; a quiet room",
    "turns": "answers of up to 3 s, every reply heard to its end",
    "barge-in": "answers, every reply interrupted",
    "conversation": "answers, every third reply interrupted",
    "mixed": "a third silent, a third in turns, a third in conversation",
    "storm": "everyone connects at the same moment",
}

LONGEST_LISTENING_S = 45.0
"""A turn ends after a minute in Parley, and the gap before the measured stretch counts."""


@dataclass(frozen=True, slots=True)
class Role:
    """The role of one session. Every `interrupts`-th reply is interrupted; 0: none."""

    does: Literal["silent", "talking", "answering"]
    interrupts: int = 0


_SILENT = Role("silent")
_TURNS = Role("answering")
_CONVERSATION = Role("answering", 3)


def role(scenario: Scenario, number: int) -> Role:
    """The role of the session with this number."""
    match scenario:
        case "listening":
            return Role("talking")
        case "silence" | "storm":
            return _SILENT
        case "turns":
            return _TURNS
        case "barge-in":
            return Role("answering", 1)
        case "conversation":
            return _CONVERSATION
        case "mixed":
            return (_SILENT, _TURNS, _CONVERSATION)[number % 3]
