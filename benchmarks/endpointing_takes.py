"""One turn as turn-taking hears it, and when a policy decides that it is over.

The clock is the position in the audio, so that nothing depends on the machine: what a recogniser
makes of the audio up to a position is understood `RECOGNITION_MS` later, what detection and the
event loop need is left out.
"""

from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

import numpy as np

from pipeline.decisions import (
    AskTurnModel,
    Chunk,
    Discard,
    EndTurn,
    Event,
    Judged,
    Speculate,
    StartTurn,
    Understood,
)
from pipeline.input_speech import CHUNK_MS
from pipeline.turns import TurnPolicy, TurnTaking

RECOGNITION_MS = 200
"""From a position in the audio to the text of what was said up to it. Assumed."""

JUDGEMENT_MS = 60
"""From a question to the turn model's answer: what it takes on one core (AMD EPYC)."""

PAUSE_MS, PAUSE_SPREAD = 450.0, 0.65
"""Median and log standard deviation of the pauses in a turn. Their logarithms are close to normal,
brief ones last less than 200 ms and long ones more than 1000 ms (Campione and Véronis 2002, some
6000 pauses in five languages). These values, which make one pause in nine brief and one in nine
long, are assumed."""

LEAD_MS = 300
"""Silence before a turn."""

TAIL_MS = 6_000
"""Silence after a turn: longer than any policy waits."""

PATIENT = TurnPolicy(silence_ms=1_000_000, max_wait_ms=1_000_000, longest_ms=1_000_000, judged=True)

Listener = Callable[[int, int], float]
"""The probability that a turn is finished, from its audio between two positions (ms)."""


class Recogniser(Protocol):
    """Recognition whose time is the position in a turn's audio."""

    def listen(self, from_ms: int) -> None:
        """Begin, or begin again, with the audio from here on."""

    def hear(self, until_ms: int) -> list[str]:
        """The partial transcripts that the audio up to here has brought since the last call."""

    def finish(self, until_ms: int) -> str:
        """The words up to here; call `listen` first."""


@dataclass(frozen=True, slots=True)
class Take:
    """One turn as turn-taking hears it: what happens when (ms), and when the person is done."""

    events: tuple[tuple[float, Event], ...]
    end_ms: float


def rehearse(
    probabilities: Sequence[float],
    recogniser: Recogniser,
    end_ms: float,
    judge: Listener | None = None,
) -> Take:
    """Play a turn to turn-taking that never decides, and record the events.

    The time at which the answer is prepared does not depend on the policy: until its decision every
    policy sees these events. As in a session, a preparation ends the recognition, and further
    speech begins it again. The answers of `judge` change only policies that are `judged`.
    """
    turns = TurnTaking(PATIENT)
    events: list[tuple[float, Event]] = []
    coming: list[tuple[float, Understood | Judged]] = []

    def comes(after_ms: float, event: Understood | Judged) -> None:
        insort(coming, (at_ms + after_ms, event), key=lambda item: item[0])

    turn = from_ms = 0
    listening = False

    for number, probability in enumerate(probabilities, 1):
        at_ms = number * CHUNK_MS
        while coming and coming[0][0] <= at_ms:
            events.append(coming.pop(0))
            turns.handle(events[-1][1], events[-1][0] / 1000)
        chunk = Chunk(at_ms, probability)
        events.append((at_ms, chunk))
        for action in turns.handle(chunk, at_ms / 1000):
            match action:
                case StartTurn():
                    turn, from_ms, listening = action.turn, action.from_ms, True
                    recogniser.listen(from_ms)
                case Speculate():
                    listening = False
                    text = recogniser.finish(at_ms)
                    comes(RECOGNITION_MS, Understood(turn, text))
                case AskTurnModel(_, until_ms):
                    if judge is not None:
                        found = judge(from_ms, until_ms)
                        comes(JUDGEMENT_MS, Judged(turn, until_ms, found))
                case Discard():
                    listening = True
                    coming.clear()
                    recogniser.listen(from_ms)
        if listening:
            for text in recogniser.hear(at_ms):
                comes(RECOGNITION_MS, Understood(turn, text))
    return Take(tuple(events), end_ms)


def decision_ms(take: Take, policy: TurnPolicy) -> float:
    """The time at which a policy ends the turn. Raises `ValueError` if it never does."""
    turns = TurnTaking(policy)
    for at_ms, event in take.events:
        if any(isinstance(action, EndTurn) for action in turns.handle(event, at_ms / 1000)):
            return at_ms
    raise ValueError(f"no decision in {take.events[-1][0]:.0f} ms" if take.events else "no audio")


def pause_quantile_ms(
    share: float, median_ms: float = PAUSE_MS, spread: float = PAUSE_SPREAD
) -> int:
    """The quantile of a log-normal distribution."""
    return round(float(median_ms * np.exp(spread * NormalDist().inv_cdf(share))))
