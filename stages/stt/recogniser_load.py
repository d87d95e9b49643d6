"""How busy a recogniser's model is, and how long finished utterances wait for it. Pure.

Times are seconds on one clock. A model decodes one utterance at a time, so that its real-time
factor times the people who speak at once is the share of the time in which it decodes.
"""

import math
from collections import deque
from collections.abc import Hashable

QUEUE_S = 2.0
"""The queue is judged by its shortest wait in this time, as CoDel (RFC 8289) does: a few people who
finish at the same moment are no overload. About as long as a slow decode."""

BUSY_S = 10.0
"""The time over which the model's load is judged: some turns of a person."""

SHARED_S = 0.1
"""An utterance that waited this long was not alone."""


class RecogniserLoad:
    """One model's. Utterances are known by any key; those in flight are bounded by the sessions."""

    def __init__(self) -> None:
        self._asked: dict[Hashable, float] = {}  # finished utterances without a text, oldest first
        self._waits: deque[tuple[float, float]] = deque()
        self._work: deque[tuple[float, float]] = deque()
        self._answered_at = -math.inf
        self._busy_s: float | None = None  # of the model, when it last answered
        self._shared_at = -math.inf

    def finished(self, utterance: Hashable, now: float) -> None:
        """The person has finished: their utterance waits for the model from now on."""
        self._asked.pop(utterance, None)
        self._asked[utterance] = now
        if len(self._asked) > 1:
            self._shared_at = now

    def answered(self, utterance: Hashable, took_s: float, busy_s: float, now: float) -> None:
        """Its text is there. Decoding it `took_s`, and the model has decoded for `busy_s` in all
        since its process began, also for other processes that use it. What it has decoded since the
        last answer counts: evenly, as it is with long answers that are decoded as they come."""
        asked = self._asked.pop(utterance, None)
        if asked is not None:
            waited_s = max(0.0, now - asked - took_s)
            self._waits.append((now, waited_s))
            if waited_s >= SHARED_S:
                self._shared_at = now
        length_s, self._answered_at = now - self._answered_at, now
        within = min(1.0, BUSY_S / length_s) if 0 < length_s < math.inf else 1.0
        self._work.append((now, self._since(took_s, busy_s) * within))
        self._forget(now)

    def _since(self, took_s: float, busy_s: float) -> float:
        """How long the model has decoded since the last answer."""
        before, self._busy_s = self._busy_s, busy_s
        if before is None:  # it may have worked for others for hours
            return took_s
        return busy_s - before if busy_s >= before else busy_s  # or in a new process

    def dropped(self, utterance: Hashable) -> None:
        """The utterance was cancelled, or has failed. Idempotent."""
        self._asked.pop(utterance, None)

    def queue_s(self, now: float) -> float:
        """The shortest wait of the last `QUEUE_S`. Where nothing was decoded in that time, how long
        the utterance behind the one that may be decoded now has waited."""
        self._forget(now)
        if self._waits:
            return min(waited_s for _, waited_s in self._waits)
        behind = list(self._asked.values())[1:2]
        return now - behind[0] if behind else 0.0

    def factor(self, now: float) -> float:
        """The share of the last `BUSY_S` in which the model decoded; 0 where nobody had to share
        it: one person's slow recogniser is no overload."""
        self._forget(now)
        if now - self._shared_at > BUSY_S:
            return 0.0
        return sum(busy_s for _, busy_s in self._work) / BUSY_S

    def _forget(self, now: float) -> None:
        while self._waits and self._waits[0][0] <= now - QUEUE_S:
            self._waits.popleft()
        while self._work and self._work[0][0] <= now - BUSY_S:
            self._work.popleft()
