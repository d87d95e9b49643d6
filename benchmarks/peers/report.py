"""A comparison as JSON: the claims, the medians, every run, the machine and all versions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from benchmarks.peers.campaign import Outcome
from benchmarks.peers.claims import Claim, Measured, claims, median
from benchmarks.result import Machine
from gateway.commands.bench.figures import Percentiles
from gateway.commands.bench.run import Job, Run

SCHEMA = 1

DELAYS = ("lateness", "decision_to_first", "chunk_to_decision", "barge_in", "connect")
SHARES = ("p50", "p95", "p99")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the figures were taken on: the machine, and each peer's packages with their versions."""

    version: str
    machine: Machine
    peers: Mapping[str, Mapping[str, str]]
    detector: Mapping[str, str]
    """The SHA-256 of the voice detector's network in each environment."""
    quick: bool
    at: str = ""

    def stamped(self) -> "Facts":
        """The same with the present time."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Facts(self.version, self.machine, self.peers, self.detector, self.quick, now)


@dataclass(frozen=True, slots=True)
class Row:
    """The medians of one job over its valid rounds."""

    job: Job
    rounds: int
    """Valid ones."""
    invalid: int
    figures: Mapping[str, float]
    """Medians over the valid rounds; in a lenient run, over all."""


def measured(outcome: Outcome, others: Mapping[str, float]) -> Measured:
    """What the claims are made of."""
    capacities: dict[str, list[int]] = {}
    for found in outcome.searches:
        if found.valid or outcome.sizes.lenient:
            capacities.setdefault(found.target, []).append(found.sessions)
    return Measured(outcome.sizes, outcome.runs, capacities, outcome.lasting, others)


def figures(run: Run) -> dict[str, float]:
    """The figures of a run by name, such as `decision_to_first.p99`.

    Costs are left out where sessions were missing, which cost nothing.
    """
    costs = {"cpu_ms": run.cpu_ms, "memory_mb": run.memory_mb} if run.complete else {}
    found = {
        **costs,
        "start_s": run.start_s,
        "connect_cpu_ms": run.connect_cpu_ms,
        "missed": float(run.missed),
        "early": float(run.early),
    }
    for name in DELAYS:
        summary: Percentiles | None = getattr(run, name)
        if summary is not None:
            found |= {f"{name}.{share}": getattr(summary, share) for share in SHARES}
    return found


def rows(runs: Sequence[Run], *, lenient: bool = False) -> list[Row]:
    """One row for each job, in the order of its first run."""
    by_job: dict[Job, list[Run]] = {}
    for run in runs:
        by_job.setdefault(run.job, []).append(run)
    made = []
    for job, all_runs in by_job.items():
        valid = sum(run.valid for run in all_runs)
        counted = [figures(run) for run in all_runs if run.valid or lenient]
        names = list(dict.fromkeys(name for one in counted for name in one))
        middle = {name: median([one[name] for one in counted if name in one]) for name in names}
        made.append(Row(job, valid, len(all_runs) - valid, middle))
    return made


@dataclass(frozen=True, slots=True)
class Report:
    """A comparison that is over."""

    facts: Facts
    outcome: Outcome
    others: Mapping[str, float]

    @property
    def claims(self) -> list[Claim]:
        return claims(measured(self.outcome, self.others))

    @property
    def rows(self) -> list[Row]:
        return rows(self.outcome.runs, lenient=self.outcome.sizes.lenient)

    def summary(self) -> dict[str, Any]:
        """What is kept for a release: no single runs."""
        return {
            "schema": SCHEMA,
            "facts": asdict(self.facts),
            "sizes": asdict(self.outcome.sizes),
            "claims": [
                {**asdict(claim), "bound": claim.bound, "verdict": claim.verdict}
                for claim in self.claims
            ],
            "medians": [asdict(row) for row in self.rows],
            "capacities": measured(self.outcome, self.others).capacities,
            "others": dict(self.others),
            "failures": self.outcome.failures,
        }

    def whole(self) -> dict[str, Any]:
        """With every run, the invalid ones and those of the searches included."""
        lasting = self.outcome.lasting
        return {
            **self.summary(),
            "runs": [run.as_dict() for run in self.outcome.runs],
            "searches": [
                {
                    "target": found.target,
                    "round": found.round,
                    "sessions": found.sessions,
                    "valid": found.valid,
                    "runs": [run.as_dict() for run in found.runs],
                }
                for found in self.outcome.searches
            ],
            "lasting": None if lasting is None else lasting.as_dict(),
        }


def as_json(body: Mapping[str, Any]) -> str:
    """As text; what is not a finite number becomes null."""
    return json.dumps(_finite(body), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if abs(value) != float("inf") and value == value else None
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return value
