"""Failures of stages, as clients of OpenAI's Realtime API are told of them."""

import base64
from itertools import count

import pytest

from gateway.protocols.openai_realtime import OpenAiRealtime
from gateway.protocols.openai_realtime.session import RealtimeSession
from pipeline.errors import StageFailed
from stages.fakes import FakeTranscriber, Script
from tests.support.calls import LocalCalls
from tests.support.realtime import pcm

NUMBERS = count()
SAID = "HTTP 500: account 4711 of jane@example.com"


def test_why_speech_was_not_recognised_is_told_without_the_servers_words(
    local: LocalCalls, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pipeline.guard")
    error = StageFailed("stt", "fake-stt", "connect", SAID, reason=f"server error ({SAID})")
    local.transcriber = FakeTranscriber(Script(error=error))
    session = RealtimeSession("interview", transcription={"language": "en"})
    dialect = OpenAiRealtime(session, new_id=lambda kind: f"{kind}_{next(NUMBERS)}")

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.until("response.done")
            for start in range(0, len(said := pcm(600, 1200)), 9600):
                piece = base64.b64encode(said[start : start + 9600]).decode()
                await client.say(type="input_audio_buffer.append", audio=piece)
            failed = await client.until("conversation.item.input_audio_transcription.failed")
            assert failed["error"]["message"].endswith("'fake-stt': server error (HTTP 500)")
            assert "jane" not in str(client.messages)

    local.run(story)
    assert f"stt provider 'fake-stt': connect: {SAID}" in caplog.messages
