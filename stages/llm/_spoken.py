"""Filters a language model's text for speech, while the text is still coming. Pure."""

from stages.llm._markdown import PlainText
from stages.llm._reasoning import SaidText

LIMIT = 1500
"""Characters after which a reply ends with its sentence: about 90 s of speech."""

_OVER = 500
"""After this many more characters it ends between two words; after twice that, anywhere."""

_ENDS = ".!?…"
_WIDE_ENDS = "。！？"


class SpokenText:
    """Filters one reply: removes reasoning, control tokens and Markdown, and bounds the length.

    The result does not depend on how the text was cut. `unopened` is that of `SaidText`. A reply
    that is `written` keeps its tables and code.
    """

    def __init__(self, *, written: bool = False, unopened: bool = False) -> None:
        self._said = SaidText(unopened=unopened)
        self._plain = PlainText(blocks=written)
        self._last = ""
        self._length = 0
        self.full = False
        """Whether the reply is long enough: nothing more of it will be spoken."""

    @property
    def closed_unopened(self) -> bool:
        """Whether reasoning ended that no mark had opened."""
        return self._said.closed_unopened

    def push(self, delta: str) -> str:
        """Take more text; returns the part to be spoken, often nothing."""
        return self._bounded(self._plain.push(self._said.push(delta)))

    def finish(self) -> str:
        """End the text; returns the part that was held back, if any."""
        return self._bounded(self._plain.push(self._said.finish()) + self._plain.finish())

    def _bounded(self, text: str) -> str:
        kept: list[str] = []
        for character in text:
            if self._length >= LIMIT and self._may_end(character):
                self.full = True
            if self.full:
                break
            if not self._length and character.isspace():
                continue
            kept.append(character)
            self._last = character
            self._length += 1
        return "".join(kept)

    def _may_end(self, following: str) -> bool:
        over = self._length - LIMIT
        if self._last in _WIDE_ENDS or over >= 2 * _OVER:
            return True
        return following.isspace() and (self._last in _ENDS or over >= _OVER)
