"""Hints for recognisers that take them as text: names and terms that are likely to be said. Pure.

Whisper reads them as text before the speech: in at most half of its 448 positions (faster-whisper
cuts there, even within a word), and every token costs decoder time. A long list is no better:
Whisper gives more weight to the end of its prompt, and may repeat a long list of terms instead of
the speech.

The form matters: Whisper goes on in the style of its prompt. Measured with tiny.en on 43 clips
(nine fixture answers, four of human speech, 30 synthetic ones with 13 technical terms):

=========================  ========================================  =====  =================
hints                      word error rate                           terms  punctuation marks
                           (fixtures, human, synthetic)              right
=========================  ========================================  =====  =================
none                       0.032, 0.030, 0.013                       11     86
61 terms between spaces    0.020, 0.091, 0.011                       12     11
61 terms in a list         0.032, 0.030, 0.004                       13     89
8 terms in a list          0.103, 0.030, 0.004                       13     81
61 terms in a sentence     0.036, 0.030, 0.006                       13     88
8 terms in a sentence      0.032, 0.030, 0.006                       13     86
8 of another trade         0.040, 0.030, 0.015                       11     85
=========================  ========================================  =====  =================

61 terms lengthened the decode of a 9 s answer by a tenth, 8 terms by less than could be measured.
"""

from collections.abc import Sequence

MOST_CHARACTERS = 400
"""Characters of all hints together: some 100 to 130 tokens of English."""

LONGEST_HINT = 60

_INTRODUCTION = "In this interview we talk about"
"""In English only: a prompt in English pulls speech in another language towards English."""


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


def prompt(hints: Sequence[str], language: str | None) -> str | None:
    """Bounded hints as text before the speech, for Whisper; None for none.

    >>> prompt(["Redis", "Kafka"], "en")
    'In this interview we talk about Redis, Kafka.'
    >>> prompt(["Redis", "Kafka"], None)
    'Redis, Kafka.'
    """
    if not hints:
        return None
    listed = f"{', '.join(hints)}."
    return f"{_INTRODUCTION} {listed}" if language == "en" else listed


def with_introduction(hints: Sequence[str]) -> tuple[str, ...]:
    """The longest form that hints have in the prompt, to tell the prompt from speech."""
    return (_INTRODUCTION, *hints) if hints else ()


def in_prompt(hints: Sequence[str], language: str | None) -> tuple[str, ...]:
    """The terms of `prompt(hints, language)`, in order."""
    return with_introduction(hints) if language == "en" else tuple(hints)
