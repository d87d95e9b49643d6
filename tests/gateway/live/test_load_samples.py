"""The load of a process is measured and handed on."""

import asyncio
import sys
import time
from pathlib import Path

import pytest

from gateway.live import load_samples
from gateway.live.load_samples import LoadSamples, group_share, own_share
from gateway.live.pressure import LoadSample, Pressure
from pipeline.frames import ReplyStarted, StageSpan, TurnMetrics
from pipeline.testing import run_virtual
from stages.stt.recogniser_load import RecogniserLoad


class Kept(Pressure):
    """Keeps the samples."""

    def __init__(self) -> None:
        super().__init__()
        self.samples: list[LoadSample] = []

    def observe(self, sample: LoadSample, now: float) -> None:
        self.samples.append(sample)


def test_a_sample_has_the_latest_timer_and_the_best_turn() -> None:
    kept = Kept()
    load = LoadSamples(kept, memory_mb=1_000_000)

    async def story() -> None:
        measuring = asyncio.create_task(load.run())
        loop = asyncio.get_running_loop()
        load.observe(ReplyStarted(1), loop.time())
        for _ in range(3):
            spans = (StageSpan("stt", "x", 0.0, None, 400.0),)
            load.observe(TurnMetrics(1, 1000, spans, 900.0), loop.time())
        await asyncio.sleep(1.51)
        measuring.cancel()
        await asyncio.wait([measuring])

    run_virtual(story())
    assert [(each.recognition_s, each.turn_factor) for each in kept.samples] == [(0.4, 0.9)] * 3
    assert all(each.loop_lag_s < 0.001 for each in kept.samples)


def test_a_sample_has_the_wait_of_input_audio_and_the_busiest_recogniser() -> None:
    class Told(RecogniserLoad):
        def __init__(self, queue_s: float, factor: float) -> None:
            super().__init__()
            self.told = queue_s, factor

        def queue_s(self, now: float) -> float:
            return self.told[0]

        def factor(self, now: float) -> float:
            return self.told[1]

    kept = Kept()
    load = LoadSamples(kept)
    waits = iter((0.005, 0.2))

    async def story() -> None:
        measuring = asyncio.create_task(load.run())
        load.uplink_s = lambda: next(waits)
        await asyncio.sleep(0.51)
        load.recognisers = [Told(0.3, 0.2), Told(0.1, 0.9)]
        await asyncio.sleep(0.5)
        measuring.cancel()
        await asyncio.wait([measuring])

    run_virtual(story())
    assert [
        (each.uplink_s, each.recognition_queue_s, each.recogniser) for each in kept.samples
    ] == [(0.005, 0.0, 0.0), (0.2, 0.3, 0.9)]


def test_a_loop_that_is_held_up_is_late() -> None:
    kept = Kept()

    async def story() -> None:
        measuring = asyncio.create_task(LoadSamples(kept).run())
        await asyncio.sleep(0.01)
        time.sleep(0.3)  # noqa: ASYNC251
        while not kept.samples:
            await asyncio.sleep(0.01)
        measuring.cancel()
        await asyncio.wait([measuring])

    asyncio.run(story())
    assert kept.samples[0].loop_lag_s > 0.2


def test_what_strains_the_machine_is_told_with_each_sample() -> None:
    class Strained(Kept):
        def strain(self) -> str | None:
            return "late" if len(self.samples) == 2 else None

    load = LoadSamples(Strained())
    told: list[tuple[str | None, float]] = []
    load.strained = lambda why, now: told.append((why, round(now, 3)))

    async def story() -> None:
        measuring = asyncio.create_task(load.run())
        await asyncio.sleep(1.51)
        measuring.cancel()
        await asyncio.wait([measuring])

    run_virtual(story())
    assert told == [(None, 0.5), ("late", 1.0), (None, 1.5)]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_process_has_a_share_of_its_own_limit() -> None:
    assert own_share(1)() > 10
    assert 0 < own_share(1_000_000)() < 0.01


@pytest.mark.parametrize(
    ("files", "share"),
    [
        ({}, 0.0),
        ({"memory.max": "max\n", "memory.current": "5", "memory.stat": ""}, 0.0),
        ({"memory.max": "1000", "memory.current": "900", "memory.stat": "anon 1\n"}, 0.0),
        (
            {
                "memory.max": "1000\n",
                "memory.current": "900\n",
                "memory.stat": "anon 1\ninactive_file 400\n",
            },
            0.5,
        ),
    ],
)
def test_a_containers_limit_counts_without_what_can_be_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], share: float
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(load_samples, "CGROUP", tmp_path)
    assert group_share() == share
