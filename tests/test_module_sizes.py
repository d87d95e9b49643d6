"""A module holds one noun: none of the product grows beyond 400 lines."""

from collections.abc import Iterator

from tests.support.paths import ROOT

ROOTS = ("pipeline", "stages", "gateway")
MOST_LINES = 400
LONGER = {"gateway/store/sqlite.py"}
"""One class, whose statements belong together."""


def sizes() -> Iterator[tuple[str, int]]:
    """The lines of each module."""
    for root in ROOTS:
        for path in sorted((ROOT / root).rglob("*.py")):
            lines = len(path.read_text(encoding="utf-8").splitlines())
            yield path.relative_to(ROOT).as_posix(), lines


def test_no_module_has_more_than_400_lines_but_those_that_are_named() -> None:
    longer = {name: lines for name, lines in sizes() if lines > MOST_LINES}
    unnamed = {name: lines for name, lines in longer.items() if name not in LONGER}
    assert unnamed == {}, "split them by the nouns that they hold"
    assert longer.keys() == LONGER, "these are no longer than the others: name them no more"
