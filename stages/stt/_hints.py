"""Hints for recognisers that take them as text: names and terms that are likely to be heard.

Whisper reads them as what was said before: half of its 448 positions at most (faster-whisper cuts
there, in the middle of a word if need be), and every token is one more for the decoder to read. A
long list is no better: Whisper gives more weight to the end of its prompt, and a prompt of nothing
but terms can be repeated instead of the speech.
"""

from collections.abc import Sequence

MOST_CHARACTERS = 400
"""Of all hints together: some 100 to 130 tokens of English."""

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
