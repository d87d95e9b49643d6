"""Measure Parley beside Pipecat, LiveKit Agents and a bare echo server, on this machine.

    make bench-peers                     everything, in three rounds: some two and a half hours
    python -m benchmarks.peers --quick   some eight minutes, to see that it works

The peers are installed into environments of their own under benchmarks/.envs. Close what else is
busy: a run that something disturbed is made again, and counts for nothing if it stays so. Results:
peers.json and peers.html in benchmarks/results, or in the folder that --out names. The exit code is
1 where a figure that must hold does not, 2 where one could not be measured. Ctrl-C ends it, keeps
what was measured in peers-interrupted.json and .html, and the exit code is 130.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.peers import further
from benchmarks.peers.campaign import Campaign
from benchmarks.peers.environments import (
    PINNED,
    NoEnvironment,
    checked,
    install,
    interpreter,
    versions,
)
from benchmarks.peers.page import page
from benchmarks.peers.plan import FULL, QUICK, Sizes, expected_s
from benchmarks.peers.report import Facts, Report, as_json
from benchmarks.peers.targets import TARGETS
from benchmarks.progress import Progress, estimate
from benchmarks.result import RESULTS, ROOT, Machine
from gateway import __version__
from gateway.commands.bench.run import RunFailed
from gateway.commands.bench.server import ServerFailed, ended_by_sigterm
from gateway.commands.terminal import INTERRUPTED

HISTORY = ROOT / "benchmarks" / "history"
FAILURES = (RunFailed, ServerFailed, OSError, RuntimeError, subprocess.SubprocessError)
PARTS = ("peers", "webrtc", "rest", "workers", "kill")
NETWORKS = {
    "pipecat": "pipecat/audio/vad/data/silero_vad.onnx",
    "livekit": "livekit/plugins/silero/resources/silero_vad.onnx",
}


def main() -> int:
    """Run what the command line asks for; returns the exit code."""
    arguments = _arguments()
    told = Console(stderr=True)
    sizes = QUICK if arguments.quick else FULL
    if arguments.rounds is not None:
        sizes = replace(sizes, rounds=arguments.rounds)
    targets: Sequence[str] = arguments.only
    peers = [name for name in PINNED if name in targets]
    try:
        for peer in peers:
            install(peer, lambda line: _say(told, line))
    except NoEnvironment as error:
        _say(told, str(error))
        return 2
    if arguments.install:
        return 0
    facts = _facts(peers, arguments.quick)
    expected = expected_s(sizes, targets)
    _say(told, f"{', '.join(targets)}: {estimate(expected)} without repetitions")
    campaign = Campaign(sizes, targets, Progress("peers", expected, told))
    others: dict[str, float] = {}
    try:
        with ended_by_sigterm():
            if "peers" in arguments.parts:
                campaign.run()
            _measure_others(arguments.parts, sizes, told, others)
    except KeyboardInterrupt:
        report = Report(facts.stamped(), campaign.outcome, others)
        _write(report, arguments.out, told, interrupted=True)
        return INTERRUPTED
    report = Report(facts.stamped(), campaign.outcome, others)
    _write(report, arguments.out, told)
    if arguments.release:
        HISTORY.mkdir(exist_ok=True)
        path = HISTORY / f"{arguments.release}.json"
        path.write_text(as_json(report.summary()), encoding="utf-8")
        _say(told, f"kept as {path}")
    return _show(report)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="one short round with few sessions")
    parser.add_argument("--rounds", type=int, help="how many (default: 3; with --quick: 1)")
    parser.add_argument(
        "--only",
        type=_names(TARGETS),
        default=tuple(TARGETS),
        metavar="NAMES",
        help=f"servers, separated by commas (default: {','.join(TARGETS)})",
    )
    parser.add_argument(
        "--parts",
        type=_names(PARTS),
        default=None,
        metavar="NAMES",
        help=f"what is measured (default: {','.join(PARTS)}; with --quick: peers)",
    )
    parser.add_argument("--install", action="store_true", help="make the environments, no more")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument(
        "--release", metavar="NAME", help="also keep a summary in benchmarks/history/NAME.json"
    )
    arguments = parser.parse_args()
    if arguments.parts is None:
        arguments.parts = ("peers",) if arguments.quick else PARTS
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    return arguments


def _names(known: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """Reads names separated by commas, all of which must be known."""
    every = frozenset(known)

    def read(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        if unknown := set(names) - every:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
        return names

    return read


def _facts(peers: Sequence[str], quick: bool) -> Facts:
    from benchmarks.peers.apps.echo_app import model

    networks = {"parley": checked(model())}
    for peer in peers:
        library = interpreter(peer).parent.parent / "lib"
        found = next(library.glob(f"python*/site-packages/{NETWORKS[peer]}"), Path("/none"))
        networks[peer] = checked(found)
    return Facts(
        __version__, Machine.here(), {peer: versions(peer) for peer in peers}, networks, quick
    )


def _measure_others(
    parts: Sequence[str], sizes: Sizes, told: Console, found: dict[str, float]
) -> None:
    """Put the figures of the further parts into `found`; a part that fails is left out, and that is
    said."""
    quick = sizes.rounds < FULL.rounds
    measures = {
        "webrtc": lambda: further.webrtc_ratios(Progress("webrtc", 360, told), quick=quick),
        "rest": lambda: further.rest_ratios(
            Progress("rest", 60 * sizes.rounds, told),
            rounds=sizes.rounds,
            attempts=sizes.attempts,
        ),
        "workers": lambda: further.workers(
            Progress("workers", 2 * sizes.rounds * (sizes.seconds + 20), told),
            sizes.few,
            sizes.seconds,
            sizes.rounds,
        ),
        "kill": further.lost_by_kill,
    }
    for name, measure in measures.items():
        if name not in parts:
            continue
        try:
            found |= measure()
        except FAILURES as error:
            _say(told, f"{name}: {error}")


def _write(report: Report, folder: Path, told: Console, *, interrupted: bool = False) -> None:
    """Write the report; one that was interrupted replaces no whole one."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = "peers-interrupted" if interrupted else "peers"
    for name, text in ((f"{stem}.json", as_json(report.whole())), (f"{stem}.html", page(report))):
        (folder / name).write_text(text, encoding="utf-8")
        _say(told, f"written: {folder / name}")


def _show(report: Report) -> int:
    table = Table(title="what must hold", title_justify="left")
    for heading in ("figure", "measured", "must be", "verdict", "made of"):
        table.add_column(heading)
    styles = {"pass": "green", "fail": "bold red", "not measured": "yellow"}
    for claim in report.claims:
        value = "–" if claim.value is None else f"{claim.value:.3g} {claim.unit}".strip()
        table.add_row(
            claim.name, value, claim.bound, claim.verdict, claim.why, style=styles[claim.verdict]
        )
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    if report.outcome.sizes.lenient:
        print("A quick try: too short to be published, and invalid runs are counted.")
    verdicts = {claim.verdict for claim in report.claims}
    return 1 if "fail" in verdicts else 2 if "not measured" in verdicts else 0


def _say(told: Console, line: str) -> None:
    told.print(line, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
