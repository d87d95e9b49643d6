"""The rest of a text of which a voice broke off. Pure."""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from pipeline.frames import Speech, SpokenWord

CHARACTERS_PER_S = 15
"""The approximate speaking rate of a voice that gives no times."""

WIDE = 3
"""The number of letters that a Chinese or Japanese character or a Korean syllable counts as."""

WORD_MS = 300
"""How long after its beginning the last word of a sentence counts as said."""


def unsaid(text: str, words: Sequence[SpokenWord], spoken_s: float) -> int | None:
    """Where the rest of `text` begins after `spoken_s` of speech; None if all of it was said.

    The rest begins with the word that was cut off, by the voice's `words` or, without them, by its
    usual pace.
    """
    begun = [word for word in words if word.at_ms < spoken_s * 1000]
    if not begun:
        return _rest_by_pace(text, spoken_s * CHARACTERS_PER_S)
    last = begun[-1]
    whole = not any(map(str.isalnum, text[last.offset + last.length :]))
    return None if whole and spoken_s * 1000 - last.at_ms >= WORD_MS else last.offset


def _rest_by_pace(text: str, letters: float) -> int | None:
    """Where the word begins that speech of `letters` of `text` reached; None if all was said.

    Chinese and Japanese have no spaces: there the character counts.
    """
    at = 0
    while at < len(text) and letters > 0:
        letters -= WIDE if _wide(text[at]) else 1
        at += letters >= 0
    if not any(map(str.isalnum, text[at:])):
        return None
    while at > 0 and not text[at - 1].isspace() and not _unspaced(text[at - 1 : at + 1]):
        at -= 1
    return at


def _wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def _unspaced(characters: str) -> bool:
    """Whether one of them is of a script that has no spaces between its words."""
    return any(_wide(one) and not "\uac00" <= one <= "\ud7a3" for one in characters)


def later(speech: Speech, characters: int, ms: int) -> Speech:
    """Speech of the rest of a sentence, counted from the sentence's beginning."""
    if not characters and not ms:
        return speech
    cues = tuple(replace(cue, at_ms=cue.at_ms + ms) for cue in speech.cues)
    words = tuple(
        SpokenWord(word.offset + characters, word.length, word.at_ms + ms) for word in speech.words
    )
    return replace(speech, cues=cues, words=words)
