"""Whether a sentence, as far as it has been recognised, reads as finished. Pure, English.

The last words decide. A person who stops after "and", "because" or "um" is likely to go on; one who
stops after "that was it" is not. The lists are small on purpose: a word that is in none of them
changes nothing.

Nor does a full stop: a recogniser that punctuates puts one wherever a sentence could end, and
cannot know whether the person goes on. A comma, a dash or "..." marks a sentence that breaks off.
"""

import re
from typing import Literal

Ending = Literal["thinking", "open", "closed", "unclear"]

FILLERS = frozenset(
    ("um", "uh", "uhm", "er", "erm", "hm", "hmm", "mm", "well", "like", "so", "actually")
)

CONNECTIVES = frozenset(
    (
        "and",
        "or",
        "but",
        "because",
        "since",
        "although",
        "though",
        "if",
        "when",
        "while",
        "where",
        "which",
        "who",
        "whose",
        "that",
        "than",
        "then",
        "the",
        "a",
        "an",
        "my",
        "your",
        "our",
        "their",
        "his",
        "her",
        "its",
        "this",
        "these",
        "those",
        "to",
        "of",
        "in",
        "on",
        "at",
        "for",
        "with",
        "from",
        "by",
        "about",
        "into",
        "over",
        "under",
        "between",
        "through",
        "without",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "am",
        "do",
        "does",
        "did",
        "have",
        "has",
        "had",
        "will",
        "would",
        "can",
        "could",
        "should",
        "might",
        "must",
        "i",
        "we",
        "you",
        "they",
        "he",
        "she",
        "not",
        "very",
        "more",
        "most",
        "also",
        "just",
    )
)
"""Words after which an English sentence goes on: conjunctions, articles, prepositions, auxiliaries
and subjects; but not "it", with which many sentences end."""

THINKING = (
    "let me think",
    "let me see",
    "let me think about that",
    "let me think for a moment",
    "give me a moment",
    "give me a second",
    "one moment",
    "good question",
    "how do i put this",
    "how shall i put it",
)
"""Phrases with which people ask for time."""

CLOSINGS = (
    " that is it",
    " that's it",
    " that was it",
    " that is all",
    " that's all",
    " i think that is all",
    " that would be all",
    " i am done",
    " i'm done",
    " thank you",
    " thanks",
    " yes",
    " no",
    " skip",
    " next question",
    " next question please",
)

BACKCHANNELS = frozenset(
    ("mm", "mhm", "mmhm", "mhmm", "hm", "hmm", "uh", "huh", "um", "ah", "aha", "oh", "ok", "okay")
) | frozenset(("yeah", "right"))
"""Words with which people show that they listen, without wanting to speak."""

TRAILING = ("...", "…", ",", "-", "–", "—")
"""Marks that recognisers write where a sentence breaks off."""

MARKS = ".!?…。！？,;:-–—"


def ending(text: str) -> Ending:
    """How the text ends: with a request for time, in the middle of a sentence, with closing words,
    or unclear."""
    words = [bare for word in text.lower().split() if (bare := word.strip(MARKS))]
    said = f" {' '.join(words)}"
    if said.endswith(THINKING):
        return "thinking"
    if text.rstrip().endswith(TRAILING):
        return "open"
    if said.endswith(CLOSINGS):
        return "closed"
    return "open" if words and words[-1] in FILLERS | CONNECTIVES else "unclear"


def is_backchannel(text: str) -> bool:
    """Whether the text is nothing but a sign of listening, like "mm-hm" or "uh-huh, okay"."""
    words = re.findall(r"[^\W_]+", text.lower())
    return bool(words) and BACKCHANNELS.issuperset(words)
