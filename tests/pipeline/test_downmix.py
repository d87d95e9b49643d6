"""Two channels as one: what is heard of in-phase, opposite and one-sided sound."""

import numpy as np
import pytest

from pipeline.downmix import Downmix
from pipeline.frames import Samples

RATE_HZ = 16_000
VOICE = (8000 * np.sin(2 * np.pi * 220 * np.arange(RATE_HZ) / RATE_HZ)).astype(np.int16)
NOTHING = np.zeros(RATE_HZ, np.int16)


def mixed(*pairs: tuple[Samples, Samples], frame: int = 320) -> Samples:
    """What comes of pairs of channels, one after the other, in frames."""
    stereo = np.concatenate([np.column_stack(pair) for pair in pairs])
    downmix = Downmix(RATE_HZ)
    frames = [stereo[at : at + frame] for at in range(0, len(stereo), frame)]
    return np.concatenate([downmix.push(part) for part in frames])


def loudness(pcm: Samples) -> float:
    """Root mean square, in shares of the voice's."""
    return float(np.sqrt(np.square(pcm, dtype=np.float64).mean() / np.square(VOICE * 1.0).mean()))


@pytest.mark.parametrize("frame", [1, 37, 320, 16_000])
@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (VOICE, VOICE, 1.0),
        (VOICE, NOTHING, 0.5),
        (VOICE, -VOICE, 1.0),
        (-VOICE // 2, VOICE, 1.0),
        (VOICE, -(VOICE // 8), 7 / 16),
        (NOTHING, NOTHING, 0.0),
    ],
    ids=["in phase", "one side", "opposite", "opposite, one quieter", "hardly opposite", "silence"],
)
def test_a_voice_is_heard_however_the_channels_are(
    left: Samples, right: Samples, expected: float, frame: int
) -> None:
    assert loudness(mixed((left, right), frame=frame)) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("channels", [3, 6, 8])
def test_of_many_channels_the_one_with_the_voice_is_heard(channels: int) -> None:
    for at in range(channels):
        sound = np.zeros((RATE_HZ, channels), np.int16)
        sound[:, at] = VOICE
        downmix = Downmix(RATE_HZ, channels)
        pcm = np.concatenate([downmix.push(part) for part in np.split(sound, 50)])
        assert loudness(pcm) >= 0.33  # a third, whole samples
    same = Downmix(RATE_HZ, channels).push(np.repeat(VOICE[:, None], channels, axis=1))
    assert loudness(same) == pytest.approx(1.0, abs=0.01)


def test_samples_that_are_the_same_in_both_channels_are_unchanged() -> None:
    assert np.array_equal(mixed((VOICE, VOICE)), VOICE)


def test_nothing_is_lost_where_the_channels_change() -> None:
    pcm = mixed((VOICE, VOICE), (VOICE, -VOICE), (NOTHING, NOTHING), (VOICE, -VOICE))
    parts = [loudness(part) for part in np.split(pcm, 4)]
    assert parts == pytest.approx([1.0, 1.0, 0.0, 1.0], abs=0.15)
    back = mixed((VOICE, -VOICE), (VOICE, VOICE), (VOICE, NOTHING))
    assert [loudness(part) for part in np.split(back, 3)] == pytest.approx([1, 1, 0.5], abs=0.01)


def test_the_other_channel_is_used_once_it_is_the_louder_one() -> None:
    quieter = (VOICE * 0.45).astype(np.int16)
    pcm = mixed((VOICE, -VOICE), (quieter, -VOICE))
    assert [loudness(part) for part in np.split(pcm, 2)] == pytest.approx([1, 1], abs=0.02)


def test_no_samples_are_no_samples() -> None:
    assert len(Downmix(RATE_HZ).push(np.zeros((0, 2), np.int16))) == 0
