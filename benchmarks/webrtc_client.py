"""The client of the WebRTC runs: aiortc peers in one process of its own.

Each peer sends speech that was encoded before, 50 packets a second, and counts what comes back
without decoding it. It prints JSON lines as `benchmarks.load` does: `steady`, `over` and
`report`.

    python -m benchmarks.webrtc_client --url http://127.0.0.1:8000 --peers 8 --seconds 20
"""

import argparse
import asyncio
import json
import os
import sys
import time
from typing import Any

import httpx
import uvloop
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.rtp import RtpPacket

from benchmarks.load import CPU_LIMIT, LAG_LIMIT_MS
from benchmarks.timing import percentile
from benchmarks.webrtc_loopback import only_loopback
from benchmarks.webrtc_speech import CLOCK_HZ, Microphone, packets, speech
from gateway.commands.bench.load import own_cpu_s, tell

CONNECT_S = 20.0
WARM_UP_S = 4.0
VIDEO_WARM_UP_S = 10.0
"""After the last peer has received something: by then the server has finished work that it does
once, such as the pictures of a listening face."""


class Counter:
    """In place of aiortc's jitter buffer: counts packets, and pictures by their marker bits."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.packets = 0
        self.pictures = 0
        self.bytes = 0

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        self.first.set()
        self.packets += 1
        self.pictures += packet.marker
        self.bytes += len(packet.payload)
        return False, None


class Peer:
    """One connection."""

    def __init__(self, url: str, name: str, microphone: Microphone, codec: str | None) -> None:
        self.microphone = microphone
        self.counters: dict[str, Counter] = {}
        self.degraded = 0
        self._url = f"{url}/webrtc/{name}"
        self._codec = codec
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._channel = self._pc.createDataChannel("parley")
        self._channel.on("open", self._hello)
        self._channel.on("message", self._told)

    async def connect(self) -> None:
        """Offer, as WHIP does. Raises `httpx.HTTPError`, and `TimeoutError` where nothing comes."""
        pc = self._pc
        audio = pc.addTransceiver(self.microphone, "sendrecv")
        self.counters["audio"] = _count(audio.receiver)
        if self._codec is not None:
            video = pc.addTransceiver("video", "recvonly")
            wanted = f"video/{self._codec}"
            known = RTCRtpReceiver.getCapabilities("video")
            assert known is not None
            video.setCodecPreferences([c for c in known.codecs if c.mimeType.lower() == wanted])
            self.counters["video"] = _count(video.receiver)
        await pc.setLocalDescription(await pc.createOffer())
        async with httpx.AsyncClient(trust_env=False, timeout=CONNECT_S) as client:
            answer = await client.post(
                self._url,
                content=pc.localDescription.sdp,
                headers={"content-type": "application/sdp"},
            )
        answer.raise_for_status()
        await pc.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        async with asyncio.timeout(CONNECT_S):
            for counter in self.counters.values():
                await counter.first.wait()

    def _hello(self) -> None:
        self._channel.send(json.dumps({"type": "hello", "version": 1}))

    def _told(self, message: str) -> None:
        self.degraded += json.loads(message)["type"] == "degraded"

    async def close(self) -> None:
        await self._pc.close()


def _count(receiver: RTCRtpReceiver) -> Counter:
    counter = Counter()
    inside: Any = receiver
    inside._RTCRtpReceiver__jitter_buffer = counter
    receive = receiver.receive

    async def without_thread(parameters: Any) -> None:
        await receive(parameters)
        inside._RTCRtpReceiver__stop_decoder()

    inside.receive = without_thread
    return counter


async def measure(url: str, peers: int, seconds: float, codec: str | None) -> dict[str, Any]:
    """Connect, wait until all is steady, count for some seconds; returns the report."""
    said = packets(speech(CLOCK_HZ))
    calls = [
        Peer(url, f"bench-{os.getpid()}-{n}", Microphone(said, n * len(said) // peers), codec)
        for n in range(peers)
    ]
    try:
        for call in calls:
            await call.connect()
        await asyncio.sleep(WARM_UP_S if codec is None else VIDEO_WARM_UP_S)
        for call in calls:
            call.microphone.lag_ms.clear()
        degraded_before = sum(call.degraded for call in calls)
        seen = _counts(calls)
        began, cpu_s = time.monotonic(), own_cpu_s()
        tell("steady")
        await asyncio.sleep(seconds)
        wall_s, used_s = time.monotonic() - began, own_cpu_s() - cpu_s
        tell("over")
        rates = {
            name: (count - seen[name]) / (wall_s * peers) for name, count in _counts(calls).items()
        }
        lag = [late for call in calls for late in call.microphone.lag_ms]
        degraded = sum(call.degraded for call in calls) - degraded_before
    finally:
        await asyncio.gather(*(call.close() for call in calls))
    lag_p99, share = percentile(lag, 0.99), used_s / wall_s
    distrust = []
    if lag_p99 > LAG_LIMIT_MS:
        distrust.append(f"the client ran {lag_p99:.0f} ms late (p99)")
    if share > CPU_LIMIT:
        distrust.append(f"the client used {share:.0%} of its core")
    return {
        "wall_s": wall_s,
        "client_cpu_share": share,
        "lag_p99_ms": lag_p99,
        "sent": len(lag) / (wall_s * peers),
        "rates": rates,
        "degraded": degraded,
        "distrust": distrust,
    }


def _counts(calls: list[Peer]) -> dict[str, int]:
    """The packets and pictures so far, of all peers."""
    names = {"audio packets": ("audio", "packets"), "audio bytes": ("audio", "bytes")}
    if "video" in calls[0].counters:
        names |= {f"video {what}": ("video", what) for what in ("packets", "pictures", "bytes")}
    return {
        name: sum(getattr(call.counters[kind], what) for call in calls)
        for name, (kind, what) in names.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True, help="of the server")
    parser.add_argument("--peers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--video", choices=("vp8", "h264"), help="ask for a picture, too")
    parser.add_argument("--core", type=int, help="stay on this core")
    arguments = parser.parse_args()
    if arguments.core is not None:
        os.sched_setaffinity(0, {arguments.core})
    only_loopback()
    run = measure(arguments.url, arguments.peers, arguments.seconds, arguments.video)
    tell("report", **uvloop.run(run))
    return 0


if __name__ == "__main__":
    sys.exit(main())
