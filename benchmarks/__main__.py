"""Measure Parley on this machine.

    python -m benchmarks                  all of it: it says how long that takes
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

The plan and its time are printed to stderr, and then a line for every run.

Each but endpointing starts a gateway of its own on a free port. A figure with a limit must
hold: the exit code is 1 where one does not, 2 where the load client was too late or too busy for
its figures to be believed. Close what else is busy first. --save appends each run, with the facts
of the machine, to benchmarks/results/<name>.json.
"""

import argparse
import sys

from rich.console import Console

from benchmarks.caller import CallEnded
from benchmarks.catalogue import BENCHMARKS, Options, announcement, named
from benchmarks.endpointing import tables
from benchmarks.progress import Progress
from benchmarks.result import Result
from benchmarks.runs import RunFailed
from benchmarks.server import ServerFailed

LOG_WIDTH = 110


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "run",
        nargs="?",
        choices=(*(one.name for one in BENCHMARKS), "all"),
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


def _show(result: Result, console: Console) -> None:
    for table in tables(result) if result.benchmark == "endpointing" else (result.table(),):
        console.print(table)
    for note in (*result.distrust, *result.notes):
        console.print(f"  {note}", markup=False)


def main() -> int:
    """Run what the command line asks for; returns the exit code."""
    arguments = _arguments()
    options = Options(arguments.sessions, arguments.quick)
    # In a pipe or a log there is no terminal whose width could be asked.
    results = Console(width=None if sys.stdout.isatty() else LOG_WIDTH)
    progress = Console(stderr=True)
    benchmarks = named(arguments.run)
    for line in announcement(benchmarks, options) if len(benchmarks) > 1 else ():
        progress.print(line, markup=False, highlight=False, soft_wrap=True)
    code = 0
    for one in benchmarks:
        try:
            result = one.measure(Progress(one.name, one.expected_s(options), progress), options)
        except (RunFailed, ServerFailed, CallEnded, OSError) as error:
            progress.print(f"{one.name}: {error}", style="bold red", markup=False)
            code = 1
            continue
        _show(result, results)
        if arguments.save:
            results.print(f"  saved to {result.save()}", markup=False)
        if result.failed:
            code = 1
        elif result.distrust:
            code = code or 2
    return code


if __name__ == "__main__":
    sys.exit(main())
