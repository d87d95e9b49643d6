"""A text in two forms: as a recogniser would write it, for patterns; as it is, for quotes. Pure."""

import re
from bisect import bisect_right

from stages.interview.hearing import spoken

QUOTE = 110
"""Approximate length of a quotation in characters."""

_TOKEN = re.compile(r"[^\W_]+(?:['’ʼ`]+[^\W_]+)*")
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)]*\s")


class Wording:
    """`line` is what `hearing.spoken` makes of `text`, `words` its words."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens: list[re.Match[str]] = []
        self._starts: list[int] = []
        words: list[str] = []
        at = 0
        for token in _TOKEN.finditer(text):
            # A few characters become two words in lower case; here they stay one token.
            word = spoken(token[0]).replace(" ", "")
            if not word:
                continue
            words.append(word)
            self._tokens.append(token)
            self._starts.append(at)
            at += len(word) + 1
        self.words = tuple(words)
        self.line = " ".join(words)

    def find(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The first place in `line` that the pattern matches."""
        return pattern.search(self.line)

    def quote(self, found: re.Match[str]) -> str:
        """The sentence of `text` around a match in `line`, cut to about `QUOTE` characters."""
        first, last = self._index(found.start()), self._index(max(found.start(), found.end() - 1))
        start, end = self._tokens[first].start(), self._tokens[last].end()
        ends = [m.end() for m in _SENTENCE_END.finditer(self.text)]
        left = max((e for e in ends if e <= start), default=0)
        right = min((e for e in ends if e >= end), default=len(self.text))
        cut_left = cut_right = False
        if right - left > QUOTE:  # keep the words nearest to the match
            left, right, cut_left, cut_right = self._window(first, last, left, right)
        excerpt = " ".join(self.text[left:right].split()).strip(' "“”')
        return f"{'… ' if cut_left else ''}{excerpt}{' …' if cut_right else ''}"

    def _window(self, first: int, last: int, left: int, right: int) -> tuple[int, int, bool, bool]:
        low, high = first, last
        grown = True
        while grown:
            grown = False
            for by_left, by_right in ((1, 0), (0, 1)):
                new_low, new_high = low - by_left, high + by_right
                if new_low < 0 or new_high >= len(self._tokens):
                    continue
                start, end = self._tokens[new_low].start(), self._tokens[new_high].end()
                if start >= left and end <= right and end - start <= QUOTE:
                    low, high, grown = new_low, new_high, True
        start, end = self._tokens[low].start(), self._tokens[high].end()
        cut_right = end < len(self.text[left:right].rstrip(" .!?…")) + left
        return start, end, start > left, cut_right

    def _index(self, at: int) -> int:
        return bisect_right(self._starts, at) - 1
