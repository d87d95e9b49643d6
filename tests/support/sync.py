"""Whether lips and voice are together at viewers that run beside the gateway."""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.clapper import Theatre
from tests.support.held import Held, enough
from tests.support.viewer import Apart, Pair, Task
from tests.support.webrtc import said

FURTHEST_APART_MS = 40.0


async def watched(theatre: Theatre, task: Task) -> Any:
    """What a viewer reports."""
    return await said("viewer", theatre.url, json.dumps(asdict(task)))


def measured(name: str, one: Apart, held: Held) -> tuple[str, list[float]]:
    """A summary for people, and by how many ms flashes come after beeps, by the sender's clock,
    while the machine was not busy with others.
    """
    fair = [pair for pair in one.pairs if not held.at(pair.at_s)]
    shown = [
        f"{name}: {len(fair)} beeps; not counted: {len(one.pairs) - len(fair)} while the machine"
        f" was busy, {one.missed} without a flash or a beginning"
    ]
    for way, pairs in (("", fair), (", all", one.pairs)):
        for clock in ("reports", "arrival"):
            values = [getattr(pair, f"by_{clock}_ms") for pair in pairs]
            if values:
                shown.append(
                    f"  flash after beep by {clock}{way}: median {np.median(values):+.1f},"
                    f" from {min(values):+.1f} to {max(values):+.1f},"
                    f" 99 % within {np.percentile(np.abs(values), 99):.1f} ms"
                )
    return "\n".join(shown), [pair.by_reports_ms for pair in fair]


def watch_and_listen(
    folder: Path, seconds: float, fewest: int, capsys: pytest.CaptureFixture[str], words: int = 30
) -> None:
    """Two viewers at once, one of them over a bad network; fails where lips and voice part.

    So many beeps at the `fewest` must have been measured by each. Some 110 come in a minute, of
    which 5 % of loss costs aiortc half.
    """
    theatre = Theatre(folder, words)
    found: dict[float, Apart] = {}
    held = Held()

    async def watch(task: Task) -> None:
        answer = await watched(theatre, task)
        pairs = [Pair(**pair) for pair in answer["pairs"]]
        found[task.loss] = Apart(pairs, answer["missed"])

    async def story() -> None:
        theatre.steady()
        async with held:
            await asyncio.gather(
                watch(Task("whole", "video/H264", 0.0, seconds)),
                watch(Task("lossy", "video/VP8", 0.05, seconds)),
            )

    theatre.run(story)
    with capsys.disabled():
        for loss, one in found.items():
            sys.stdout.write(f"\n{measured(f'{loss:.0%} lost', one, held)[0]}\n")
    for one in found.values():
        fair = measured("", one, held)[1]
        enough(len(fair), fewest)
        assert np.percentile(np.abs(fair), 99) <= FURTHEST_APART_MS
