"""`parley bench`: how many sessions this machine holds, by the gateway's own cost.

Voice detection and everything else of the gateway is real; recognition, words and voice are
scripted and cost nothing, so the models of this machine are not in the figures.
"""

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gateway.commands.bench.run import (
    SERVICE_LEVEL_MS,
    Job,
    LoadProcess,
    Run,
    RunFailed,
    cores,
    measure,
)
from gateway.commands.bench.search import Search
from gateway.commands.bench.server import (
    PORT,
    Program,
    ServerFailed,
    TestedServer,
    ended_by_sigterm,
)
from gateway.commands.call.demo import CLIPS
from gateway.commands.terminal import DONE, FAILED, UNUSABLE, CommandFailed, output
from gateway.settings import Settings
from gateway.variables import variables
from stages.vad.silero import check

QUICK_SESSIONS, QUICK_SECONDS = 50, 10.0
SECONDS, START, MOST = 30.0, 100, 1000
COLUMNS = ("sessions", "CPU", "late", "first byte", "decision", "silence", "missed", "held")
SPARE = 20
"""Places beyond those measured: a session may return before its last call has been cleaned up."""


def places(sessions: int) -> dict[str, str]:
    """The settings of a gateway under test that has places for that many sessions."""
    return {
        "PARLEY_HOST": "127.0.0.1",
        "PARLEY_PORT": PORT,
        "PARLEY_LOG_LEVEL": "warning",
        "PARLEY_ADMISSION": "places",  # what a machine can do is what is measured
        "PARLEY_MAX_SESSIONS": str(sessions + SPARE),
    }


def program(sessions: int) -> Program:
    """The gateway with scripted stages, with places for that many sessions. It is one process, and
    its sessions are stored only in its own folder: no setting of this machine applies to it."""
    return Program(
        (sys.executable, "-m", "gateway.commands.bench.scripted"),
        {**_unset(), **places(sessions), "PARLEY_SILENCE_PROMPT_S": "0"},
        "/health/ready",
    )


def _unset() -> dict[str, str]:
    """The environment with which all settings count as not set: keys would keep the load generator
    out. The data folder is the tested server's own."""
    names = (name for field in Settings.model_fields.values() for name in variables(field))
    return {name: "" for name in names if name != "PARLEY_DATA_DIR"}


def bench(arguments: argparse.Namespace) -> int:
    """Measure this machine; returns 0 if what was asked for held. Raises `CommandFailed`."""
    usable()
    told = Console(stderr=True, highlight=False)
    seconds = arguments.seconds or (QUICK_SECONDS if arguments.quick else SECONDS)
    try:
        with ended_by_sigterm():
            if arguments.sessions is not None:
                runs = [_run(arguments.sessions, seconds, told)]
            elif arguments.quick:
                runs = [_run(QUICK_SESSIONS, seconds, told)]
            else:
                runs = _search(seconds, told)
    except (RunFailed, ServerFailed) as error:
        raise CommandFailed(str(error), FAILED) from None
    return _show(runs, output())


def usable() -> None:
    """Raise `CommandFailed` if load runs cannot be made on this machine."""
    if not Path("/proc/self/stat").exists():
        raise CommandFailed("this command reads /proc, which only Linux has", UNUSABLE)
    if len(os.sched_getaffinity(0)) < 2:
        raise CommandFailed(
            "two cores are needed: one for the gateway, one for the callers", UNUSABLE
        )
    if problem := check():
        raise CommandFailed(problem, UNUSABLE)


def _run(sessions: int, seconds: float, told: Console) -> Run:
    job = Job("parley", "conversation", sessions, seconds)
    told.print(f"{sessions} sessions for {seconds:.0f} s …", markup=False)
    server_core, core = cores()
    with TestedServer(program(sessions), {server_core}) as server:
        return measure(server, job, LoadProcess(core, CLIPS))


def _search(seconds: float, told: Console) -> list[Run]:
    search = Search(START, MOST)
    runs = []
    while (sessions := search.next()) is not None:
        runs.append(run := _run(sessions, seconds, told))
        search.tell(sessions, run.holds)
        told.print(
            "  held" if run.holds else f"  not held: {'; '.join(run.broken())}", markup=False
        )
    return runs


def _show(runs: list[Run], console: Console) -> int:
    table = Table(
        title="conversations on one core, every third reply interrupted",
        caption="CPU: ms per session-second. Delays in ms: how late reply frames came; from the"
        " decision that a person has finished to the first byte; from the audio that allowed it to"
        " the decision (each p99); from a person's first frame to the reply's last byte (p95).",
    )
    for heading in COLUMNS:
        table.add_column(heading, justify="right")
    for run in sorted(runs, key=lambda run: run.job.sessions):
        delays = (run.lateness, run.decision_to_first, run.chunk_to_decision)
        table.add_row(
            str(run.job.sessions),
            f"{run.cpu_ms:.2f}" if run.complete else "–",
            *("–" if delay is None else f"{delay.p99:.1f}" for delay in delays),
            "–" if run.barge_in is None else f"{run.barge_in.p95:.0f}",
            f"{run.missed} of {run.spoken}",
            "yes" if run.holds else "no",
        )
    console.print(table)
    held = [run.job.sessions for run in runs if run.holds]
    doubts = sorted({objection for run in runs for objection in run.objections})
    console.print(
        f"Held means that each p99 is at most {SERVICE_LEVEL_MS:.0f} ms and no turn is missed."
        f" Largest that held: {max(held, default=0)} sessions."
    )
    for doubt in doubts:
        console.print(f"Not to be relied on: {doubt}. Close what else is busy and run it again.")
    return DONE if held else FAILED
