from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.frames import VISEMES, Samples, Viseme
from stages.tts._mouth import Mouth
from stages.tts._pieces import Pieces

RATE_HZ = 16_000


def voice(*levels: int, ms: int = 40) -> Samples:
    """Windows of a square wave: its RMS is its level."""
    wave = np.tile(np.array([1, -1], np.int16), RATE_HZ * ms // 2000)
    return np.concatenate([wave * np.int16(level) for level in levels])


def test_the_mouth_opens_with_the_voice() -> None:
    cues = Mouth(RATE_HZ).cues(voice(0, 8000, 8000, 4000, 1600, 100), last=True)
    assert cues == (
        Viseme(0, 40, "sil"),
        Viseme(40, 80, "aa", 1.0),
        Viseme(120, 40, "oh", 0.5),
        Viseme(160, 40, "E", 0.2),
        Viseme(200, 40, "sil"),
    )


def test_speech_to_the_very_end_closes_the_mouth_after_it() -> None:
    cues = Mouth(RATE_HZ).cues(voice(8000), last=True)
    assert cues == (Viseme(0, 40, "aa", 1.0), Viseme(40, 0, "sil"))


def test_a_quiet_voice_opens_the_mouth_less_and_noise_does_not() -> None:
    assert [cue.shape for cue in Mouth(RATE_HZ).cues(voice(1000, 50))] == ["oh", "sil"]


def test_pieces_are_short_and_their_cues_begin_in_them() -> None:
    pieces = Pieces(3, RATE_HZ)
    done = [*pieces.push(voice(*[3000, 0] * 6)), *pieces.finish()]
    assert [len(piece.pcm) * 1000 // RATE_HZ for piece in done] == [200, 200, 40, 40]
    assert {piece.turn for piece in done} == {3}
    assert [(cue.at_ms, cue.shape) for cue in done[1].cues] == [
        (200, "sil"),
        (240, "aa"),
        (280, "sil"),
        (320, "aa"),
        (360, "sil"),
    ]


def test_less_than_a_window_is_kept_until_more_comes() -> None:
    pieces = Pieces(3, RATE_HZ)
    assert pieces.push(voice(3000)) == []
    [piece] = pieces.push(np.ones(1, np.int16))
    assert len(piece.pcm) == 640
    assert [cue.shape for cue in piece.cues] == ["aa"]


def test_no_audio_makes_no_piece() -> None:
    assert Pieces(3, RATE_HZ).finish() == []


@given(st.lists(st.integers(0, 1500)), st.sampled_from([8000, 11_025, 22_050, 24_000]))
def test_cues_cover_the_audio_however_it_came(sizes: list[int], rate_hz: int) -> None:
    audio = (np.sin(np.arange(sum(sizes)) / 7) * np.linspace(0, 9000, sum(sizes))).astype(np.int16)
    pieces = Pieces(3, rate_hz)
    done = []
    at = 0
    for size in sizes:
        done += pieces.push(audio[at : at + size])
        at += size
    done += pieces.finish()
    assert [sample for piece in done for sample in piece.pcm] == audio.tolist()
    assert all(len(piece.pcm) <= rate_hz // 5 for piece in done)
    cues = [cue for piece in done for cue in piece.cues]
    assert all(one.at_ms + one.duration_ms == two.at_ms for one, two in pairwise(cues))
    assert {cue.shape for cue in cues} <= set(VISEMES)
    if done:
        assert cues[0].at_ms == 0
        assert cues[-1].shape == "sil"
        assert cues[-1].at_ms + cues[-1].duration_ms == round(len(audio) * 1000 / rate_hz)
