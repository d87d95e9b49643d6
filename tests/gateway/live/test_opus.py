"""Opus in a live call, both ways, in virtual time: what is heard, and packets that are none."""

import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.media.codecs import OpusReader
from gateway.media.opus import OpusDecoder, OpusEncoder
from gateway.media.opus_packets import duration_ms
from gateway.media.resampling import converter
from pipeline.frames import Samples, Sentence, Speech
from stages.fakes import FakeSynthesizer
from tests.support.calls import LocalCalls
from tests.support.listener import Listener

CLIP = Path(__file__).parents[3] / "fixtures/audio/software-engineer-1.wav"

SENTENCE = 4_700 * 16

SPOKEN = 28_100
"""Samples of the clip that a sentence of `Reader` ends at."""

SILENCE = np.zeros(320, np.int16)


def hello(encoding: str, rate: int, **more: Any) -> dict[str, Any]:
    audio = {"encoding": encoding, "rate": rate}
    return {"type": "hello", "version": 1, "audio_in": audio, "audio_out": audio, **more}


def heard(packets: list[bytes]) -> Samples:
    """What a client with one decoder hears, at 16 kHz."""
    decoder = OpusDecoder()
    return np.concatenate([decoder.decode(packet) for packet in packets])


def clip(rate_hz: int) -> Samples:
    """The clip's first sentence and a second of silence."""
    with wave.open(str(CLIP)) as file:
        pcm = np.frombuffer(file.readframes(SENTENCE), np.int16)
    rate = converter(16_000, rate_hz)
    return np.concatenate([rate.push(pcm), rate.flush(), np.zeros(rate_hz, np.int16)])


def packed(pcm: Samples, rate_hz: int) -> list[bytes]:
    encoder = OpusEncoder(rate_hz)
    step = encoder.frame
    return [encoder.encode(pcm[at : at + step]) for at in range(0, len(pcm), step)]


def tone(samples: int, rate_hz: int) -> Samples:
    return (6000 * np.sin(2 * np.pi * 200 * np.arange(samples) / rate_hz)).astype(np.int16)


def likeness(one: Samples, other: Samples, most: int = 800) -> float:
    """The correlation of two sounds at the lag, of at most `most` samples, where it is greatest."""
    size = min(len(one), len(other)) - most
    first, second = one[:size].astype(float), other[: size + most].astype(float)
    length = size + most
    spectrum = np.fft.rfft(second, length) * np.conj(np.fft.rfft(first, length))
    products = np.fft.irfft(spectrum, length)[:most]
    energy = np.concatenate(([0.0], np.cumsum(second**2)))
    energies = energy[size : size + most] - energy[:most]
    return float((products / np.sqrt(np.sum(first**2) * energies)).max())


class Reader(FakeSynthesizer):
    """Speaks the clip, whatever the words: the same samples every time."""

    def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        return self._speak(sentence.turn)

    async def _speak(self, turn: int) -> AsyncIterator[Speech]:
        yield Speech(turn, clip(16_000)[8000:SPOKEN])


@pytest.mark.parametrize("rate", [8000, 12_000, 16_000, 24_000, 48_000])
def test_every_frame_of_a_reply_is_one_packet_of_its_sound(local: LocalCalls, rate: int) -> None:
    local.synthesizer = Reader()

    async def story() -> None:
        async with local.call() as client:
            await client.say(**hello("opus", rate))
            ready = await client.until("ready")
            assert ready["audio_in"] == {"encoding": "opus", "rate": rate, "channels": 1}
            assert ready["audio_out"] == {"encoding": "opus", "rate": rate}
            await client.until("reply.done", turn=0)
            sentences = len(client.found("reply.text"))
            spoken = np.tile(clip(16_000)[8000:SPOKEN], sentences)
            assert len(spoken) % 320, "the last frame is a short one"
            assert len(client.packets) == -(-len(spoken) // 320)
            assert {duration_ms(packet) for packet in client.packets} == {20.0}
            assert likeness(spoken, heard(client.packets)) > 0.98

    local.run(story)


def test_after_clear_nothing_of_the_old_reply_rings_on(local: LocalCalls) -> None:
    local.synthesizer = FakeSynthesizer(ms_per_word=400)

    async def story() -> None:
        async with local.call() as client:
            await client.say(**hello("opus", 24_000))
            await client.until("reply.text", turn=0)
            await client.until_audio(packets=20)
            await client.say(type="interrupt")
            await client.until("reply.done", turn=0, interrupted=True)
            before = len(client.packets)
            await client.say(type="text", text="Let us go on with the next one then")
            await client.until("reply.started", turn=1)
            await client.until_audio(packets=before + 5)
            # A new encoder begins with the silence that it looks ahead: 6.5 ms.
            begins = OpusDecoder().decode(client.packets[before])
            assert np.abs(begins[:64]).max() < 100
            assert np.abs(heard(client.packets[before:])).max() > 7000

    local.run(story)


def test_speech_in_packets_of_any_length_is_a_turn(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.say(**hello("opus", 48_000, interview={"role": "Data Analyst"}))
            await client.until("reply.done", turn=0)
            pcm = np.concatenate([tone(19_200, 48_000), np.zeros(48_000, np.int16)])
            sent = packed(pcm, 48_000)
            # Two frames of a length in one packet: RFC 6716, section 3.2.4.
            pairs = [
                bytes([one[0] | 2, *length(one[1:])]) + one[1:] + two[1:]
                for one, two in zip(sent[::2], sent[1::2], strict=True)
            ]
            await client.send(*pairs)
            started = await client.until("speech.started", turn=1)
            stopped = await client.until("speech.stopped", turn=1)
            assert stopped["at_ms"] - started["at_ms"] == pytest.approx(400, abs=64)
            await client.until("reply.done", turn=1)
            assert "error" not in client.types()

    local.run(story)


def length(frame: bytes) -> bytes:
    """RFC 6716, section 3.2.1."""
    size = len(frame)
    return bytes([size]) if size < 252 else bytes([252 + size % 4, (size - 252 - size % 4) // 4])


def test_a_packet_that_is_none_gets_a_code_and_its_time_goes_on(local: LocalCalls) -> None:
    local.transcriber = listener = Listener()

    async def story() -> None:
        async with local.call() as client:
            await client.say(**hello("opus", 16_000))
            await client.until("reply.done", turn=0)
            pcm = np.concatenate([tone(6400, 16_000), np.zeros(16_000, np.int16)])
            speech = packed(pcm, 16_000)
            for index in (5, 9, 30, 31, 32):
                speech[index] = b"\x7b\x00"
            await client.send(*speech)
            started = await client.until("speech.started", turn=1)
            stopped = await client.until("speech.stopped", turn=1)
            assert stopped["at_ms"] - started["at_ms"] == pytest.approx(400, abs=64)
            await client.until("reply.done", turn=1)
            # What was refused sounds as the decoder conceals it, 20 ms for each packet.
            assert 400 + 200 <= listener.samples // 16 <= 400 + 900
            errors = [(error["code"], error["fatal"]) for error in client.found("error")]
            assert errors == [("bad_packet", False)] * 5
            await client.send(b"\x7b\x06" + bytes(6))
            await client.until("error", code="audio_too_long")

    local.run(story)


def test_pcm_where_opus_was_agreed_ends_the_session(local: LocalCalls) -> None:
    async def story() -> None:
        noise = np.random.default_rng(5).integers(-3000, 3000, 32_000).astype(np.int16)
        async with local.call() as client:
            await client.say(**hello("opus", 16_000))
            await client.until("ready")
            await client.send(*(noise[at : at + 320].tobytes() for at in range(0, len(noise), 320)))
            error = await client.until("error", code="flooding")
            assert error["message"] == "too many errors"
            assert (await client.closed())[0] == 1008
            assert len(client.found("error")) == 51

    local.run(story)


def test_a_recording_in_opus_sent_at_once_is_heard_whole(local: LocalCalls) -> None:
    local.transcriber = listener = Listener()

    async def story() -> None:
        async with local.call() as client:
            await client.say(**hello("opus", 16_000))
            await client.until("reply.done", turn=0)
            pcm = np.concatenate([tone(48_000, 16_000), np.zeros(9600, np.int16)])
            await client.send(*packed(pcm, 16_000))
            await client.say(type="bye")
            assert (await client.closed())[0] == 1000
            await client.until("transcript", turn=1, final=True)
            assert 3000 + 200 <= listener.samples // 16 <= 3000 + 900
            assert "error" not in client.types()

    local.run(story)


def test_a_minute_of_opus_in_one_read_is_no_flood_and_half_an_hour_is(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call("minute") as patient, local.call("half-hour") as hasty:
            for client in (patient, hasty):
                await client.say(**hello("opus", 16_000))
                await client.until("ready")
            patient.burst(*[OpusEncoder(16_000).encode(SILENCE)] * 3000)
            hasty.burst(*[b"\x1b\x01\x00"] * 30_000)  # 60 ms each
            assert (await hasty.until("error"))["code"] == "flooding"
            assert (await hasty.closed())[0] == 1008
            await patient.until("reply.done", turn=0)
            assert "error" not in patient.types()

    local.run(story)


def test_what_waits_when_a_session_ends_belongs_to_its_last_words(local: LocalCalls) -> None:
    local.transcriber = listener = Listener()

    async def story() -> None:
        async with local.call() as client:
            await client.say(**hello("opus", 16_000))
            await client.until("reply.done", turn=0)
            silence = [b"\x18"] * 2100  # 60 ms each: more than may wait
            client.burst(*packed(tone(6400, 16_000), 16_000), *silence)
            await client.until("error", code="flooding")
            assert (await client.closed())[0] == 1008
            assert client.found("transcript", turn=1, final=True) != []
        assert listener.samples // 16 == pytest.approx(120_000, abs=600)

    local.run(story)


def test_a_client_that_is_refused_is_not_listened_to_any_more(
    local: LocalCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[int] = []
    check = OpusReader.duration_ms

    def counting(self: OpusReader, data: bytes) -> float:
        checked.append(len(data))
        return check(self, data)

    monkeypatch.setattr(OpusReader, "duration_ms", counting)

    async def story() -> None:
        async with local.call() as client:
            await client.say(**hello("opus", 16_000))
            await client.until("ready")
            client.burst(*[b"\x18"] * 30_000)  # 60 ms each
            assert (await client.until("error"))["code"] == "flooding"
            assert (await client.closed())[0] == 1008
        assert len(checked) < 2500

    local.run(story)
