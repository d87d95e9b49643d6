"""Opus over a real WebSocket: that it is understood, and that TCP holds back what comes at once.

What a live call does with packets, good and bad, is proved in `tests/gateway/live/test_opus.py`.
"""

import os
import wave
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from websockets.frames import Frame, Opcode

from gateway.media.opus import OpusEncoder
from gateway.media.resampling import converter
from pipeline.frames import Samples
from tests.support.paths import AUDIO

SENTENCE = 4_700 * 16

CLIP = AUDIO / "software-engineer-1.wav"

MISSING = [name for name in ("pocketsphinx", "espeakng_loader") if find_spec(name) is None]
needs_engines = pytest.mark.skipif(
    bool(MISSING) and os.environ.get("CI") != "true",
    reason=f"needs the extra 'offline': {', '.join(MISSING)} not installed",
)


SILENCE = np.zeros(320, np.int16)


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
