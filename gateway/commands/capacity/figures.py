"""The figures of a machine from which calls are planned, and their form in a file. Pure."""

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

VERSION: Literal[1] = 1
"""The version of the form in a file."""

FULL = 0.8
"""The share of a core that sessions may use before the service level breaks, if that was not tried.
Assumed."""

MOST = 1e9
"""The largest value of a figure; a larger one cannot have been measured."""

LEAST = 1e-6
"""The smallest value of a figure that is a divisor."""

Measured = Annotated[float, Field(ge=LEAST, le=MOST, allow_inf_nan=False)]
MeasuredOrNone = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False)]
"""0 if less was used than can be measured."""

Count = Annotated[int, Field(ge=1, le=100_000)]


@dataclass(frozen=True, slots=True)
class RecogniserFigures:
    """The recogniser that the settings choose.

    `factor` is how long it takes for a second of speech while it has nothing else to do (its
    real-time factor), `cores` what it uses meanwhile. All three figures are None for a `server`,
    which is somebody else's machine, and if they could not be measured.
    """

    provider: str
    detail: str
    server: bool
    factor: Measured | None
    cores: Measured | None
    memory_mb: MeasuredOrNone | None


@dataclass(frozen=True, slots=True)
class RedisFigures:
    """The work that sessions give Redis, measured at a redis-server that serves nobody else.

    A turn takes `turn_commands`, including those within scripts, and `turn_cpu_ms` of the one
    thread that runs them. It adds `turn_kb` to the `session_kb` of a session that has begun. A
    session without turns takes next to nothing.
    """

    turn_commands: MeasuredOrNone
    turn_cpu_ms: MeasuredOrNone
    session_kb: MeasuredOrNone
    turn_kb: MeasuredOrNone


@dataclass(frozen=True, slots=True)
class CapacityFigures:
    """The figures of one machine. A figure that was not measured is None. `doubts` say why, and
    give reasons not to trust other figures.

    `sessions_by` is "search" if `sessions_per_core` held the service level and a twentieth more did
    not, and "cpu" if it was estimated from `session_cpu_ms`, the CPU of a session-second.
    """

    version: Literal[1]
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    parley: str
    processor: str
    cores: Count
    sessions_per_core: Count | None
    sessions_by: Literal["search", "cpu"]
    session_cpu_ms: Measured | None
    gateway_mb: Measured | None
    session_mb: MeasuredOrNone | None
    recogniser: RecogniserFigures | None
    redis: RedisFigures | None
    doubts: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


_FIGURES = TypeAdapter(CapacityFigures)


class UnusableFigures(ValueError):
    """The text has no figures that can be used; says what is wrong."""


def parsed(text: str) -> CapacityFigures:
    """The figures in what `parley capacity --json` printed. Raises `UnusableFigures`."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise UnusableFigures("is no JSON") from None
    if not isinstance(body, dict) or not isinstance(body.get("figures"), dict):
        raise UnusableFigures('has no "figures"')
    try:
        return _FIGURES.validate_json(json.dumps(body["figures"]), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, ("figures", *first["loc"])))
        raise UnusableFigures(f"{place}: {first['msg']}") from None
