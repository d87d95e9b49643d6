"""The rules that turn numbers, dates, units and code into the words that are read. Pure.

The rules are tried in this order, each on the text that the ones before it left. Signs, links and
markup have become words before (`pipeline.speakable`). Where a date of three numbers can be read in
two ways, it is read in the American one, as the voices are American.
"""

import re
import unicodedata
from collections.abc import Callable

from pipeline.traced_text import By
from stages.tts._english_amounts import COUNTRY, PER, UNIT, amount, large, money, units
from stages.tts._english_numbers import (
    cardinal,
    decade,
    digits,
    number,
    ordinal,
    year,
)

_NUMBER = r"(?:\d{1,3}(?:[,_]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
_ALONE = r"(?<![\w.,])"

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_MONTH = "|".join((*_MONTHS, *(rf"{name[:3]}\.?" for name in _MONTHS), r"Sept\.?"))

_FRACTIONS = {2: "half", 4: "quarter"}
_VULGAR = {
    "½": "one half",
    "¼": "one quarter",
    "¾": "three quarters",
    "⅓": "one third",
    "⅔": "two thirds",
}
_VERSIONED = (
    "Python|Java|JavaScript|TypeScript|PHP|Ruby|Go|Rust|Swift|Kotlin|Scala|Node|Angular|React"
    "|Django|Rails|Ubuntu|Debian|Android|Linux|Windows|Postgres|MySQL|Redis|HTTP|TLS|USB|Bluetooth"
    "|[Vv]ersions?|[Rr]elease"
)
_DOMAINS = "com|org|net|edu|gov|info|io|dev|app|ai|co|eu|de|uk|us|fr|at|ch|me|tv"
_DOMAINS_AS_WORDS = frozenset(["com", "org", "net", "dev", "app", "info", "gov", "edu", "co", "me"])


def _spelled(letters: str) -> str:
    return ".".join(letters.upper())


def _iso_date(match: re.Match[str]) -> str | int:
    return _date(int(match[1]), int(match[2]), int(match[3]))


def _american_date(match: re.Match[str]) -> str | int:
    first, second = int(match[1]), int(match[2])
    month, day = (first, second) if first <= 12 else (second, first)
    value = int(match[3])
    if len(match[3]) == 2:
        value += 2000 if value < 70 else 1900
    return _date(value, month, day)


def _date(of_year: int, month: int, day: int) -> str | int:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return 0
    return f"{_MONTHS[month - 1]} {ordinal(day)}, {year(of_year)}"


def _month(name: str) -> str:
    return next(month for month in _MONTHS if month.startswith(name[:3]))


def _month_day(match: re.Match[str]) -> str | int:
    day = int(match[2])
    return f"{_month(match[1])} {ordinal(day)}" if 1 <= day <= 31 else 0


def _day_month(match: re.Match[str]) -> str | int:
    day = int(match[2])
    if not 1 <= day <= 31:
        return 0
    return f"{match[1] or 'the '}{ordinal(day)} of {_month(match[3])}"


def _time(match: re.Match[str]) -> str:
    hour, minute = int(match[1]), int(match[2] or 0)
    half = f" {match[4].upper()}.M" if match[4] else ""
    words = cardinal(hour)
    if minute:
        words += f" {'oh ' if minute < 10 else ''}{cardinal(minute)}"
    elif not half:
        words += " o'clock" if 1 <= hour <= 12 else " hundred"
    if match[3] and int(match[3]):
        words += f" and {cardinal(int(match[3]))} seconds"
    return words + half


def _power(match: re.Match[str]) -> str:
    mantissa = "" if match[1] == "1" else f"{number(match[1])} times "
    minus = "minus " if match[2].startswith("-") else ""
    return f"{mantissa}ten to the power of {minus}{number(match[2])}"


def _fraction(match: re.Match[str]) -> str:
    above, below = int(match[1]), int(match[2])
    if not 0 < above < below <= 10:
        return f"{cardinal(above)} over {cardinal(below)}"
    part = _FRACTIONS.get(below) or ordinal(below)
    plural = "" if above == 1 else "s"
    return f"{cardinal(above)} {part}{plural}"


def _and_fraction(match: re.Match[str]) -> str | int:
    """`3 1/2` is "three and one half"."""
    above, below = int(match[2]), int(match[3])
    if not 0 < above < below:
        return 0
    part = _FRACTIONS.get(below) or ordinal(below)
    words = f"{number(match[1])} and {cardinal(above)} {part}{'' if above == 1 else 's'}"
    return f"{words} {units(match[4])}" if match[4] else words


def _statuses(match: re.Match[str]) -> str | int:
    """`404s` is "four hundred fours"; `300s` are seconds."""
    if int(match[1]) not in _STATUSES:
        return 0
    words = number(match[1])
    return f"{words}es" if words.endswith("x") else f"{words}s"


_STATUSES = frozenset(
    (
        *range(200, 207),
        *range(301, 309),
        *range(400, 419),
        422,
        425,
        429,
        431,
        451,
        *range(500, 505),
    )
)
"""Of HTTP (RFC 9110 and 6585), as far as people speak of them."""


def _year(match: re.Match[str]) -> str | int:
    value = int(match[0])
    before = re.search(r"(?:\b(\w+)\W+)?$", match.string[: match.start()])
    dated = before is not None and (before[1] or "").lower() in _BEFORE_YEARS
    return year(value) if dated or 1900 <= value < 2100 else 0


_BEFORE_YEARS = frozenset(
    ("in", "since", "from", "by", "until", "till", "before", "after", "around", "year", "of")
)


def _version(match: re.Match[str]) -> str:
    parts = match[1].split(".")
    joint = " dot " if len(parts) == 4 else " point "
    return joint.join(map(number, parts))


def _versioned(match: re.Match[str]) -> str:
    name = match[0][: match.start(1) - match.start()]
    return f"{name.rstrip(' /-')} {_version(match)}"


def _letters_and_number(match: re.Match[str]) -> str:
    letters, figures = match[1], match[2]
    name = _spelled(letters) if len(letters) <= 2 or letters.isupper() else letters
    return f"{name} {_name_number(figures)}"


def _name_number(figures: str) -> str:
    """A number in a name: "p99", "H264", "A100"."""
    if len(figures) <= 2 or figures.endswith("00"):
        return number(figures)
    return digits(figures) if len(figures) != 4 else year(int(figures))


def _address(match: re.Match[str]) -> str:
    words = _dotted(match[1]) + " at " if match[1] else ""
    *names, last = match[2].split(".")
    top = last if last.lower() in _DOMAINS_AS_WORDS or len(last) > 3 else _spelled(last)
    return words + " dot ".join((*map(_dotted, names), top))


def _dotted(name: str) -> str:
    for sign, word in ((".", "dot"), ("_", "underscore"), ("-", "dash"), ("+", "plus")):
        name = name.replace(sign, f" {word} ")
    return name.strip()


def _hump(match: re.Match[str]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", match[0]).lower()


def _rest(match: re.Match[str]) -> str:
    figures = match[0]
    return f" {number(figures) if len(figures) <= 2 else digits(figures)} "


def _only_digit(match: re.Match[str]) -> str | int:
    """The figure of a digit that is none of a decimal number: "①Kafka", "⑴", "x₁"."""
    figure = unicodedata.digit(match[0], None)
    if figure is None:
        return 0
    before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
    return f"{' ' * before.isalnum()}{figure}{' ' * after.isalnum()}"


def _rules(*rules: tuple[str, By]) -> list[tuple[re.Pattern[str], By]]:
    return [(re.compile(pattern), by) for pattern, by in rules]


def _said(words: Callable[[str], str], group: int = 1, after: str = "") -> By:
    return lambda match: words(match[group]) + after


BEFORE_WORDS = _rules(
    (r"[^\W\d_a-zA-Z]", _only_digit),
    (r"[’ʼ]", "'"),
    (r"[\[\]{}<>|\\^~*_`\x00-\x1f\x7f]", " "),
    # Addresses: links have lost their scheme and their path already.
    (r"(?i)\bhttps?://", ""),
    (
        rf"(?i)(?<![\w@.])(?:([\w.+-]{{1,64}})@)?((?:[\w-]{{1,63}}\.){{1,8}}(?:{_DOMAINS}))"
        r"(?:/[\w./?=&%#-]*)?(?![\w@.-]*\w)",
        _address,
    ),
    (r"(?<![\w@.])([\w.+-]{1,64})@((?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,20})\b", _address),
)
"""Rules that come before the lexicon."""

RULES = _rules(
    # Dates and times.
    (rf"{_ALONE}(\d{{4}})-(\d\d)-(\d\d)(?![\w-])", _iso_date),
    (rf"{_ALONE}(\d{{1,2}})/(\d{{1,2}})/(\d{{4}}|\d\d)(?![\w/])", _american_date),
    (rf"\b({_MONTH}) (\d{{1,2}})(?:st|nd|rd|th)?\b(?![:.,]?\d|%)", _month_day),
    (rf"(?:(the |The )|\b)(\d{{1,2}})(?:st|nd|rd|th)? (?:of )?({_MONTH})\b", _day_month),
    (
        rf"{_ALONE}([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?(?:\s?([AaPp])\.?[Mm]\b\.?)?(?![\w:])",
        _time,
    ),
    (rf"{_ALONE}(1[0-2]|0?[1-9])()()\s?([AaPp])\.?[Mm]\b\.?", _time),
    # Ranges, and what looks like one.
    (
        rf"{_ALONE}((?:\d{{3}}-)?\d{{3}}-\d{{4}})(?![\w-])",
        lambda match: ", ".join(map(digits, match[1].split("-"))),
    ),
    (r"(?<=\d)(?:\s?–\s?|-)(?=[$€£]?\.?\d)", " to "),
    # Money, shares, amounts.
    (
        rf"(?:\b({COUNTRY})(?=[$])|(?<![\w$€£]))([$€£])\s?({_NUMBER})"
        r"(?:\s?(thousand|million|billion|trillion|[kKmMbBtT]|bn|mn)\b)?",
        lambda match: money(match[3], match[2], match[4], match[1]),
    ),
    (rf"{_ALONE}({_NUMBER})\s?([$€£])(?!\w)", lambda match: money(match[1], match[2], None)),
    (rf"{_ALONE}({_NUMBER})\s?%", _said(number, after=" percent")),
    (
        r"\b([Tt]he|[Ee]arly|[Ll]ate|[Mm]id)([ -])'?(\d\d|\d{3}0)s\b",
        lambda match: match[1] + match[2] + decade(int(match[3])),
    ),
    (r"(?<!\w)'(\d0)s\b", lambda match: decade(int(match[1]))),
    (r"\b((?:1[1-9]|20)\d0)s\b", lambda match: decade(int(match[1]))),
    (rf"{_ALONE}([2-5]\d\d)s\b", _statuses),
    (
        rf"(?<![\w.,/])(\d{{1,3}}) (\d{{1,2}})/(\d{{1,2}})(?:\s?({UNIT})(?![\w°])|(?![\w/]))",
        _and_fraction,
    ),
    (rf"{_ALONE}({_NUMBER})[\s-]?({UNIT})(?![\w°])", amount),
    (rf"(?<=[A-Za-z])/({'|'.join(PER)})\b", lambda match: f" per {PER[match[1]]}"),
    (rf"{_ALONE}({_NUMBER})(bn|mn|k|[mMbB])\b", large),
    (rf"{_ALONE}(\d{{2,}})K\b", _said(number, after=" thousand")),
    (rf"{_ALONE}({_NUMBER})[xX]\b", _said(number, after=" X")),
    (rf"{_ALONE}(\d+(?:\.\d+)?)[eE]\+?(-?\d{{1,3}})\b", _power),
    # Numbers beside one another.
    (r"(?<![\w)\].])[-−](?=\.?\d)", "minus "),
    (rf"{_ALONE}(\d{{1,4}})/(\d{{1,4}})(?![\w/])", _fraction),
    (r"(?<=\d)\s?[½¼¾⅓⅔]", lambda match: f" and {_VULGAR[match[0].strip()]}"),
    (r"[½¼¾⅓⅔]", lambda match: _VULGAR[match[0]]),
    (r"(?<=\d):(?=\d)", " to "),
    # Names with numbers in them.
    (r"(?<=[vV]ersion )[vV](?=\d)", ""),
    (r"\b[vV](\d{1,4}(?:\.\d{1,4}){0,4})\b", lambda match: f"version {_version(match)}"),
    (rf"(?<=\b)(?:{_VERSIONED})(?: |/|-)?(\d{{1,4}}(?:\.\d{{1,4}}){{1,3}})\b(?!\.\d)", _versioned),
    (rf"{_ALONE}(\d{{1,4}}(?:\.\d{{1,4}}){{2,5}})\b", _version),
    (r"\b([A-Za-z]{1,12})-?(\d{1,4})\b(?![.,]?\d)", _letters_and_number),
    (r"\b(\d{1,3})([A-Z]{1,3})\b", lambda match: f"{number(match[1])} {_spelled(match[2])}"),
    (r"#\s?(?=\d)", "number "),
    # Numbers alone.
    (rf"{_ALONE}(\d{{1,4}})(?:st|nd|rd|th)\b", lambda match: ordinal(int(match[1]))),
    (rf"{_ALONE}[12]\d{{3}}(?![\w%]|[.,]\d)", _year),
    (rf"(?<![\w.])({_NUMBER})(?!\w)", _said(number)),
    (r"\d+", _rest),
    # Code.
    (r"(?<=\w)\(\)", ""),
    (r"\b[a-z]{2,}(?:[A-Z][a-z]+)+\b", _hump),
    (r"(?<=[A-Za-z])\.(?=[a-z]{2,})", " dot "),
    (r"(?<=\w)/(?=\w)", " "),
    (r"\s?&\s?", " and "),
    (r"\s?%", " percent"),
    (r"(?<=\w)\s?@\s?(?=\w)", " at "),
    (r"(?<=\w)\s?\+(?=\s|$)", " plus"),
    (r"(?<=\w)#", " sharp"),
    (r"[#@$€£/]", " "),
)
