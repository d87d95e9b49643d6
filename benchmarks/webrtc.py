"""The cost of a WebRTC session, beside plain aiortc: CPU per session-second on one core.

Every kind of session is measured in each of several rounds, so that other load of the machine falls
on all of them. The server is a process of its own on one core, the client one on another.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from benchmarks.progress import Progress
from benchmarks.result import Machine, Metric, Result
from benchmarks.runs import RunFailed, cores, window
from benchmarks.server import Kind, Server
from benchmarks.timing import cpu_ms_per_session_second, percentile
from stages.avatar.encoding import Codec

ROUNDS = 3
SECONDS = 20.0
QUICK_ROUNDS = 1
QUICK_SECONDS = 6.0

AUDIO_PEERS = 24
VIDEO_PEERS = 10
"""The number of peers that plain aiortc serves on one core, with some reserve."""

PACKETS_PER_S = 50.0
MISSING = 0.01
"""The share of packets or pictures that may be missing, as windows begin and end between two."""


@dataclass(frozen=True, slots=True)
class Job:
    """One kind of session. `limit_ms` is the most that a second of it may cost."""

    name: str
    server: Kind
    arguments: tuple[str, ...] = ()
    peers: int = AUDIO_PEERS
    video: Codec | None = None
    limit_ms: float | None = None
    least: Mapping[str, float] = field(default_factory=dict)
    """How many packets or pictures each peer is to get a second."""
    beside: str = ""
    """The job that does the same, to compare with."""


ENVIRONMENT = {"PARLEY_WEBRTC_ADDRESSES": "127.0.0.1", "PARLEY_SILENCE_PROMPT_S": "0"}
DETECTOR, QUIET = ("--detector", "silero"), ("--quiet",)
STOCK, STOCK_FACE = "audio, stock aiortc", "speaking face, VP8, stock aiortc"
AUDIO = {"audio packets": PACKETS_PER_S}
SPEAKING = {**AUDIO, "video pictures": 25.0}
IDLE = {"video pictures": 12.5}

JOBS = (
    Job("audio", "endless", limit_ms=15.0, least=AUDIO, beside=STOCK),
    Job("audio + voice detection", "endless", DETECTOR, least=AUDIO, beside=STOCK),
    Job(STOCK, "stock", least=AUDIO),
    Job("idle face, H.264", "endless", QUIET, VIDEO_PEERS, "h264", 20.0, IDLE),
    Job("idle face, VP8", "endless", QUIET, VIDEO_PEERS, "vp8", 20.0, IDLE),
    Job("speaking face, H.264", "endless", (), VIDEO_PEERS, "h264", 32.0, SPEAKING, STOCK_FACE),
    Job("speaking face, VP8", "endless", (), VIDEO_PEERS, "vp8", 32.0, SPEAKING, STOCK_FACE),
    Job(STOCK_FACE, "stock", ("--video",), VIDEO_PEERS, "vp8", None, SPEAKING),
)

UNIT = "ms/ss"
NOTES = (
    "ms/ss: CPU of the server process (utime + stime, all threads) for a second of one session, the"
    " middle of the rounds. The face is 320×320; speaking it has 25 pictures a second, else 12.5.",
    "In Parley's: UDP, ICE, DTLS, SRTP, RTCP, the data channel with mouth shapes, Opus both ways,"
    " resampling (22.05 to 24 kHz, 48 to 16), pacing, turn-taking, drawing and encoding the face."
    " Speech goes both ways all the time, but the idle face's server is silent. Voice detection"
    " (Silero) is in it where it is named. Recognition, words and voice cost nothing here.",
    "In stock aiortc's: `track.recv()` in a loop, nothing done with what it hears, tracks that give"
    " finished frames of 20 ms and finished pictures; no session, no resampling, no drawing.",
)


@dataclass(slots=True)
class Seen:
    """The results of a job, an entry for each round."""

    cost_ms: list[float] = field(default_factory=list)
    client_share: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    rates: list[dict[str, float]] = field(default_factory=list)
    degraded: int = 0
    distrust: list[str] = field(default_factory=list)

    def add(self, peers: int, cpu_s: float, machine_s: float, report: dict[str, Any]) -> None:
        """One window: the CPU of the server and of the machine, and what the client reports."""
        wall_s = report["wall_s"]
        client_s = report["client_cpu_share"] * wall_s
        self.cost_ms.append(cpu_ms_per_session_second(cpu_s, peers, wall_s))
        self.client_share.append(report["client_cpu_share"])
        self.others.append(max(0.0, machine_s - cpu_s - client_s) / wall_s)
        self.rates.append(report["rates"])
        self.degraded += report["degraded"]
        self.distrust += report["distrust"]

    @property
    def usual_ms(self) -> float:
        """The cost of the middle round."""
        return percentile(self.cost_ms, 0.5)


def run_client(server: Server, job: Job, seconds: float) -> tuple[float, float, dict[str, Any]]:
    """Let a client process use the server for a while.

    Returns the CPU seconds of the server and of the machine in that window, and the client's
    report. Raises `RunFailed`.
    """
    arguments = ["--url", server.url, "--core", str(cores()[1])]
    arguments += ["--peers", str(job.peers), "--seconds", str(seconds)]
    if job.video is not None:
        arguments += ["--video", job.video]
    try:
        seen = window(server, "benchmarks.webrtc_client", *arguments)
    except RunFailed as error:
        raise RunFailed(f"{job.name}: {error}") from None
    return seen.used.server_s, seen.used.machine_s, seen.report


def webrtc(progress: Progress, *, quick: bool = False, jobs: Sequence[Job] = JOBS) -> Result:
    """All jobs, in turn, round after round. Raises `RunFailed`."""
    rounds, seconds = (QUICK_ROUNDS, QUICK_SECONDS) if quick else (ROUNDS, SECONDS)
    seen = {job.name: Seen() for job in jobs}
    with progress.runs(len(jobs) * rounds):
        for number, job in product(range(1, rounds + 1), jobs):
            with (
                progress.run(f"{job.name}, {job.peers} peers, round {number} of {rounds}"),
                Server(
                    job.server,
                    *job.arguments,
                    core=cores()[0],
                    sessions=job.peers,
                    environment=ENVIRONMENT,
                ) as server,
            ):
                window = run_client(server, job, seconds)
            seen[job.name].add(job.peers, *window)
    distrust = [f"{name}: {why}" for name, one in seen.items() for why in one.distrust]
    short = [
        f"{job.name}: {share:.0%} of its packets or pictures did not come in the worst round"
        for job in jobs
        if (share := missing(job, seen[job.name])) > MISSING
    ]
    return Result(
        "webrtc",
        {"rounds": rounds, "seconds each": seconds},
        tuple(
            [metric for job in jobs for metric in metrics(job, seen)]
            + delivered(jobs, seen)
            + shared(seen.values())
        ),
        Machine.here(),
        distrust=tuple(distrust),
        notes=(*short, *NOTES),
    )


def metrics(job: Job, seen: Mapping[str, Seen]) -> list[Metric]:
    """A job's cost, and its ratio to the stock job's."""
    mine = seen[job.name]
    name = f"{job.name} ({job.peers} sessions)"
    found = [
        Metric(name, mine.usual_ms, UNIT, "p50", job.limit_ms, len(mine.cost_ms)),
        Metric(name, max(mine.cost_ms), UNIT, "max"),
    ]
    if job.beside in seen:
        share = mine.usual_ms / seen[job.beside].usual_ms
        found.append(Metric(f"  {job.name} / {job.beside}", share, ""))
    return found


def missing(job: Job, seen: Seen) -> float:
    """The share of packets or pictures that did not come, in the worst round."""
    return max(
        max(0.0, 1 - rates.get(what, 0.0) / least)
        for rates in seen.rates
        for what, least in job.least.items()
    )


def delivered(jobs: Sequence[Job], seen: Mapping[str, Seen]) -> list[Metric]:
    """Whether all requested packets and pictures came."""
    parley = [job for job in jobs if job.server == "endless"]
    stock = [job for job in jobs if job.server == "stock"]
    found = []
    for name, those, limit in (("Parley", parley, MISSING), ("stock aiortc", stock, None)):
        if those:
            worst = max(missing(job, seen[job.name]) for job in those)
            what = f"packets or pictures missing, {name}"
            found.append(Metric(what, worst, "share", limit=limit))
    degraded = sum(seen[job.name].degraded for job in parley)
    found.append(Metric("messages that a picture was degraded", degraded, "", limit=0.0))
    return found


def shared(seen: Iterable[Seen]) -> list[Metric]:
    """The figures that show whether the others can be believed."""
    every = list(seen)
    client = max(share for one in every for share in one.client_share)
    others = [share for one in every for share in one.others]
    name, unit = "CPU of other processes", "cores"
    return [
        Metric("client CPU, share of a core", client, "", "max"),
        Metric(name, percentile(others, 0.5), unit, "p50"),
        Metric(name, max(others), unit, "max"),
    ]
