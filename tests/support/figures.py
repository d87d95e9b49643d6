"""The figures of `/metrics`, by docs/operations.md, whose table a test compares with the page."""

import re

from tests.support.paths import DOCS

OPERATION = (DOCS / "operations.md").read_text(encoding="utf-8")

PROCESS = {"process_resident_memory_bytes", "process_cpu_seconds_total"}


def section(title: str) -> str:
    return OPERATION.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def listed(title: str) -> list[str]:
    return re.findall(r"^\| `(\w+)`", section(title), re.MULTILINE)


def labels() -> dict[str, set[str]]:
    """The labels of each metric."""
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|", section("Metrics"), re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", cell)) for name, cell in rows}


def check_query(query: str, targets: frozenset[str] = frozenset({"instance", "job"})) -> None:
    """Assert that a query asks for figures and labels that there are.

    `targets` are the labels that Prometheus itself gives to what it scrapes.
    """
    known = labels()
    named = re.findall(r"\b((?:parley|process)_\w+)(?:\{([^}]*)\})?", query)
    for name, selected in named:
        metric = re.sub(r"_(bucket|sum|count)$", "", name)
        assert metric in known.keys() | PROCESS
        asked = set(re.findall(r"(\w+)\s*[=!]~?", selected)) - targets
        assert asked <= known.get(metric, set())
        if name.endswith("_bucket"):
            assert "histogram_quantile" in query
    for grouped in re.findall(r"\bby \(([^)]*)\)", query):
        by = {label.strip() for label in grouped.split(",")} - {"le", "instance"}
        assert any(by <= given for given in known.values())
