"""Numbers as words, in one form for each number. Pure.

A recogniser may write "10 seconds" or "ten seconds", "2024", "twenty twenty-four" or "two thousand
and twenty-four": who speaks says the same. `spelled_out` turns digits into words, `canonical`
brings number words into the form that `cardinal` gives: no "and", no years in pairs.
"""

import re
from collections.abc import Sequence

_UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
_MAGNITUDES = frozenset(name for _, name in _SCALES)
_LONGEST = 12
"""Digits: what is longer is no quantity, and read digit by digit."""

_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_CURRENCIES = {"$": "dollar", "€": "euro", "£": "pound"}
_SHORT_SCALES = {"k": "thousand", "m": "million", "bn": "billion"}

_WHOLE = r"\d{1,3}(?:,\d{3})+|\d+"
_MONEY = re.compile(
    rf"([$€£])\s?((?:{_WHOLE})(?:\.\d+)?)(?:\s?(k|m|bn)\b|\s(thousand|million|billion)\b)?"
)
_MINUS = re.compile(r"(?<![\w.,])[-−](?=\d)")
_NUMBER = re.compile(rf"({_WHOLE})(?:\.(\d+))?(?:(st|nd|rd|th|s|k)\b)?")

_VALUES = {word: value for value, word in enumerate(_UNITS)} | {
    word: 20 + 10 * index for index, word in enumerate(_TENS)
}
_DECADES = {word[:-1] + "ies": word for word in _TENS}
_NUMBER_WORDS = frozenset(_VALUES) | _MAGNITUDES | frozenset(_DECADES)


def cardinal(value: int) -> list[str]:
    """A number from 0 to 10^12 as words: 2024 is "two thousand twenty four"."""
    if value < len(_UNITS):
        return [_UNITS[value]]
    if value < 100:
        tens, unit = divmod(value, 10)
        return [_TENS[tens - 2], *([_UNITS[unit]] if unit else [])]
    scale, name = next(entry for entry in _SCALES if value >= entry[0])
    count, rest = divmod(value, scale)
    return [*cardinal(count), name, *(cardinal(rest) if rest else [])]


def spelled_out(text: str) -> str:
    """A lower-case text with words for its digits, percent signs and sums of money.

    Decimals are read digit by digit ("three point five"), and so are numbers with a leading zero or
    of more than twelve digits. The other signs of the text are left as they are.
    """
    text = _MONEY.sub(_money, text).replace("%", " percent ")
    return _NUMBER.sub(_number, _MINUS.sub(" minus ", text))


def _money(found: re.Match[str]) -> str:
    sign, amount, short, scale = found.groups()
    name = _CURRENCIES[sign]
    scale = _SHORT_SCALES[short] if short else scale
    plural = "" if amount == "1" and not scale else "s"
    return f" {amount} {scale or ''} {name}{plural} "


def _number(found: re.Match[str]) -> str:
    whole, fraction, suffix = found.groups()
    digits = whole.replace(",", "")
    if (digits[0] == "0" and len(digits) > 1) or len(digits) > _LONGEST:
        words = _one_by_one(digits)
    else:
        words = cardinal(int(digits))
    if fraction is not None:
        words += ["point", *_one_by_one(fraction)]
    match suffix:
        case "k":
            words.append(_SHORT_SCALES[suffix])
        case "s":
            words[-1] = words[-1][:-1] + "ies" if words[-1] in _TENS else words[-1] + "s"
        case None:
            pass
        case _:
            words[-1] = _ordinal(words[-1])
    return f" {' '.join(words)} "


def _one_by_one(digits: str) -> list[str]:
    return [_UNITS[int(digit)] for digit in digits]


def _ordinal(word: str) -> str:
    if word in _ORDINALS:
        return _ORDINALS[word]
    return word[:-1] + "ieth" if word.endswith("y") else word + "th"


def canonical(words: Sequence[str]) -> list[str]:
    """Number words in the form of `cardinal`; other words stay as they are.

    "And" within a number falls out, "a hundred" is "one hundred", and the pairs of a year or of a
    time of day become one number: "nineteen ninety" is "one thousand nine hundred ninety".
    """
    out: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        following = words[at + 1] if at + 1 < len(words) else ""
        if word == "and" and out and out[-1] in _MAGNITUDES and following in _NUMBER_WORDS:
            at += 1
        elif word == "a" and following in _MAGNITUDES:
            out.append("one")
            at += 1
        elif (year := _pair(words, at)) is not None:
            spelled, length = year
            out += spelled
            at += length
        else:
            out.append(word)
            at += 1
    return out


def _pair(words: Sequence[str], at: int) -> tuple[list[str], int] | None:
    """A number that is said as two of two digits at `at`, and how many words it takes."""
    century = _VALUES.get(words[at], 0)
    rest = words[at + 1 : at + 3]
    if not 11 <= century <= 20 or not rest:
        return None
    first = rest[0]
    unit = _VALUES.get(rest[1], 0) if len(rest) > 1 else 0
    has_unit = 1 <= unit <= 9
    if first == "hundred" and century < 20:
        return cardinal(century * 100), 2
    if first in _DECADES:
        return [*cardinal(century * 100), first], 2
    if first in ("oh", "o", "zero") and has_unit:
        return cardinal(century * 100 + unit), 3
    value = _VALUES.get(first, 0)
    if value >= 20 and has_unit:
        return cardinal(century * 100 + value + unit), 3
    return (cardinal(century * 100 + value), 2) if value >= 10 else None
