"""Modules that call themselves pure are checked by import-linter; all others do not claim it."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT

ROOTS = ("pipeline", "stages", "gateway")
CONTRACT = "decisions are pure: no loop, no clock, no chance, no sockets"


def modules() -> Iterator[tuple[str, Path]]:
    for root in ROOTS:
        for path in sorted((ROOT / root).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def listed() -> set[str]:
    """The modules of the contract."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    (pure,) = (contract for contract in contracts if contract["name"] == CONTRACT)
    return set(pure["source_modules"])


def test_what_calls_itself_pure_is_under_the_contract() -> None:
    claims = {
        name
        for name, path in modules()
        if "Pure" in (ast.get_docstring(ast.parse(path.read_text())) or "")
    }
    contract = listed()
    covered = {name for name in claims if any(f"{name}.".startswith(f"{m}.") for m in contract)}
    assert claims - covered == set()


def test_the_contract_names_modules_that_exist() -> None:
    assert listed() - {name for name, _ in modules()} == set()
