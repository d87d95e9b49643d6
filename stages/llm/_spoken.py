"""Filters a language model's text for speech, while the text is still coming. Pure."""

LIMIT = 1500
"""Characters after which a reply ends with its sentence: about 90 s of speech."""

_OVER = 500
"""After this many more characters it ends between two words; after twice that, anywhere."""

_OPEN, _CLOSE = "<think>", "</think>"
"""Some servers leave a model's reasoning at the beginning of its text, between these marks."""

_MARKS = "*`"
_ENDS = ".!?…"
_WIDE_ENDS = "。！？"


class SpokenText:
    """Filters one reply: removes reasoning and Markdown marks, and bounds the length.

    `#` is kept after a letter or a digit only ("C#", but not headings). The result does not depend
    on how the text was cut.
    """

    def __init__(self) -> None:
        self._start = ""  # the reply's start, while it may begin a reasoning block
        self._begun = False
        self._reasoning = False
        self._tail = ""
        self._last = ""
        self._length = 0
        self.full = False
        """Whether the reply is long enough: nothing more of it will be spoken."""

    def push(self, delta: str) -> str:
        """Take more text; returns the part to be spoken, often nothing."""
        if self._reasoning:
            delta = self._after_reasoning(delta)
        elif not self._begun:
            delta = self._opening(delta)
        return self._speakable(delta)

    def finish(self) -> str:
        """End the text; returns the part that was held back, if any."""
        start, self._start = self._start, ""
        return self._speakable(start)

    def _opening(self, delta: str) -> str:
        start = (self._start + delta).lstrip()
        if start.startswith(_OPEN):
            self._start = ""
            self._reasoning = self._begun = True
            return self._after_reasoning(start.removeprefix(_OPEN))
        undecided = _OPEN.startswith(start)
        self._start = start if undecided else ""
        self._begun = not undecided
        return "" if undecided else start

    def _after_reasoning(self, delta: str) -> str:
        before, end, after = (self._tail + delta).partition(_CLOSE)
        self._tail = before[-len(_CLOSE) :]
        self._reasoning = not end
        return after

    def _speakable(self, text: str) -> str:
        kept: list[str] = []
        for character in text:
            if self._length >= LIMIT and self._may_end(character):
                self.full = True
            if self.full:
                break
            if character in _MARKS or (character == "#" and not self._last.isalnum()):
                continue
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
