"""Which of several transcripts to take if the first has a word that does not exist. Pure.

Whisper writes words letter by letter where it is not sure of them: "gluure" for "clear", "sposed"
for "disposed". A beam search over the same sound then gives other texts that are nearly as
probable, and a dictionary knows which of them a person can have said. Measured with tiny.en in
int8 and a role's hints on four recordings of people at eight alignments each, with noise (10 dB) at
four, nine fixture answers at two, 45 synthetic sentences and 76 telephone announcements by a
person. Of 187 texts 19 had such a word, and none of those words was right. Word error rates, in
percent:

======================  ======  ===========  =======  =========  =========  ================
text                    people  with noise   answers  synthetic  telephone  processor's time
======================  ======  ===========  =======  =========  =========  ================
the first               3.41    12.5         2.38     2.68       3.02       1
the best of a beam, 5   3.03    10.6         1.79     2.68       2.78       1.25 to 1.37
the first, or a second  1.14    11.7         1.98     2.68       2.78       1 to 1.05 (1.25)
======================  ======  ===========  =======  =========  =========  ================

(1.25 where every third text is looked at again.) Neither int8 nor where the audio begins or ends is
the cause: float32 had 4.17 on the recordings, all of the 30 s encoded 3.98, 300 ms more silence
before the speech 3.79, 300 ms less 4.17, no hints 3.60, timestamps 3.41.

The second look has no hints: they pull an uncertain word towards their own.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

GUESSES = 5
"""The width of the beam, and how many texts it gives. Ten found no more."""

_LESS_PROBABLE = 0.25
"""How much less probable a token of another text may be on average (log probability). With 0.1 it
found half as many, with 0.3 no more."""

_OTHER_WORDS = 2
"""How many words more or fewer another text may have: one that lost its end is often probable."""


class Guess(NamedTuple):
    """A text for a sound, and the mean log probability of its tokens."""

    text: str
    score: float


def better(
    first: str,
    guesses: Sequence[Guess],
    made_up: Callable[[str], Sequence[str]],
    hints: Sequence[str] = (),
) -> int | None:
    """Which of the guesses, in order of their probability, to take in place of the first text.

    It has fewer words that `made_up` finds, the fewest of all, about as many words, and all `hints`
    that the first text has. None if no guess is better.

    >>> guesses = [Guess("an old-sposed man", -0.3), Guess("an ill-disposed man", -0.4)]
    >>> better("an old-sposed man", guesses, lambda text: ["sposed"] if "sposed" in text else [])
    1
    """
    if not guesses:
        return None
    least, length = guesses[0].score - _LESS_PROBABLE, len(first.split())
    said = [hint for hint in map(str.casefold, hints) if hint in first.casefold()]
    fewest, chosen = len(made_up(first)), None
    for number, guess in enumerate(guesses):
        if guess.score < least or abs(len(guess.text.split()) - length) > _OTHER_WORDS:
            continue
        if not all(hint in guess.text.casefold() for hint in said):
            continue
        if (count := len(made_up(guess.text))) < fewest:
            fewest, chosen = count, number
    return chosen
