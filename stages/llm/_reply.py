"""One reply of a chat model as it comes: its text for speech, its calls, and how it ended. Pure."""

import re

from pipeline.wordless import says
from stages.llm._chunks import CompletionPiece, Ending
from stages.llm._refusal import RefusalFilter
from stages.llm._spoken import SpokenText
from stages.llm._tool_calls import CallPiece, ToolCallPieces

_ENDS = ".!?…。！？؟।॥։።"
"""Signs that end a sentence, in many scripts."""


class ReplySoFar:
    """The pieces of one reply, put together.

    `calling` says whether calls of functions are wanted; `due` is the line that the reply should
    say, or "".
    """

    def __init__(self, spoken: SpokenText, *, calling: bool, due: str) -> None:
        self.spoken = spoken
        self.calls = ToolCallPieces()
        self.ending: Ending | None = None
        self.begun = False
        """Whether there was text or a call."""
        self._calling = calling
        self._due = due
        # A host without a question to ask wants the refusal's words, too.
        self._refusals = RefusalFilter() if due else None
        self._refused = False  # by a field of its own
        self._index: int | None = None  # of the choice that is taken
        self._said: list[str] = []

    @property
    def full(self) -> bool:
        return self.spoken.full

    def push(self, choice: CompletionPiece) -> str:
        """Take a piece; returns what is said of it. Text after an ending undoes the ending.

        Of several choices the first that comes counts.
        """
        if choice.index is not None:
            self._index = choice.index if self._index is None else self._index
            if choice.index != self._index:
                return ""
        if self._calling:
            self.calls.push(map(CallPiece.read, choice.calls))
        text = choice.text if self._refusals is not None else choice.text or choice.refusal
        if text.strip() or choice.calls or choice.ending is not None:
            self.ending = choice.ending
        self._refused = self._refused or bool(choice.refusal)
        self.begun = self.begun or bool(text.strip()) or bool(choice.calls)
        said = self.spoken.push(text)
        return self._kept(said if self._refusals is None else self._refusals.push(said))

    def finish(self) -> tuple[str, bool]:
        """The rest of the text, and whether it was a refusal as a whole."""
        said = self.spoken.finish()
        if self._refusals is None:
            return self._kept(said), False
        said = self._refusals.push(said)
        held, refused = self._refusals.finish()
        return self._kept(said + held), refused or self._refused

    def is_whole(self) -> bool:
        """Whether a reply can be complete whose end nothing announced but the end of its body.

        It is if it ends as a sentence does; with a line that is due it must say that, too, and may
        also end with the last word of it; if it calls functions,
        with whole arguments. Call it after `finish`.
        """
        if self._calling and self.calls.begun:
            return self.calls.whole
        text = "".join(self._said)
        if not self._due:
            return ends_sentence(text)
        return says(text, self._due) and (
            ends_sentence(text) or _last_word(text) == _last_word(self._due)
        )

    def _kept(self, said: str) -> str:
        if said:
            self._said.append(said)
        return said


def _last_word(text: str) -> str:
    words = re.findall(r"[^\W_]+", text.casefold())
    return words[-1] if words else ""


def ends_sentence(text: str) -> bool:
    """Whether a sentence ends after the last letter or digit of a text.

    >>> ends_sentence('He said "Why?" 🎉'), ends_sentence("Thank you. How did"), ends_sentence("")
    (True, False, False)
    """
    last = max((at for at, sign in enumerate(text) if sign.isalnum()), default=None)
    return last is not None and any(sign in _ENDS for sign in text[last + 1 :])
