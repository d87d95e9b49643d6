from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.frames import VISEMES, Samples, Viseme
from stages.avatar.energy import EnergyMouth

RATE_HZ = 16_000


def tone(hz: float, level: float, ms: int = 200) -> Samples:
    times = np.arange(RATE_HZ * ms // 1000) / RATE_HZ
    return (level * np.sin(2 * np.pi * hz * times)).astype(np.int16)


@pytest.mark.parametrize(
    ("hz", "level", "shape"),
    [
        (700, 12_000, "aa"),
        (5000, 4000, "SS"),
        (300, 5000, "ou"),
        (700, 5000, "oh"),
        (2000, 5000, "E"),
        (300, 1500, "ou"),
        (700, 1500, "E"),
        (2000, 1500, "ih"),
        (700, 20, "sil"),
    ],
)
def test_loudness_opens_the_mouth_and_the_spectrum_shapes_it(
    hz: float, level: float, shape: str
) -> None:
    mouth = EnergyMouth(RATE_HZ)
    mouth.cues(tone(700, 12_000))
    assert mouth.cues(tone(hz, level)) == (Viseme(200, 200, shape),)


def test_a_reply_ends_with_a_closed_mouth() -> None:
    assert EnergyMouth(RATE_HZ).cues(tone(700, 9000, ms=90), last=True) == (
        Viseme(0, 90, "aa"),
        Viseme(90, 0, "sil"),
    )


def test_silence_is_a_closed_mouth() -> None:
    silence = np.zeros(RATE_HZ, np.int16)
    assert EnergyMouth(RATE_HZ).cues(silence, last=True) == (Viseme(0, 1000, "sil"),)


def voice(*levels: int, ms: int = 40) -> Samples:
    """Windows of a 400 Hz square wave: its RMS is its level."""
    wave = np.repeat(np.array([1, -1], np.int16), 20)
    return np.concatenate([np.tile(wave, RATE_HZ * ms // 40_000) * np.int16(v) for v in levels])


def test_the_mouth_opens_with_the_voice_and_equal_neighbours_are_one() -> None:
    assert EnergyMouth(RATE_HZ).cues(voice(0, 8000, 8000, 4000, 1600, 100), last=True) == (
        Viseme(0, 40, "sil"),
        Viseme(40, 80, "aa"),
        Viseme(120, 40, "oh"),
        Viseme(160, 40, "E"),
        Viseme(200, 40, "sil"),
    )


def test_a_quiet_voice_opens_the_mouth_less_and_noise_does_not() -> None:
    cues = EnergyMouth(RATE_HZ).cues(voice(1000, 50))
    assert [cue.shape for cue in cues] == ["oh", "sil"]


@given(st.lists(st.integers(0, 20), max_size=8), st.sampled_from([8000, 11_025, 22_050, 24_000]))
def test_cues_do_not_depend_on_how_the_audio_is_cut(cuts: list[int], rate_hz: int) -> None:
    pcm = np.concatenate([tone(700, 9000, 300), tone(4500, 3000, 200), tone(300, 0, 137)])
    whole = EnergyMouth(rate_hz).cues(pcm, last=True)
    mouth, start = EnergyMouth(rate_hz), 0
    pieces: list[Viseme] = []
    for windows in cuts:
        if len(pcm) < (length := windows * mouth.window) + start:
            break
        pieces += mouth.cues(pcm[start : start + length])
        start += length
    pieces += mouth.cues(pcm[start:], last=True)

    def shapes(cues: list[Viseme]) -> list[str]:
        return [cue.shape for cue in cues for _ in range(cue.duration_ms)]

    assert shapes(list(whole)) == shapes(pieces)
    assert {cue.shape for cue in pieces} <= set(VISEMES)
    assert pieces[0].at_ms == 0
    assert all(one.at_ms + one.duration_ms == two.at_ms for one, two in pairwise(pieces))
    assert pieces[-1].at_ms + pieces[-1].duration_ms == round(len(pcm) * 1000 / rate_hz)
    assert pieces[-1].shape == "sil"
