"""Whether a text says anything, which takes a letter or digit, or says a given line. Pure.

Servers that fail give such texts as answers (`{}[]<>`, replacement characters), and recognisers
give them for music and noise (`♪♪ [?] ♪♪`).
"""

import re
from dataclasses import replace

from pipeline.frames import Transcript

_WORD = re.compile(r"[^\W_]+")

_SAID = 0.7
"""A line counts as said from this share of its words on: models change a word or two. Assumed."""


def has_words(text: str) -> bool:
    """Whether the text has a letter or a digit of any script (the Unicode categories L and N)."""
    return any(map(str.isalnum, text))


def worded(transcript: Transcript) -> Transcript:
    """The transcript, without its text if that has no letter or digit."""
    if not transcript.text or has_words(transcript.text):
        return transcript
    return replace(transcript, text="", words=())


def says(text: str, line: str) -> bool:
    """Whether a text has most words of `line`."""
    wanted = set(_words(line))
    return len(wanted & set(_words(text))) >= _SAID * len(wanted)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
