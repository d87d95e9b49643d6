"""The compute time that partial transcripts may use, and when. Pure: times are arguments.

Finals come first. A partial has two pieces that cannot be interrupted, encoder and decoder. A piece
begins only during speech, only if it should end before a final can be needed, and only if partials
have not used up their share of the clock. So a slow machine sends fewer partials or none, and the
captions of a long answer stop when its decoder takes too long.
"""

FINAL_AFTER_S = 0.2
"""No final is needed sooner after speech: then the session prepares a reply (`speculate_ms`)."""

SHARE = 1 / 3
"""The share of the wall clock for the partials of all utterances together."""

SAVED_S = 1.0
"""Compute time that may be saved up. A partial that would cost more is never begun."""

_FALL = 0.3
"""How fast an estimate falls when decodes become cheaper; it rises at once."""


class CostEstimate:
    """An estimate of a cost in seconds; rather too high than too low."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def measured(self, seconds: float) -> None:
        """Take a measured cost."""
        self.seconds = max(seconds, self.seconds + _FALL * (seconds - self.seconds))


class PartialBudget:
    """The account of a worker's partials. It begins with nothing saved.

    `frame` is the encoder's cost for a frame of 10 ms, `token` the decoder's for a token. Finals
    measure both too, so the estimates fall on a faster machine even if no partial is decoded.
    """

    def __init__(self, now_s: float, *, frame_s: float, token_s: float) -> None:
        self.frame = CostEstimate(frame_s)
        self.token = CostEstimate(token_s)
        self._saved_s = 0.0
        self._at_s = now_s

    def may_encode(self, now_s: float, loud_at_s: float, tokens: int, frames: int) -> bool:
        """Whether a partial of `tokens` may begin, for `frames` of audio.

        `loud_at_s` is when loud audio last arrived.
        """
        self._earn(now_s)
        encoder_s = frames * self.frame.seconds
        cost_s = encoder_s + tokens * self.token.seconds
        return self._saved_s >= cost_s and _in_time(now_s, loud_at_s, encoder_s)

    def may_decode(self, now_s: float, loud_at_s: float, tokens: int) -> bool:
        """Whether the decoder of an encoded partial may begin."""
        return _in_time(now_s, loud_at_s, tokens * self.token.seconds)

    def too_slow(self, frames: int) -> bool:
        """Whether the encoder would delay a final, so that no partial of so much audio comes."""
        return frames * self.frame.seconds > FINAL_AFTER_S

    def spent(self, now_s: float, seconds: float) -> None:
        """Charge a piece of a partial, finished or not."""
        self._earn(now_s)
        self._saved_s -= seconds

    def _earn(self, now_s: float) -> None:
        earned_s = max(0.0, now_s - self._at_s) * SHARE
        self._saved_s = min(SAVED_S, self._saved_s + earned_s)
        self._at_s = now_s


def _in_time(now_s: float, loud_at_s: float, piece_s: float) -> bool:
    return now_s + piece_s <= loud_at_s + FINAL_AFTER_S
