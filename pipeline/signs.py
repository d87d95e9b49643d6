"""How signs are said in words, by language. Pure tables.

A voice leaves out signs that it does not know, which changes a number: "5 ms" for "<5 ms".
"""

import unicodedata
from collections.abc import Mapping
from functools import cache

ENGLISH: Mapping[str, str] = {
    "<": "less than",
    ">": "greater than",
    "≤": "less than or equal to",
    "≥": "greater than or equal to",
    "=": "equals",
    "≠": "is not equal to",
    "≈": "about",
    "≡": "is identical to",
    "+": "plus",
    "-": "minus",
    "±": "plus or minus",
    "×": "times",
    "÷": "divided by",
    "^": "to the power of",
    "√": "square root of",
    "∞": "infinity",
    "→": "to",
    "←": "from",
    "↔": "to and from",
    "∑": "sum of",
    "∏": "product of",
    "∫": "integral of",
    "∂": "partial",
    "∆": "delta",
    "∇": "nabla",
    "∈": "in",
    "∉": "not in",
    "∪": "union",
    "∩": "intersection",
    "¬": "not",
    "∧": "and",
    "∨": "or",
    "∝": "proportional to",
    "²": "squared",
    "³": "cubed",
    "/": "over",
}

GERMAN: Mapping[str, str] = {
    "<": "kleiner als",
    ">": "größer als",
    "≤": "kleiner oder gleich",
    "≥": "größer oder gleich",
    "=": "gleich",
    "≠": "ungleich",
    "≈": "ungefähr",
    "≡": "identisch mit",
    "+": "plus",
    "-": "minus",
    "±": "plus minus",
    "×": "mal",
    "÷": "geteilt durch",
    "^": "hoch",
    "√": "Wurzel aus",
    "∞": "unendlich",
    "→": "nach",
    "←": "von",
    "↔": "hin und zurück",
    "∑": "Summe von",
    "∏": "Produkt von",
    "∫": "Integral von",
    "∂": "partiell",
    "∆": "Delta",
    "∇": "Nabla",
    "∈": "in",
    "∉": "nicht in",
    "∪": "vereinigt mit",
    "∩": "geschnitten mit",
    "¬": "nicht",
    "∧": "und",
    "∨": "oder",
    "∝": "proportional zu",
    "²": "hoch 2",
    "³": "hoch 3",
    "/": "durch",
}

LANGUAGES: Mapping[str, Mapping[str, str]] = {"en": ENGLISH, "de": GERMAN}

LATEX: Mapping[str, str] = {
    "times": "×",
    "cdot": "×",
    "div": "÷",
    "pm": "±",
    "leq": "≤",
    "le": "≤",
    "geq": "≥",
    "ge": "≥",
    "neq": "≠",
    "ne": "≠",
    "lt": "<",
    "gt": ">",
    "approx": "≈",
    "sim": "≈",
    "infty": "∞",
    "to": "→",
    "rightarrow": "→",
    "sum": "∑",
    "prod": "∏",
    "int": "∫",
    "in": "∈",
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "delta": "δ",
    "epsilon": "ε",
    "theta": "θ",
    "lambda": "λ",
    "mu": "μ",
    "pi": "π",
    "sigma": "σ",
    "omega": "ω",
}
"""LaTeX commands and the signs they print."""


@cache
def named(sign: str) -> str:
    """The words for a mathematical sign without an entry: its name in Unicode, or ""."""
    return unicodedata.name(sign, "").lower().replace("-", " ")
