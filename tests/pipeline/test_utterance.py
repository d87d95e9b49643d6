"""The utterance keeps its audio whole, within its bound."""

import numpy as np

from pipeline.frames import INPUT_RATE_HZ, Samples
from pipeline.utterance import LONGEST_S, Recent, Utterance


def ramp(start: int, count: int) -> Samples:
    return (np.arange(start, start + count) % 30_000).astype(np.int16)


def test_recent_audio_is_found_by_position() -> None:
    recent = Recent(keep=1000)
    for start in range(0, 3200, 320):
        recent.push(ramp(start, 320))
    assert recent.position == 3200
    assert np.array_equal(recent.since(2500), ramp(2500, 700))
    assert len(recent.since(3200)) == 0


def test_recent_audio_is_kept_as_long_as_asked_and_hardly_longer() -> None:
    recent = Recent(keep=1000)
    for start in range(0, 3200, 320):
        recent.push(ramp(start, 320))
    kept = recent.since(0)
    assert 1000 <= len(kept) < 1000 + 320
    assert kept[-1] == 3199


def test_an_utterance_keeps_two_minutes() -> None:
    utterance = Utterance(1, ramp(0, 0), 0, None)
    second = ramp(0, INPUT_RATE_HZ)
    for _ in range(LONGEST_S + 10):
        utterance.feed(second)
    assert len(utterance.audio) == LONGEST_S * INPUT_RATE_HZ
    assert utterance.end == (LONGEST_S + 10) * INPUT_RATE_HZ
    assert len(utterance.joined(second)) == LONGEST_S * INPUT_RATE_HZ


def test_an_utterance_that_goes_on_has_both_parts() -> None:
    utterance = Utterance(1, ramp(0, 320), 320, None)
    utterance.feed(ramp(320, 320))
    assert np.array_equal(utterance.joined(ramp(640, 320)), ramp(0, 960))
    assert utterance.end == 640
