"""The parts of the comparison that other benchmarks make: WebRTC, REST, workers, a kill."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from benchmarks import rest as rest_client
from benchmarks.load import CPU_LIMIT
from benchmarks.peers.claims import median
from benchmarks.peers.environments import FOLDER
from benchmarks.peers.targets import PARLEY
from benchmarks.progress import Progress
from benchmarks.result import ROOT
from benchmarks.speech import FIXTURES
from benchmarks.webrtc import JOBS, webrtc
from gateway.commands.bench.run import Job, LoadProcess, Run, cores, measure
from gateway.commands.bench.server import Program, TestedServer
from gateway.commands.bench.validity import Conditions, objections

BEFORE = "b167326"
"""The commit before the work on speed; "before" in the claims is this one, on this machine."""

WEBRTC_JOBS = {"audio": "webrtc.sound", "speaking face, VP8": "webrtc.face"}
KILL_AFTER_S = 5.0
KILL_CONNECTIONS = 16
QUESTIONS = 5
INTERVIEW = {"role": "Software Engineer", "totalQuestions": QUESTIONS}
WORKERS_OPTION = "--workers"
PROVIDER = Path(__file__).resolve().parent / "provider"
"""A provider package, in the form in which pip would have installed it."""


def webrtc_ratios(progress: Progress, *, quick: bool) -> dict[str, float]:
    """The cost of a session over WebRTC, divided by stock aiortc's. Raises `RunFailed`."""
    wanted = {*WEBRTC_JOBS, *(job.beside for job in JOBS if job.name in WEBRTC_JOBS)}
    jobs = [job for job in JOBS if job.name in wanted]
    result = webrtc(progress, quick=quick, jobs=jobs)
    others = next(
        metric.value
        for metric in result.metrics
        if metric.name == "CPU of other processes" and metric.percentile == "p50"
    )
    doubts = [*result.distrust, *undisturbed(Conditions(0.0, 0.0, others, 0.0))]
    for line in doubts:
        progress.note(f"WebRTC counts for nothing: {line}")
    if doubts:
        return {}
    ratios = {metric.name.strip(): metric.value for metric in result.metrics}
    return {
        key: ratios[f"{job.name} / {job.beside}"]
        for job in jobs
        if (key := WEBRTC_JOBS.get(job.name)) is not None
    }


# --- REST ------------------------------------------------------------------------------------


def before() -> Path:
    """The tree of the commit before, checked out. Raises `CalledProcessError` without history."""
    folder = FOLDER / f"parley-{BEFORE}"
    if not folder.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        _git("worktree", "prune")
        _git("worktree", "add", "--detach", "--force", str(folder), BEFORE)
    return folder


def _git(*words: str) -> None:
    subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True)


def scripted(tree: Path) -> Program:
    """The gateway of a tree, with stages that cost nothing."""
    command = (sys.executable, "-m", "benchmarks.scripted")
    return replace(PARLEY.program, command=command, folder=tree)


@dataclass(frozen=True, slots=True)
class Rest:
    """Requests a second and their p99, for each kind of request, in a valid run."""

    rates: Mapping[str, float]
    p99_ms: Mapping[str, float]


RUNS = {"rest.respond": "respond", "rest.submit": "submit-answer"}


def rest_ratios(progress: Progress, *, rounds: int, attempts: int) -> dict[str, float]:
    """How many requests a second there are now and were before, round by round, and the p99 now.

    A figure that more than half of the rounds do not give is left out. Raises `RunFailed`,
    `ServerFailed`, `CalledProcessError`.
    """
    trees = {"now": ROOT, "before": before()}
    seen: dict[str, list[Rest]] = {name: [] for name in trees}
    with progress.runs(rounds * len(trees)):
        for number in range(1, rounds + 1):
            for name, tree in trees.items():
                with progress.run(f"REST, {name}, round {number} of {rounds}"):
                    run = _rest(scripted(tree), progress, attempts)
                if run is not None:
                    seen[name].append(run)
    if min(map(len, seen.values())) <= rounds // 2:
        progress.note("REST counts for nothing: too few valid rounds")
        return {}
    found = {}
    for key, kind in RUNS.items():
        now, then = (median([run.rates[kind] for run in seen[name]]) for name in trees)
        found[key] = now / then
        found[f"{key}_p99"] = median([run.p99_ms[kind] for run in seen["now"]])
    return found


def _rest(program: Program, progress: Progress, attempts: int) -> Rest | None:
    """Both kinds of requests, again while something disturbs them; None if it stays so."""
    for _ in range(attempts):
        rates: dict[str, float] = {}
        slowest: dict[str, float] = {}
        doubts: list[str] = []
        with TestedServer(program, {cores()[0]}) as server:
            url = server.url.replace("ws:", "http:")
            for kind in RUNS.values():
                used, clients_s, began = server.used(), _children_s(), time.monotonic()
                told = rest_client.measured(url, kind)
                wall_s = time.monotonic() - began
                spent = server.used().since(used)
                others_s = spent.machine_s - spent.server_s - (_children_s() - clients_s)
                conditions = Conditions(0.0, 0.0, others_s / wall_s, spent.stolen_s / wall_s)
                doubts += undisturbed(conditions)
                if told["client_cpu_share"] > CPU_LIMIT:
                    doubts.append(f"the client used {told['client_cpu_share']:.0%} of its core")
                if told["faults"] or not told["latency"]:
                    doubts.append(f"{kind}: {told['faults']}")
                    continue
                rates[kind], slowest[kind] = told["rate"], told["latency"]["p99"]
        if not doubts:
            return Rest(rates, slowest)
        progress.note(f"invalid: {'; '.join(dict.fromkeys(doubts))}")
    return None


def undisturbed(conditions: Conditions) -> tuple[str, ...]:
    """What other processes or the host did to a run; the generator's own state is left out."""
    return objections(replace(conditions, lag_p99_ms=0.0, generator_cores=0.0))


def _children_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


# --- a kill ----------------------------------------------------------------------------------


def lost_by_kill() -> dict[str, float]:
    """How many accepted answers are gone after the gateway was killed under load.

    Raises `RuntimeError` where nothing was accepted, which would prove nothing.
    """
    folder = Path(tempfile.mkdtemp(prefix="parley-bench-kill-"))
    environment = {**PARLEY.program.environment, "PARLEY_DATA_DIR": str(folder)}
    program = replace(PARLEY.program, environment=environment)
    try:
        with TestedServer(program, {cores()[0]}) as server:
            accepted = asyncio.run(_answers(server))
        with TestedServer(program, {cores()[0]}) as server:
            stored = asyncio.run(_stored(server, list(accepted)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not accepted:
        raise RuntimeError("no answer was accepted before the kill")
    lost = sum(max(0, count - stored.get(session, 0)) for session, count in accepted.items())
    return {"rest.lost": float(lost), "rest.accepted": float(sum(accepted.values()))}


def _client(server: TestedServer) -> httpx.AsyncClient:
    url = server.url.replace("ws:", "http:")
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=10.0)


async def _answers(server: TestedServer) -> dict[str, int]:
    """Submit answers until the server is killed; how many of each session were accepted."""
    accepted: dict[str, int] = {}

    async def interviews() -> None:
        async with _client(server) as client:
            while True:
                made = await client.post("/api/sessions", json=INTERVIEW)
                session = made.json()["session_id"]
                base = f"/api/sessions/{session}"
                await client.post(f"{base}/start", json={})
                for _ in range(QUESTIONS):
                    body = {"text": rest_client.ANSWER}
                    answer = await client.post(f"{base}/submit-answer", json=body)
                    if answer.is_success:
                        accepted[session] = accepted.get(session, 0) + 1

    async def until_killed() -> None:
        with suppress(httpx.TransportError, KeyError):
            await interviews()

    try:
        async with asyncio.TaskGroup() as clients:
            for _ in range(KILL_CONNECTIONS):
                clients.create_task(until_killed())
            await asyncio.sleep(KILL_AFTER_S)
            os.kill(server.pid, signal.SIGKILL)
    except* Exception as group:
        raise RuntimeError("a client did not notice that the server was killed") from group
    return accepted


async def _stored(server: TestedServer, sessions: Sequence[str]) -> dict[str, int]:
    found = {}
    async with _client(server) as client:
        for session in sessions:
            told = await client.get(f"/api/sessions/{session}/transcript")
            lines = told.json()["lines"] if told.is_success else []
            found[session] = sum(line["speaker"] != "interviewer" for line in lines)
    return found


# --- workers ---------------------------------------------------------------------------------


def has_workers() -> bool:
    """Whether this `parley serve` can have several processes."""
    command = [sys.executable, "-m", "gateway.commands.cli", "serve", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return WORKERS_OPTION in told.stdout


def workers(progress: Progress, sessions: int, seconds: float, rounds: int) -> dict[str, float]:
    """Two workers with twice the sessions beside one: the ratio of their cost, and the split.

    The two have both cores and the load generator with them, so that only CPU is read from these
    runs. Nothing where there is no such option, or where more than half of the rounds are invalid.
    """
    if not has_workers():
        progress.note(f"this `parley serve` has no {WORKERS_OPTION}: not measured")
        return {}
    costs: dict[int, list[float]] = {1: [], 2: []}
    splits: list[float] = []
    with progress.runs(2 * rounds):
        for number in range(1, rounds + 1):
            for count in (1, 2):
                with progress.run(f"{count} workers, round {number} of {rounds}"):
                    run = _with_workers(count, sessions * count, seconds)
                if doubts := [*undisturbed(run.conditions), *_incomplete(run)]:
                    progress.note(f"invalid: {'; '.join(doubts)}")
                    continue
                costs[count].append(run.cpu_ms)
                if count == 2 and run.shares:
                    splits.append(max(run.shares))
    if min(map(len, costs.values())) <= rounds // 2:
        progress.note("workers count for nothing: too few valid rounds")
        return {}
    found = {"workers.cost": median(costs[2]) / median(costs[1])}
    if splits:
        found["workers.split"] = median(splits)
    return found


def _incomplete(run: Run) -> list[str]:
    """Why the CPU of a run is not that of all its sessions."""
    return [] if run.complete else [f"{run.unopened + run.lost} sessions were missing"]


def served(count: int) -> Program:
    """`parley serve` with so many processes, and providers that cost nothing."""
    environment = {
        **PARLEY.program.environment,
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(PROVIDER))),
        "PARLEY_STT": "bench",
        "TTS_ENGINE": "bench",
        "PARLEY_LLM": "scripted",
    }
    command = [sys.executable, "-m", "gateway.commands.cli", "serve"]
    if count > 1:
        command += [WORKERS_OPTION, str(count)]
    return replace(PARLEY.program, command=command, environment=environment)


def _with_workers(count: int, sessions: int, seconds: float) -> Run:
    first, last = cores()
    with TestedServer(served(count), {first} if count == 1 else {first, last}) as server:
        job = Job("parley", "conversation", sessions, seconds)
        return measure(server, job, LoadProcess(last, FIXTURES))
