"""Figures and plans in words and columns, the same at any width of the terminal. Pure."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from gateway.commands.capacity.figures import FULL, CapacityFigures, RecogniserFigures
from gateway.commands.capacity.planning import (
    REDIS_COPIES,
    SPARE,
    Assumptions,
    CallsPlan,
    Machines,
    RedisNeed,
)

LABEL = 34
COLUMN = 14
UNKNOWN = "–"

Cell: TypeAlias = Callable[[CallsPlan], str]


def report(figures: CapacityFigures, plans: Sequence[CallsPlan], assumed: Assumptions) -> list[str]:
    """All lines: what was measured, what calls need, what was assumed, what speaks against it."""
    return [
        *measured_lines(figures),
        "",
        *plan_lines(plans),
        *_once(f"  note: {gap}" for plan in plans for gap in plan.gaps),
        "",
        *assumption_lines(figures, assumed),
        *(["", *_doubts(figures)] if figures.doubts else []),
    ]


def measured_lines(figures: CapacityFigures) -> list[str]:
    """The lines about what one machine carries, as measured."""
    head = f"Measured on {figures.date} with Parley {figures.parley}"
    return [
        f"{head}, {_count(figures.cores, 'core')} ({figures.processor}):",
        *_rows(
            ("sessions on one core", _sessions(figures)),
            ("CPU", _or_unknown(figures.session_cpu_ms, "{:.2f} ms a session-second")),
            ("memory", _memory(figures)),
            ("recogniser", _recogniser(figures.recogniser)),
            ("Redis", _redis_use(figures)),
        ),
    ]


def plan_lines(plans: Sequence[CallsPlan]) -> list[str]:
    """The table of the plans: a column for each number of calls."""
    rows: list[tuple[str, Cell]] = [
        ("calls at the same time", lambda plan: _number(plan.calls)),
        ("people who speak at the same time", lambda plan: _number(plan.speaking)),
        ("gateways: machines", lambda plan: _machines(plan.gateways)),
        ("  processes, a core each", lambda plan: _processes(plan.gateways)),
        ("  calls to a process, at most", lambda plan: _carries(plan.gateways)),
        ("  memory of a machine", lambda plan: _mb(plan.gateways)),
        ("recognition: machines", lambda plan: _machines(plan.recognition)),
        ("  workers", lambda plan: _processes(plan.recognition)),
        ("  cores to a worker", lambda plan: _cores_each(plan.recognition)),
        ("  people to a worker, at most", lambda plan: _carries(plan.recognition)),
        ("  memory of a machine", lambda plan: _mb(plan.recognition)),
        ("Redis, one primary: commands/s", lambda plan: _redis(plan, lambda n: n.commands_per_s)),
        ("  busy, % of one core", lambda plan: _redis(plan, lambda n: n.core_percent)),
        ("  memory, MB, each of two", lambda plan: _redis(plan, lambda n: n.memory_mb)),
    ]
    return [
        f"{label:{LABEL}}" + "".join(f"{cell(plan):>{COLUMN}}" for plan in plans)
        for label, cell in rows
    ]


def assumption_lines(figures: CapacityFigures, assumed: Assumptions) -> list[str]:
    """The assumptions of the plans, one to a line."""
    load = assumed.load_percent
    lines = [
        f"{assumed.speaking_percent} % of the people in calls speak at the same time (--speaking).",
        f"Machines have {_count(assumed.machine_cores, 'core')} (--cores), as fast as those here.",
        f"Everything is planned for {load} % of what was measured; the rest is head room.",
        f"Gateways and recognition have {SPARE} machine more than they need: one may be restarted,"
        " or be lost, and the others carry all calls within the head room.",
    ]
    if figures.sessions_by == "cpu":
        lines.append(
            f"A core holds the service level until it is busy for {FULL * 100:.0f} %. That was not"
            " tried: without --quick the largest number that holds is searched for."
        )
    recogniser = figures.recogniser
    if recogniser is not None and recogniser.server:
        lines.append(
            f"Recognition is at a server ({recogniser.provider}), which must serve the people who"
            " speak at the same time; it was not measured, and no worker is planned."
        )
    else:
        lines.append(
            f"Each answer is recognised {assumed.decodes} times: at its end, and once before in a"
            " pause. Recognition has machines of its own (parley worker stt)."
        )
    return [
        "Assumed:",
        *(
            f"  - {line}"
            for line in (
                *lines,
                f"A turn lasts {assumed.turn_s} s, and an interview has {assumed.turns}."
                " Redis is one primary, whose CPU grows with the calls, and a replica of"
                f" its size; each needs {REDIS_COPIES} times the size of its data while it"
                " writes its file anew. Finished interviews, which stay until they are"
                " deleted, come on top.",
                "Not in it: chat models, voices, faces, WebRTC, TLS, proxies, what the kernel does"
                " for the network, and some 0.1 GB of memory for each recognition worker's own"
                " process beside its model.",
            )
        ),
    ]


def _doubts(figures: CapacityFigures) -> list[str]:
    return ["Not to be relied on:", *(f"  - {doubt}" for doubt in figures.doubts)]


# --- what was measured -------------------------------------------------------------------------


def _sessions(figures: CapacityFigures) -> str:
    if figures.sessions_per_core is None:
        return UNKNOWN
    how = "the most that held the service level"
    if figures.sessions_by == "cpu":
        how = "estimated from the CPU"
    return f"{_number(figures.sessions_per_core)}, {how}"


def _memory(figures: CapacityFigures) -> str:
    if figures.gateway_mb is None or figures.session_mb is None:
        return UNKNOWN
    return f"{figures.gateway_mb:.0f} MB for a process, {figures.session_mb:.2f} MB for a session"


def _recogniser(recogniser: RecogniserFigures | None) -> str:
    if recogniser is None:
        return UNKNOWN
    name = (
        f"{recogniser.provider} ({recogniser.detail})" if recogniser.detail else recogniser.provider
    )
    if recogniser.server:
        return f"{name}, at a server"
    if recogniser.factor is None or recogniser.cores is None:
        return f"{name}, {UNKNOWN}"
    memory = _or_unknown(recogniser.memory_mb, ", {:.0f} MB") if recogniser.memory_mb else ""
    return (
        f"{name}: {recogniser.factor:.3f} s for a second of speech, {recogniser.cores:.1f} cores"
        f"{memory}"
    )


def _redis_use(figures: CapacityFigures) -> str:
    redis = figures.redis
    if redis is None:
        return UNKNOWN
    return (
        f"{redis.turn_commands:.1f} commands and {redis.turn_cpu_ms:.2f} ms of CPU for a turn;"
        f" {redis.session_kb:.1f} KB for a session, {redis.turn_kb:.1f} KB for a turn"
    )


def _or_unknown(value: float | None, shape: str) -> str:
    return UNKNOWN if value is None else shape.format(value)


def _rows(*rows: tuple[str, str]) -> list[str]:
    return [f"  {label:{LABEL - 2}}{value}" for label, value in rows]


# --- cells of plans ----------------------------------------------------------------------------


def _machines(group: Machines | None) -> str:
    return UNKNOWN if group is None else f"{_number(group.machines - SPARE)} + {SPARE}"


def _processes(group: Machines | None) -> str:
    return UNKNOWN if group is None else _number(group.processes)


def _carries(group: Machines | None) -> str:
    return UNKNOWN if group is None else _number(group.carries)


def _cores_each(group: Machines | None) -> str:
    return UNKNOWN if group is None else _number(group.cores_each)


def _mb(group: Machines | None) -> str:
    return UNKNOWN if group is None or group.memory_mb is None else f"{_number(group.memory_mb)} MB"


def _redis(plan: CallsPlan, of: Callable[[RedisNeed], int]) -> str:
    return UNKNOWN if plan.redis is None else _number(of(plan.redis))


def _number(value: int) -> str:
    return f"{value:,}"


def _count(value: int, what: str) -> str:
    return f"{_number(value)} {what}{'' if value == 1 else 's'}"


def _once(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(lines))
