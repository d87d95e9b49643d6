"""The servers that are compared: how each is started, and which dialect it speaks."""

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.environments import interpreter
from gateway.commands.bench.command import program
from gateway.commands.bench.server import PORT, Program

APPS = Path(__file__).resolve().parent / "apps"
MOST_SESSIONS = 1000


@dataclass(frozen=True, slots=True)
class Target:
    """One server under test. `peer` names its environment; None: Parley's own."""

    name: str
    title: str
    dialect: str
    program: Program
    peer: str | None = None


def _peer(name: str, title: str) -> Target:
    command = (str(interpreter(name)), str(APPS / f"{name}_app.py"))
    environment = {"PORT": PORT, "PYTHONPATH": ""}
    return Target(name, title, name, Program(command, environment, "/health"), name)


PARLEY = Target("parley", "Parley", "parley", program(MOST_SESSIONS))
LIVEKIT = _peer("livekit", "LiveKit Agents")
PIPECAT = _peer("pipecat", "Pipecat")
ECHO = Target(
    "echo",
    "echo server + batched detector",
    "echo",
    Program((sys.executable, "-m", "benchmarks.peers.apps.echo_app"), {"PORT": PORT}, "/health"),
)

TARGETS = {target.name: target for target in (PARLEY, LIVEKIT, PIPECAT, ECHO)}
