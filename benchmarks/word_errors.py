"""The differences between what was said and what was recognised. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_LONGEST_COMPOUND = 3
"""Words that may be written as one."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Words that were said and those heard in their place; either may be empty."""

    said: tuple[str, ...]
    heard: tuple[str, ...]

    def __str__(self) -> str:
        said, heard = " ".join(self.said), " ".join(self.heard)
        if not said:
            return f"+{heard}"
        return f"{said} → {heard}" if heard else f"-{said}"


def word_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """The fewest insertions, deletions and substitutions between two texts (Levenshtein 1966).

    Words written together or apart ("on line", "online") are no error.
    """
    return _costs(reference, hypothesis)[-1][-1]


def differences(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Difference]:
    """One of the shortest ways from one text to the other, adjoining edits joined."""
    costs = _costs(reference, hypothesis)
    found: list[Difference] = []
    row, column = len(reference), len(hypothesis)
    adjoining = False
    while row or column:
        said, heard, cost = next(
            (rows, columns, cost)
            for rows, columns, cost in _steps(reference, hypothesis, row, column)
            if costs[row][column] == costs[row - rows][column - columns] + cost
        )
        if cost:
            edit = Difference(
                tuple(reference[row - said : row]), tuple(hypothesis[column - heard : column])
            )
            if adjoining:
                after = found.pop()
                edit = Difference(edit.said + after.said, edit.heard + after.heard)
            found.append(edit)
        adjoining = bool(cost)
        row, column = row - said, column - heard
    return found[::-1]


def _costs(reference: Sequence[str], hypothesis: Sequence[str]) -> list[list[int]]:
    """The edits between every two beginnings of the texts."""
    costs = [[0] * (len(hypothesis) + 1) for _ in range(len(reference) + 1)]
    for row in range(len(reference) + 1):
        for column in range(len(hypothesis) + 1):
            if row or column:
                costs[row][column] = min(
                    costs[row - rows][column - columns] + cost
                    for rows, columns, cost in _steps(reference, hypothesis, row, column)
                )
    return costs


def _steps(
    reference: Sequence[str], hypothesis: Sequence[str], row: int, column: int
) -> Iterator[tuple[int, int, int]]:
    """The last steps to two beginnings: words of each text, and the edits that they are."""
    if row and column:
        yield 1, 1, int(reference[row - 1] != hypothesis[column - 1])
        for length in range(2, _LONGEST_COMPOUND + 1):
            if row >= length and _joined(reference, row, length) == hypothesis[column - 1]:
                yield length, 1, 0
            if column >= length and _joined(hypothesis, column, length) == reference[row - 1]:
                yield 1, length, 0
    if row:
        yield 1, 0, 1
    if column:
        yield 0, 1, 1


def _joined(words: Sequence[str], end: int, length: int) -> str:
    return "".join(words[end - length : end])
