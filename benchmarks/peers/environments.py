"""The peers' environments: one virtual environment each, made once, and their versions."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.result import ROOT

FOLDER = ROOT / "benchmarks" / ".envs"
"""Not under version control."""

REQUIREMENTS: Mapping[str, Sequence[str]] = {
    "pipecat": (
        "pipecat-ai[silero,websocket]==1.14.0",
        "fastapi>=0.115,<1",
        "uvicorn>=0.50,<0.60",
        "uvloop>=0.21,<0.30",
    ),
    "livekit": (
        "livekit-agents[silero]==1.8.9",
        "uvloop>=0.21,<0.30",
    ),
}
"""uvloop is in both, though neither asks for it, so that the event loop makes no difference."""

PINNED = {"pipecat": "pipecat-ai", "livekit": "livekit-agents"}
"""The package of which each is made."""

_LIST = (
    "import importlib.metadata as m, json, platform;"
    "print(json.dumps({'python': platform.python_version(),"
    " **{d.metadata['Name'].lower(): d.version for d in m.distributions()}}))"
)


class NoEnvironment(Exception):
    """An environment could not be made; the text says why."""


def interpreter(peer: str) -> Path:
    """The Python of a peer's environment, which need not be there yet."""
    return FOLDER / peer / "bin" / "python"


def install(peer: str, tell: Callable[[str], None]) -> None:
    """Make a peer's environment if it is not there as it should be. Raises `NoEnvironment`."""
    wanted = "\n".join(REQUIREMENTS[peer])
    stamp = FOLDER / peer / "requirements"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    tell(f"installing {peer}: {PINNED[peer]}, some 500 MB, into {FOLDER / peer}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    _do([sys.executable, "-m", "venv", "--clear", str(FOLDER / peer)])
    _do([str(interpreter(peer)), "-m", "pip", "install", "--quiet", *REQUIREMENTS[peer]])
    stamp.write_text(wanted, encoding="utf-8")


def _do(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise NoEnvironment(f"{' '.join(command[:4])} …: {lines}")


def versions(peer: str) -> dict[str, str]:
    """Every package of a peer's environment with its version, and its Python."""
    command = [str(interpreter(peer)), "-c", _LIST]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    told = subprocess.run(command, capture_output=True, check=True, env=environment)
    found: dict[str, str] = json.loads(told.stdout)
    return dict(sorted(found.items()))


def checked(path: Path) -> str:
    """The SHA-256 of a file; "missing" where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
