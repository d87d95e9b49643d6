import wave

import numpy as np
import pytest

from gateway.media import noise_reduction
from gateway.media.noise_reduction import FRAME, NoiseReducer
from pipeline.frames import Samples
from tests.support.paths import AUDIO

KINDS = ["near_field", "far_field"]


def rms(pcm: Samples) -> float:
    return float(np.sqrt(np.mean(pcm.astype(float) ** 2)))


def noise(samples: int, level: float = 300.0) -> Samples:
    return (np.random.default_rng(3).standard_normal(samples) * level).astype(np.int16)


def reduced(kind: str, pcm: Samples, step: int = 320) -> Samples:
    reducer = NoiseReducer(kind)  # type: ignore[arg-type]
    pieces = [reducer.push(pcm[at : at + step]) for at in range(0, len(pcm), step)]
    return np.concatenate(pieces)


@pytest.mark.parametrize("kind", KINDS)
def test_steady_noise_is_quieter_by_about_12_db(kind: str) -> None:
    before = noise(5 * 16_000)
    after = reduced(kind, before)
    last = slice(-32_000, None)
    assert 20 * np.log10(rms(before[last]) / rms(after[last])) == pytest.approx(12, abs=2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_voice_keeps_its_level(kind: str) -> None:
    with wave.open(str(AUDIO / "software-engineer-1.wav")) as file:
        before = np.frombuffer(file.readframes(5 * 16_000), np.int16)
    after = reduced(kind, before)
    assert 20 * np.log10(rms(after) / rms(before)) == pytest.approx(0, abs=1)


def test_a_far_microphone_loses_its_hum() -> None:
    at = np.arange(5 * 16_000)
    hum = (3000 * np.sin(2 * np.pi * 50 * at / 16_000) * (1 + 0.5 * np.sin(at / 4000))).astype(
        np.int16
    )
    near, far = (reduced(kind, hum) for kind in KINDS)
    assert rms(far[16_000:]) < 0.5 * rms(near[16_000:])


@pytest.mark.parametrize("step", [1, 7, 100, 160, 320, 441, 1600])
def test_no_audio_is_lost_whatever_the_length_of_its_pieces(step: int) -> None:
    before = noise(4_000)
    after = reduced("near_field", before, step)
    assert len(before) - FRAME < len(after) <= len(before)
    assert np.array_equal(after, reduced("near_field", before)[: len(after)])


def test_nothing_gives_nothing() -> None:
    assert len(NoiseReducer("near_field").push(np.zeros(0, np.int16))) == 0


def test_clients_do_not_hear_one_another() -> None:
    one, other = NoiseReducer("near_field"), NoiseReducer("near_field")
    other.push(noise(16_000, 8000.0))
    assert np.array_equal(one.push(noise(320)), reduced("near_field", noise(320)))


def test_where_the_library_is_missing_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert noise_reduction.check() is None
    monkeypatch.setattr(noise_reduction, "find_spec", lambda name: None)
    assert noise_reduction.check() == (
        "noise reduction is not installed here: pip install 'parley-gateway[noise]'"
    )
