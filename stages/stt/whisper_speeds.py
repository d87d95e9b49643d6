"""How long this machine takes to decode an answer, and which weights it can use for that.

Measured once for every model, in the worker process, and kept in a file with the facts about the
machine that it depends on: on another machine, or with other versions, it is measured again.
"""

import json
import logging
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from stages.stt.whisper_sources import Weights

log = logging.getLogger("stages.stt.whisper")

ANSWER_S = 10.0
"""The length of the answer that is measured: most answers are 8 to 12 s long."""

ANSWER_TOKENS = 40
"""The tokens of 10 s of speech: 150 words a minute, 1.5 tokens a word, rounded up."""

IN_TIME_S = 0.6
"""A decode begins after 200 ms of silence and is wanted after 800 ms, when the turn ends
(`PARLEY_SILENCE_MS` and the speculation's delay by default): what takes longer is waited for."""

_FACTS = ("ctranslate2", "faster-whisper", "numpy")


def machine() -> dict[str, str | int]:
    """The facts that a measurement depends on."""
    facts: dict[str, str | int] = {"processor": _processor(), "cores": cores()}
    for name in _FACTS:
        try:
            facts[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            facts[name] = "not installed"
    return facts


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() == "model name":
                    return value.strip()
    except OSError:
        pass  # no Linux
    return platform.processor() or platform.machine()


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read(file: Path, facts: Mapping[str, str | int]) -> dict[str, float]:
    """The seconds for an answer by `Weights.identity`, as measured on this machine.

    Empty if nothing was measured, or on another machine, or if the file is not readable.
    """
    try:
        kept: Any = json.loads(file.read_bytes())
        if kept["machine"] != dict(facts):
            return {}
        return {str(name): float(took_s) for name, took_s in kept["answer_s"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def keep(file: Path, facts: Mapping[str, str | int], answers_s: Mapping[str, float]) -> None:
    """Write the measurements. A file that cannot be written is logged: they are made again."""
    rounded = {name: round(took_s, 3) for name, took_s in sorted(answers_s.items())}
    text = json.dumps({"machine": dict(facts), "answer_s": rounded}, indent=2)
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(f"{text}\n", encoding="utf-8")
        new.replace(file)
    except OSError as error:
        log.warning("Whisper's speed on this machine cannot be kept: %s", error)


def speeds_file(data_dir: Path) -> Path:
    """Where the measurements of a data folder are kept."""
    return data_dir / "models" / "whisper" / "speeds.json"


def preferred(group: Sequence[Weights], answers_s: Mapping[str, float]) -> Weights:
    """The largest weights of a group that decode an answer in time, otherwise the smallest.

    For weights that were not measured the time is estimated from measured ones by the size, to
    which the work of a decode is about proportional; if none was measured, the smallest come first,
    so that there is a measure. The caller loads and measures what is returned, and asks again until
    it gets what it has measured.
    """
    by_size = sorted(group, key=lambda weights: weights.bytes)
    known = [weights for weights in by_size if weights.identity in answers_s]
    if not known:
        return by_size[0]

    def expected_s(weights: Weights) -> float:
        if (measured := answers_s.get(weights.identity)) is not None:
            return measured
        nearest = min(known, key=lambda other: abs(other.bytes - weights.bytes))
        return answers_s[nearest.identity] * weights.bytes / max(nearest.bytes, 1)

    in_time = [weights for weights in by_size if expected_s(weights) <= IN_TIME_S]
    return in_time[-1] if in_time else by_size[0]
