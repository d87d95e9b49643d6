"""Removes labels of speakers, and invented turns, from a model's text. Pure.

Models that learnt from transcripts begin with "Interviewer:", and some go on with the person's next
answer. Where a server drops the marks of OpenAI's channels, their names are left in the text:
"analysisWe should ask.assistantfinalWhy?".
"""

import re
from collections.abc import Iterator

_OWN = ("assistant", "interviewer", "ai", "response")
_OTHERS = ("user", "human", "candidate", "applicant", "interviewee", "instruction")
_NAMES = _OWN + _OTHERS
_LABEL = re.compile(
    rf"[ \t]*(?:\#{{1,4}}[ \t]*)?(?:\*\*|__)?({'|'.join(_OWN + _OTHERS)})"
    r"(?:\*\*|__)?[ \t]*:(?:\*\*|__)?[ \t]*",
    re.IGNORECASE,
)
_BEGINS = re.compile(r"[ \t]*(?:#{1,4}[ \t]*)?[*_]{0,2}([A-Za-z]*)[*_]{0,2}[ \t]*:?[*_]{0,2}[ \t]*")
_LONGEST = 60

_CHANNEL = re.compile(r"(?:assistant)?(?:analysis|commentary)(?=[A-Z])|assistantfinal")
_CHANNELS = ("analysis", "commentary", "assistantanalysis", "assistantcommentary", "assistantfinal")
_FINAL = "assistantfinal"


class OneTurn:
    """The text of one reply without such labels. It does not depend on how the text was cut.

    With `only` the text ends where the other side's turn begins.
    """

    def __init__(self, *, only: bool = False) -> None:
        self._only = only
        self._held: str | None = ""  # the beginning of a line, while it may be a label
        self._begun = False  # whether something was said
        self._tail: str | None = None  # of another channel's text
        self._over = False

    def push(self, delta: str) -> str:
        """Take more text; returns the part that is said, often nothing."""
        return "".join(self._read(delta))

    def finish(self) -> str:
        """The text is over: returns the part that was held back, if any."""
        held, self._held = self._held or "", None
        return held

    def _read(self, text: str) -> Iterator[str]:
        while text and not self._over:
            if self._tail is not None:
                text = self._hide(text)
            elif self._held is None:  # inside a line
                line, end, text = text.partition("\n")
                yield line + end
                self._held = "" if end else None
            else:
                character, text = text[0], text[1:]
                held, self._held = self._held + character, None
                if self._may_go_on(held):
                    self._held = held
                elif (kept := self._without_label(held)) is not None:
                    text = kept + text
                else:
                    yield held
                    self._begun = self._begun or not held.isspace()
                    self._held = "" if character == "\n" else None

    def _hide(self, text: str) -> str:
        """Drop text up to the final channel; returns what follows."""
        whole = (self._tail or "") + text
        _, found, rest = whole.partition(_FINAL)
        self._tail = None if found else whole[-len(_FINAL) + 1 :]
        return rest

    def _may_go_on(self, held: str) -> bool:
        """Whether more text is needed to decide if `held` is a label."""
        if len(held) > _LONGEST or held.endswith("\n"):
            return False
        if not self._begun and any(name.startswith(held) for name in _CHANNELS):
            return held != _FINAL
        found = _BEGINS.fullmatch(held)
        return found is not None and any(name.startswith(found[1].lower()) for name in _NAMES)

    def _without_label(self, held: str) -> str | None:
        """The part of `held` after its label; None if it has no label to take out."""
        if not self._begun and (channel := _CHANNEL.match(held)):
            self._tail = None if channel[0] == _FINAL else ""
            self._held = "" if self._tail is None else None
            return held[channel.end() :]
        label = _LABEL.match(held)
        if label is None:
            return None
        own = label[1].lower() in _OWN
        if self._begun and not self._only:
            return None
        if own:
            return held[label.end() :]
        if not self._begun:
            return None
        self._over = True
        return ""
