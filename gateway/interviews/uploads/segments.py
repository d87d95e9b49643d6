"""A long recording in pieces that suit a recogniser, cut in pauses. Pure.

Whisper takes 30 s at a time and pocketsphinx gets slower with length; both were made for sentences.
Silence is left out, because recognisers invent words for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.frames import INPUT_RATE_HZ

LONGEST_MS = 25_000
"""The longest piece, with `AROUND_MS` before and after its speech."""

AROUND_MS = 300
"""Audio before and after detected speech that is kept with it: soft beginnings and ends."""

APART_MS = 3_000
"""A silence of this length always separates two pieces."""

BREATH_MS = 200
"""A shorter silence does not end a run of speech."""

BEGINS, ENDS = 0.5, 0.35
"""Probability of speech at which a run begins, and below which it ends."""

_MS = INPUT_RATE_HZ // 1000


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a recording, in samples."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


@dataclass(slots=True)
class SpeechRuns:
    """Finds where a recording contains speech, from a detector's probabilities."""

    _ends: list[int] = field(default_factory=list)
    _speech: list[float] = field(default_factory=list)

    @property
    def position(self) -> int:
        """How far the recording has been judged, in samples."""
        return self._ends[-1] if self._ends else 0

    def add(self, position: int, probability: float) -> None:
        """Add the probability of the chunk that ends at `position`, in samples."""
        self._ends.append(position)
        self._speech.append(probability)

    def runs(self) -> list[Span]:
        """The runs of speech, in order, none longer than a piece may be."""
        runs: list[Span] = []
        start: int | None = None
        before = 0
        for end, probability in zip(self._ends, self._speech, strict=True):
            if start is None and probability >= BEGINS:
                start = before
            elif start is not None and probability < ENDS:
                runs.append(Span(start, before))
                start = None
            before = end
        if start is not None:
            runs.append(Span(start, before))
        joined: list[Span] = []
        for run in runs:
            if joined and run.start - joined[-1].end < BREATH_MS * _MS:
                run = Span(joined.pop().start, run.end)
            joined.append(run)
        return [part for run in joined for part in self._shortened(run)]

    def _shortened(self, run: Span) -> list[Span]:
        """The run, cut where speech is least probable if it is longer than a piece may be."""
        longest = (LONGEST_MS - 2 * AROUND_MS) * _MS
        parts = []
        while run.length > longest:
            candidates = [
                (probability, -end)
                for end, probability in zip(self._ends, self._speech, strict=True)
                if run.start + longest // 2 <= end <= run.start + longest
            ]
            cut = -min(candidates)[1] if candidates else run.start + longest
            parts.append(Span(run.start, cut))
            run = Span(cut, run.end)
        return [*parts, run]


def _longest_pause(group: Sequence[Span]) -> int:
    """The index of the run before which to cut: after the longest pause, if possible a late one."""
    half = (LONGEST_MS // 2 - AROUND_MS) * _MS
    late = [i for i in range(1, len(group)) if group[i - 1].end - group[0].start >= half]
    return max(late or range(1, len(group)), key=lambda i: group[i].start - group[i - 1].end)


def pieces(runs: Sequence[Span], length: int) -> list[Span]:
    """The pieces to recognise of a recording of `length` samples, each at most `LONGEST_MS`.

    Runs are joined while they fit into one piece; a group that does not fit is cut at its longest
    pause, if possible one in its second half, because each piece adds a fixed cost.
    """
    groups: list[list[Span]] = []
    group: list[Span] = []
    for run in runs:
        if group and run.start - group[-1].end >= APART_MS * _MS:
            groups.append(group)
            group = []
        group.append(run)
        while len(group) > 1 and run.end - group[0].start > (LONGEST_MS - 2 * AROUND_MS) * _MS:
            cut = _longest_pause(group)
            groups.append(group[:cut])
            group = group[cut:]
    if group:
        groups.append(group)
    found = []
    for number, runs_ in enumerate(groups):
        floor = groups[number - 1][-1].end if number else 0
        ceiling = groups[number + 1][0].start if number + 1 < len(groups) else length
        start, end = runs_[0].start, runs_[-1].end
        found.append(
            Span(
                max(start - AROUND_MS * _MS, (floor + start) // 2 if number else 0),
                min(
                    end + AROUND_MS * _MS,
                    (end + ceiling) // 2 if number + 1 < len(groups) else length,
                ),
            )
        )
    return found
