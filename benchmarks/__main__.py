"""Measure Parley on this machine.

    python -m benchmarks                  all of it: it says how long that takes
    python -m benchmarks load             many callers at once
    python -m benchmarks load --sessions 200 --save

  latency   one caller, stages that cost nothing: what the gateway itself adds to an answer and
            how fast it falls silent when it is interrupted
  offline   one caller, the stages of a machine without a network: what a person waits for, when
            the answer is prepared in the first silence, and when it is not
  simultaneous  four and eight people whose answers begin or end at the same moment
  load      --sessions callers at once, the server on one core: CPU, lateness, memory
  overload  three times as many callers as a core carries: who is let in, and how they fare
  wer       every clip of fixtures/audio, and recordings of people where there are some, spoken to
            the default recogniser and to pocketsphinx: word error rates
  silence   ten minutes of silence, breath, typing and noise: what is taken for an answer
  synthesis the questions of all banks, spoken by the default voice: first byte, loudness, mouth
            shapes against the sound, and the words that Whisper base understands
  endpointing  turns cut off in a pause, and the wait after the others: adaptive against fixed
  dialects  50 callers in each dialect, the same work: CPU of a session against the native dialect
  rest      32 connections, the server on one core: requests a second and how long each takes
  proxy     32 connections to a service behind the gateway, beside a bare Starlette and httpx proxy:
            requests a second, p99 added, memory while 10 MB pass, 1,000 WebSockets
  webrtc    WebRTC peers, the server on one core: CPU of each, beside aiortc as it comes

The plan and its time are printed to stderr, and then a line for every run.

Each but endpointing and synthesis starts a gateway of its own on a free port. A figure with a
limit must hold: the exit code is 1 where one does not, 2 where the load client was too late or too
busy for its figures to be believed. Close what else is busy first. --save appends each run, with
the facts of the machine, to benchmarks/results/<name>.json.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import endpointing, wer
from benchmarks.caller import CallEnded
from benchmarks.catalogue import BENCHMARKS, Benchmark, Options, announcement, named
from benchmarks.progress import Progress
from benchmarks.result import Result
from benchmarks.runs import RunFailed
from benchmarks.speech import RECORDINGS
from gateway.commands.bench.server import ServerFailed, ended_by_sigterm
from gateway.commands.terminal import INTERRUPTED

LOG_WIDTH = 110

TABLES: dict[str, Callable[[Result], Iterable[Table]]] = {
    "endpointing": endpointing.tables,
    "wer": wer.tables,
}
"""The tables of the benchmarks that have other ones than `Result.table`."""


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
        "--sessions",
        type=int,
        help="callers at once in the load run (default: 100); what a core carries in the overload "
        "run (default: it is measured)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="less of the webrtc, offline, simultaneous, overload, silence and synthesis runs, to "
        "try them",
    )
    parser.add_argument(
        "--recordings",
        type=Path,
        default=RECORDINGS,
        metavar="DIR",
        help="recordings of people for the wer run, with a README.md whose table has file, speaker "
        "and text (default: %(default)s, if it is there)",
    )
    parser.add_argument(
        "--base",
        type=Path,
        metavar="DIR",
        help="Whisper base for the synthesis run (default: what `parley fetch base` has fetched)",
    )
    parser.add_argument("--save", action="store_true", help="keep the results")
    arguments = parser.parse_args()
    if arguments.sessions is not None and arguments.sessions < 1:
        parser.error("--sessions must be at least 1")
    return arguments


def _show(result: Result, console: Console) -> None:
    tables = TABLES.get(result.benchmark)
    for table in (result.table(),) if tables is None else tables(result):
        console.print(table)
    for note in (*result.distrust, *result.notes):
        console.print(f"  {note}", markup=False)


def main() -> int:
    """Run what the command line asks for; returns the exit code."""
    arguments = _arguments()
    options = Options(arguments.sessions, arguments.quick, arguments.recordings, arguments.base)
    # In a pipe or a log there is no terminal whose width could be asked.
    results = Console(width=None if sys.stdout.isatty() else LOG_WIDTH)
    progress = Console(stderr=True)
    benchmarks = named(arguments.run)
    for line in announcement(benchmarks, options) if len(benchmarks) > 1 else ():
        progress.print(line, markup=False, highlight=False, soft_wrap=True)
    try:
        with ended_by_sigterm():
            return _run(benchmarks, options, progress, results, save=arguments.save)
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(
    benchmarks: Sequence[Benchmark],
    options: Options,
    progress: Console,
    results: Console,
    *,
    save: bool,
) -> int:
    """Run these, one after the other; returns the exit code."""
    code = 0
    for one in benchmarks:
        try:
            result = one.measure(Progress(one.name, one.expected_s(options), progress), options)
        except (RunFailed, ServerFailed, CallEnded, OSError) as error:
            progress.print(f"{one.name}: {error}", style="bold red", markup=False)
            code = 1
            continue
        _show(result, results)
        if save:
            results.print(f"  saved to {result.save()}", markup=False)
        if result.failed:
            code = 1
        elif result.distrust:
            code = code or 2
    return code


if __name__ == "__main__":
    sys.exit(main())
