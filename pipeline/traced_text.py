"""A text that can be rewritten and keeps where each of its characters comes from. Pure."""

import re
from collections.abc import Callable, Iterable
from typing import TypeAlias

By: TypeAlias = str | Callable[[re.Match[str]], str | int]
"""The replacement of a match: a text, or the number of the group that is kept."""


class TracedText:
    """A text that is being rewritten, with the part of the sentence behind each character."""

    def __init__(self, text: str) -> None:
        self.text = self._sentence = text
        self.starts = list(range(len(text)))
        self.ends = list(range(1, len(text) + 1))

    def replace(self, pattern: re.Pattern[str], by: By) -> None:
        """Replace what a pattern finds."""
        self.replace_matches(pattern.finditer(self.text), by)

    def replace_matches(self, matches: Iterable[re.Match[str]], by: By) -> None:
        """Replace matches in `text`, which come in order and do not overlap."""
        texts: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        done = 0
        for match in matches:
            first, after = match.span()
            new = by if isinstance(by, str) else by(match)
            if first == after or new == 0:
                continue
            texts.append(self.text[done:first])
            starts += self.starts[done:first]
            ends += self.ends[done:first]
            done = after
            if isinstance(new, int):
                kept = slice(*match.span(new))
                new = self.text[kept]
                if new:
                    # The marks round the kept text belong to its first and its last word.
                    starts += [self.starts[first], *self.starts[kept][1:]]
                    ends += [*self.ends[kept][:-1], self.ends[after - 1]]
            else:
                start, end = self._trimmed(self.starts[first], self.ends[after - 1])
                starts += [start] * len(new)
                ends += [end] * len(new)
            texts.append(new)
        if done:
            self.text = "".join((*texts, self.text[done:]))
            self.starts = starts + self.starts[done:]
            self.ends = ends + self.ends[done:]

    def _trimmed(self, start: int, end: int) -> tuple[int, int]:
        """A part of the sentence without the spaces round it."""
        part = self._sentence[start:end]
        bare = part.strip()
        if not bare:
            return start, end
        start += part.index(bare)
        return start, start + len(bare)
