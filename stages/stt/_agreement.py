"""Which words of a growing utterance can be trusted: LocalAgreement-2. Pure.

A recogniser that decodes the audio so far again and again changes its mind about the last words.
A word counts as confirmed once two successive hypotheses agree on it and on all words before it
(Liu et al., 2020; for Whisper: Macháček, Dabre and Bojar, 2023).
"""


class Agreement:
    """The hypotheses of one utterance. Confirmed words never change, whatever comes after.

    A hypothesis is a whole one, from the utterance's first word. Words are compared without case
    and punctuation: a comma that becomes a full stop is no disagreement. What is shown is the
    spelling that confirmed them.
    """

    def __init__(self) -> None:
        self._confirmed: list[str] = []
        self._tail: list[str] = []

    @property
    def confirmed(self) -> str:
        """What will stay as it is."""
        return " ".join(self._confirmed)

    @property
    def text(self) -> str:
        """The confirmed words, and what the latest hypothesis has after them."""
        return " ".join((*self._confirmed, *self._tail))

    def add(self, hypothesis: str) -> str:
        """Take the next hypothesis; returns `text`.

        A hypothesis is believed from where the confirmed words end, by their number: one that
        contradicts them is only used for its tail. A shorter one leaves the confirmed words alone.
        """
        tail = hypothesis.split()[len(self._confirmed) :]
        agreed = 0
        for before, now in zip(self._tail, tail, strict=False):
            if _plain(before) != _plain(now):
                break
            agreed += 1
        self._confirmed += tail[:agreed]
        self._tail = tail[agreed:]
        return self.text


def _plain(word: str) -> str:
    """A word as it is compared: a mark that stands alone stays what it is."""
    return "".join(filter(str.isalnum, word)).casefold() or word
