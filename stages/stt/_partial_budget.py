"""How much of the machine partial transcripts may have, and when. Pure: times are arguments.

Finals come first. A partial has two pieces that cannot be broken off, encoder and decoder. Each
begins only while somebody is heard, and when it is expected to end before a final can be wanted;
and partials together must not have used up their share of the clock. So a slow machine sends fewer
of them, or none, and a long answer's captions may stop where its decoder takes too long.
"""

FINAL_AFTER_S = 0.2
"""No final is wanted sooner after speech: then the session prepares an answer (`speculate_ms`)."""

SHARE = 1 / 3
"""Of the wall clock, for the partials of all utterances together."""

SAVED_S = 1.0
"""Compute time that may be saved up. A partial that costs more is never begun."""

_FALL = 0.3
"""How fast an estimate follows when decodes become cheaper; a dearer one counts at once."""


class CostEstimate:
    """An estimate of what something costs, in seconds: careful rather than exact."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def measured(self, seconds: float) -> None:
        """It has just cost so much."""
        self.seconds = max(seconds, self.seconds + _FALL * (seconds - self.seconds))


class PartialBudget:
    """The account of a worker's partials. It begins with nothing saved.

    `encoder` is the cost of the encoder, `token` of one token of the decoder. Finals measure both
    too: a machine that gets faster is noticed though no partial is decoded.
    """

    def __init__(self, now_s: float, *, encoder_s: float, token_s: float) -> None:
        self.encoder = CostEstimate(encoder_s)
        self.token = CostEstimate(token_s)
        self._saved_s = 0.0
        self._at_s = now_s

    def may_encode(self, now_s: float, loud_at_s: float, tokens: int) -> bool:
        """May a partial of so many tokens begin? `loud_at_s`: when loud audio last arrived."""
        self._earn(now_s)
        cost_s = self.encoder.seconds + tokens * self.token.seconds
        return self._saved_s >= cost_s and _in_time(now_s, loud_at_s, self.encoder.seconds)

    def may_decode(self, now_s: float, loud_at_s: float, tokens: int) -> bool:
        """May the decoder of a partial that is encoded begin?"""
        return _in_time(now_s, loud_at_s, tokens * self.token.seconds)

    def spent(self, now_s: float, seconds: float) -> None:
        """A piece of a partial has taken so long, whatever came of it."""
        self._earn(now_s)
        self._saved_s -= seconds

    def _earn(self, now_s: float) -> None:
        earned_s = max(0.0, now_s - self._at_s) * SHARE
        self._saved_s = min(SAVED_S, self._saved_s + earned_s)
        self._at_s = now_s


def _in_time(now_s: float, loud_at_s: float, piece_s: float) -> bool:
    return now_s + piece_s <= loud_at_s + FINAL_AFTER_S
