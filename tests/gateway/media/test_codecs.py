"""Audio on the wire: G.711 by its own tables, and rates that keep their length and pitch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.media.codecs import AudioPacker, AudioUnpacker, decode, encode
from gateway.media.format import AudioFormat, Encoding
from gateway.media.resampling import converter
from pipeline.frames import ReplyAudio

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
    assert audio.duration_ms(bytes(size)) == duration_ms


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


# --- messages --------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", [AudioFormat("mulaw", 8000), AudioFormat("opus", 8000)])
def test_messages_become_samples_at_16_khz(wire: AudioFormat) -> None:
    pcm = sine(8000, 1000)
    packer, unpacker = AudioPacker(wire), AudioUnpacker(wire)
    parts = [
        unpacker.unpack(packer.pack(ReplyAudio(1, pcm[at : at + 160], at // 8)))
        for at in range(0, len(pcm), 160)
    ]
    out = np.concatenate(parts)
    assert len(out) == pytest.approx(16_000, abs=40)
    assert loudest_hz(out[2000:], 16_000) == pytest.approx(440, abs=2)


def test_what_libopus_refuses_is_concealed() -> None:
    unpacker = AudioUnpacker(AudioFormat("opus", 16_000))
    unpacker.unpack(OpusEncoder(16_000).encode(sine(16_000, 20)))
    assert len(unpacker.unpack(b"\x7b\x00")) == 320


def test_a_reply_and_what_follows_a_clear_begin_with_a_new_encoder() -> None:
    wire = AudioFormat("opus", 24_000)
    first = AudioPacker(wire).pack(ReplyAudio(1, sine(24_000, 20), 0))
    packer = AudioPacker(wire)
    packets = [packer.pack(ReplyAudio(1, sine(24_000, 20), at)) for at in (0, 20, 40)]
    assert packets[0] == first != packets[1]
    assert packer.pack(ReplyAudio(2, sine(24_000, 20), 0)) == first
    packer.clear()
    assert packer.pack(ReplyAudio(2, sine(24_000, 20), 20)) == first


def test_pcm_has_nothing_to_clear() -> None:
    packer = AudioPacker(PCM)
    packer.clear()
    assert packer.pack(ReplyAudio(1, sine(16_000, 20), 20)) == sine(16_000, 20).tobytes()
