"""Opus packets: what their bytes say, what libopus makes of them, what replaces a lost one."""

import av
import numpy as np
import pytest
import soundfile
from av.audio.codeccontext import AudioCodecContext
from hypothesis import given
from hypothesis import strategies as st

from gateway.media.opus import OpusDecoder, OpusEncoder
from gateway.media.opus_packets import LOST, RATES_HZ, NotOpus, check, duration_ms
from pipeline.frames import Samples


def tone(hz: float, seconds: float, rate_hz: int) -> Samples:
    at = np.arange(int(seconds * rate_hz)) / rate_hz
    return (8000 * np.sin(2 * np.pi * hz * at)).astype(np.int16)


def pitch(pcm: Samples, rate_hz: int = 16_000) -> float:
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    return float(np.argmax(spectrum)) * rate_hz / len(pcm)


def packets(pcm: Samples, rate_hz: int = 16_000) -> list[bytes]:
    encoder = OpusEncoder(rate_hz)
    step = encoder.frame
    return [encoder.encode(pcm[at : at + step]) for at in range(0, len(pcm), step)]


def others(pcm: Samples, *, channels: int = 1, ms: str = "20", application: str = "voip") -> list:
    """Packets of another maker's settings, from 48 kHz samples of all channels."""
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, AudioCodecContext)
    layout = "stereo" if channels == 2 else "mono"
    codec.layout, codec.format, codec.sample_rate = layout, "s16", 48_000
    codec.options = {"application": application, "frame_duration": ms}
    step = round(48 * float(ms)) * channels
    out = []
    for at in range(0, len(pcm) - step + 1, step):
        frame = av.AudioFrame.from_ndarray(pcm[None, at : at + step], "s16", layout)
        frame.sample_rate = 48_000
        out += [bytes(packet) for packet in codec.encode(frame)]
    return out


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_tone_survives_at_every_rate(rate_hz: int) -> None:
    sent = packets(tone(440, 1.0, rate_hz), rate_hz)
    assert {duration_ms(packet) for packet in sent} == {20.0}
    decoder = OpusDecoder()
    heard = np.concatenate([decoder.decode(packet) for packet in sent])
    assert len(heard) == pytest.approx(16_000, abs=40)
    assert pitch(heard[4000:]) == pytest.approx(440, abs=3)
    assert np.abs(heard[4000:]).max() == pytest.approx(8000, rel=0.1)


@pytest.mark.parametrize("fec", [False, True])
def test_with_forward_error_correction_packets_carry_the_one_before(fec: bool) -> None:
    pcm, rate_hz = soundfile.read("fixtures/audio/software-engineer-1.wav", dtype="int16")
    assert rate_hz == 16_000
    encoder = OpusEncoder(rate_hz, fec=fec)
    sent = [encoder.encode(pcm[at : at + 320]) for at in range(0, len(pcm), 320)]
    # Below 16 it is SILK, whose second bit says that there is a copy (RFC 6716, 3.1 and 4.2.4).
    copies = sum(packet[0] >> 3 < 16 and packet[1] & 0x40 > 0 for packet in sent)
    assert (copies > len(sent) / 2) is fec
    assert fec or copies == 0


def test_a_short_last_frame_is_filled_up() -> None:
    packet = OpusEncoder(48_000).encode(tone(440, 0.005, 48_000))
    assert duration_ms(packet) == 20.0
    assert np.abs(OpusDecoder().decode(packet)).max() > 3000


@pytest.mark.parametrize("ms", ["2.5", "5", "10", "20", "40", "60"])
@pytest.mark.parametrize("application", ["voip", "audio", "lowdelay"])
def test_packets_of_every_length_are_heard(ms: str, application: str) -> None:
    sent = others(tone(440, 1.2, 48_000), ms=ms, application=application)
    decoder = OpusDecoder()
    for packet in sent:
        check(packet)
        assert duration_ms(packet) == float(ms)
    heard = np.concatenate([decoder.decode(packet) for packet in sent])
    assert len(heard) == pytest.approx(19_200, abs=40)
    assert pitch(heard[4000:]) == pytest.approx(440, abs=3)


def test_a_stereo_packet_is_mixed_to_mono() -> None:
    left = tone(440, 1.0, 48_000)
    sides = np.column_stack((left, np.zeros_like(left))).reshape(-1)
    sent = others(sides, channels=2, application="audio")
    assert all(packet[0] & 4 for packet in sent), "the packets are stereo"
    decoder = OpusDecoder()
    heard = np.concatenate([decoder.decode(packet) for packet in sent])[4000:]
    assert len(heard) == pytest.approx(12_000, abs=40)
    assert pitch(heard) == pytest.approx(440, abs=3)
    assert np.abs(heard).max() == pytest.approx(4000, rel=0.1)


@pytest.mark.parametrize("config", range(32))
def test_the_first_byte_tells_what_libopus_decodes(config: int) -> None:
    packet = bytes([config << 3])
    decoder = OpusDecoder()
    decoder.decode(packet)  # the resampler holds a little of the first one
    assert len(decoder.decode(packet)) == pytest.approx(duration_ms(packet) * 16, abs=1)


def test_a_lost_packet_continues_the_tone_and_fades() -> None:
    decoder = OpusDecoder()
    for packet in packets(tone(200, 0.4, 16_000)):
        decoder.decode(packet)
    lost = [decoder.decode(LOST) for _ in range(10)]
    assert {len(pcm) for pcm in lost} == {320}
    assert np.abs(lost[0]).max() > 5000
    assert pitch(np.concatenate(lost[:3])) == pytest.approx(200, abs=17)
    assert np.abs(lost[-1]).max() < 4000


# RFC 6716, section 3.2.5: what each rule refuses, and the largest that it allows.
@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"", "first byte"),
        (bytes([0x78]) + bytes(1276), "1275 bytes"),
        (bytes([0x79]) + bytes(3), "one length"),
        (bytes([0x79]) + bytes(2 * 1276), "1275 bytes"),
        (bytes([0x7A]), "length of a frame"),
        (bytes([0x7A, 252]), "length of a frame"),
        (bytes([0x7A, 5, 0, 0]), "no less than 0"),
        (bytes([0x7B]), "number of its frames"),
        (bytes([0x7B, 0]), "at least one frame"),
        (bytes([0x7B, 7]), "at most 120 ms"),
        (bytes([31 << 3 | 3, 50]), "at most 120 ms"),
        (bytes([0x7B, 2, 1, 2, 3]), "one length"),
        (bytes([0x7B, 0x42, 255]), "padding"),
        (bytes([0x7B, 0x41, 3, 0, 0]), "no less than 0"),
        (bytes([0x7B, 0x82]), "length of a frame"),
        (bytes([0x7B, 0x82, 9, 0]), "no less than 0"),
    ],
)
def test_what_is_no_packet_is_told_by_its_bytes(packet: bytes, reason: str) -> None:
    with pytest.raises(NotOpus, match=reason):
        check(packet)
    decoder = OpusDecoder()
    with pytest.raises(NotOpus):
        decoder.decode(packet)
    for packet in packets(tone(440, 0.4, 16_000)):
        heard = decoder.decode(packet)
    assert np.abs(heard).max() > 7000


@pytest.mark.parametrize(
    ("packet", "ms"),
    [
        (bytes([0x78]) + bytes(1275), 20),
        (bytes([0x7A, 252, 0]) + bytes(252), 40),
        (bytes([0x7B, 6]) + bytes(6), 120),
        (bytes([0xE3, 48]), 120),
        (bytes([0x7B, 0x42, 255, 1, 7, 7]) + bytes(255), 40),
        (bytes([0x7B, 0xC2, 1, 1, 9, 9, 0]), 40),
    ],
)
def test_packets_of_several_frames_padded_or_not(packet: bytes, ms: float) -> None:
    check(packet)
    assert duration_ms(packet) == ms
    assert len(OpusDecoder().decode(packet)) == pytest.approx(ms * 16, abs=40)


headers = st.one_of(
    st.binary(max_size=4),
    # Codes 0 to 3, then the number of frames with its two flags.
    st.tuples(st.integers(0, 255), st.integers(0, 255)).map(bytes),
    st.tuples(st.integers(0, 63), st.integers(1, 6), st.integers(0, 3)).map(
        lambda parts: bytes([parts[0] << 2 | 3, parts[1] | parts[2] << 6])
    ),
)


@given(headers, st.binary(max_size=40), st.sampled_from([0, 0, 0, 255, 1275, 2550]))
def test_whatever_comes_the_check_and_libopus_agree(head: bytes, body: bytes, zeros: int) -> None:
    packet = head + body + bytes(zeros)
    try:
        check(packet)
    except NotOpus:
        with pytest.raises(NotOpus):
            OpusDecoder().decode(packet)
    else:
        assert len(OpusDecoder().decode(packet)) == pytest.approx(duration_ms(packet) * 16, abs=40)
