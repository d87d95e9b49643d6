"""LiveKit Agents behind a small WebSocket server, with stages that cost nothing.

    PORT=8000 python livekit_app.py

Its users run it behind LiveKit's own media server, which is not part of this benchmark. So an
`AgentSession` is fed as its interface allows: by an `AudioInput` and an `AudioOutput` of our own,
in the process of the socket. Recognition, language model and voice are the agent's nodes, which is
the shortest way that the framework has for them. Turns end by its Silero detector.
"""

import asyncio
import json
import logging
import os
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import uvloop
from aiohttp import WSMsgType, web
from livekit import rtc
from livekit.agents import Agent, AgentSession, inference, llm, stt, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from livekit.agents.voice import io
from livekit.plugins import silero
from script import ANSWER, BARGE_IN_S, RATE_HZ, REPLY, SILENCE_S, tone

FRAME_S = 0.02
QUEUE_S = 0.2
"""As much as the output of a LiveKit room keeps in its queue."""
PIECE_S = 0.05
"""The frames in which that output hands audio on."""


class Ears(io.AudioInput):
    """The socket's messages as the session's microphone."""

    def __init__(self) -> None:
        super().__init__(label="socket")
        self._frames: asyncio.Queue[rtc.AudioFrame | None] = asyncio.Queue()

    def push(self, pcm: bytes) -> None:
        self._frames.put_nowait(rtc.AudioFrame(pcm, RATE_HZ, 1, len(pcm) // 2))

    def end(self) -> None:
        self._frames.put_nowait(None)

    async def __anext__(self) -> rtc.AudioFrame:
        frame = await self._frames.get()
        if frame is None:
            raise StopAsyncIteration
        return frame


class Mouth(io.AudioOutput):
    """The session's voice as messages of the socket, at most 200 ms ahead of real time."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        super().__init__(
            label="socket",
            capabilities=io.AudioOutputCapabilities(pause=False),
            sample_rate=RATE_HZ,
        )
        self._socket = socket
        self._pieces: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._started_at = 0.0
        self._sent_s = 0.0
        self._whole = False
        self.pump = asyncio.create_task(self._pump())

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        data = bytes(frame.data)
        size = int(RATE_HZ * PIECE_S) * 2
        self._pieces.extend(data[at : at + size] for at in range(0, len(data), size))
        self._wake.set()

    def flush(self) -> None:
        super().flush()
        self._whole = True
        self._wake.set()

    def clear_buffer(self) -> None:
        if self._pieces or self._sent_s:
            self._pieces.clear()
            self._finish(min(self._sent_s, time.monotonic() - self._started_at), True)

    def _finish(self, position_s: float, interrupted: bool) -> None:
        self._sent_s, self._whole = 0.0, False
        self.on_playback_finished(playback_position=position_s, interrupted=interrupted)

    async def _pump(self) -> None:
        while True:
            if self._pieces:
                now = time.monotonic()
                if not self._sent_s:
                    self._started_at = now
                    self.on_playback_started(created_at=time.time())
                ahead_s = self._started_at + self._sent_s - now
                if ahead_s + PIECE_S > QUEUE_S + 0.001:
                    await asyncio.sleep(ahead_s + PIECE_S - QUEUE_S)
                    continue
                piece = self._pieces.popleft()
                self._sent_s += len(piece) / 2 / RATE_HZ
                await self._socket.send_bytes(piece)
                continue
            if self._whole and self._sent_s:
                left_s = self._started_at + self._sent_s - time.monotonic()
                if left_s > 0:
                    await asyncio.sleep(left_s)
                    continue
                self._finish(self._sent_s, False)
                continue
            self._wake.clear()
            await self._wake.wait()


class NoRecogniser(stt.STT):
    """Says that there is recognition; the agent's node does it."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))

    async def _recognize_impl(self, *args: Any, **kwargs: Any) -> stt.SpeechEvent:
        raise NotImplementedError


class NoModel(llm.LLM):
    """The same for the language model."""

    def chat(self, **kwargs: Any) -> llm.LLMStream:
        raise NotImplementedError


class NoVoice(tts.TTS):
    """The same for synthesis."""

    def __init__(self) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=True), sample_rate=RATE_HZ, num_channels=1
        )

    def synthesize(self, text: str, *, conn_options: Any = DEFAULT_API_CONNECT_OPTIONS) -> Any:
        raise NotImplementedError


SPEECH = tone(REPLY)
SPEECH_PIECE = RATE_HZ // 10 * 2


class Interviewer(Agent):
    """Answers every turn with the same words."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        super().__init__(instructions="Interview the candidate.")
        self._socket = socket
        self.stopped = asyncio.Event()
        """Set when the detector finds the end of speech: recognition takes no time."""

    async def stt_node(
        self, audio: AsyncIterable[rtc.AudioFrame], model_settings: Any
    ) -> AsyncIterator[stt.SpeechEvent]:
        async def listen() -> None:
            async for _ in audio:
                pass

        listening = asyncio.create_task(listen())
        try:
            while True:
                await self.stopped.wait()
                self.stopped.clear()
                yield stt.SpeechEvent(
                    stt.SpeechEventType.FINAL_TRANSCRIPT,
                    alternatives=[stt.SpeechData(language="en", text=ANSWER, confidence=0.9)],
                )
        finally:
            listening.cancel()

    async def llm_node(
        self, chat_ctx: llm.ChatContext, tools: list[Any], model_settings: Any
    ) -> AsyncIterator[str]:
        for word in REPLY.split():
            yield word + " "

    async def tts_node(
        self, text: AsyncIterable[str], model_settings: Any
    ) -> AsyncIterator[rtc.AudioFrame]:
        began = False
        async for _ in text:
            if not began:
                began = True
                for at in range(0, len(SPEECH), SPEECH_PIECE):
                    piece = SPEECH[at : at + SPEECH_PIECE]
                    yield rtc.AudioFrame(piece, RATE_HZ, 1, len(piece) // 2)

    async def on_user_turn_completed(
        self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage
    ) -> None:
        await self._socket.send_str('{"type":"decided"}')


def detector() -> Any:
    """Silero as the framework brings it, or as its plugin does (PARLEY_PEER_VAD=plugin).

    The first is its default, and cheaper.
    """
    if os.environ.get("PARLEY_PEER_VAD") == "plugin":
        return silero.VAD.load()
    return inference.VAD(model="silero")


async def converse(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=False, max_msg_size=1 << 16)
    await socket.prepare(request)
    agent = Interviewer(socket)
    session: AgentSession[None] = AgentSession(
        stt=NoRecogniser(),
        vad=request.app["vad"],
        llm=NoModel(),
        tts=NoVoice(),
        turn_handling={
            "turn_detection": "vad",
            "endpointing": {"mode": "fixed", "min_delay": SILENCE_S, "max_delay": SILENCE_S},
            "interruption": {"mode": "vad", "min_duration": BARGE_IN_S},
        },
        aec_warmup_duration=None,
    )

    @session.on("user_state_changed")
    def _(event: Any) -> None:
        if event.old_state == "speaking" and event.new_state == "listening":
            agent.stopped.set()

    ears, mouth = Ears(), Mouth(socket)
    session.input.audio = ears
    session.output.audio = mouth
    await session.start(agent, record=False)
    await socket.send_str(json.dumps({"type": "ready"}))
    try:
        async for message in socket:
            if message.type == WSMsgType.BINARY:
                ears.push(message.data)
    finally:
        ears.end()
        mouth.pump.cancel()
        await session.aclose()
    return socket


async def health(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def application() -> web.Application:
    app = web.Application()
    app["vad"] = detector()  # shared by all sessions, as LiveKit's examples prewarm it
    app.router.add_get("/ws", converse)
    app.router.add_get("/health", health)
    return app


def main() -> None:
    logging.basicConfig(level=logging.ERROR)
    uvloop.install()
    web.run_app(
        application(),
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        access_log=None,
        print=None,
        handle_signals=True,
    )


if __name__ == "__main__":
    main()
