"""Opus in both directions, and what stands where packets are lost."""

import numpy as np
import pytest

from gateway.media.opus import OpusEncoder
from gateway.transports.webrtc.jitter import MediaPacket, MissingMedia, duration
from gateway.transports.webrtc.opus import FRAME, SEND_RATE_HZ, PacketDecoder
from pipeline.frames import Samples


def tone(hz: float, seconds: float, rate_hz: int) -> Samples:
    at = np.arange(int(seconds * rate_hz)) / rate_hz
    return (8000 * np.sin(2 * np.pi * hz * at)).astype(np.int16)


def packets(pcm: Samples) -> list[bytes]:
    encoder = OpusEncoder()
    return [encoder.encode(pcm[at : at + FRAME]) for at in range(0, len(pcm), FRAME)]


def pitch(pcm: Samples, rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    return float(np.argmax(spectrum)) * rate_hz / len(pcm)


def test_a_tone_survives_encoding_and_decoding() -> None:
    sent = packets(tone(440, 1.0, SEND_RATE_HZ))
    assert {duration(packet) for packet in sent} == {960}
    assert 2500 < sum(map(len, sent)) < 4500, "24 to 32 kb/s"
    decoder = PacketDecoder()
    heard = np.concatenate([decoder.decode([MediaPacket(packet)]) for packet in sent])
    assert len(heard) == pytest.approx(16_000, abs=40)
    steady = heard[4000:]
    assert pitch(steady, 16_000) == pytest.approx(440, abs=3)
    assert np.abs(steady).max() == pytest.approx(8000, rel=0.1)


def test_a_short_last_frame_is_filled_up() -> None:
    assert duration(OpusEncoder().encode(tone(440, 0.005, SEND_RATE_HZ))) == 960


@pytest.mark.parametrize("payload", [b"", b"\x03", b"\xff\x00" * 600, bytes([31 << 3 | 3, 50])])
def test_what_is_no_opus_is_concealed_and_the_next_packet_is_heard(payload: bytes) -> None:
    decoder = PacketDecoder()
    first, *rest = packets(tone(440, 0.4, SEND_RATE_HZ))
    decoder.decode([MediaPacket(first)])
    assert len(decoder.decode([MediaPacket(payload)])) == 320
    heard = np.concatenate([decoder.decode([MediaPacket(packet)]) for packet in rest])
    assert pitch(heard[1600:], 16_000) == pytest.approx(440, abs=5)


def test_nothing_decodes_to_nothing() -> None:
    assert len(PacketDecoder().decode([])) == 0


def test_a_lost_packet_continues_the_tone_and_fades() -> None:
    decoder = PacketDecoder()
    for packet in packets(tone(200, 0.4, SEND_RATE_HZ)):
        decoder.decode([MediaPacket(packet)])
    gaps = [decoder.decode([MissingMedia(960, lost=True)]) for _ in range(5)]
    assert [len(gap) for gap in gaps] == [320] * 5
    assert pitch(np.concatenate(gaps[:3]), 16_000) == pytest.approx(200, abs=17)
    loudness = [int(np.abs(gap).max()) for gap in gaps]
    assert loudness[0] > 5000
    assert loudness[1] > loudness[2] > loudness[3] > loudness[4] == 0


def test_a_lost_packet_harms_the_next_one_little_and_those_behind_not_at_all() -> None:
    sent = packets(voice(0.6))
    whole, holed = PacketDecoder(), PacketDecoder()
    expected = np.concatenate([whole.decode([MediaPacket(packet)]) for packet in sent])
    items = [
        MissingMedia(960, lost=True) if at == 15 else MediaPacket(sent[at])
        for at in range(len(sent))
    ]
    actual = np.concatenate([holed.decode([item]) for item in items])
    hole = slice(15 * 320 - 16, 16 * 320 - 16)
    assert apart(expected[hole], actual[hole]) < 0.2
    following, later = slice(16 * 320, 17 * 320), slice(18 * 320, None)
    assert apart(expected[following], actual[following]) < 0.15
    assert apart(expected[later], actual[later]) < 0.01


def voice(seconds: float) -> Samples:
    """A vowel's harmonics on a falling pitch."""
    at = np.arange(int(seconds * SEND_RATE_HZ)) / SEND_RATE_HZ
    phase = 2 * np.pi * (140 * at - 10 * at * at)
    parts = [np.sin(number * phase) / number for number in range(1, 12)]
    return (4000 * np.sum(parts, axis=0)).astype(np.int16)


def apart(one: Samples, other: Samples) -> float:
    """The energy of the difference, as a share of the first one's."""
    difference = one.astype(float) - other
    return float(difference @ difference / (one.astype(float) @ one))


def test_a_stream_may_begin_with_a_loss() -> None:
    decoder = PacketDecoder()
    assert decoder.decode([MediaPacket(b"\x03")]).tolist() == [0] * 320
    assert decoder.decode([MissingMedia(480, lost=True)]).tolist() == [0] * 160


def test_silence_that_was_never_sent_is_silence() -> None:
    decoder = PacketDecoder()
    for packet in packets(tone(440, 0.2, SEND_RATE_HZ)):
        decoder.decode([MediaPacket(packet)])
    assert decoder.decode([MissingMedia(9600, lost=False)]).tolist() == [0] * 3200


def test_a_gap_has_the_length_of_what_was_lost() -> None:
    decoder = PacketDecoder()
    sent = packets(tone(440, 0.2, SEND_RATE_HZ))
    decoder.decode([MediaPacket(sent[0])])
    heard = decoder.decode([MissingMedia(1920, lost=True), MediaPacket(sent[3])])
    assert len(heard) == 640 + 320
