"""The list of benchmarks, in their order, with the time that each takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import runs
from benchmarks.dialects import dialects
from benchmarks.endpointing import endpointing
from benchmarks.offline import offline
from benchmarks.overload import overload
from benchmarks.progress import Progress, estimate
from benchmarks.proxy import proxy
from benchmarks.rest import rest
from benchmarks.result import Result
from benchmarks.silence import silence
from benchmarks.simultaneous import simultaneous
from benchmarks.speech import RECORDINGS
from benchmarks.synthesis import synthesis
from benchmarks.webrtc import webrtc
from benchmarks.wer import wer

LOAD_SESSIONS = 100


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line that benchmarks use.

    `sessions` is how many callers the load run has, and how many the overload run takes for what a
    core carries; None for their defaults. `recordings` is a folder with recordings of people,
    `base` one with Whisper base.
    """

    sessions: int | None = None
    quick: bool = False
    recordings: Path = RECORDINGS
    base: Path | None = None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark. `lasts_s` was measured on two cores; `quick_s` is for its quick form, if
    any."""

    name: str
    does: str
    lasts_s: float
    measure: Callable[[Progress, Options], Result]
    quick_s: float | None = None

    def expected_s(self, options: Options) -> float:
        """About how long it will take."""
        return self.quick_s if options.quick and self.quick_s is not None else self.lasts_s


BENCHMARKS = (
    Benchmark(
        "latency",
        "one caller, stages that cost nothing",
        150,
        lambda progress, _: runs.latency(progress),
    ),
    Benchmark(
        "offline",
        "one caller, what answers without a network",
        300,
        lambda progress, options: offline(progress, quick=options.quick),
        quick_s=110,
    ),
    Benchmark(
        "simultaneous",
        "four and eight people who speak at the same time",
        270,
        lambda progress, options: simultaneous(progress, quick=options.quick),
        quick_s=150,
    ),
    Benchmark(
        "load",
        "many callers at once, the server on one core",
        60,
        lambda progress, options: runs.load(options.sessions or LOAD_SESSIONS, progress),
    ),
    Benchmark(
        "overload",
        "three times as many callers as a core carries",
        360,
        lambda progress, options: overload(options.sessions, progress, quick=options.quick),
        quick_s=120,
    ),
    Benchmark(
        "wer",
        "word error rates of the default recogniser and pocketsphinx",
        150,
        lambda progress, options: wer(progress, options.recordings),
    ),
    Benchmark(
        "silence",
        "ten minutes in which nobody speaks",
        270,
        lambda progress, options: silence(progress, quick=options.quick),
        quick_s=90,
    ),
    Benchmark(
        "synthesis",
        "the voices: first byte, loudness, mouth shapes, words understood",
        180,
        lambda progress, options: synthesis(progress, options.base, quick=options.quick),
        quick_s=30,
    ),
    Benchmark(
        "endpointing",
        "adaptive against fixed ends of turns, no server",
        180,
        lambda progress, _: endpointing(progress),
    ),
    Benchmark(
        "dialects",
        "fifty callers in each dialect, the server on one core",
        640,
        lambda progress, options: dialects(progress, quick=options.quick),
        quick_s=120,
    ),
    Benchmark(
        "rest",
        "32 connections, the server on one core",
        40,
        lambda progress, _: rest(progress),
    ),
    Benchmark(
        "proxy",
        "requests to a service, beside a bare Starlette and httpx proxy",
        150,
        lambda progress, options: proxy(progress, quick=options.quick),
        quick_s=40,
    ),
    Benchmark(
        "webrtc",
        "WebRTC peers beside aiortc as it comes",
        720,
        lambda progress, options: webrtc(progress, quick=options.quick),
        quick_s=130,
    ),
)


def named(name: str) -> Sequence[Benchmark]:
    """The benchmark of this name, or every one for `all`."""
    return [one for one in BENCHMARKS if name in (one.name, "all")]


def announcement(benchmarks: Sequence[Benchmark], options: Options) -> list[str]:
    """The benchmarks about to run and their time, as lines."""
    total = estimate(sum(one.expected_s(options) for one in benchmarks))
    width = max(len(one.name) for one in benchmarks)
    count = "1 benchmark" if len(benchmarks) == 1 else f"{len(benchmarks)} benchmarks"
    lines = [
        f"  {one.name:{width}}  {estimate(one.expected_s(options)):12}  {one.does}"
        for one in benchmarks
    ]
    return [f"{count}, {total} in all:", *lines]
