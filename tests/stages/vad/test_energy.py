import asyncio
import json
import logging
import wave

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.frames import Samples
from pipeline.testing import run_virtual
from stages.vad.energy import EnergyDetector, check
from tests.support.paths import AUDIO


def noise(samples: int, rms: float, seed: int = 1) -> Samples:
    return (np.random.default_rng(seed).standard_normal(samples) * rms).astype(np.int16)


def syllables(seconds: float, rms: float) -> Samples:
    """Voiced bursts of 200 ms with gaps of 80 ms, as in connected speech."""
    t = np.arange(int(seconds * 16_000)) / 16_000
    voice = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20))
    return (voice * (t % 0.28 < 0.2) * rms).astype(np.int16)


class Heard:
    """Records the callbacks of one stream."""

    def __init__(self) -> None:
        self.chunks: list[tuple[int, float]] = []

    def __call__(self, position: int, probability: float) -> None:
        self.chunks.append((position, probability))

    @property
    def positions(self) -> list[int]:
        return [position for position, _ in self.chunks]


def listen(pcm: Samples, frame: int = 320) -> list[tuple[int, float]]:
    async def main() -> list[tuple[int, float]]:
        heard = Heard()
        stream = EnergyDetector().open(heard)
        for start in range(0, len(pcm), frame):
            stream.feed(pcm[start : start + frame])
            await asyncio.sleep(frame / 16_000)
        return heard.chunks

    return run_virtual(main())


def between(chunks: list[tuple[int, float]], start_s: float, end_s: float) -> list[float]:
    return [p for at, p in chunks if start_s * 16_000 < at <= end_s * 16_000]


def test_speech_over_noise_differs_from_noise() -> None:
    pcm = noise(5 * 16_000, rms=100)
    pcm[2 * 16_000 : 4 * 16_000] += syllables(2, rms=2000)
    chunks = listen(pcm)
    assert max(between(chunks, 0, 1.9)) < 0.1
    assert np.mean(np.array(between(chunks, 2.1, 4)) > 0.5) > 0.6
    assert max(between(chunks, 4.1, 5)) < 0.1


def test_a_recorded_answer_is_found() -> None:
    with wave.open(str(AUDIO / "software-engineer-1.wav")) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    [segment] = json.loads((AUDIO / "software-engineer-1.json").read_text())["segments"]
    chunks = listen(pcm)
    start_s, end_s = segment["start_ms"] / 1000, segment["end_ms"] / 1000
    assert np.mean(np.array(between(chunks, start_s, end_s)) > 0.5) > 0.85
    assert max(between(chunks, 0, start_s - 0.1)) < 0.5
    assert max(between(chunks, end_s + 0.2, 60)) < 0.5


@pytest.mark.parametrize("rms", [0, 3, 50, 3000])
def test_steady_sound_is_background_from_the_start(rms: float) -> None:
    assert max(p for _, p in listen(noise(3 * 16_000, rms))) < 0.1


def test_a_new_steady_noise_is_learnt_within_four_seconds() -> None:
    pcm = np.concatenate((noise(2 * 16_000, rms=20), noise(6 * 16_000, rms=1000)))
    chunks = listen(pcm)
    assert max(between(chunks, 0, 2)) < 0.1
    assert min(between(chunks, 2.1, 3)) > 0.5
    assert max(between(chunks, 6, 8)) < 0.1


def test_long_speech_does_not_become_background() -> None:
    pcm = noise(16_000 * 10, rms=30)
    pcm[16_000:] += syllables(9, rms=2000)
    chunks = listen(pcm)
    assert np.mean(np.array(between(chunks, 8, 10)) > 0.5) > 0.6


def test_a_constant_offset_is_not_loud() -> None:
    pcm = noise(16_000 * 2, rms=20)
    pcm[16_000:] += 3000
    assert max(between(listen(pcm), 1.05, 2)) < 0.1


@pytest.mark.parametrize("frame", [1, 137, 512, 16_000])
def test_the_length_of_frames_changes_nothing(frame: int) -> None:
    pcm = noise(4_000 if frame == 1 else 20_000, rms=500)
    chunks = listen(pcm, frame)
    assert [at for at, _ in chunks] == list(range(512, len(pcm) + 1, 512))
    assert chunks == listen(pcm)


def test_feed_makes_no_callback() -> None:
    async def main() -> list[int]:
        heard = Heard()
        stream = EnergyDetector().open(heard)
        stream.feed(noise(1024, rms=100))
        assert heard.chunks == []
        await asyncio.sleep(0)
        return heard.positions

    assert run_virtual(main()) == [512, 1024]


def test_a_callback_may_close_and_feed_its_own_ear() -> None:
    async def main() -> list[int]:
        heard = Heard()

        def on_chunk(position: int, probability: float) -> None:
            heard(position, probability)
            if position == 1024:
                stream.feed(noise(512, rms=100))
            if position == 2048:
                stream.close()

        stream = EnergyDetector().open(on_chunk)
        stream.feed(noise(512 * 3, rms=100))
        await asyncio.sleep(0.1)
        return heard.positions

    assert run_virtual(main()) == [512, 1024, 1536, 2048]


def test_closing_in_a_callback_drops_the_rest() -> None:
    async def main() -> list[int]:
        heard = Heard()

        def on_chunk(position: int, probability: float) -> None:
            heard(position, probability)
            stream.close()

        stream = EnergyDetector().open(on_chunk)
        stream.feed(noise(512 * 3, rms=100))
        await asyncio.sleep(0.1)
        stream.feed(noise(512, rms=100))
        await asyncio.sleep(0.1)
        return heard.positions

    assert run_virtual(main()) == [512]


def test_a_callback_that_raises_loses_its_stream_and_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = []

    def broken(position: int, probability: float) -> None:
        calls.append(position)
        raise ValueError("a bug of the session")

    async def main() -> list[int]:
        detector = EnergyDetector(max_sessions=2)
        good = Heard()
        streams = [detector.open(broken), detector.open(good)]
        for stream in streams:
            stream.feed(noise(1024, rms=100))
        await asyncio.sleep(0.1)
        detector.open(good)
        return good.positions

    assert run_virtual(main()) == [512, 1024]
    assert calls == [512]
    [record] = caplog.records
    assert (record.levelno, record.exc_info is not None) == (logging.ERROR, True)


def test_undelivered_probabilities_are_bounded() -> None:
    async def main() -> list[int]:
        heard = Heard()
        stream = EnergyDetector().open(heard)
        for _ in range(10):
            stream.feed(noise(16_000, rms=100))
        await asyncio.sleep(0)
        return heard.positions

    positions = run_virtual(main())
    assert len(positions) == 64
    assert positions[-1] == 160_000 // 512 * 512


def test_closing_the_detector_drops_what_is_under_way() -> None:
    async def main() -> list[int]:
        detector = EnergyDetector()
        heard = Heard()
        detector.open(heard).feed(noise(512, rms=100))
        await detector.aclose()
        await asyncio.sleep(0.1)
        with pytest.raises(PipelineError, match="closed"):
            detector.open(heard)
        return heard.positions

    assert run_virtual(main()) == []


def test_a_session_too_many_is_refused_until_one_leaves() -> None:
    detector = EnergyDetector(max_sessions=1)
    stream = detector.open(Heard())
    with pytest.raises(PipelineError, match="no place left: 1 sessions"):
        detector.open(Heard())
    stream.close()
    detector.open(Heard())


def test_it_works_everywhere() -> None:
    assert check() is None
