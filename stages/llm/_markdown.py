"""Removes a chat model's Markdown, while the text is still coming. Pure.

It removes markup that needs the lines of the text: code blocks, tables, headings and list marks;
and markup that spans deltas: emphasis, and stage directions between asterisks. Markup within a
sentence, such as a link, is left to `pipeline.speakable`.
"""

import re
from typing import Literal

from pipeline.stage_directions import LONGEST, is_direction, may_be_direction

_LONGEST_ROW = 600
"""A line that begins with "|" and has no end yet after this many characters is a table's."""

_UNDECIDED = re.compile(
    r"[ \t]*(?:`{1,2}|~{1,2}|#{1,6}|[-+•]|\*{1,3}|>|\d{1,3}[.)]?|(?:[-*_][ \t]*){2,})?", re.ASCII
)
_RULE = re.compile(r"[ \t]*(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}|={3,}[ \t]*)")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
_HEADING = re.compile(r"[ \t]*#{1,6}[ \t]+")
_BULLET = re.compile(r"[ \t]*(?:[-*•]|\+(?=[ \t]+\D))[ \t]+(?=[^\s*_-]|[*_-][^\s*_-]|\*\*[^\s*])")
_NUMBERED = re.compile(r"[ \t]*\d{1,3}[.)][ \t]+(?=\S)")
_QUOTE = re.compile(r"[ \t]*>[ \t]+(?=[^\s\d.])")
_LONGEST_MARK = 120

_Mode = Literal["start", "text", "line", "fence", "stars", "span", "spanned"]


class PlainText:
    """The text of one reply without Markdown. It does not depend on how the text was cut.

    Lists and headings get a full stop at the end of a line that has none, because a voice does not
    see where the line ends. With `blocks`, tables and code blocks stay, as running text.
    """

    def __init__(self, *, blocks: bool = False) -> None:
        self._blocks = blocks
        self._mode: _Mode = "start"
        self._held = ""
        self._fence = ""
        self._last = ""  # the newest character that was kept
        self._ending = ""  # the newest that is no white space
        self._item = False
        self._code = False
        self._out: list[str] = []

    def push(self, delta: str) -> str:
        """Take more text; returns the part that is certain, often nothing."""
        for character in delta:
            self._take(character)
        said, self._out = "".join(self._out), []
        return said

    def finish(self) -> str:
        """The text is over: returns the part that was held back, if any."""
        if self._mode != "fence":
            held, mode = self._held, self._mode
            self._held, self._mode = "", "text"
            if mode == "line" or (mode == "start" and held.strip()):
                self._end_line(held)
            elif mode == "spanned":
                self._end_span(held, "")
            elif mode == "span":
                self._keep(held)
        said, self._out = "".join(self._out), []
        return said

    def _take(self, character: str) -> None:
        match self._mode:
            case "start":
                self._take_first(character)
            case "line":
                self._held += character
                if character == "\n":
                    held, self._held = self._held, ""
                    self._end_line(held)
                elif len(self._held) == _LONGEST_ROW and not self._fence:
                    self._held = "|"  # its rest is a table's, too
            case "fence":
                self._take_code(character)
            case "stars":
                self._take_after_stars(character)
            case "span":
                self._take_in_span(character)
            case "spanned":
                if character.isspace() and character != "\n":
                    self._held += character
                else:
                    held, self._held = self._held, ""
                    self._end_span(held, character)
                    self._take(character)
            case "text":
                self._take_in_text(character)

    # --- lines -------------------------------------------------------------------------------

    def _take_first(self, character: str) -> None:
        """Take a character of a line whose kind is not known yet."""
        held = self._held = self._held + character
        if character == "\n":
            self._held = ""
            self._end_line(held)
        elif not self._blocks and (fence := _FENCE.match(held)):
            self._mode, self._fence = "line", fence[1]
        elif not self._blocks and held.lstrip(" \t")[:1] == "|":
            self._mode, self._fence = "line", ""
        elif len(held) < _LONGEST_MARK and self._may_be_mark(held):
            return
        else:
            self._held = ""
            self._begin_line(held)

    @staticmethod
    def _may_be_mark(held: str) -> bool:
        bare = held.rstrip(" \t")
        return _UNDECIDED.fullmatch(bare) is not None or _RULE.fullmatch(held) is not None

    def _begin_line(self, line: str) -> None:
        self._mode = "text"
        self._item = False
        quote = _QUOTE.match(line)
        if quote is not None:
            line = line[quote.end() :]
        mark = _HEADING.match(line) or _BULLET.match(line)
        self._item = mark is not None or _NUMBERED.match(line) is not None
        for character in line if mark is None else line[mark.end() :]:
            self._take(character)

    def _end_line(self, line: str) -> None:
        """Take a whole line that was held."""
        bare = line.strip()
        self._mode = "start"
        fence, self._fence = self._fence, ""
        if fence and "`" not in bare[len(fence) :]:
            if line.endswith("\n"):
                self._mode, self._fence = "fence", fence
            return
        if _RULE.fullmatch(line.rstrip("\n")):
            return
        if bare.startswith("|") and (bare.count("|") == 1 or bare.endswith("|")):
            return
        if not bare:
            self._keep(line)
            return
        self._begin_line(line)

    def _take_code(self, character: str) -> None:
        if character != "\n":
            if len(self._held) <= _LONGEST_MARK:
                self._held += character
            return
        line, self._held = self._held.strip(), ""
        if line.startswith(self._fence) and not line.strip(self._fence[0]):
            self._mode, self._fence = "start", ""

    # --- in a line ---------------------------------------------------------------------------

    def _take_in_text(self, character: str) -> None:
        if character == "\n":
            if self._item and (self._ending.isalnum() or self._ending in _CLOSERS):
                self._keep(".")
            self._item = self._code = False
            self._keep("\n")
            self._mode = "start"
        elif character == "`":
            self._code = not self._code
        elif character == "*" and not self._code:
            self._mode, self._held = "stars", "*"
        elif character != "#" or self._last.isalnum() or self._last == "&":  # "&#39;"
            self._keep(character)

    def _take_after_stars(self, following: str) -> None:
        if following == "*":
            if len(self._held) < 3:
                self._held += "*"
            return
        stars, self._held = self._held, ""
        self._mode = "text"
        before = self._last
        operand = (before.isalnum() or before == ")") and following.isalnum()
        if before.isspace() and following in " \t":
            self._keep(stars)  # "2 * 3"
        elif operand and (before.isdigit() or following.isdigit()):
            self._keep(stars)  # "2*3"
        elif len(stars) == 1 and not before.isalnum() and not following.isspace():
            self._mode = "span"
        self._take(following)

    def _take_in_span(self, character: str) -> None:
        if character == "*" and not self._held.endswith(" "):
            self._mode = "spanned"
            return
        if character in "*\n" or len(self._held) >= LONGEST:
            held, self._held = self._held, ""
            self._mode = "text"
            self._keep(held)
            self._take(character)
        else:
            self._held += character

    def _end_span(self, span: str, following: str) -> None:
        """Take the text between two asterisks and the spaces behind it."""
        self._mode = "text"
        between = not self._ending or self._ending in ".!?…:"
        sentence_follows = following in ("", "\n") or following.isupper()
        if is_direction(span) or (between and sentence_follows and may_be_direction(span)):
            return
        self._keep(span.replace("`", ""))

    def _keep(self, text: str) -> None:
        if text:
            self._out.append(text)
            self._last = text[-1]
            self._ending = text.rstrip()[-1:] or self._ending


_CLOSERS = ")]\"'”’»"
