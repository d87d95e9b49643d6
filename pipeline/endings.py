"""Whether a sentence, as far as it has been understood, reads as finished. Pure, English.

Recognisers give no reliable punctuation while people speak, so the last words decide. Somebody who
stops after "and", "because" or "um" is looking for words; somebody who stops after "that was it" is
not. The lists are small on purpose: a word that is in none of them changes nothing.
"""

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
        "it",
        "not",
        "very",
        "more",
        "most",
        "also",
        "just",
    )
)
"""Words after which an English sentence goes on: conjunctions, articles, prepositions, auxiliaries
and subjects."""

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

FULL_STOPS = (".", "!", "?", "…", "。", "！", "？")


def ending(text: str) -> Ending:
    """How the text ends: with a request for time, in the middle of a sentence, at its end, or one
    cannot tell."""
    stripped = text.strip().lower()
    if not stripped:
        return "unclear"
    if stripped.endswith(("...", "…", ",", "-", "–")):
        return "open"
    words = stripped.rstrip("".join(FULL_STOPS)).split()
    if not words:
        return "unclear"
    if " ".join(words).endswith(THINKING):
        return "thinking"
    if stripped.endswith(FULL_STOPS) or f" {' '.join(words)}".endswith(CLOSINGS):
        return "closed"
    return "open" if words[-1].strip(",;:") in FILLERS | CONNECTIVES else "unclear"
