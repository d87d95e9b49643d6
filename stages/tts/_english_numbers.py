"""English words for numbers, as people say them. Pure."""

_ONES = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = ("", " thousand", " million", " billion", " trillion")
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}

LONGEST = 15
"""Digits of the longest number that is read as one; longer ones are read digit by digit."""

_DIGITS_READ = 40
"""Of a number without an end, the rest is left out."""


def cardinal(value: int) -> str:
    """`1234` is "one thousand two hundred thirty-four". For 0 up to 15 digits."""
    if value < 1000:
        return _below_thousand(value)
    words: list[str] = []
    for scale in _SCALES:
        value, part = divmod(value, 1000)
        if part:
            words.append(_below_thousand(part) + scale)
    return " ".join(reversed(words))


def ordinal(value: int) -> str:
    """`23` is "twenty-third"."""
    head, joint, last = _last_word(cardinal(value))
    if last in _ORDINALS:
        last = _ORDINALS[last]
    elif last.endswith("y"):
        last = f"{last[:-1]}ieth"
    else:
        last += "th"
    return head + joint + last


def year(value: int) -> str:
    """`1905` is "nineteen oh five", `2024` "twenty twenty-four", `2003` "two thousand three"."""
    century, rest = divmod(value, 100)
    if century % 10 == 0 and rest < 10:
        return cardinal(value)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def decade(value: int) -> str:
    """`1990` is "nineteen nineties", `90` "nineties", `2000` "two thousands"."""
    head, joint, last = _last_word(cardinal(value) if value < 100 else year(value))
    return f"{head}{joint}{last[:-1]}ies" if last.endswith("y") else f"{head}{joint}{last}s"


def digits(text: str) -> str:
    """`007` is "zero zero seven"."""
    return " ".join(_ONES[int(digit)] for digit in text[:_DIGITS_READ])


def number(text: str) -> str:
    """A number as it is written: `10,000`, `0.5`, `.75`, `007`; other characters do not count."""
    whole, point, rest = text.partition(".")
    whole = "".join(filter(str.isdecimal, whole))
    rest = "".join(filter(str.isdecimal, rest))
    if len(whole) > LONGEST or (len(whole) > 1 and int(whole[0]) == 0):
        words = digits(whole)
    else:
        words = cardinal(int(whole)) if whole else ""
    return f"{words} point {digits(rest)}".strip() if point and rest else words


def is_one(text: str) -> bool:
    """Whether a noun behind this number is singular."""
    return text.strip() == "1"


def _below_thousand(value: int) -> str:
    hundreds, rest = divmod(value, 100)
    words = [f"{_ONES[hundreds]} hundred"] if hundreds else []
    if rest >= 20:
        tens, ones = divmod(rest, 10)
        words.append(f"{_TENS[tens]}-{_ONES[ones]}" if ones else _TENS[tens])
    elif rest or not hundreds:
        words.append(_ONES[rest])
    return " ".join(words)


def _last_word(words: str) -> tuple[str, str, str]:
    """The words before the last one, what joins them, and the last one."""
    at = max(words.rfind(" "), words.rfind("-"))
    return words[: max(at, 0)], words[at : at + 1] if at >= 0 else "", words[at + 1 :]
