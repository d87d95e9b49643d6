"""What the packages offer: each says it in its `__init__`, and no public name means two things."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOTS = ("pipeline", "stages", "gateway")

HEAVY = ("av", "httpx", "numpy", "onnxruntime", "pydantic", "rich", "starlette", "uvicorn")
"""Packages that take long to import."""


def sources() -> Iterator[Path]:
    for root in ROOTS:
        yield from sorted((ROOT / root).rglob("*.py"))


def packages() -> list[str]:
    found = [path.parent for path in sources() if path.name == "__init__.py"]
    return [".".join(folder.relative_to(ROOT).parts) for folder in found]


PACKAGES = packages()


def order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, as ruff sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_what_it_is_and_what_it_offers(package: str) -> None:
    module = importlib.import_module(package)
    assert (module.__doc__ or "").strip(), "a docstring says what the package holds"
    assert "__all__" in vars(module), "`__all__` lists what it offers; [] where its modules do"
    names = list(module.__all__)
    assert names == sorted(set(names), key=order), "`__all__` is sorted"
    assert [name for name in names if not hasattr(module, name)] == []


@pytest.mark.parametrize("package", [name for name in PACKAGES if name not in ROOTS])
def test_a_package_that_offers_only_its_modules_names_them(package: str) -> None:
    module = importlib.import_module(package)
    if list(module.__all__):
        return
    modules = {info.name for info in pkgutil.iter_modules(module.__path__)}
    public = {name for name in modules if not name.startswith("_")}
    named = set(re.findall(r"`(\w+)`", module.__doc__ or ""))
    assert sorted(public - named) == [], "its docstring names every module that is not private"


def test_importing_a_package_does_not_load_what_only_its_modules_need() -> None:
    namespaces = [name for name in PACKAGES if not importlib.import_module(name).__all__]
    program = (
        f"import sys, importlib; [importlib.import_module(name) for name in {namespaces!r}];"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def public_classes(path: Path) -> Iterator[str]:
    """Names of the classes that a module defines for others."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def test_no_public_class_name_is_defined_twice() -> None:
    found: dict[str, list[str]] = defaultdict(list)
    for path in sources():
        for name in public_classes(path):
            found[name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}
