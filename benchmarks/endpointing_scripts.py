"""Scripted turns: people who pause to find words, and recognisers that mishear them."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.endpointing_takes import LEAD_MS, TAIL_MS, Take, pause_quantile_ms, rehearse
from pipeline.input_speech import CHUNK_MS

SCRIPTS = 2_000
SEED = 3

THINKING_MS, THINKING_SPREAD = 2_000.0, 0.5
"""The same after a request for time. Assumed."""

WORD_MS = 300
"""A word's length: 200 words a minute between the pauses."""

PARTIAL_MS = 300
MISHEARD = 0.2
"""The share of words that are recognised as another one, about that of the default recogniser."""

FILLERS_HEARD = 0.5
"""Recognisers leave out every second filler. Assumed."""

FULL_STOPS = {"sentence": 0.9, "phrase": 0.4, "connective": 0.1, "filler": 0.1, "thinking": 0.9}
"""How often a recogniser that punctuates, such as Whisper, writes a full stop after the last word
of its audio, by the word's place in the sentence. It cannot know whether the speaker goes on, and
its texts were seldom seen to stop in the middle. Assumed."""

ELLIPSES = {"sentence": 0.0, "phrase": 0.2, "connective": 0.5, "filler": 0.5, "thinking": 0.05}
"""The share with "..."; the others end without a mark. Assumed."""

CLOSED = 0.25
"""The share of turns that end with words that say so. Assumed."""

CLAUSES = (
    "i worked on the payment service for three years",
    "we moved the old system to a new database",
    "my manager asked me to lead the project",
    "the tests were slow and nobody trusted them",
    "i looked at the logs and found the problem",
    "it took us about two weeks to fix it",
    "we had to explain to the customers what was going on",
    "i wrote a small tool that checks every order",
    "most of the reports came from one store",
    "i asked the team what they would do",
    "we measured how long each page takes to load",
    "that was the first thing i learned there",
    "i prefer to talk with people before i plan anything",
    "the deadline was close and we had no more time",
    "in the end they said no",
    "i would start with the data that we already have",
    "nobody had told us about it",
    "so we built a simple version and showed it to them",
    "i like to keep meetings short",
    "the numbers went up after the release",
    "there was one bug that we could not explain",
    "i try to write down what i want to find out",
    "we shared the work between two teams",
    "the customers were happy with that",
)
"""The sentences of the scripted people. Some end with words after which most people go on, one with
a word that ends other sentences, as in real speech."""

CONNECTIVES = ("and", "but", "because", "so", "and then", "which", "or")
FILLERS = ("um", "uh", "well", "you know", "like")
THINKING = ("let me think", "that is a good question", "give me a second")
CLOSINGS = ("that is it", "that was it", "that is all", "thank you", "i think that is all")
VOCABULARY = tuple(sorted({word for clause in CLAUSES for word in clause.split()}))

PAUSES = {"sentence": 6, "connective": 5, "filler": 4, "phrase": 4, "thinking": 1}
"""Where the pauses of a turn lie, by weight: after a whole clause, after a connective, after a
filler, between any two words of a clause, after a request for time. Assumed; every kind but the
last has pauses of the same length, so that a pause's length tells nothing of its place."""

MOST_PAUSES = 3
"""A turn has 0 to 3 pauses, each number as often as the others. Assumed."""


@dataclass(frozen=True, slots=True)
class Word:
    """One scripted word, what the recogniser makes of it ("": nothing), and the pause after it.

    `place` is where the word stands: one of `PAUSES`, whether there is a pause or not.
    """

    text: str
    heard: str
    pause_ms: int = 0
    place: str = "phrase"


def script(rng: random.Random) -> list[Word]:
    """One turn."""
    clauses = rng.sample(CLAUSES, MOST_PAUSES + 2)
    words: list[tuple[str, int, str]] = []
    for kind in rng.choices(list(PAUSES), list(PAUSES.values()), k=rng.randint(0, MOST_PAUSES)):
        clause = clauses.pop().split()
        added: list[str] = []
        match kind:
            case "connective":
                added = rng.choice(CONNECTIVES).split()
            case "filler":
                added = rng.choice(FILLERS).split()
            case "thinking":
                clause = rng.choice(THINKING).split()
        thinking = (THINKING_MS, THINKING_SPREAD) if kind == "thinking" else ()
        pause_ms = pause_quantile_ms(rng.uniform(0.001, 0.999), *thinking)
        places = [*["phrase"] * (len(clause) - 1), "sentence", *[kind] * len(added)]
        if kind == "thinking":
            places[-1] = kind
        clause += added
        pause_at = rng.randrange(1, len(clause) - 1) if kind == "phrase" else len(clause) - 1
        words += [
            (word, pause_ms if at == pause_at else 0, place)
            for at, (word, place) in enumerate(zip(clause, places, strict=True))
        ]
    last = [clauses.pop()]
    if rng.random() < CLOSED:
        last.append(rng.choice(CLOSINGS))
    for clause in map(str.split, last):
        words += [(word, 0, "phrase") for word in clause[:-1]]
        words.append((clause[-1], 0, "sentence"))
    return [Word(text, _heard(text, rng), pause_ms, place) for text, pause_ms, place in words]


def _heard(word: str, rng: random.Random) -> str:
    if word in FILLERS and rng.random() >= FILLERS_HEARD:
        return ""
    return rng.choice(VOCABULARY) if rng.random() < MISHEARD else word


@dataclass(frozen=True, slots=True)
class Written:
    """A word as a recogniser writes it: in the middle of a text, and as its last one."""

    text: str
    last: str


def plain(words: Sequence[Word]) -> list[Written]:
    """Small letters, no punctuation, as the default recogniser writes."""
    return [Written(word.heard, word.heard) for word in words]


def punctuated(words: Sequence[Word], rng: random.Random) -> list[Written]:
    """The same words with capitals and punctuation, as Whisper writes."""
    written = []
    begins = True
    for word in words:
        mark = rng.random()
        if not word.heard:
            written.append(Written("", ""))
            continue
        text = word.heard.capitalize() if begins else word.heard
        text = "I" if text == "i" else text
        begins = word.place in ("sentence", "thinking")
        stop, ellipsis = FULL_STOPS[word.place], ELLIPSES[word.place]
        last = "." if mark < stop else "..." if mark < stop + ellipsis else ""
        written.append(Written(f"{text}." if begins else text, text + last))
    return written


class Scripted:
    """A recogniser that knows the words: `(written, end_ms)` each."""

    def __init__(self, words: Sequence[tuple[Written, int]]) -> None:
        self._words = words
        self._next_ms = 0
        self._partial = ""

    def listen(self, from_ms: int) -> None:
        self._next_ms = from_ms + PARTIAL_MS
        self._partial = ""

    def hear(self, until_ms: int) -> list[str]:
        if until_ms < self._next_ms:
            return []
        self._next_ms += PARTIAL_MS
        text = self.finish(until_ms)
        if text == self._partial:
            return []
        self._partial = text
        return [text]

    def finish(self, until_ms: int) -> str:
        heard = [word for word, end_ms in self._words if word.text and end_ms <= until_ms]
        return " ".join([*(word.text for word in heard[:-1]), *(word.last for word in heard[-1:])])


def perform(words: Sequence[Word], written: Sequence[Written], rng: random.Random) -> Take:
    """A script with its pauses, as scripted detection and recognition tell it."""
    speech: list[bool] = [False] * (LEAD_MS // 4)
    heard = []
    for word, writing in zip(words, written, strict=True):
        speech += [True] * (WORD_MS // 4)
        heard.append((writing, len(speech) * 4))
        speech += [False] * (word.pause_ms // 4)
    end_ms = len(speech) * 4
    speech += [False] * (TAIL_MS // 4)
    step = CHUNK_MS // 4
    judged = [
        rng.uniform(0.8, 1.0)
        if sum(speech[start : start + step]) > step / 2
        else rng.uniform(0, 0.2)
        for start in range(0, len(speech) - step + 1, step)
    ]
    return rehearse(judged, Scripted(heard), end_ms)


def from_scripts(
    on_turn: Callable[[], None],
    count: int = SCRIPTS,
    seed: int = SEED,
    *,
    punctuation: bool = False,
) -> list[Take]:
    """This number of scripted turns, the same for the same seed, with `punctuation` or without."""
    takes = []
    for number in range(count):
        rng = random.Random(f"{seed}-{number}")
        words = script(rng)
        marks = random.Random(f"{seed}-{number}, punctuation")
        written = punctuated(words, marks) if punctuation else plain(words)
        takes.append(perform(words, written, rng))
        on_turn()
    return takes
