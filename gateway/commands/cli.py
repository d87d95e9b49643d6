"""The `parley` command: its sub-commands, their options, their exit codes.

Every command imports what it needs when it runs, so that `--help` answers at once.
"""

import argparse
import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import __version__
from gateway.commands.help_texts import (
    BENCH_EXAMPLES,
    CALL_EXAMPLES,
    CALL_USAGE,
    CAPACITY_EXAMPLES,
    DESCRIPTION,
    DOCTOR_EXAMPLES,
    DRAIN_EXAMPLES,
    DRILL_EXAMPLES,
    EXAMPLES,
    EXIT_CODES,
    FETCH_EXAMPLES,
    INTERVIEW_EXAMPLES,
    KEYS_EXAMPLES,
    REPLAY_EXAMPLES,
    SERVE_EXAMPLES,
    WORKER_EXAMPLES,
)
from gateway.commands.options import (
    bench_options,
    call_options,
    capacity_options,
    drain_options,
    drill_options,
    in_order,
    interview_options,
    keys_options,
    serve_options,
    worker_options,
)

if TYPE_CHECKING:
    from gateway.settings import Settings


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["call"]:
        words[1:] = in_order(words[1:])
    parser = _parser()
    arguments = parser.parse_args(words)
    if arguments.run is None:
        parser.print_help()
        return 2
    return _guarded(lambda: arguments.run(arguments))


def _guarded(command: Callable[[], int]) -> int:
    from gateway.commands.terminal import INTERRUPTED, CommandFailed, complain

    try:
        return command()
    except CommandFailed as error:
        complain(error.message)
        return error.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the output has gone, as in `parley … | head`; leave nothing to flush.
        sys.stdout = None  # documented: may be None
        return 1


# --- the commands ----------------------------------------------------------------------------


def _settings() -> "Settings":
    from gateway.commands.terminal import CommandFailed
    from gateway.settings import Settings, SettingsError

    try:
        return Settings.load()
    except SettingsError as error:
        raise CommandFailed(str(error)) from None


def _serve(arguments: argparse.Namespace) -> int:
    gc.disable()  # what imports leave behind stays: garbage looked for in it is a seventh of them
    settings = _settings()
    given = {
        name: value
        for name in ("host", "insecure", "port", "workers", "log_level")
        if (value := getattr(arguments, name)) is not None
    }
    from gateway.commands.serve import serve
    from gateway.commands.tls import tls_files

    gc.enable()
    tls = tls_files(arguments.tls_cert, arguments.tls_key)
    serve(settings.model_copy(update=given), tls=tls)
    return 0


def _call(arguments: argparse.Namespace) -> int:
    from gateway.commands.call import call

    return call(arguments)


def _interview(arguments: argparse.Namespace) -> int:
    from gateway.commands.interview import interview

    return interview(arguments)


def _doctor(arguments: argparse.Namespace) -> int:
    settings = _settings()
    from gateway.commands.doctor import doctor

    return doctor(settings, as_json=arguments.json)


def _fetch(arguments: argparse.Namespace) -> int:
    settings = _settings()
    from gateway.commands.fetch import fetch, show
    from gateway.commands.terminal import output

    if arguments.name is None:
        show(output(), settings.data_dir)
        return 0
    place, thing = fetch(arguments.name, settings.data_dir)
    output().print(f"{place} has {thing.name}; {thing.use(settings)}", soft_wrap=True)
    return 0


def _keys(arguments: argparse.Namespace) -> int:
    settings = _settings()
    from gateway.commands.keys import keys

    return keys(settings, arguments)


def _replay(arguments: argparse.Namespace) -> int:
    from gateway.commands.replay import run

    return run(arguments)


def _drill(arguments: argparse.Namespace) -> int:
    settings = _settings()
    from gateway.commands.drill import drill

    return drill(
        settings,
        arguments.stage,
        arguments.fault,
        arguments.seconds,
        arguments.url,
        arguments.trust,
    )


def _drain(arguments: argparse.Namespace) -> int:
    settings = _settings()
    from gateway.commands.drain import drain

    return drain(settings, arguments.url, arguments.trust)


def _worker(arguments: argparse.Namespace) -> int:
    settings = _settings()
    from gateway.commands.stage_worker import stage_worker

    return stage_worker(
        settings,
        arguments.slot,
        host=arguments.host,
        port=arguments.port,
        provider=arguments.provider,
        places=arguments.places,
        drain_s=arguments.drain,
        insecure=arguments.insecure,
    )


def _bench(arguments: argparse.Namespace) -> int:
    from gateway.commands.bench.command import bench

    return bench(arguments)


def _capacity(arguments: argparse.Namespace) -> int:
    from gateway.commands.capacity.command import capacity

    return capacity(arguments, _settings)


# --- options ---------------------------------------------------------------------------------


class _Formatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Keeps the epilog's lines and shows the defaults that are not None."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        # argparse does not count how far commands are indented, and breaks after a long one.
        self._action_max_length = len("interview") + 4

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.const is not None:
            return action.help
        return super()._get_help_string(action)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "parley", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=_Formatter
    )
    parser.add_argument("--version", action="version", version=f"parley {__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(
        name: str,
        run: Callable[[argparse.Namespace], int],
        summary: str,
        epilog: str,
        usage: str | None = None,
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"{epilog}\n{EXIT_CODES}",
            formatter_class=_Formatter,
            allow_abbrev=False,
            usage=usage,
        )
        made.set_defaults(run=run)
        return made

    serve_options(command("serve", _serve, "run the server", SERVE_EXAMPLES))
    call_options(
        command(
            "call",
            _call,
            "hold a spoken interview with a server",
            CALL_EXAMPLES,
            usage=CALL_USAGE,
        )
    )
    interview_options(
        command("interview", _interview, "hold an interview in writing, here", INTERVIEW_EXAMPLES)
    )
    doctor = command("doctor", _doctor, "say what works here and what does not", DOCTOR_EXAMPLES)
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    fetch = command("fetch", _fetch, "download a model", FETCH_EXAMPLES)
    fetch.add_argument(
        "name", nargs="?", metavar="NAME", help="what to download; without it, all names are shown"
    )
    keys_options(command("keys", _keys, "make, list and revoke API keys", KEYS_EXAMPLES))
    replay = command("replay", _replay, "decide a recorded session again", REPLAY_EXAMPLES)
    replay.add_argument("file", type=Path, metavar="FILE", help="the session's journal")
    replay.add_argument(
        "--html", type=Path, metavar="OUT", help="also write the timeline as one HTML page"
    )
    drill_options(
        command("drill", _drill, "break a stage of a running gateway for a while", DRILL_EXAMPLES)
    )
    drain_options(command("drain", _drain, "let a running gateway end in order", DRAIN_EXAMPLES))
    worker_options(
        command("worker", _worker, "serve one stage to gateways elsewhere", WORKER_EXAMPLES)
    )
    bench_options(
        command("bench", _bench, "measure how many sessions this machine holds", BENCH_EXAMPLES)
    )
    capacity_options(
        command("capacity", _capacity, "say what so many calls need", CAPACITY_EXAMPLES)
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
