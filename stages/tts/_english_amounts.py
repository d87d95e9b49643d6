"""How amounts of money and of units are read in English. Pure."""

import re

from stages.tts._english_numbers import cardinal, is_one, number

_MONEY = {"$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pound", "penny")}
_COUNTRIES = {
    "US": "U.S",
    "C": "Canadian",
    "CA": "Canadian",
    "A": "Australian",
    "AU": "Australian",
    "NZ": "New Zealand",
    "HK": "Hong Kong",
}
COUNTRY = "|".join(_COUNTRIES)
"""A pattern for what stands before the sign in "US$5"."""

_PENNIES = {"penny": "pence"}
_LARGE = {
    "k": "thousand",
    "m": "million",
    "mn": "million",
    "b": "billion",
    "bn": "billion",
    "t": "trillion",
}

_UNITS = {
    "ns": "nanosecond",
    "µs": "microsecond",
    "μs": "microsecond",
    "us": "microsecond",
    "ms": "millisecond",
    "s": "second",
    "sec": "second",
    "secs": "second",
    "min": "minute",
    "mins": "minute",
    "h": "hour",
    "hr": "hour",
    "hrs": "hour",
    "KB": "kilobyte",
    "kB": "kilobyte",
    "MB": "megabyte",
    "GB": "gigabyte",
    "TB": "terabyte",
    "PB": "petabyte",
    "KiB": "kibibyte",
    "MiB": "mebibyte",
    "GiB": "gibibyte",
    "TiB": "tebibyte",
    "Kbps": "kilobit* per second",
    "kbps": "kilobit* per second",
    "Mbps": "megabit* per second",
    "Gbps": "gigabit* per second",
    "Hz": "hertz*",
    "kHz": "kilohertz*",
    "MHz": "megahertz*",
    "GHz": "gigahertz*",
    "fps": "frame* per second",
    "rps": "request* per second",
    "qps": "query* per second",
    "RPS": "request* per second",
    "QPS": "query* per second",
    "px": "pixel",
    "km/h": "kilometer* per hour",
    "mph": "mile* per hour",
    "m/s": "meter* per second",
    "km": "kilometer",
    "cm": "centimeter",
    "mm": "millimeter",
    "kg": "kilogram",
    "mg": "milligram",
    "g": "gram",
    "lb": "pound",
    "lbs": "pound",
    "ft": "foot",
    "kW": "kilowatt",
    "kWh": "kilowatt hour",
    "W": "watt",
    "V": "volt",
    "dB": "decibel",
    "°C": "degree* Celsius",
    "°F": "degree* Fahrenheit",
    "°": "degree",
}
"""A star stands where the plural's ending goes; without one it is at the end."""

PER = {
    "s": "second",
    "sec": "second",
    "min": "minute",
    "h": "hour",
    "hr": "hour",
    "second": "second",
    "minute": "minute",
    "hour": "hour",
    "day": "day",
    "week": "week",
    "month": "month",
    "year": "year",
    "user": "user",
    "person": "person",
}
"""The units that may follow a stroke that means "per", and their words."""

_PLURALS = {"query": "queries", "foot": "feet"}
UNIT = "|".join(map(re.escape, sorted(_UNITS, key=len, reverse=True)))
"""A pattern for the units."""


def money(amount: str, sign: str, scale: str | None, country: str | None = None) -> str:
    """An amount of money, such as `5`, `$`, `million` and `US`."""
    unit, part = _MONEY[sign]
    if country:
        unit = f"{_COUNTRIES[country]} {unit}"
    if scale:
        return f"{number(amount)} {_LARGE.get(scale.lower(), scale)} {unit}s"
    whole, _, cents = amount.partition(".")
    if len(cents) != 2:
        return f"{number(amount)} {unit}{'' if is_one(amount) else 's'}"
    words = [] if whole in ("", "0") else [f"{number(whole)} {unit}{'' if is_one(whole) else 's'}"]
    if int(cents) or not words:
        ending = part if int(cents) == 1 else _PENNIES.get(part, f"{part}s")
        words.append(f"{cardinal(int(cents))} {ending}")
    return " and ".join(words)


def amount(match: re.Match[str]) -> str:
    """A number and its unit."""
    figures, unit = match[1], match[2]
    if is_one(figures):
        return f"{number(figures)} {_UNITS[unit].replace('*', '')}"
    return f"{number(figures)} {units(unit)}"


def units(sign: str) -> str:
    """A unit's plural."""
    unit = _UNITS[sign]
    first, space, rest = unit.partition(" ") if "*" in unit else (unit, "", "")
    first = first.replace("*", "")
    plural = _PLURALS.get(first) or (first if first.endswith("z") else f"{first}s")
    return f"{plural}{space}{rest}"


def large(match: re.Match[str]) -> str:
    return f"{number(match[1])} {_LARGE[match[2].lower()]}"
