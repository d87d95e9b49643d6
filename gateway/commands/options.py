"""The options of the `parley` commands; the texts of their `--help` are in `help_texts`."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROLES = ("candidate", "interviewer", "service", "admin")
"""The values of `gateway.security.roles.ClientRole`, whose import takes longer."""


def serve_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on, instead of PARLEY_HOST")
    parser.add_argument(
        "--insecure",
        action="store_true",
        default=None,
        help="listen on an address of the network without PARLEY_API_KEYS",
    )
    parser.add_argument(
        "--port", type=between(0, 65535), help="port to listen on, instead of PARLEY_PORT"
    )
    parser.add_argument(
        "--workers",
        type=between(1, 64),
        metavar="N",
        help="processes that share the port, instead of PARLEY_WORKERS",
    )
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        help="least severe message that is logged, instead of PARLEY_LOG_LEVEL",
    )
    parser.add_argument(
        "--tls-cert", type=Path, metavar="FILE", help="serve HTTPS with this certificate (PEM)"
    )
    parser.add_argument(
        "--tls-key", type=Path, metavar="FILE", help="the certificate's private key (PEM)"
    )


def drain_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the gateway is")
    _trust_option(parser)


def worker_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("slot", choices=("stt", "tts"), metavar="STAGE", help="what to serve")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument(
        "--port", type=between(0, 65535), default=8100, help="port to listen on; 0 takes a free one"
    )
    parser.add_argument(
        "--provider", metavar="NAME", help="instead of what PARLEY_STT or TTS_ENGINE names"
    )
    parser.add_argument(
        "--places",
        type=between(1, 1024),
        default=64,
        metavar="N",
        help="most calls at a time; further ones are refused and may try later",
    )
    parser.add_argument(
        "--drain",
        type=between(0, 3600),
        default=30,
        metavar="S",
        help="seconds for calls under way when it stops",
    )
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="listen on an address of the network without PARLEY_WORKER_KEY",
    )


def bench_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quick", action="store_true", help="one short run with 50 sessions, in half a minute"
    )
    parser.add_argument(
        "--sessions", type=_sessions, metavar="N", help="one run with so many sessions; no search"
    )
    parser.add_argument(
        "--seconds", type=_stretch, metavar="S", help="how long each run is measured: 5 to 600"
    )


def _sessions(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError("must be a number from 1 to 1000")
    return int(text)


def _stretch(text: str) -> float:
    if not text.isdecimal() or not 5 <= int(text) <= 600:
        raise argparse.ArgumentTypeError("must be a whole number from 5 to 600")
    return float(text)


def capacity_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--calls",
        type=between(1, 1_000_000),
        nargs="+",
        metavar="N",
        help="how many calls at the same time; several numbers have a column each (default: 1000)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short run and an estimate, in a minute or two"
    )
    parser.add_argument(
        "--from",
        dest="file",
        type=Path,
        metavar="FILE",
        help="plan from what --json printed before; nothing is measured",
    )
    parser.add_argument(
        "--speaking",
        type=between(1, 100),
        default=40,
        metavar="PERCENT",
        help="of the people in calls: those who speak at the same time",
    )
    parser.add_argument(
        "--cores",
        type=between(1, 1024),
        metavar="N",
        help="of each machine to come; without it, as many as were measured",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def keys_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `parley keys`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a key, and show it once", allow_abbrev=False)
    create.add_argument("name", metavar="NAME", help="who gets it, to be known again in the list")
    create.add_argument(
        "--role", choices=ROLES, default="service", help="what it may do (docs/access.md)"
    )
    create.add_argument(
        "--days", type=between(1, 3650), metavar="N", help="it expires after so many days"
    )
    listed = actions.add_parser("list", help="show the keys that hold", allow_abbrev=False)
    listed.add_argument("--json", action="store_true", help="print a JSON array")
    revoke = actions.add_parser("revoke", help="take a key back", allow_abbrev=False)
    revoke.add_argument("id", metavar="ID", help="as `parley keys list` shows it")


def drill_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stage", metavar="STAGE", help="what to break")
    parser.add_argument(
        "--fault",
        choices=("hang", "error", "slow"),
        default="hang",
        help="nothing comes; every call fails; answers come so late that they count as slow",
    )
    parser.add_argument(
        "--for",
        dest="seconds",
        type=_drill_time,
        default="30s",
        metavar="TIME",
        help="for how long, such as 30s or 2m; 10m at most",
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the gateway is")
    _trust_option(parser)


def _trust_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust",
        type=Path,
        metavar="FILE",
        help="a certificate (PEM) to trust beside those of this system, such as a self-signed one",
    )


def _drill_time(text: str) -> int:
    from gateway.commands.drill import seconds

    try:
        return seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class _Turn(argparse.Action):
    """Appends to `turns`, so that files and lines keep their order on the command line."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        namespace.turns = [*namespace.turns, (self.dest, values)]


FLAGS = frozenset({"-h", "--help", "--json", "--quiet", "--demo-barge-in", "--webrtc"})


def in_order(words: Sequence[str]) -> list[str]:
    """The words of `parley call`, each FILE as the option `--file=FILE`.

    argparse collects all positional arguments and would lose their order among the options.
    """
    ordered: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            ordered += [f"--file={name}" for name in rest]
        elif not word.startswith("-") or word == "-":
            ordered.append(f"--file={word}")
        else:
            ordered.append(word)
            if word not in FLAGS and "=" not in word:
                ordered += [value for value in (next(rest, None),) if value is not None]
    return ordered


def call_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(turns=[])
    parser.add_argument(
        "--file", action=_Turn, type=Path, help=argparse.SUPPRESS, default=argparse.SUPPRESS
    )
    parser.add_argument(
        "--text",
        action=_Turn,
        metavar="LINE",
        help="a typed turn; can be given again",
        default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--demo-barge-in",
        action="store_true",
        help="play a short conversation with a false and a real interruption, and explain it",
    )
    parser.add_argument("--url", default="ws://127.0.0.1:8000", help="where the server is")
    parser.add_argument(
        "--webrtc",
        action="store_true",
        help="talk as a browser does: Opus over UDP (needs the extra webrtc)",
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="holds what the server wants: a key, a ticket, or WebRTC's token",
    )
    _trust_option(parser)
    parser.add_argument(
        "--session", metavar="ID", help="an existing session; without it, a new one is made"
    )
    parser.add_argument(
        "--role", help="what the interview is about; the server's default is Software Engineer"
    )
    parser.add_argument(
        "--questions", type=between(1, 15), metavar="N", help="how many questions are asked"
    )
    parser.add_argument("--language", type=language, metavar="CODE", help=LANGUAGE_HELP)
    parser.add_argument(
        "--rate",
        type=between(8_000, 48_000),
        default=16_000,
        metavar="HZ",
        help="sample rate on the wire, both ways",
    )
    parser.add_argument(
        "--encoding",
        choices=("pcm_s16le", "mulaw", "alaw"),
        default="pcm_s16le",
        help="encoding on the wire, both ways",
    )
    parser.add_argument(
        "--save",
        type=Path,
        metavar="FILE",
        help="keep what the interviewer says, as it was heard (.wav, .flac or .ogg), with --webrtc"
        " also as it was seen (.mp4); with --demo-barge-in both sides, and barge-in.wav without it",
    )
    parser.add_argument(
        "--timeout",
        type=between(1, 3600),
        default=60,
        metavar="S",
        help="seconds to wait for an answer",
    )
    parser.add_argument("--quiet", action="store_true", help="print the conversation alone")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each turn")


def interview_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="where the gateway is, such as http://127.0.0.1:8000")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="holds the key or the ticket that it wants"
    )
    parser.add_argument("--role", help="what the interview is about; otherwise Software Engineer")
    parser.add_argument(
        "--questions",
        type=between(1, 15),
        metavar="N",
        help="how many questions are asked, 1 to 15; otherwise 5",
    )
    parser.add_argument(
        "--model", metavar="NAME", help="language model to note for the session; otherwise auto"
    )
    parser.add_argument("--language", type=language, metavar="CODE", help=LANGUAGE_HELP)
    parser.add_argument(
        "--answers", type=Path, metavar="FILE", help="answer from a file, for scripts"
    )
    parser.add_argument(
        "--resume", metavar="SESSION", help="go on with an interview, or get its report again"
    )
    parser.add_argument(
        "--save",
        type=Path,
        metavar="FILE",
        help="where the report goes (.html, .md or .json); otherwise interview-….html, here",
    )
    parser.add_argument("--force", action="store_true", help="overwrite FILE without asking")
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")


LANGUAGE_HELP = "the interview's language: en, de, or auto to have it found; otherwise the server's"


def language(text: str) -> str:
    from stages.interview.errors import UnknownLanguage  # the banks take a while to import
    from stages.interview.languages import requested

    try:
        return requested(text)
    except UnknownLanguage as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def between(lowest: int, highest: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{value} is outside {lowest} to {highest}")
        return value

    return number
