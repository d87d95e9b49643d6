"""Audio on the wire: G.711 by its own tables, and rates that keep their length and pitch."""

from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.media.codecs import AudioWriter, RefusedAudio, decode, encode, reader_of
from gateway.media.format import AudioFormat, Encoding
from gateway.media.opus import OpusEncoder
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
    writer, reader = AudioWriter(wire), reader_of(wire)
    parts = [
        reader.read(writer.write(ReplyAudio(1, pcm[at : at + 160], at // 8)))
        for at in range(0, len(pcm), 160)
    ]
    out = np.concatenate(parts)
    assert len(out) == pytest.approx(16_000, abs=40)
    assert loudest_hz(out[2000:], 16_000) == pytest.approx(440, abs=2)


def test_what_libopus_refuses_is_concealed() -> None:
    reader = reader_of(AudioFormat("opus", 16_000))
    reader.read(OpusEncoder(16_000).encode(sine(16_000, 20)))
    assert len(reader.read(b"\x7b\x00")) == 320


def test_a_reply_and_what_follows_a_clear_begin_with_a_new_encoder() -> None:
    wire = AudioFormat("opus", 24_000)
    first = AudioWriter(wire).write(ReplyAudio(1, sine(24_000, 20), 0))
    writer = AudioWriter(wire)
    packets = [writer.write(ReplyAudio(1, sine(24_000, 20), at)) for at in (0, 20, 40)]
    assert packets[0] == first != packets[1]
    assert writer.write(ReplyAudio(2, sine(24_000, 20), 0)) == first
    writer.clear()
    assert writer.write(ReplyAudio(2, sine(24_000, 20), 20)) == first


def test_pcm_has_nothing_to_clear() -> None:
    writer = AudioWriter(PCM)
    writer.clear()
    assert writer.write(ReplyAudio(1, sine(16_000, 20), 20)) == sine(16_000, 20).tobytes()


# --- what a message may hold ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "audio", "code"),
    [
        (641, AudioFormat(), "odd_audio"),
        (642, AudioFormat(channels=2), "odd_audio"),
        (3202, AudioFormat(), "audio_too_long"),
        (320_000, AudioFormat(), "audio_too_long"),
        (801, AudioFormat("mulaw", 8000), "audio_too_long"),
    ],
)
def test_audio_messages_of_an_impossible_size(size: int, audio: AudioFormat, code: str) -> None:
    with pytest.raises(RefusedAudio) as caught:
        reader_of(audio).duration_ms(bytes(size))
    assert caught.value.code == code


@pytest.mark.parametrize(("size", "ms"), [(0, 0), (2, 0.0625), (640, 20), (3200, 100)])
def test_up_to_100_ms_of_whole_samples_are_fine(size: int, ms: float) -> None:
    assert reader_of(AudioFormat()).duration_ms(bytes(size)) == ms


OPUS = AudioFormat("opus", 48_000)


@pytest.mark.parametrize(
    ("packet", "ms"),
    [(b"", 0), (b"\x78", 20), (b"\xe0\x00", 2.5), (b"\x1c\x00", 60), (b"\x7b\x05" + bytes(5), 100)],
)
def test_one_opus_packet_of_up_to_100_ms_is_fine(packet: bytes, ms: float) -> None:
    assert reader_of(OPUS).duration_ms(packet) == ms


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (b"\x7b\x06" + bytes(6), "audio_too_long"),
        (b"\x7b\x07" + bytes(7), "bad_packet"),
        (b"\x7b\x00", "bad_packet"),
        (b"\x79" + bytes(3), "bad_packet"),
        (b"\x78" + bytes(1276), "bad_packet"),
    ],
)
def test_other_packets_get_a_code(packet: bytes, code: str) -> None:
    with pytest.raises(RefusedAudio) as caught:
        reader_of(OPUS).duration_ms(packet)
    assert caught.value.code == code


@given(st.binary(max_size=80))
def test_whatever_bytes_come_they_are_accepted_or_get_a_code(data: bytes) -> None:
    try:
        found: float | str = reader_of(OPUS).duration_ms(data)
    except RefusedAudio as error:
        found = error.code
    assert found in ("bad_packet", "audio_too_long") or 0 <= float(found) <= 100


@pytest.mark.parametrize("encoding", ["pcm_s16le", "mulaw", "opus"])
@pytest.mark.parametrize("text", [b'{"type":"bye"}', b'{\n  "type": "text"\n}\n'])
def test_json_in_a_binary_message_is_no_audio(encoding: Encoding, text: bytes) -> None:
    with pytest.raises(RefusedAudio, match="send it as a text message") as refused:
        reader_of(AudioFormat(encoding, 8000)).duration_ms(text)
    assert (refused.value.code, refused.value.lost_ms) == ("json_in_binary", 0.0)


@pytest.mark.parametrize("data", [b"{}", b'{"type', b'{"type":5,}', b"{" * 800, b"{" + b"}" * 799])
def test_audio_that_begins_like_json_is_audio(data: bytes) -> None:
    assert reader_of(AudioFormat("mulaw", 8000)).duration_ms(data) == len(data) / 8


def opus_stereo(left: np.ndarray, right: np.ndarray) -> list[bytes]:
    """Stereo Opus packets of 20 ms."""
    codec: Any = av.CodecContext.create("libopus", "w")
    codec.layout, codec.format, codec.sample_rate = "stereo", "s16", 48_000
    packets = []
    both = np.stack((left, right), axis=1)
    for start in range(0, len(both), 960):
        frame = av.AudioFrame(format="s16", layout="stereo", samples=960)
        frame.planes[0].update(both[start : start + 960].tobytes())
        frame.sample_rate = 48_000
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return packets


@pytest.mark.parametrize("encoding", ["pcm_s16le", "mulaw", "alaw", "opus"])
def test_a_voice_is_heard_where_one_channel_is_the_others_opposite(encoding: Encoding) -> None:
    voice = sine(48_000, 400)
    reader = reader_of(AudioFormat(encoding, 48_000, 2))
    if encoding == "opus":
        packets = opus_stereo(voice, -voice)
    else:
        one, opposite = (
            np.frombuffer(encode(part, AudioFormat(encoding, 48_000)), np.uint8).reshape(
                -1, 2 if encoding == "pcm_s16le" else 1
            )
            for part in (voice, -voice)
        )
        data = np.concatenate((one, opposite), axis=1).tobytes()
        step = len(data) // 20
        packets = [data[at : at + step] for at in range(0, len(data), step)]
    heard = np.concatenate([reader.read(packet) for packet in packets])
    assert np.abs(heard).max() == pytest.approx(12_000, rel=0.05)
    assert loudest_hz(heard, 16_000) == pytest.approx(440, abs=5)
