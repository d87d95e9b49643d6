"""Cutting a reply into pieces that can be spoken, while its text is still coming. Pure.

The text is walked character by character, and a decision looks ahead at most to the next character
that is no white space. So the pieces do not depend on how the text was cut into deltas.

Where a full stop ends a sentence follows the usual rules of thumb (compare Kiss and Strunk,
"Unsupervised Multilingual Sentence Boundary Detection", 2006): not in an abbreviation or an
initial; after an ellipsis, a closing quotation mark or "etc." the case of the next word decides,
and after a number whether something is being counted ("am 3. Oktober").

Why own code: of the libraries, sentence-stream 1.3 takes a stream, but cuts "z. B.", needs time in
the square of a text without full stops and knows no clauses; sentencex and pySBD want a whole text.
A cut too few costs a longer piece, a cut too many is heard.
"""

import re
from typing import Literal

from pipeline.abbreviations import BEFORE_NUMBERS, BEFORE_ORDINALS, MAY_END, NEVER_END, PHRASES

FIRST_CLAUSE_CHARS = 40
"""From this length on the first piece may end at a clause, so that synthesis can begin early.
Shorter clauses would each be spoken with the melody of a sentence."""

FIRST_WIDE_CLAUSE_CHARS = 15
"""The same in Chinese and Japanese, where a character is a syllable or two."""

LONGEST_CHARS = 300
"""A longer piece is cut at its last space: it bounds what one synthesis can cost."""

_OPENERS = "\"'“‘„‚([{«‹¿¡「『（【《"
_CLOSERS = "\"'”’“‘)]}»›«‹」』）】》"
_ENDS = (".", "!", "?", "…", "؟", "۔", "\N{GREEK QUESTION MARK}", "‽", "։", "።")
_WIDE_ENDS = ("。", "！", "？", "｡", "．", "।", "॥")
"""Sentence ends that no white space need follow: Chinese, Japanese, Hindi."""

_ELLIPSES = ("…", "..")
_CLAUSE_ENDS = (",", ";", ":", "—", "–", " -", "،", "؛", "·")
_WIDE_CLAUSE_ENDS = ("，", "、", "；", "：")

_INITIALS = re.compile(r"(?:[^\W\d_]\.)+")
"""Of a lower-cased word: "u.s.", "e.g.", "j.", "т.е."."""

_ONE_LETTER_WORDS = ("i.", "я.")
_NUMBER = re.compile(r"\d{1,4}\.")
_GREEK_QUESTION = re.compile(r"[\u0370-\u03ff\u1f00-\u1fff];$")
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]$")

_Ending = Literal["sentence", "quote", "case", "number", "count", "clause", "none"]


class SentenceSplitter:
    """Cuts one reply. Pieces have no space round them and single spaces inside.

    Joined by spaces the pieces are the text again, but for the places without white space at which
    they were cut: after 。！？ and the like, in a script without spaces, and inside a word of more
    than `LONGEST_CHARS`.
    """

    def __init__(self) -> None:
        self._piece = ""
        self._space = False
        self._ended: _Ending = "none"  # what may have ended here: the next character decides
        self._quoting = False  # between « and »
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

    def words(self) -> str:
        """Give what there is of the next piece, but for a word that may be incomplete; often "".

        For a listener who has waited too long for the rest.
        """
        head, _, tail = self._piece.rpartition(" ")
        if self._space or _WIDE.search(self._piece):
            head, tail = self._piece, ""
        if not any(map(str.isalnum, head)):
            return ""
        done: list[str] = []
        self._piece = head
        self._cut(done)
        self._piece = tail
        return done[0]

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
        self._ended = self._ending()
        if self._ended == "sentence" or (self._ended == "clause" and self._first):
            self._cut(done)

    def _take(self, char: str, done: list[str]) -> None:
        if self._ends_before(char):
            self._cut(done)
        self._ended = "none"

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
        if char in "«»":
            self._quoting = char == "«"

    def _ends_before(self, char: str) -> bool:
        """Whether the piece is over, now that `char` follows it."""
        match self._ended:
            case "quote":
                return char != "»"
            case "case":
                return not char.islower()
            case "number":
                return not char.isdigit()
            case "count":
                return not char.islower() and not char.isdigit()
        if self._space or char in _WIDE_ENDS or char in _CLOSERS:
            return False
        return self._ends_wide() or (self._first and self._ends_wide_clause())

    def _ending(self) -> _Ending:
        """What ends with the piece, now that white space follows it."""
        piece = self._piece
        if not any(map(str.isalnum, piece)):
            return "none"  # nothing to pronounce: it goes with what follows
        if self._ends_wide() or _GREEK_QUESTION.search(piece):
            return "sentence"
        bare = piece.rstrip(f"{_CLOSERS} ")
        if not bare.endswith(_ENDS):
            long = len(piece) >= FIRST_CLAUSE_CHARS
            return "clause" if long and piece.endswith(_CLAUSE_ENDS) else "none"
        before, _, word = bare.rpartition(" ")
        word = word.lstrip(_OPENERS).casefold()
        if bare != piece:
            return "case"  # "Stop!" he said.
        if self._quoting:
            return "quote"  # « Stop ! » dit-il.
        if word in MAY_END or bare.endswith(_ELLIPSES):
            return "case"
        return self._full_stop(before.rpartition(" ")[2].casefold(), word)

    def _full_stop(self, before: str, word: str) -> _Ending:
        """What `word`, with its full stop, ends in the middle of a text; `before` precedes it."""
        if word in NEVER_END or f"{before} {word}" in PHRASES:
            return "none"
        if word in BEFORE_NUMBERS:
            return "number"
        if _INITIALS.fullmatch(word) and word not in _ONE_LETTER_WORDS:
            return "none"
        if _NUMBER.fullmatch(word):
            return "none" if not before or before in BEFORE_ORDINALS else "count"
        return "sentence"

    def _ends_wide(self) -> bool:
        bare = self._piece.rstrip(_CLOSERS)
        return bare.endswith(_WIDE_ENDS) and any(map(str.isalnum, bare))

    def _ends_wide_clause(self) -> bool:
        piece = self._piece
        return len(piece) >= FIRST_WIDE_CLAUSE_CHARS and piece.endswith(_WIDE_CLAUSE_ENDS)

    def _cut(self, done: list[str]) -> None:
        done.append(self._piece)
        self._piece = ""
        self._space = False
        self._ended = "none"
        self._first = False
