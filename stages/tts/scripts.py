"""Which script and language a text is in, as far as a voice must know. Pure."""

import unicodedata

_SCRIPTS = {
    "CYRILLIC": "ru",
    "GREEK": "el",
    "ARABIC": "ar",
    "HEBREW": "he",
    "DEVANAGARI": "hi",
    "BENGALI": "bn",
    "TAMIL": "ta",
    "TELUGU": "te",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy",
    "THAI": "th",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "CJK": "cmn",
}
"""The language to assume for a script, by the first word of its characters' Unicode names."""

LATIN = "en"


def is_english(language: str | None) -> bool:
    """Whether this is a language's code for English; None may be English."""
    return language is None or language.lower().replace("_", "-").split("-")[0] == "en"


def assumed_language(text: str) -> str | None:
    """The language to assume by the script of most letters: `LATIN` for Latin script and for a text
    of figures only, a language's code for another known script, None for an unknown one.

    Japanese is known by its kana, since its other characters are shared with Chinese.
    """
    count: dict[str | None, int] = {}
    for character in text:
        if character.isalpha():
            script = unicodedata.name(character, "").split(" ")[0]
            language = LATIN if script in ("LATIN", "FULLWIDTH") else _SCRIPTS.get(script)
            count[language] = count.get(language, 0) + 1
    if not count:
        return LATIN
    if "ja" in count and "cmn" in count:
        count["ja"] += count.pop("cmn")
    return max(count, key=count.__getitem__)
