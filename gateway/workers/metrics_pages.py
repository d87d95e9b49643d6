"""Merges the pages of metrics of several processes. Pure.

Counts are added up, and so are gauges: a state's 1 becomes the number of processes in that state. A
value that is the same in each process is kept as it is. For the share of a limit that each process
has for itself, the highest is kept.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

HIGHEST: Final = frozenset({"parley_build_info", "parley_workers", "parley_pressure"})
LOWEST: Final = frozenset({"process_start_time_seconds"})
"""Samples that are not added up: the lowest value is taken."""

KEPT: Final = frozenset({"counter", "histogram"})
"""The types that are kept of a process that has ended; its gauges end with it."""


def added(pages: Sequence[str]) -> str:
    """Merge pages in the text format: families and samples are in the order of their first
    appearance."""
    families: dict[str, list[str]] = {}  # a family's comments
    samples: dict[str, dict[str, float]] = {}  # by family
    for page in pages:
        family = ""
        for line in page.splitlines():
            if line.startswith("# "):
                family = line.split(" ", 3)[2]
                comments = families.setdefault(family, [])
                samples.setdefault(family, {})
                if line not in comments:
                    comments.append(line)
            elif line:
                name, _, value = line.rpartition(" ")
                found = samples.setdefault(family, {})
                combine = _rule(name.partition("{")[0])
                found[name] = (
                    combine((found[name], float(value))) if name in found else float(value)
                )
    lines: list[str] = []
    for family, found in samples.items():
        lines += families.get(family, [])
        lines += [f"{name} {_number(value)}" for name, value in found.items()]
    return "".join(f"{line}\n" for line in lines)


def counted(page: str) -> str:
    """The counts in a page, which are kept after its process has ended."""
    lines: list[str] = []
    kept = False
    waiting: list[str] = []  # comments before the type is known
    for line in page.splitlines():
        if line.startswith("# TYPE "):
            kept = line.rpartition(" ")[2] in KEPT
            lines += [*waiting, line] if kept else []
            waiting = []
        elif line.startswith("# "):
            waiting.append(line)
        elif kept and line.rpartition(" ")[0] not in LOWEST:
            lines.append(line)
    return "".join(f"{line}\n" for line in lines)


def _rule(name: str) -> Callable[[Iterable[float]], float]:
    if name in HIGHEST:
        return max
    return min if name in LOWEST else sum


def _number(value: float) -> str:
    return repr(value) if value == value and abs(value) != float("inf") else _special(value)


def _special(value: float) -> str:
    if value != value:
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"
