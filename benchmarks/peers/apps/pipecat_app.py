"""Pipecat's WebSocket bot with its Silero detector, and services that cost nothing.

    PORT=8000 python pipecat_app.py

The pipeline is the one of its quickstart: transport, recognition, the context's two aggregators,
language model and voice, over FastAPI and protobuf frames, with RTVI as it is on by default. Turns
end by silence: its default, a model that listens, would cost several times as much.
"""

import functools
import os
import sys
from collections.abc import AsyncGenerator

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import (
    Frame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.serializers.protobuf import ProtobufFrameSerializer
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.websocket.fastapi import (
    FastAPIWebsocketParams,
    FastAPIWebsocketTransport,
)
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.utils.time import time_now_iso8601
from pipecat.workers.runner import WorkerRunner
from script import ANSWER, BARGE_IN_S, RATE_HZ, REPLY, SILENCE_S, tone

STOP_S = 0.2
"""Of silence that its detector waits for; the rest is the turn strategy's. Both as by default."""

PIECE = RATE_HZ // 10 * 2

said = functools.lru_cache(tone)


class Recogniser(STTService):
    """Has the final transcript at the moment when the detector finds the end of speech."""

    def __init__(self) -> None:
        super().__init__(ttfs_p99_latency=STOP_S, settings=STTSettings(model="none", language="en"))

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        yield None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            await self.push_frame(
                TranscriptionFrame(ANSWER, "", time_now_iso8601(), finalized=True)
            )


class Model(LLMService):
    """Answers with the same words, one at a time."""

    def __init__(self) -> None:
        super().__init__(
            settings=LLMSettings(
                model="none",
                system_instruction=None,
                temperature=None,
                max_tokens=None,
                top_p=None,
                top_k=None,
                frequency_penalty=None,
                presence_penalty=None,
                seed=None,
                filter_incomplete_user_turns=False,
                user_turn_completion_config=None,
            )
        )

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            await self.push_frame(LLMFullResponseStartFrame())
            for word in REPLY.split():
                await self.push_frame(LLMTextFrame(word + " "))
            await self.push_frame(LLMFullResponseEndFrame())
        else:
            await self.push_frame(frame, direction)


class Voice(TTSService):
    """A tone for each sentence."""

    def __init__(self) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            sample_rate=RATE_HZ,
            settings=TTSSettings(model="none", voice="none", language="en"),
        )

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        speech = said(text)
        for at in range(0, len(speech), PIECE):
            yield TTSAudioRawFrame(speech[at : at + PIECE], RATE_HZ, 1, context_id=context_id)


async def converse(socket: WebSocket) -> None:
    await socket.accept()
    transport = FastAPIWebsocketTransport(
        websocket=socket,
        params=FastAPIWebsocketParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            serializer=ProtobufFrameSerializer(),
        ),
    )
    context = LLMContext()
    detector = SileroVADAnalyzer(params=VADParams(start_secs=BARGE_IN_S, stop_secs=STOP_S))
    stop = SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=SILENCE_S - STOP_S)
    aggregators = LLMContextAggregatorPair(
        context,
        user_params=LLMUserAggregatorParams(
            vad_analyzer=detector, user_turn_strategies=UserTurnStrategies(stop=[stop])
        ),
    )
    worker = PipelineWorker(
        Pipeline(
            [
                transport.input(),
                Recogniser(),
                aggregators.user(),
                Model(),
                Voice(),
                transport.output(),
                aggregators.assistant(),
            ]
        ),
        params=PipelineParams(audio_in_sample_rate=RATE_HZ, audio_out_sample_rate=RATE_HZ),
    )

    @transport.event_handler("on_client_disconnected")
    async def _(_transport: object, _client: object) -> None:
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


app = FastAPI()
app.add_api_websocket_route("/ws", converse)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


def main() -> None:
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        log_level="error",
        ws_per_message_deflate=False,
        loop="uvloop",
    )


if __name__ == "__main__":
    main()
