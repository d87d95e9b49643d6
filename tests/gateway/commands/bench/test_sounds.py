import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gateway.commands.bench.sounds import (
    CHUNK,
    frames,
    from_onset,
    levels,
    longest_stretch,
    onset,
    room,
    trimmed,
    turns,
)
from pipeline.frames import Samples
from tests.support.paths import AUDIO


def loud(ms: int) -> Samples:
    return np.full(16 * ms, 8000, np.int16)


def quiet(ms: int) -> Samples:
    return np.zeros(16 * ms, np.int16)


def test_quiet_ends_are_cut_off() -> None:
    said = trimmed(np.concatenate([quiet(200), loud(400), quiet(100), loud(100), quiet(500)]))
    assert len(said) == 16 * 600


def test_silence_has_nothing_to_say() -> None:
    assert len(trimmed(quiet(10))) == 0
    assert len(longest_stretch(quiet(10))) == 0


def test_the_longest_stretch_has_no_pause() -> None:
    clip = np.concatenate([loud(500), quiet(400), loud(800), quiet(200), loud(300), quiet(900)])
    assert len(longest_stretch(clip)) == 16 * 1300


def test_noted_segments_are_used(tmp_path: Path) -> None:
    pcm = np.concatenate([loud(3000), quiet(100), loud(2000)])
    soundfile.write(tmp_path / "a.wav", pcm, 16_000)
    segments = [{"start_ms": 0, "end_ms": 1500}, {"start_ms": 3000, "end_ms": 5100}]
    (tmp_path / "a.json").write_text(json.dumps({"segments": segments}))
    (said,) = turns(tmp_path)
    assert len(said) == 16 * 2000


def test_what_is_too_short_or_of_another_rate_is_left_out(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", loud(500), 16_000)
    soundfile.write(tmp_path / "rate.wav", loud(5000), 8_000)
    with pytest.raises(FileNotFoundError, match="no speech of 16000 Hz"):
        turns(tmp_path)


def test_the_fixtures_are_nine_turns() -> None:
    assert len(turns(AUDIO)) == 9


def test_the_clips_of_the_package_can_be_spoken() -> None:
    from gateway.commands.call.demo import CLIPS

    assert len(turns(CLIPS)) == 3


@pytest.mark.parametrize(
    ("probabilities", "lead", "sample"),
    [([0.0, 0.2, 0.7, 0.9], 0, 2 * CHUNK), ([0.0, 0.2, 0.7], CHUNK, CHUNK), ([0.1], 0, 0)],
    ids=["found", "after a lead", "never"],
)
def test_speech_begins_with_the_first_chunk_that_is_speech(
    probabilities: list[float], lead: int, sample: int
) -> None:
    assert onset(probabilities, lead) == sample


def test_a_room_is_quiet_but_not_silent_and_always_the_same() -> None:
    level = levels(room())
    assert level.max() < 10 ** (-55 / 20)
    assert level.min() > 10 ** (-65 / 20)
    assert np.array_equal(room(), room())


def test_frames_are_whole() -> None:
    assert [len(frame) for frame in frames(loud(50))] == [640, 640]


def test_a_clip_begins_where_the_network_hears_speech() -> None:
    said = turns(AUDIO)[:2]
    breath = np.random.default_rng(1).standard_normal(16 * 300) * 30
    late = np.concatenate([breath.astype(np.int16), said[0]])
    first, delayed = asyncio.run(from_onset([said[0], late]))
    assert len(first) == len(delayed) == 16 * 3000
    after = next(n for n in range(len(late)) if np.array_equal(late[n : n + 800], delayed[:800]))
    assert 16 * 300 - CHUNK <= after <= 16 * 300 + 16 * 320
