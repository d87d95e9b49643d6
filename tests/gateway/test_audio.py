"""Audio on the wire: G.711 by its own tables, and rates that keep their length and pitch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audio import AudioFormat, Encoding, converter, decode, encode

PCM = AudioFormat()


def sine(rate_hz: int, ms: int, hz: float = 440.0) -> np.ndarray:
    time_s = np.arange(rate_hz * ms // 1000) / rate_hz
    return (np.sin(2 * np.pi * hz * time_s) * 12_000).astype(np.int16)


def loudest_hz(pcm: np.ndarray, rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    return float(np.argmax(spectrum) * rate_hz / len(pcm))


@given(st.lists(st.integers(-32768, 32767), max_size=50))
def test_pcm_passes_unchanged(samples: list[int]) -> None:
    pcm = np.array(samples, np.int16)
    assert np.array_equal(decode(encode(pcm, PCM), PCM), pcm)


@pytest.mark.parametrize(
    ("encoding", "code", "sample"),
    [
        # Extremes and zero of ITU-T G.711's tables, scaled to 16 bits.
        ("mulaw", 0x00, -32124),
        ("mulaw", 0x80, 32124),
        ("mulaw", 0xFF, 0),
        ("mulaw", 0x7F, 0),
        ("alaw", 0x2A, -32256),
        ("alaw", 0xAA, 32256),
        ("alaw", 0xD5, 8),
        ("alaw", 0x55, -8),
    ],
)
def test_g711_codes_mean_what_the_standard_says(encoding: Encoding, code: int, sample: int) -> None:
    assert decode(bytes([code]), AudioFormat(encoding, 8000)).tolist() == [sample]


@pytest.mark.parametrize("encoding", ["mulaw", "alaw"])
def test_every_g711_level_survives_a_round_trip(encoding: Encoding) -> None:
    wire = AudioFormat(encoding, 8000)
    levels = decode(bytes(range(256)), wire)
    assert np.array_equal(decode(encode(levels, wire), wire), levels)


@pytest.mark.parametrize("encoding", ["mulaw", "alaw"])
def test_g711_keeps_speech_within_3_percent(encoding: Encoding) -> None:
    wire = AudioFormat(encoding, 8000)
    pcm = sine(8000, 100)
    error = decode(encode(pcm, wire), wire).astype(int) - pcm.astype(int)
    assert np.sqrt(np.mean(error**2)) < 0.03 * np.sqrt(np.mean(pcm.astype(float) ** 2))


def test_stereo_is_mixed_to_mono() -> None:
    stereo = AudioFormat(channels=2)
    data = np.array([100, 300, -100, -300], np.int16).tobytes()
    assert decode(data, stereo).tolist() == [200, -200]


@pytest.mark.parametrize(
    ("audio", "size", "duration_ms"),
    [(PCM, 640, 20.0), (AudioFormat("mulaw", 8000), 160, 20.0), (AudioFormat(channels=2), 640, 10)],
)
def test_duration(audio: AudioFormat, size: int, duration_ms: float) -> None:
    assert audio.duration_ms(size) == duration_ms


@pytest.mark.parametrize(
    ("source_hz", "target_hz"), [(8000, 16_000), (48_000, 16_000), (22_050, 16_000), (22_050, 8000)]
)
def test_a_converted_stream_keeps_its_length_and_pitch(source_hz: int, target_hz: int) -> None:
    rate = converter(source_hz, target_hz)
    pcm = sine(source_hz, 1000)
    step = source_hz // 50
    parts = [rate.push(pcm[start : start + step]) for start in range(0, len(pcm), step)]
    held_ms = 1000 - sum(map(len, parts)) * 1000 / target_hz
    assert held_ms <= 2.5
    out = np.concatenate([*parts, rate.flush()])
    assert abs(len(out) - target_hz) <= target_hz // 500
    assert loudest_hz(out, target_hz) == pytest.approx(440, abs=2)


def test_a_converter_can_be_used_again_after_a_flush() -> None:
    rate = converter(22_050, 16_000)
    first = np.concatenate([rate.push(sine(22_050, 100)), rate.flush()])
    second = np.concatenate([rate.push(sine(22_050, 100)), rate.flush()])
    assert np.array_equal(first, second)
    assert len(rate.push(np.zeros(0, np.int16))) == 0


def test_equal_rates_pass_unchanged() -> None:
    rate = converter(16_000, 16_000)
    pcm = sine(16_000, 20)
    assert rate.push(pcm) is pcm
    assert len(rate.flush()) == 0
