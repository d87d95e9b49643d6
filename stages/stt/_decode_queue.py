"""The order in which one model decodes the finished utterances of all sessions. Pure.

A recogniser's model is shared by all sessions and decodes one utterance at a time, so finished
utterances wait. The one whose answer is due first is decoded first; those that are due at the same
time, or that nobody waits for with a clock, in the order in which they were finished. A session has
one finished utterance at most, and every wait is about as long, so this order is also fair: a
session that asks again and again is behind all who waited when it asked.

An utterance that would be too late is refused as soon as that is known, so that the guard's next
candidate begins sooner. With the earliest deadline first, no utterance is late that could be on
time (Jackson 1955), as far as the costs are known.
"""

import math
from bisect import insort
from dataclasses import dataclass, field

MOST_WAITING = 64
"""The most finished utterances that may wait, whatever their deadlines."""

_DOUBT = 0.5
"""An utterance is refused only if it would be late even at this share of its own cost: the guard
keeps time for its next candidate anyway, but what is refused by mistake is lost to this one."""

_WEIGHT = 0.3
"""The weight of the newest decode in the estimate of the cost."""

_SET_UP_S = 2.0
"""A decode costs as much for nothing as for this much speech: the silence after it, the prompt."""


@dataclass(frozen=True, slots=True, order=True)
class Waiting:
    """A finished utterance: when its text is due, its place in the order of arrival, its job."""

    due_s: float
    number: int
    job: int = field(compare=False)
    audio_s: float = field(compare=False)


class DecodeQueue:
    """The finished utterances that wait for the model. Times are in seconds on one clock."""

    def __init__(self) -> None:
        self._second_s = 0.0
        self._waiting: list[Waiting] = []
        self._number = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, job: int, audio_s: float, due_s: float = math.inf) -> bool:
        """Take a finished utterance; false if `MOST_WAITING` wait already."""
        if len(self._waiting) >= MOST_WAITING:
            return False
        self._number += 1
        insort(self._waiting, Waiting(due_s, self._number, job, audio_s))
        return True

    def remove(self, job: int) -> None:
        """Forget a cancelled utterance; unknown ones are ignored."""
        self._waiting = [waiting for waiting in self._waiting if waiting.job != job]

    def late(self, now_s: float) -> tuple[int, ...]:
        """Take out the jobs that would be overdue behind the jobs before them, and those that are
        overdue while another could be on time.

        The first one is decoded whatever it should cost: an estimate that is too high would never
        be corrected otherwise. Where all are overdue, the person may still wait for the first.
        """
        kept: list[Waiting] = []
        refused: list[int] = []
        free_s = now_s
        in_time = any(waiting.due_s > now_s for waiting in self._waiting)
        for waiting in self._waiting:
            cost_s = self.cost_s(waiting.audio_s)
            late = free_s + _DOUBT * cost_s > waiting.due_s
            if (kept and late) or (in_time and waiting.due_s <= now_s):
                refused.append(waiting.job)
            else:
                kept.append(waiting)
                free_s += cost_s
        self._waiting = kept
        return tuple(refused)

    def next(self) -> int | None:
        """Take out the job to decode now; None if none waits."""
        return self._waiting.pop(0).job if self._waiting else None

    def cost_s(self, audio_s: float) -> float:
        """How long a decode of this much audio should take."""
        return (audio_s + _SET_UP_S) * self._second_s

    def decoded(self, audio_s: float, seconds: float) -> None:
        """Take a measured decode into the estimate."""
        measured_s = seconds / (audio_s + _SET_UP_S)
        weight = _WEIGHT if self._second_s else 1.0
        self._second_s += weight * (measured_s - self._second_s)
