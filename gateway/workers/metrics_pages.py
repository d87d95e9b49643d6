"""Pages of metrics of several processes as one. Pure.

What is counted is added up, and so are gauges: a state's 1 becomes the number of processes that are
in the state. What is the same in each process stays as it is, and of shares of a limit that each
process has for itself the highest counts.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

HIGHEST: Final = frozenset({"parley_build_info", "parley_workers", "parley_pressure"})
LOWEST: Final = frozenset({"process_start_time_seconds"})
"""Samples that are not added up."""

KEPT: Final = frozenset({"counter", "histogram"})
"""The types of what a process that has ended has counted; its gauges went with it."""


def added(pages: Sequence[str]) -> str:
    """One page in the text format: families and samples in the order in which they come first."""
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
    """The counts of a page, which are kept when its process has ended."""
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
