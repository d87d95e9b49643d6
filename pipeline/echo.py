"""Whether a transcript is the interviewer's own voice, come back through the microphone. Pure.

Most clients cancel the echo of their loudspeaker. If a client does not, the session hears the reply
as speech and would take the interviewer's words for the answer. An echo has the reply's words in
their order, some of them misheard. A person may say words of the question, too. A person who
repeats it and then answers ends with words of their own. A person who answers in its words says "I"
where it says "you", or leaves out some of them. A person who repeats a sentence, as in a language
lesson, waits for its end; an echo begins before that. A person who begins a little early and
answers with words of the question speaks for longer than the reply; an echo ends with it. Assumed
limits, tried on the table in the tests.
"""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

ECHO = "only the interviewer's own voice was heard; the client must cancel its echo"
"""Why an answer does not count, in words for the client."""

LEAST_WORDS = 4
"""Fewer words of the reply are no echo, unless an echo is expected."""

SHARE, FIRST_PERSON_SHARE = 0.65, 0.9
"""The least share of an echo's words that are the reply's; the second holds if one of the other
words is in the first person."""

MOST_SKIPPED = 2
"""A text that leaves out this many words of the reply between others, or more, is a person's;
misheard words are not left out. An echo of many words may lack one in `WORDS_A_GAP`."""

WORDS_A_GAP = 6
OWN_WORDS = 3
"""The number of words at the end of a text, none of them the reply's, that are an answer to it."""

MOST_PLAYED, MOST_HEARD = 150, 200
"""The reply's last words, and the longest text, that are compared: 30,000 comparisons at most."""

ECHOED_REPLIES = 2
"""The number of replies after an echo of which another echo is expected."""

TAIL_MS = 1_000
"""The longest time from the end of the reply to the end of its echo, since clients play the reply
later. An echo that is expected may begin as late."""

MORE_PLAYED = 2
"""Words of a reply that was cut off that may have been played beyond those that were counted."""

HEAD_MS = 100
"""The least time from the beginning of an echo that is not expected to the end of the reply: an
onset is known to some 32 ms."""

_WORDS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+(?:['\u2019][^\W_]+)?")
_FIRST_PERSON = frozenset(
    {
        *(
            "i",
            "i'm",
            "i've",
            "i'd",
            "i'll",
            "me",
            "my",
            "mine",
            "we",
            "we're",
            "we've",
            "our",
            "us",
        ),
        *(
            "ich",
            "mich",
            "mir",
            "mein",
            "meine",
            "meinen",
            "meiner",
            "wir",
            "uns",
            "unser",
            "unsere",
        ),
    }
)


def is_echo(text: str, played: str, *, expected: bool = False) -> bool:
    """Whether `text` has only words of `played`, which was spoken shortly before it or during it.

    With `expected` an echo was heard before, or the text began into the reply: then two words of
    its end are enough.
    """
    heard, said = _words(text), _words(played)[-MOST_PLAYED:]
    if not heard or not said or len(heard) > MOST_HEARD:
        return False
    if len(heard) < LEAST_WORDS:
        return expected and len(heard) > 1 and _within(heard, said[-3 * LEAST_WORDS :])
    pairs = _matched(heard, said)
    if len(heard) - 1 - (pairs[-1][0] if pairs else -1) >= OWN_WORDS:
        return False
    found = {place for place, _ in pairs}
    own = [word for place, word in enumerate(heard) if place not in found]
    least = FIRST_PERSON_SHARE if _FIRST_PERSON.intersection(own) else SHARE
    if len(pairs) < least * len(heard):
        return False
    skipped = sum(
        max(0, (there - before_there) - (here - before_here))
        for (before_here, before_there), (here, there) in pairwise(pairs)
    )
    return skipped < max(MOST_SKIPPED, len(heard) // WORDS_A_GAP)


class EchoWatch:
    """Keeps what the session said last, and judges whether the person's words are its echo.

    `position_ms` says how much input audio has come.
    """

    def __init__(self, position_ms: Callable[[], int]) -> None:
        self._position_ms = position_ms
        self._over_ms = 0  # where in the input audio the last reply was over
        self._paused_ms: int | None = None  # and where this one was paused
        self._began_ms = self._ended_ms = 0  # and where the last utterance began and ended
        self._played = ""
        self._expected = 0  # for so many more replies
        self.cut_off = False
        """Speech cut off what was said last."""
        self._beginning: list[str] = []  # of what was cut off there

    def paused(self) -> None:
        """The reply is paused: it is not heard from here on."""
        self._paused_ms = self._position_ms()

    def resumed(self) -> None:
        """The reply is heard again, or another reply begins."""
        self._paused_ms = None

    def said(self, text: str, *, cut_after: str | None = None, replied: bool = True) -> None:
        """A reply is over; `text` are its sentences that were begun. Speech may have cut it off,
        `cut_after` these words of it: what follows them was not played. It was `replied` unless
        there was nothing but a filler."""
        if not text:
            return
        self._over_ms = self._position_ms() if self._paused_ms is None else self._paused_ms
        self._paused_ms = None
        played = _words(text)
        if cut_after is not None:
            played = played[: len(_words(cut_after)) + MORE_PLAYED]
        self._played = f"{self._played} {' '.join(played)}"[-8 * MOST_PLAYED :]
        self._expected = max(0, self._expected - replied)
        self.cut_off = cut_after is not None
        hardly_begun = cut_after is not None and len(_words(cut_after)) <= LEAST_WORDS
        self._beginning = _words(text)[: LEAST_WORDS + 1] if hardly_begun else []

    def began(self, at_ms: int) -> None:
        """The person's utterance began at this position of the input audio."""
        self._began_ms = self._ended_ms = at_ms

    def ended(self, at_ms: int) -> None:
        """The utterance ended at this position, as far as is known."""
        self._ended_ms = at_ms

    def hears(self, text: str) -> bool:
        """Whether the person's words are the echo of the session's."""
        latest_ms = self._over_ms + (TAIL_MS if self._expected else -HEAD_MS)
        if self._began_ms > latest_ms or self._ended_ms > self._over_ms + TAIL_MS:
            return False
        words = _words(text)
        if 0 < len(words) < LEAST_WORDS and _within(words, self._beginning):
            return True  # nobody answers a reply's first word with that word
        return is_echo(text, self._played, expected=self.cut_off or self._expected > 0)

    def heard(self) -> None:
        """An echo was heard: another is expected."""
        self._expected = ECHOED_REPLIES


def _words(text: str) -> list[str]:
    return [word.replace("\u2019", "'") for word in _WORDS.findall(text.casefold())]


def _alike(one: str, other: str) -> bool:
    """Whether one word may be the other word, misheard."""
    if one == other:
        return True
    long = min(len(one), len(other)) > 3
    return long and one[:3] == other[:3] and abs(len(one) - len(other)) <= 2


def _within(heard: Sequence[str], said: Sequence[str]) -> bool:
    """Whether the words follow one another in what was said."""
    starts = range(len(said) - len(heard) + 1)
    return any(list(said[at : at + len(heard)]) == list(heard) for at in starts)


def _matched(heard: Sequence[str], said: Sequence[str]) -> list[tuple[int, int]]:
    """The places of the most words that both have in the same order.

    The longest common subsequence (Wagner and Fischer 1974); of equally long ones, the one whose
    words come latest in what was said.
    """
    rows = [[0] * (len(said) + 1)]
    for word in heard:
        above, row = rows[-1], [0]
        for at, other in enumerate(said):
            if _alike(word, other):
                row.append(above[at] + 1)
            else:
                row.append(max(above[at + 1], row[-1]))
        rows.append(row)
    pairs: list[tuple[int, int]] = []
    here, there = len(heard), len(said)
    while here and there:
        if _alike(heard[here - 1], said[there - 1]):
            here, there = here - 1, there - 1
            pairs.append((here, there))
        elif rows[here - 1][there] >= rows[here][there - 1]:
            here -= 1
        else:
            there -= 1
    return pairs[::-1]
