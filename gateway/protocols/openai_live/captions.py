"""`Captions`: the words of the reply under way, each shown when its audio is sent. Pure.

Where each sentence lies in the reply is known; a word's place in its sentence is estimated from
the letters before it. A sentence is shown once its end is known.
"""

from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Fragment:
    """The next words of a reply, and where they lie in it, in milliseconds."""

    text: str
    from_ms: float
    until_ms: float


@dataclass(slots=True)
class _Sentence:
    words: deque[tuple[str, float, float]]  # and their shares of the sentence
    from_ms: float | None = None
    until_ms: float = 0.0

    def place(self, share: float) -> float:
        assert self.from_ms is not None
        return self.from_ms + share * (self.until_ms - self.from_ms)


@dataclass(slots=True)
class Captions:
    """The captions of one reply."""

    shown: int = 0
    """How many words were shown."""
    sent_ms: float = -1.0
    """How much of the reply was sent."""
    shown_ms: float = 0.0
    """Where the words that were shown end."""
    _sentences: deque[_Sentence] = field(default_factory=deque)

    def say(self, text: str) -> None:
        """Take the next sentence."""
        self._sentences.append(_Sentence(_words(text)))

    def lies(self, from_ms: float, until_ms: float) -> list[Fragment]:
        """Take where the last sentence lies in the reply; returns the words to show now."""
        if self._sentences:
            last = self._sentences[-1]
            last.from_ms, last.until_ms = from_ms, until_ms
        return self._due()

    def play(self, until_ms: float) -> list[Fragment]:
        """Take how much of the reply was sent; returns the words that begin in it."""
        self.sent_ms = max(self.sent_ms, until_ms)
        return self._due() if self._sentences else []

    def rest(self, heard: str, until_ms: float) -> list[Fragment]:
        """The reply is over, and this was heard; returns the words of it that were not shown."""
        words = heard.split()[self.shown :]
        self._sentences.clear()
        if not words:
            return []
        self.shown += len(words)
        begins_ms = min(self.shown_ms, until_ms)
        return [Fragment(" ".join(words), begins_ms, until_ms)]

    def _due(self) -> list[Fragment]:
        found: list[tuple[str, float, float]] = []
        while self._sentences:
            sentence = self._sentences[0]
            if sentence.from_ms is None:
                places = (one.from_ms for one in self._sentences if one.from_ms is not None)
                following = next(places, None)
                if following is None:
                    break
                # Nothing of it could be said: it is shown with the sentence after it.
                sentence.from_ms = sentence.until_ms = following
            while sentence.words:
                word, begins, ends = sentence.words[0]
                if sentence.place(begins) >= self.sent_ms:
                    return self._shown(found)
                sentence.words.popleft()
                found.append((word, sentence.place(begins), sentence.place(ends)))
            self._sentences.popleft()
        return self._shown(found)

    def _shown(self, found: list[tuple[str, float, float]]) -> list[Fragment]:
        if not found:
            return []
        self.shown += len(found)
        self.shown_ms = found[-1][2]
        text = " ".join(word for word, _, _ in found)
        return [Fragment(text, found[0][1], found[-1][2])]


def _words(text: str) -> deque[tuple[str, float, float]]:
    words: deque[tuple[str, float, float]] = deque()
    at = 0
    for word in text.split():
        begins = text.index(word, at)
        at = begins + len(word)
        words.append((word, begins / len(text), at / len(text)))
    return words
