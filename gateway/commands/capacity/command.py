"""`parley capacity`: prints what calls need, from figures of this machine or of a file."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from gateway.commands.bench.command import usable
from gateway.commands.bench.run import RunFailed
from gateway.commands.bench.server import ServerFailed, ended_by_sigterm
from gateway.commands.capacity.figures import CapacityFigures, UnusableFigures, parsed
from gateway.commands.capacity.measuring import measured
from gateway.commands.capacity.planning import Assumptions, plan
from gateway.commands.capacity.text import report
from gateway.commands.terminal import DONE, FAILED, UNUSABLE, CommandFailed, output
from gateway.printable import printable
from gateway.settings import Settings

MOST_BYTES = 1 << 20
"""A file of figures has some kilobytes."""

CALLS = 1000
"""The number of calls if none is given."""

MOST_COLUMNS = 6


def capacity(arguments: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    """Print the plan; returns 1 if a part of it could not be planned. Raises `CommandFailed`.

    `settings` are read only where something is measured.
    """
    wanted = arguments.calls or [CALLS]
    if len(wanted) > MOST_COLUMNS:
        raise CommandFailed(f"--calls takes {MOST_COLUMNS} numbers at most")
    if arguments.file is not None and arguments.quick:
        raise CommandFailed("--quick measures, and --from does not: use one of them")
    figures = _measured(settings(), arguments) if arguments.file is None else kept(arguments.file)
    assumed = Assumptions(arguments.cores or figures.cores, arguments.speaking)
    plans = [plan(figures, calls, assumed) for calls in wanted]
    console = output()
    if arguments.json:
        body = {
            "figures": figures.as_dict(),
            "assumptions": assumed.as_dict(),
            "plans": [each.as_dict() for each in plans],
        }
        console.out(json.dumps(body, indent=2, ensure_ascii=False), highlight=False)
    else:
        for line in report(figures, plans, assumed):
            inset = len(line) - len(line.lstrip(" "))
            console.out(" " * inset + printable(line), highlight=False)
    return FAILED if any(each.gaps for each in plans) else DONE


def kept(file: Path) -> CapacityFigures:
    """Read the figures in a file. Raises `CommandFailed`."""
    try:
        with file.open("rb") as source:
            body = source.read(MOST_BYTES + 1)
    except OSError as error:
        raise CommandFailed(f"--from {file}: {error.strerror or error}", UNUSABLE) from None
    try:
        if len(body) > MOST_BYTES:
            raise UnusableFigures("is larger than a megabyte")
        return parsed(body.decode("utf-8-sig"))
    except UnusableFigures as error:
        wrong = str(error)
    except UnicodeDecodeError:
        wrong = "is no JSON"
    advice = "it must be what `parley capacity --json` has printed"
    raise CommandFailed(f"--from {file}: {wrong}; {advice}", UNUSABLE)


def _measured(settings: Settings, arguments: argparse.Namespace) -> CapacityFigures:
    usable()
    told = Console(stderr=True, highlight=False)
    try:
        with ended_by_sigterm():
            return measured(settings, told, quick=arguments.quick)
    except (RunFailed, ServerFailed) as error:
        raise CommandFailed(str(error), FAILED) from None
