"""The words of a growing utterance that can be trusted: LocalAgreement-2. Pure.

A recogniser that decodes the audio so far repeatedly changes the last words. A word is confirmed
once two successive hypotheses agree on it and on all words before it
(Liu et al., 2020; for Whisper: Macháček, Dabre and Bojar, 2023).
"""


class Agreement:
    """The hypotheses of one utterance. Confirmed words never change.

    Every hypothesis begins with the utterance's first word. Words are compared without case and
    punctuation: a comma that becomes a full stop is no disagreement. A confirmed word keeps the
    spelling of the hypothesis that confirmed it.
    """

    def __init__(self) -> None:
        self._confirmed: list[str] = []
        self._tail: list[str] = []

    @property
    def confirmed(self) -> str:
        """The confirmed words."""
        return " ".join(self._confirmed)

    @property
    def text(self) -> str:
        """The confirmed words, and the latest hypothesis's words after them."""
        return " ".join((*self._confirmed, *self._tail))

    def add(self, hypothesis: str) -> str:
        """Take the next hypothesis; returns `text`.

        Of a hypothesis, only the words after the number of confirmed words are used, even if the
        earlier ones differ. A shorter hypothesis changes no confirmed word.
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
    """A word for comparison; a punctuation mark that stands alone is kept."""
    return "".join(filter(str.isalnum, word)).casefold() or word
