"""Hints for recognisers that take them as text: names and terms that are likely to be said.

Whisper reads them as text before the speech: in at most half of its 448 positions (faster-whisper
cuts there, even within a word), and every token costs decoder time. A long list is no better:
Whisper gives more weight to the end of its prompt, and may repeat a long list of terms instead of
the speech.
"""

from collections.abc import Sequence

MOST_CHARACTERS = 400
"""Characters of all hints together: some 100 to 130 tokens of English."""

LONGEST_HINT = 60


def bounded(hints: Sequence[str]) -> tuple[str, ...]:
    """The first hints that fit, each once, on one line.

    >>> bounded(["Kubernetes", " gRPC\\n", "kubernetes", "x" * 61])
    ('Kubernetes', 'gRPC')
    """
    kept: dict[str, str] = {}
    left = MOST_CHARACTERS
    for hint in hints:
        line = " ".join(hint.split())
        if not line or len(line) > LONGEST_HINT or line.casefold() in kept:
            continue
        left -= len(line) + 2
        if left < 0:
            break
        kept[line.casefold()] = line
    return tuple(kept.values())
