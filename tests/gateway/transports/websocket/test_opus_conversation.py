"""Opus over the WebSocket, both ways: what is understood and heard, and packets that are none."""

import asyncio
import os
import wave
from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from gateway.media.codecs import OpusReader
from gateway.media.opus import OpusDecoder, OpusEncoder
from gateway.media.opus_packets import duration_ms
from gateway.media.resampling import converter
from pipeline.frames import Samples, Sentence, Speech
from stages.fakes import FakeSynthesizer, FakeTranscriber
from tests.support.paths import AUDIO

SENTENCE = 4_700 * 16

CLIP = AUDIO / "software-engineer-1.wav"

MISSING = [name for name in ("pocketsphinx", "espeakng_loader") if find_spec(name) is None]
needs_engines = pytest.mark.skipif(
    bool(MISSING) and os.environ.get("CI") != "true",
    reason=f"needs the extra 'offline': {', '.join(MISSING)} not installed",
)


class Listener:
    """A client that keeps its binary messages apart, as packets need it."""

    def __init__(self, caller: Any) -> None:
        self.caller = caller
        self.packets: list[bytes] = []
        caller.audio = self

    def __iadd__(self, message: bytes) -> "Listener":
        self.packets.append(message)
        return self


def heard(packets: list[bytes]) -> Samples:
    """What a client with one decoder hears, at 16 kHz."""
    decoder = OpusDecoder()
    return np.concatenate([decoder.decode(packet) for packet in packets])


SILENCE = np.zeros(320, np.int16)

SPOKEN = 28_100
"""Samples of the clip that a sentence of `Reader` ends at."""


def hello(encoding: str, rate: int, **more: Any) -> dict[str, Any]:
    audio = {"encoding": encoding, "rate": rate}
    return {"type": "hello", "version": 1, "audio_in": audio, "audio_out": audio, **more}


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


def likeness(one: Samples, other: Samples, most: int = 800) -> float:
    """The correlation of two sounds at the lag, of at most `most` samples, where it is greatest."""
    size = min(len(one), len(other)) - most
    first = one[:size].astype(float)
    best = 0.0
    for lag in range(most):
        second = other[lag : lag + size].astype(float)
        best = max(best, float(first @ second / np.sqrt((first @ first) * (second @ second))))
    return best


async def understood(gateway: Any, encoding: str, rate: int) -> str:
    """The words of an answer, after the opening was cut short."""
    pcm = clip(rate)
    step = rate // 50
    frames = [pcm[at : at + step].tobytes() for at in range(0, len(pcm), step)]
    async with gateway.call(f"{encoding}-{rate}") as caller:
        await caller.say(**hello(encoding, rate))
        await caller.until("reply.started")
        await caller.say(type="interrupt")
        for message in packed(pcm, rate) if encoding == "opus" else frames:
            await caller.socket.send(message)
        text: str = (await caller.until("transcript", final=True))["text"]
        return text


@pytest.mark.realtime  # its recogniser has a budget
@needs_engines
def test_a_conversation_in_opus_is_understood_as_one_in_pcm_is(gateway: Any) -> None:
    gateway.configured = True
    gateway.settings |= {
        "stt": "pocketsphinx",
        "tts": "espeak-ng",
        "vad": "energy",
        "silence_ms": 800,
        "budget_ms": 10_000,  # what matters here are the words
    }

    async def story() -> None:
        said = await understood(gateway, "pcm_s16le", 16_000)
        assert said.startswith("i spent the last four years building web services")
        assert await understood(gateway, "opus", 16_000) == said
        assert await understood(gateway, "opus", 48_000) == said

    gateway.run(story)


class Reader(FakeSynthesizer):
    """Speaks the clip, whatever the words: the same samples every time."""

    def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        return self._speak(sentence.turn)

    async def _speak(self, turn: int) -> AsyncIterator[Speech]:
        yield Speech(turn, clip(16_000)[8000:SPOKEN])


@pytest.mark.parametrize("rate", [8000, 12_000, 16_000, 24_000, 48_000])
def test_every_frame_of_a_reply_is_one_packet_of_its_sound(gateway: Any, rate: int) -> None:
    gateway.synthesizer = Reader()

    async def story() -> None:
        async with gateway.call() as caller:
            audio = Listener(caller)
            await caller.say(**hello("opus", rate))
            ready = await caller.until("ready")
            assert ready["audio_in"] == {"encoding": "opus", "rate": rate, "channels": 1}
            assert ready["audio_out"] == {"encoding": "opus", "rate": rate}
            await caller.until("reply.done", turn=0)
            sentences = sum(message["type"] == "reply.text" for message in caller.messages)
            spoken = np.tile(clip(16_000)[8000:SPOKEN], sentences)
            assert len(spoken) % 320, "the last frame is a short one"
            assert len(audio.packets) == -(-len(spoken) // 320)
            assert {duration_ms(packet) for packet in audio.packets} == {20.0}
            assert likeness(spoken, heard(audio.packets)) > 0.98

    gateway.run(story)


def test_after_clear_nothing_of_the_old_reply_rings_on(gateway: Any) -> None:
    gateway.synthesizer = FakeSynthesizer(ms_per_word=400)

    async def story() -> None:
        async with gateway.call() as caller:
            audio = Listener(caller)
            await caller.say(**hello("opus", 24_000))
            await caller.until("reply.text", turn=0)
            while len(audio.packets) < 20:
                await asyncio.sleep(0.01)
            await caller.say(type="interrupt")
            await caller.until("reply.done", turn=0, interrupted=True)
            before = len(audio.packets)
            await caller.say(type="text", text="Let us go on with the next one then")
            await caller.until("reply.started", turn=1)
            while len(audio.packets) < before + 5:
                await asyncio.sleep(0.01)
            # A new encoder begins with the silence that it looks ahead: 6.5 ms.
            begins = OpusDecoder().decode(audio.packets[before])
            assert np.abs(begins[:64]).max() < 100
            assert np.abs(heard(audio.packets[before:])).max() > 7000

    gateway.run(story)


def test_speech_in_packets_of_any_length_is_a_turn(gateway: Any) -> None:
    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(**hello("opus", 48_000, interview={"role": "Data Analyst"}))
            await caller.until("reply.done", turn=0)
            tone = (6000 * np.sin(2 * np.pi * 200 * np.arange(19_200) / 48_000)).astype(np.int16)
            sent = packed(np.concatenate([tone, np.zeros(48_000, np.int16)]), 48_000)
            # Two frames of a length in one packet: RFC 6716, section 3.2.4.
            pairs = [
                bytes([one[0] | 2, *length(one[1:])]) + one[1:] + two[1:]
                for one, two in zip(sent[::2], sent[1::2], strict=True)
            ]
            for packet in pairs:
                await caller.socket.send(packet)
            started = await caller.until("speech.started", turn=1)
            stopped = await caller.until("speech.stopped", turn=1)
            assert stopped["at_ms"] - started["at_ms"] == pytest.approx(400, abs=64)
            await caller.until("reply.done", turn=1)
            assert "error" not in caller.types()

    gateway.run(story)


def length(frame: bytes) -> bytes:
    """RFC 6716, section 3.2.1."""
    size = len(frame)
    return bytes([size]) if size < 252 else bytes([252 + size % 4, (size - 252 - size % 4) // 4])


def test_a_packet_that_is_none_gets_a_code_and_its_time_goes_on(gateway: Any) -> None:
    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(**hello("opus", 16_000))
            await caller.until("reply.done", turn=0)
            tone = (6000 * np.sin(2 * np.pi * 200 * np.arange(6400) / 16_000)).astype(np.int16)
            speech = packed(np.concatenate([tone, np.zeros(16_000, np.int16)]), 16_000)
            for index in (5, 9, 30, 31, 32):
                speech[index] = b"\x7b\x00"
            for packet in speech:
                await caller.socket.send(packet)
            started = await caller.until("speech.started", turn=1)
            stopped = await caller.until("speech.stopped", turn=1)
            assert stopped["at_ms"] - started["at_ms"] == pytest.approx(400, abs=64)
            await caller.until("reply.done", turn=1)
            errors = [message for message in caller.messages if message["type"] == "error"]
            assert [(error["code"], error["fatal"]) for error in errors] == [
                ("bad_packet", False)
            ] * 5
            await caller.socket.send(b"\x7b\x06" + bytes(6))
            await caller.until("error", code="audio_too_long")

    gateway.run(story)


def test_pcm_where_opus_was_agreed_ends_the_session(gateway: Any) -> None:
    async def story() -> None:
        noise = np.random.default_rng(5).integers(-3000, 3000, 32_000).astype(np.int16)
        async with gateway.call() as caller:
            await caller.say(**hello("opus", 16_000))
            await caller.until("ready")
            try:
                for at in range(0, len(noise), 320):
                    await caller.socket.send(noise[at : at + 320].tobytes())
            except ConnectionClosed:
                pass
            error = await caller.until("error", code="flooding")
            assert error["message"] == "too many errors"
            assert (await caller.closed())[0] == 1008
            errors = [message for message in caller.messages if message["type"] == "error"]
            assert len(errors) == 51

    gateway.run(story)


class Hearing(FakeTranscriber):
    """Remembers how many samples it was fed."""

    def __init__(self) -> None:
        super().__init__()
        self.fed: list[int] = []

    def open(self, turn: int, on_partial: Any = None, hints: Any = ()) -> Any:
        recognition = super().open(turn, on_partial)
        recognition.feed = lambda pcm: self.fed.append(len(pcm))
        return recognition


def test_a_recording_in_opus_sent_at_once_is_heard_whole(gateway: Any) -> None:
    gateway.transcriber = hearing = Hearing()

    async def story() -> None:
        tone = (6000 * np.sin(2 * np.pi * 200 * np.arange(48_000) / 16_000)).astype(np.int16)
        async with gateway.call() as caller:
            await caller.say(**hello("opus", 16_000))
            await caller.until("reply.done", turn=0)
            for packet in packed(np.concatenate([tone, np.zeros(9600, np.int16)]), 16_000):
                await caller.socket.send(packet)
            await caller.say(type="bye")
            assert (await caller.closed())[0] == 1000
            await caller.until("transcript", turn=1, final=True)
            assert 3000 + 200 <= sum(hearing.fed) // 16 <= 3000 + 900
            assert "error" not in caller.types()

    gateway.run(story)


def test_a_minute_of_opus_in_one_read_is_no_flood_and_half_an_hour_is(gateway: Any) -> None:
    def at_once(packet: bytes, times: int) -> bytes:
        return Frame(Opcode.BINARY, packet).serialize(mask=True) * times

    async def story() -> None:
        async with (
            gateway.call("minute") as patient,
            gateway.call("half-hour") as hasty,
        ):
            for caller in (patient, hasty):
                await caller.say(**hello("opus", 16_000))
                await caller.until("ready")
            patient.socket.transport.write(at_once(OpusEncoder(16_000).encode(SILENCE), 3000))
            hasty.socket.transport.write(at_once(b"\x1b\x01\x00", 30_000))  # 60 ms each
            assert (await hasty.until("error"))["code"] == "flooding"
            assert (await hasty.closed())[0] == 1008
            await patient.until("reply.done", turn=0)
            assert "error" not in patient.types()
            patient.socket.transport.abort()  # a goodbye would wait behind the minute

    gateway.run(story)


def test_what_waits_when_a_session_ends_belongs_to_its_last_words(gateway: Any) -> None:
    gateway.transcriber = hearing = Hearing()

    async def story() -> None:
        tone = (6000 * np.sin(2 * np.pi * 200 * np.arange(6400) / 16_000)).astype(np.int16)
        async with gateway.call() as caller:
            await caller.say(**hello("opus", 16_000))
            await caller.until("reply.done", turn=0)
            silence = [b"\x18"] * 2100  # 60 ms each: more than may wait
            frames = [Frame(Opcode.BINARY, data) for data in (*packed(tone, 16_000), *silence)]
            caller.socket.transport.write(b"".join(frame.serialize(mask=True) for frame in frames))
            await caller.until("error", code="flooding")
            await caller.until("transcript", turn=1, final=True)
            assert (await caller.closed())[0] == 1008
        assert sum(hearing.fed) // 16 == pytest.approx(120_000, abs=600)

    gateway.run(story)


def test_who_is_refused_is_not_listened_to_any_more(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[int] = []
    check = OpusReader.duration_ms

    def counting(self: OpusReader, data: bytes) -> float:
        checked.append(len(data))
        return check(self, data)

    monkeypatch.setattr(OpusReader, "duration_ms", counting)

    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(**hello("opus", 16_000))
            await caller.until("ready")
            frame = Frame(Opcode.BINARY, b"\x18").serialize(mask=True)  # 60 ms each
            caller.socket.transport.write(frame * 30_000)
            assert (await caller.until("error"))["code"] == "flooding"
            assert (await caller.closed())[0] == 1008
        assert len(checked) < 2500

    gateway.run(story)
