"""Cutting a reply into pieces that can be spoken, while its text is still coming. Pure.

The text is walked character by character, and a decision looks ahead at most to the next character
that is no white space. So the pieces do not depend on how the text was cut into deltas.

Where a full stop ends a sentence follows the usual rules of thumb for English (compare Kiss and
Strunk, "Unsupervised Multilingual Sentence Boundary Detection", 2006): not in an abbreviation or an
initial; after an ellipsis, a closing quotation mark or "etc." the case of the next word decides.
"""

import re
from typing import Literal

FIRST_CLAUSE_CHARS = 40
"""From this length on the first piece may end at a clause, so that synthesis can begin early.
Shorter clauses would each be spoken with the melody of a sentence."""

LONGEST_CHARS = 300
"""A longer piece is cut at its last space: it bounds what one synthesis can cost."""

_OPENERS = "\"'“‘([{«「『（【"
_CLOSERS = "\"'”’)]}»」』）】"
_ENDS = (".", "!", "?", "…")
_WIDE_ENDS = ("。", "！", "？")
"""Chinese and Japanese sentence ends, which no white space follows."""

_ELLIPSES = ("…", "..")
_CLAUSE_ENDS = (",", ";", ":", "—", "–", " -")

_INITIALS = re.compile(r"(?:[a-z]\.)+")
"""Of a lower-cased word: "U.S.", "e.g.", "J."."""

_ABBREVIATIONS = frozenset(
    {"al.", "approx.", "ca.", "capt.", "cf.", "col.", "dept.", "dr.", "fig.", "gen.", "lt."}
    | {"mr.", "mrs.", "ms.", "mt.", "mx.", "prof.", "rev.", "sgt.", "st.", "viz.", "vs."}
)
_MAY_END = frozenset(
    {"a.m.", "b.sc.", "co.", "corp.", "etc.", "inc."}
    | {"jr.", "ltd.", "m.sc.", "p.m.", "ph.d.", "sr."}
)


class SentenceSplitter:
    """Cuts one reply. Pieces have no space round them and single spaces inside.

    Joined by spaces the pieces are the text again, but for the places without white space at which
    they were cut: after 。！？, and inside a word of more than `LONGEST_CHARS`.
    """

    def __init__(self) -> None:
        self._piece = ""
        self._space = False
        self._undecided = False
        self._first = True

    def push(self, delta: str) -> list[str]:
        """Take more text; give the pieces it completes."""
        done: list[str] = []
        for char in delta:
            if char.isspace():
                self._take_space(done)
            else:
                self._take(char, done)
        return done

    def finish(self) -> list[str]:
        """The text is over: give what is left of it, if anything."""
        done: list[str] = []
        if self._piece:
            self._cut(done)
        return done

    def _take_space(self, done: list[str]) -> None:
        if self._space or not self._piece:
            return
        self._space = True
        ending = self._ending()
        if ending == "sentence" or (ending == "clause" and self._first):
            self._cut(done)
        else:
            self._undecided = ending == "undecided"

    def _take(self, char: str, done: list[str]) -> None:
        if self._undecided:
            ended = not char.islower()
        elif self._space or char in _WIDE_ENDS or char in _CLOSERS:
            ended = False
        else:
            ended = self._ends_wide()
        self._undecided = False
        if ended:
            self._cut(done)

        if self._space:
            self._space = False
            if len(self._piece) + len(f" {char}") > LONGEST_CHARS:
                self._cut(done)
            else:
                self._piece += " "
        elif len(self._piece) == LONGEST_CHARS:
            head, _, tail = self._piece.rpartition(" ")
            self._piece = head or tail
            self._cut(done)
            self._piece = tail if head else ""
        self._piece += char

    def _ending(self) -> Literal["sentence", "undecided", "clause", "none"]:
        """What ends with the piece, now that white space follows it."""
        piece = self._piece
        if not any(map(str.isalnum, piece)):
            return "none"  # nothing to pronounce: it goes with what follows
        if self._ends_wide():
            return "sentence"
        bare = piece.rstrip(_CLOSERS)
        if not bare.endswith(_ENDS):
            long = len(piece) >= FIRST_CLAUSE_CHARS
            return "clause" if long and piece.endswith(_CLAUSE_ENDS) else "none"
        word = bare.rpartition(" ")[2].lstrip(_OPENERS).casefold()
        if word in _MAY_END or bare.endswith(_ELLIPSES) or bare != piece:
            return "undecided"  # the last: "Stop!" he said.
        initials = _INITIALS.fullmatch(word) is not None and word != "i."  # "so do I."
        numbering = piece[:-1].isdigit()
        return "none" if word in _ABBREVIATIONS or initials or numbering else "sentence"

    def _ends_wide(self) -> bool:
        bare = self._piece.rstrip(_CLOSERS)
        return bare.endswith(_WIDE_ENDS) and any(map(str.isalnum, bare))

    def _cut(self, done: list[str]) -> None:
        done.append(self._piece)
        self._piece = ""
        self._space = False
        self._first = False
