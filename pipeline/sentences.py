"""Cuts a reply into pieces that can be spoken, while its text is still coming. Pure.

The splitter reads the text character by character and looks ahead at most to the next character
that is no white space. So the pieces do not depend on how the text was cut into deltas.

Where a full stop ends a sentence follows the usual rules of thumb (compare Kiss and Strunk,
"Unsupervised Multilingual Sentence Boundary Detection", 2006): not in an abbreviation or an
initial; after an ellipsis, a closing quotation mark or "etc." the case of the next word decides,
and after a number whether something is being counted ("am 3. Oktober").

No library is used: sentence-stream 1.3 takes a stream, but cuts "z. B.", takes quadratic time for a
text without full stops and finds no clauses; sentencex and pySBD need a whole text. A missing cut
only makes a piece longer; a wrong cut is heard.
"""

import re
from typing import Literal

from pipeline.abbreviations import BEFORE_NUMBERS, BEFORE_ORDINALS, MAY_END, NEVER_END, PHRASES

FIRST_CLAUSE_CHARS = 40
"""From this length on the first piece may end at a clause, so that synthesis can begin early. A
shorter clause would be spoken with the intonation of a whole sentence."""

FIRST_WIDE_CLAUSE_CHARS = 15
"""The same in Chinese and Japanese, where a character is a syllable or two."""

LONGEST_CHARS = 300
"""A longer piece is cut at its last space, which bounds the cost of one synthesis."""

_OPENERS = "\"'“‘„‚([{«‹¿¡「『（【《"
_CLOSERS = "\"'”’“‘)]}»›«‹」』）】》"
_ENDS = (".", "!", "?", "…", "؟", "۔", "\N{GREEK QUESTION MARK}", "‽", "։", "።")
_WIDE_ENDS = ("。", "！", "？", "｡", "．", "।", "॥")
"""Sentence ends that need no white space after them: Chinese, Japanese, Hindi."""

_ELLIPSES = ("…", "..")
_CLAUSE_ENDS = (",", ";", ":", "—", "–", " -", "،", "؛", "·")
_WIDE_CLAUSE_ENDS = ("，", "、", "；", "：")

_INITIALS = re.compile(r"(?:[^\W\d_]\.)+")
"""Matches lower-cased words such as "u.s.", "e.g.", "j." and "т.е."."""

_ONE_LETTER_WORDS = ("i.", "я.")
_NUMBER = re.compile(r"\d{1,4}\.")
_GREEK_QUESTION = re.compile(r"[\u0370-\u03ff\u1f00-\u1fff];$")
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]$")

_Ending = Literal["sentence", "quote", "case", "number", "count", "clause", "none"]


class SentenceSplitter:
    """Cuts one reply. Pieces have no space round them and single spaces inside.

    Joined by spaces, the pieces give the text again, except where it was cut without white space:
    after 。！？ and the like, in a script without spaces, and inside a word of more than
    `LONGEST_CHARS`.
    """

    def __init__(self) -> None:
        self._piece = ""
        self._space = False
        self._ended: _Ending = "none"  # what may have ended here: the next character decides
        self._quoting = False  # between « and »
        self._first = True

    def push(self, delta: str) -> list[str]:
        """Take more text; returns the pieces that it completes."""
        done: list[str] = []
        for char in delta:
            if char.isspace():
                self._take_space(done)
            else:
                self._take(char, done)
        return done

    def words(self) -> str:
        """The next piece so far, without a last word that may be incomplete; often "".

        For use when the rest of the piece is too late.
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
        """The text is over: returns the last piece, if there is one."""
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
        """The kind of ending that the piece has, now that white space follows it."""
        piece = self._piece
        if not any(map(str.isalnum, piece)):
            return "none"  # nothing to pronounce: it joins the next piece
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
        """The kind of ending of `word` with its full stop; `before` is the word before it."""
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
