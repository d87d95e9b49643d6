"""Plain aiortc as a server, for comparison in the WebRTC runs.

It sends and receives as the examples of aiortc's documentation do: `track.recv()` in a loop, and a
track that gives `AudioFrame`s of 20 ms. With `--video`, a second track gives `VideoFrame`s that
were drawn before. Received audio is dropped. Served by uvicorn on uvloop, as the gateway is.

    PARLEY_PORT=8000 python -m benchmarks.webrtc_stock --video
"""

import argparse
import asyncio
import os
import sys
from fractions import Fraction

import av
import numpy as np
import uvicorn
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from benchmarks.webrtc_loopback import only_loopback
from benchmarks.webrtc_pictures import PICTURE_MS, talking
from benchmarks.webrtc_speech import CLOCK_HZ, PACKET_MS, PACKET_SAMPLES, Paced, speech
from pipeline.frames import Samples

VIDEO_CLOCK_HZ = 90_000


class Speaker(Paced):
    """Speech without end, 20 ms a frame."""

    def __init__(self, said: Samples) -> None:
        super().__init__("audio", PACKET_MS / 1000)
        self._said = said

    async def recv(self) -> av.AudioFrame:
        number = await self.due()
        start = number * PACKET_SAMPLES % (len(self._said) - PACKET_SAMPLES)
        part = self._said[start : start + PACKET_SAMPLES].reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
        frame.sample_rate = CLOCK_HZ
        frame.pts = number * PACKET_SAMPLES
        frame.time_base = Fraction(1, CLOCK_HZ)
        return frame


class Camera(Paced):
    """The talking face, 25 pictures a second."""

    def __init__(self, drawn: list[np.ndarray]) -> None:
        super().__init__("video", PICTURE_MS / 1000)
        self._drawn = drawn

    async def recv(self) -> av.VideoFrame:
        number = await self.due()
        frame = av.VideoFrame.from_ndarray(self._drawn[number % len(self._drawn)], format="rgb24")
        frame.pts = number * PICTURE_MS * VIDEO_CLOCK_HZ // 1000
        frame.time_base = Fraction(1, VIDEO_CLOCK_HZ)
        return frame


class Server:
    """The application and its connections."""

    def __init__(self, *, video: bool) -> None:
        self._said = speech(CLOCK_HZ)
        self._drawn = talking() if video else []
        self._live: set[RTCPeerConnection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.app = Starlette(
            routes=[
                Route("/health/ready", self._ready),
                Route("/webrtc/{name}", self._offer, methods=["POST"]),
            ]
        )

    async def _ready(self, request: Request) -> Response:
        return PlainTextResponse("ready")

    async def _offer(self, request: Request) -> Response:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._live.add(pc)

        @pc.on("track")
        def on_track(track: MediaStreamTrack) -> None:
            task = asyncio.create_task(self._hear(track))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        @pc.on("connectionstatechange")
        async def on_change() -> None:
            if pc.connectionState in ("failed", "closed"):
                self._live.discard(pc)
                await pc.close()

        sdp = (await request.body()).decode()
        await pc.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        pc.addTrack(Speaker(self._said))
        if self._drawn:
            pc.addTrack(Camera(self._drawn))
        await pc.setLocalDescription(await pc.createAnswer())
        return PlainTextResponse(pc.localDescription.sdp, 201, media_type="application/sdp")

    async def _hear(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                await track.recv()
        except MediaStreamError:
            pass


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--video", action="store_true", help="show a face, too")
    arguments = parser.parse_args()
    only_loopback()
    app = Server(video=arguments.video).app
    port = int(os.environ["PARLEY_PORT"])
    uvicorn.run(
        app, host="127.0.0.1", port=port, loop="uvloop", log_level="warning", access_log=False
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
