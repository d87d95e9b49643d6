import numpy as np
import pytest

from stages.turn._mel import FRAMES, MELS, SAMPLES, log_mel


def tone(hz: float, samples: int = SAMPLES) -> np.ndarray:
    return (8000 * np.sin(2 * np.pi * hz * np.arange(samples) / 16_000)).astype(np.int16)


@pytest.mark.parametrize("samples", [0, 1, 100, SAMPLES - 1, SAMPLES, 2 * SAMPLES])
def test_audio_of_any_length_has_features_of_one_shape(samples: int) -> None:
    features = log_mel(tone(300, samples))
    assert (features.shape, features.dtype) == ((MELS, FRAMES), np.float32)
    assert np.isfinite(features).all()


@pytest.mark.parametrize(("hz", "band"), [(200, 4), (1000, 25), (4000, 62), (7000, 76)])
def test_a_tone_lies_in_its_band_of_the_mel_scale(hz: float, band: int) -> None:
    # 82 edges from 0 to 45.25 mels, 0.5586 apart: 1000 Hz are 15 mels.
    assert int(np.argmax(log_mel(tone(hz))[:, 400])) == pytest.approx(band, abs=1)


def test_the_level_of_the_voice_changes_nothing() -> None:
    loud = tone(440)
    assert log_mel(loud // 8) == pytest.approx(log_mel(loud), abs=0.05)


def test_short_audio_stands_at_the_end() -> None:
    features = log_mel(tone(300, 32_000))
    assert features[:, : FRAMES - 210].max() < features[:, FRAMES - 190 :].max()
    assert np.ptp(features[:, : FRAMES - 210]) == pytest.approx(0, abs=1e-4)


def test_only_the_last_8_s_count() -> None:
    last = tone(300)
    longer = np.concatenate([tone(3000, 50_000), last])
    assert np.array_equal(log_mel(longer), log_mel(last))
