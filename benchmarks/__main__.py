"""Measure Parley on this machine.

    python -m benchmarks                  all of it, about eighteen minutes
    python -m benchmarks load             many callers at once
    python -m benchmarks load --sessions 200 --save

  latency   one caller, stages that cost nothing: what the gateway itself adds to an answer and
            how fast it falls silent when it is interrupted
  offline   one caller, the stages of a machine without a network: what a person waits for
  load      --sessions callers at once, the server on one core: CPU, lateness, memory
  wer       every clip of fixtures/audio, spoken to the default recogniser: word error rates
  endpointing  turns cut off in a pause, and the wait after the others: adaptive against fixed
  whisper   one caller, a Whisper of the size of "tiny", captions on: the wait for the answer
            when it is prepared in the first silence, and when it is not
  rest      32 connections, the server on one core: requests a second and how long each takes
  webrtc    WebRTC peers, the server on one core: CPU of each, beside aiortc as it comes

Each but endpointing starts a gateway of its own on a free port. A figure with a limit must
hold: the exit code is 1 where one does not, 2 where the load client was too late or too busy for
its figures to be believed. Close what else is busy first. --save appends each run, with the facts
of the machine, to benchmarks/results/<name>.json.
"""

import argparse
import sys
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import runs
from benchmarks.caller import CallEnded
from benchmarks.endpointing import endpointing, tables
from benchmarks.rest import rest
from benchmarks.result import Result
from benchmarks.runs import OnProgress, RunFailed
from benchmarks.server import ServerFailed
from benchmarks.webrtc import webrtc
from benchmarks.whisper import whisper

LOG_WIDTH = 110
NAMES = ("latency", "offline", "load", "wer", "endpointing", "whisper", "rest", "webrtc")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "run",
        nargs="?",
        choices=(*NAMES, "all"),
        default="all",
        help="what to measure (default: all)",
    )
    parser.add_argument(
        "--sessions", type=int, default=100, help="callers at once in the load run (default: 100)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short round in the webrtc run, to try it"
    )
    parser.add_argument("--save", action="store_true", help="keep the results")
    arguments = parser.parse_args()
    if arguments.sessions < 1:
        parser.error("--sessions must be at least 1")
    return arguments


def _measure(name: str, sessions: int, quick: bool, console: Console) -> Result:
    measure: dict[str, Callable[[OnProgress], Result]] = {
        "latency": runs.latency,
        "offline": runs.offline,
        "load": lambda on_progress: runs.load(sessions, on_progress),
        "wer": runs.wer,
        "endpointing": endpointing,
        "whisper": whisper,
        "rest": rest,
        "webrtc": lambda on_progress: webrtc(on_progress, quick=quick),
    }
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    # Drawn seldom: the terminal's work is done on the load client's core.
    with Progress(*columns, console=console, transient=True, refresh_per_second=2) as progress:
        task = progress.add_task(f"{name}: starting the gateway", total=None)

        def on_progress(done: float, goal: float) -> None:
            progress.update(task, description=name, completed=done, total=goal)

        return measure[name](on_progress)


def main() -> int:
    """Run what the command line asks for; returns the exit code."""
    arguments = _arguments()
    # In a pipe or a log there is no terminal whose width could be asked.
    console = Console(width=None if sys.stdout.isatty() else LOG_WIDTH)
    code = 0
    for name in NAMES if arguments.run == "all" else (arguments.run,):
        try:
            result = _measure(name, arguments.sessions, arguments.quick, console)
        except (RunFailed, ServerFailed, CallEnded, OSError) as error:
            console.print(f"{name}: {error}", style="bold red", markup=False)
            code = 1
            continue
        for table in tables(result) if name == "endpointing" else (result.table(),):
            console.print(table)
        for note in (*result.distrust, *result.notes):
            console.print(f"  {note}", markup=False)
        if arguments.save:
            console.print(f"  saved to {result.save()}", markup=False)
        if result.failed:
            code = 1
        elif result.distrust:
            code = code or 2
    return code


if __name__ == "__main__":
    sys.exit(main())
