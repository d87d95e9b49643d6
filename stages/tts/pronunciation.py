"""How a sentence is read aloud in English: a lexicon, then rules. Pure.

Text that is not said as it is written ("PostgreSQL", "p99", "$5", "3/4") becomes the words that are
said, before a voice gets it. The origin of each spoken word is kept, so that a word's position in
the speech is one in the sentence. The rules are in `stages.tts._english_reading`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pipeline.traced_text import TracedText
from stages.tts._english_reading import BEFORE_WORDS, RULES

LEXICON = Path(__file__).with_name("pronunciations.txt")
"""Parley's own entries."""

MOST_ENTRIES = 10_000
MOST_BYTES = 1 << 20
MOST_CHARACTERS = 200
"""Of a line of a lexicon."""

_PLAIN = re.compile(r"[A-Za-z ,.?!;:'’\"“”—()-]*")
"""Text of which the rules change nothing, unless there is code in it."""

_CODE = re.compile(r"\w\.\w|[a-z][A-Z]|\(\)")
_WORD = re.compile(r"\w+")
_LETTERS = re.compile(r"\b[A-Z](?: [A-Z]\b)+")


class LexiconError(ValueError):
    """A lexicon cannot be used. The text names its file and line, and says what is wrong."""


@dataclass(frozen=True, slots=True)
class EnglishReading:
    """The words that are said for a sentence."""

    text: str
    _starts: tuple[int, ...]
    _ends: tuple[int, ...]

    def source(self, offset: int, length: int) -> tuple[int, int]:
        """The part of the sentence, as offset and length, that a part of `text` stands for."""
        first = min(max(0, offset), len(self._starts) - 1)
        last = min(max(first, offset + length - 1), len(self._starts) - 1)
        start = self._starts[first]
        return start, max(self._ends[last] - start, 0)


def parse_lexicon(text: str, name: str) -> dict[str, str]:
    """The entries of a lexicon: lines `word = spoken words`.

    Empty lines and lines that begin with `#` are ignored; of two entries for a word the later one
    counts. Single capitals in the spoken words are letters ("S Q L"). Raises `LexiconError`, in
    which `name` stands for the file.
    """
    entries: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("# ") or line == "#":
            continue
        word, equals, spoken = (part.strip() for part in line.partition(" = "))
        if problem := _problem(line, word, equals, spoken):
            raise LexiconError(f"{name}, line {number}: {problem}")
        entries[word] = spoken
        if len(entries) > MOST_ENTRIES:
            raise LexiconError(f"{name}: it has more than {MOST_ENTRIES} entries")
    return entries


def _problem(line: str, word: str, equals: str, spoken: str) -> str | None:
    if len(line) > MOST_CHARACTERS:
        return f"it is longer than {MOST_CHARACTERS} characters"
    if not equals:
        return f"no ' = ' between a word and how it is said: {line!r}"
    if not any(map(str.isalnum, word)):
        return f"{word!r} has no letter or figure"
    if not re.fullmatch(r"[A-Za-z][A-Za-z' .-]*", spoken):
        return f"{spoken!r} must be English words: letters, spaces, apostrophes, hyphens and dots"
    return None


def read_lexicon(path: Path) -> dict[str, str]:
    """The entries of a UTF-8 file. Raises `LexiconError`. Blocks while it reads up to 1 MiB."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise LexiconError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise LexiconError(f"{path}, line {line}: it is not UTF-8") from None
    if len(data) > MOST_BYTES:
        raise LexiconError(f"{path} is larger than {MOST_BYTES >> 20} MiB")
    return parse_lexicon(text, str(path))


class Pronunciation:
    """Reads sentences. `lexicon` has an operator's entries, which win over Parley's own.

    A word in capitals only ("IT") is found as it is written, any other in small letters and
    capitals; both also with an "s" or "'s" behind them.
    """

    def __init__(self, lexicon: Mapping[str, str] | None = None) -> None:
        entries = {**_own(), **(lexicon or {})}
        self._exact: dict[str, str] = {}
        self._folded: dict[str, str] = {}
        for word, spoken in entries.items():
            spoken = _LETTERS.sub(lambda match: match[0].replace(" ", "."), spoken)
            if word.isupper() and len(word) > 1:
                self._exact[word] = spoken
            else:
                self._folded[word.casefold()] = spoken
        self._words: dict[str, list[str]] = {}  # by the first letters and figures of each
        for word in entries:
            if first := _WORD.search(word):
                self._words.setdefault(first[0].casefold(), []).append(word)
        self._patterns: dict[str, list[_FoundAt]] = {}

    def read(self, text: str) -> EnglishReading:
        """The words to say for a sentence."""
        traced = TracedText(text)
        for pattern, by in BEFORE_WORDS:
            traced.replace(pattern, by)
        traced.replace_matches(self._found(traced.text), self._spoken)
        if not _PLAIN.fullmatch(traced.text) or _CODE.search(traced.text):
            for pattern, by in RULES:
                traced.replace(pattern, by)
        return EnglishReading(traced.text, tuple(traced.starts), tuple(traced.ends))

    def _found(self, text: str) -> Iterator[re.Match[str]]:
        """The words of the lexicon in a text. Each of the text's own words is looked up, so that
        the time does not depend on the lexicon's size."""
        done = 0
        for token in _WORD.finditer(text):
            if token.end() <= done:
                continue
            folded = token[0].casefold()
            patterns = self._patterns_of(folded)
            if folded.endswith("s"):
                patterns = sorted([*patterns, *self._patterns_of(folded[:-1])], key=_leftmost)
            for offset, pattern in patterns:
                start = token.start() - offset
                if start >= done and (match := pattern.match(text, start)):
                    yield match
                    done = match.end()
                    break

    def _patterns_of(self, first: str) -> "list[_FoundAt]":
        """The patterns that find the entries whose first word this is. They are made when a text
        first has the word: to make them for all of 10,000 entries would take half a second."""
        if first not in self._words:
            return []
        if first not in self._patterns:
            words = self._words[first]
            offsets = {word: word.casefold().index(first) for word in words}
            self._patterns[first] = [
                _FoundAt(offset, _pattern(word for word in words if offsets[word] == offset))
                for offset in sorted(set(offsets.values()), reverse=True)
            ]
        return self._patterns[first]

    def _spoken(self, match: re.Match[str]) -> str | int:
        word, ending = match["word"], match["ending"]
        spoken = self._exact.get(word) or self._folded.get(word.casefold())
        if spoken is None:
            return 0
        if ending:
            spoken += ending if not spoken[-1].isupper() else "'s"
        ends_sentence = word.endswith(".") and not match.string[match.end() :].strip()
        return f"{spoken}." if ends_sentence else spoken


class _FoundAt(NamedTuple):
    """Finds entries that have `offset` characters before their first letter or figure."""

    offset: int
    pattern: re.Pattern[str]


def _leftmost(found: _FoundAt) -> int:
    return -found.offset


@cache
def _own() -> Mapping[str, str]:
    return read_lexicon(LEXICON)


def _pattern(words: Iterable[str]) -> re.Pattern[str]:
    """Finds words, longest first, and not inside of other words."""
    found = []
    for word in sorted(words, key=len, reverse=True):
        after = "" if word[-1].isalnum() else (r"(?!\w)" if word[-1] == "." else r"(?![\w+#])")
        found.append(rf"(?<![\w.]){re.escape(word)}{after}")
    plain = "|".join(found)
    return re.compile(rf"(?i:(?P<word>{plain}))(?P<ending>(?:'?s)?)(?!\w|[.]\w|[$€£]\s?[.]?\d)")
