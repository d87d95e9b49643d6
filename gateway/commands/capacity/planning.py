"""Plans machines and Redis for a number of calls, from the figures of one machine. Pure.

Counts are rounded up, and each group of machines has one more than the calls need: if one is lost
or restarted, the others carry all calls within their head room.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

from gateway.commands.capacity.figures import CapacityFigures, RecogniserFigures, RedisFigures

LOAD_PERCENT = 70
"""The share of the measured load that is planned for. The rest is for minutes in which more people
speak, and for other work on the machine. Assumed."""

SPEAKING_PERCENT = 40
"""The share of the people in calls who speak at the same time. Assumed: the interviewer speaks as
well, and people think."""

DECODES = 2
"""How often an answer is recognised: at its end, and once before, in a pause that was not its end,
if answers are prepared in silences. Assumed."""

TURNS = 15
"""The turns of the longest interview."""

TURN_S = 8
"""How long a turn lasts, from one answer's end to the next. Assumed, and short."""

REDIS_COPIES = 2
"""Redis needs up to its size again while it writes its file anew."""

SPARE = 1
"""How many machines of a group may be away."""

_ROUNDING = 1e-9
"""Makes 0.7 / 0.1 seven, whatever the processor's result."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Figures that nobody can measure. Each planned machine has `machine_cores` cores."""

    machine_cores: int
    speaking_percent: int = SPEAKING_PERCENT
    load_percent: int = LOAD_PERCENT
    decodes: int = DECODES
    turns: int = TURNS
    turn_s: int = TURN_S

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Machines:
    """Equal machines with equally many processes, the spare one included.

    A process `carries` this many calls, or streams, within the head room, and has `cores_each`
    cores. `memory_mb` is that of one machine while another one is away; None if it was not
    measured.
    """

    carries: int
    cores_each: int
    machines: int
    per_machine: int
    memory_mb: int | None

    @property
    def processes(self) -> int:
        return self.machines * self.per_machine

    @property
    def cores(self) -> int:
        return self.processes * self.cores_each


@dataclass(frozen=True, slots=True)
class RedisNeed:
    """One primary and a replica of the same size. `core_percent` is of one core."""

    commands_per_s: int
    core_percent: int
    memory_mb: int


@dataclass(frozen=True, slots=True)
class CallsPlan:
    """The machines and the Redis for a number of calls at the same time.

    A part is None if it could not be planned; `recognition` also if a server recognises. Each of
    the `gaps` says why a part is missing, or which part is too much for one Redis.
    """

    calls: int
    speaking: int
    gateways: Machines | None
    recognition: Machines | None
    redis: RedisNeed | None
    gaps: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        body = asdict(self)
        for name in ("gateways", "recognition"):
            group: Machines | None = getattr(self, name)
            if group is not None:
                body[name] |= {"processes": group.processes, "cores": group.cores}
        return body


class _Gap(Exception):
    """A part cannot be planned; the text says why."""


def plan(figures: CapacityFigures, calls: int, assumed: Assumptions) -> CallsPlan:
    """Plan for `calls` calls at the same time. Raises `ValueError` for less than one."""
    if calls < 1:
        raise ValueError(f"{calls} calls need nothing: plan for one or more")
    speaking = _whole(calls * assumed.speaking_percent, 100)
    gaps: list[str] = []
    gateways = recognition = redis = None
    try:
        gateways = _gateways(figures, calls, assumed)
    except _Gap as gap:
        gaps.append(f"gateways: {gap}")
    try:
        recognition = _recognition(figures.recogniser, speaking, assumed)
    except _Gap as gap:
        gaps.append(f"recognition: {gap}")
    if figures.redis is None:
        gaps.append("Redis: what sessions ask of it was not measured")
    else:
        redis = _redis(figures.redis, calls, assumed)
        if redis.core_percent > assumed.load_percent:
            gaps.append(
                f"Redis: it runs commands on one core, and {calls:,} calls would keep that busy"
                f" for {redis.core_percent} %. Serve them by several clusters, each with a Redis"
            )
    return CallsPlan(calls, speaking, gateways, recognition, redis, tuple(gaps))


def _gateways(figures: CapacityFigures, calls: int, assumed: Assumptions) -> Machines:
    if figures.sessions_per_core is None:
        raise _Gap("sessions per core were not measured")
    carries = figures.sessions_per_core * assumed.load_percent // 100
    if carries < 1:
        raise _Gap(f"a core that holds {figures.sessions_per_core} leaves no head room")
    made = _machines(calls, carries, 1, assumed.machine_cores)
    if figures.gateway_mb is None or figures.session_mb is None:
        return made
    working = (made.machines - SPARE) * made.per_machine
    each_mb = figures.gateway_mb + figures.session_mb * _whole(calls, working)
    return _with_memory(made, each_mb)


def _recognition(
    recogniser: RecogniserFigures | None, speaking: int, assumed: Assumptions
) -> Machines | None:
    if recogniser is None:
        raise _Gap("the recogniser was not measured")
    if recogniser.server:
        return None
    if recogniser.factor is None or recogniser.cores is None:
        raise _Gap(f"{recogniser.provider} was not measured")
    share = recogniser.factor * assumed.decodes * 100
    carries = math.floor(assumed.load_percent / share + _ROUNDING)
    if carries < 1:
        raise _Gap(
            f"{recogniser.provider} takes {recogniser.factor:.2f} s for a second of speech: too"
            " slow for one person within the head room. Use smaller weights, or a GPU"
        )
    cores_each = math.ceil(recogniser.cores - _ROUNDING)
    if cores_each > assumed.machine_cores:
        raise _Gap(
            f"{recogniser.provider} used {cores_each} cores, and machines are to have"
            f" {assumed.machine_cores}"
        )
    made = _machines(speaking, carries, cores_each, assumed.machine_cores)
    return made if recogniser.memory_mb is None else _with_memory(made, recogniser.memory_mb)


def _redis(redis: RedisFigures, calls: int, assumed: Assumptions) -> RedisNeed:
    session_kb = redis.session_kb + redis.turn_kb * assumed.turns
    return RedisNeed(
        commands_per_s=math.ceil(calls * redis.turn_commands / assumed.turn_s),
        core_percent=math.ceil(calls * redis.turn_cpu_ms / (10 * assumed.turn_s)),
        memory_mb=math.ceil(calls * session_kb * REDIS_COPIES / 1024),
    )


def _machines(wanted: int, carries: int, cores_each: int, machine_cores: int) -> Machines:
    processes = _whole(wanted, carries)
    working = _whole(processes, machine_cores // cores_each)
    return Machines(carries, cores_each, working + SPARE, _whole(processes, working), None)


def _with_memory(made: Machines, process_mb: float) -> Machines:
    memory_mb = math.ceil(made.per_machine * process_mb)
    return Machines(made.carries, made.cores_each, made.machines, made.per_machine, memory_mb)


def _whole(amount: int, unit: int) -> int:
    """How many units hold the amount, rounded up; exact for any size."""
    return -(-amount // unit)
