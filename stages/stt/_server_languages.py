"""The language that a transcription server names, as a code. Pure."""

import re
from typing import Any

_LANGUAGES = {
    "arabic": "ar",
    "chinese": "zh",
    "czech": "cs",
    "danish": "da",
    "dutch": "nl",
    "english": "en",
    "finnish": "fi",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "hebrew": "he",
    "hindi": "hi",
    "hungarian": "hu",
    "indonesian": "id",
    "italian": "it",
    "japanese": "ja",
    "korean": "ko",
    "norwegian": "no",
    "persian": "fa",
    "polish": "pl",
    "portuguese": "pt",
    "romanian": "ro",
    "russian": "ru",
    "spanish": "es",
    "swedish": "sv",
    "thai": "th",
    "turkish": "tr",
    "ukrainian": "uk",
    "urdu": "ur",
    "vietnamese": "vi",
}
"""Whisper's names of languages, which `verbose_json` uses. Other names give no language."""

_CODE = re.compile(r"(?:<\|)?([a-z]{2,3})(?:[-_][a-z0-9_-]{1,20})?(?:\|>)?")
_NONE = ("und", "mis", "mul", "zxx")
"""ISO 639-2 codes for "no language is known"."""


def code_of(reply: dict[str, Any]) -> str | None:
    """The code in `language`, or else the first one in `languages`; None if there is none.

    >>> code_of({"language": "English"}), code_of({"languages": [{"code": "de-AT"}]})
    ('en', 'de')
    """
    for key in ("language", "languages"):
        named = reply.get(key)
        for value in named if isinstance(named, list) else [named]:
            name = value.get("code", value.get("language")) if isinstance(value, dict) else value
            if isinstance(name, str) and (code := _code(name.strip().lower())):
                return code
    return None


def _code(name: str) -> str | None:
    if name in _LANGUAGES:
        return _LANGUAGES[name]
    found = _CODE.fullmatch(name)
    return found[1] if found is not None and found[1] not in _NONE else None
