"""A small avatar server with faults, for tests: `python -m tests.support.avatar_peer --port 0`.

What it does is told by the path: `/stall/v1/animations` is a server that stalls, `/stall/1/v1/…`
one that does so and has a name of its own. Its pictures are grey, and the lighter the louder.
"""

import asyncio
import base64
import gzip
import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tests.support.openai_peer import HANG, Abort, Call, Peer, paused, refuse, serve
from tests.support.video import jpeg

LOUD = 8000


def line(at_ms: Any, data: bytes | str, mime: str = "image/jpeg") -> bytes:
    text = base64.b64encode(data).decode() if isinstance(data, bytes) else data
    return json.dumps({"at_ms": at_ms, "mime": mime, "data": text}).encode() + b"\n"


def spoken(fields: dict[str, Any]) -> Iterable[bytes]:
    """What a good server sends."""
    pcm = np.frombuffer(base64.b64decode(fields["pcm"]), "<i2").astype(np.float64)
    step = fields["frame_ms"] * fields["rate"] // 1000
    for number in range(-(-len(pcm) // step)):
        part = pcm[number * step : (number + 1) * step]
        loudness = min(1.0, float(np.abs(part).max()) / LOUD)
        yield line(number * fields["frame_ms"], jpeg(40 + int(160 * loudness), fields["size"]))


def paced(fields: dict[str, Any], first_s: float, gap_s: float) -> Iterable[Any]:
    yield first_s
    for made in spoken(fields):
        yield made
        yield gap_s


def claiming(width: int, height: int) -> bytes:
    """A picture whose header says that it is larger than it is."""
    data = bytearray(jpeg(90))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


GOOD = line(0, jpeg(200))
SCENES: dict[str, Callable[[dict[str, Any]], Iterable[Any]]] = {
    "hello": spoken,
    "bytes": lambda fields: (bytes([byte]) for made in spoken(fields) for byte in made[:20000]),
    "kept-alive": lambda fields: [b"\n\r\n", *spoken(fields), b"\n"],
    "slow": lambda fields: paced(fields, 0.0, fields["frame_ms"] / 500),
    "late": lambda fields: paced(fields, 0.8, 0.0),
    "empty": lambda fields: [],
    "stall": lambda fields: [*itertools.islice(spoken(fields), 3), HANG],
    "reset": lambda fields: [*itertools.islice(spoken(fields), 3), Abort()],
    "crawls": lambda fields: itertools.chain.from_iterable((b"\n", 0.05) for _ in range(1000)),
    "garbage": lambda fields: [b"\x00\xff nonsense\n" * 10],
    "list": lambda fields: [b"[1, 2]\n"],
    "error": lambda fields: [GOOD, b'{"error": {"message": "out of memory"}}\n'],
    "half": lambda fields: [GOOD, line(80, jpeg(90))[:-40]],
    "huge": lambda fields: itertools.repeat(b"a" * 65536, 200),
    "fat": lambda fields: [line(0, jpeg(90)[:-2] + bytes(200_000) + b"\xff\xd9")],
    "endless": lambda fields: (line(at_ms, jpeg(90)) for at_ms in itertools.count()),
    "backwards": lambda fields: [line(80, jpeg(90)), line(0, jpeg(90))],
    "beyond": lambda fields: [line(60_000, jpeg(90))],
    "before": lambda fields: [line(-1, jpeg(90))],
    "far-beyond": lambda fields: [line(10**300, jpeg(90))],
    "twice": lambda fields: [line(0, jpeg(90)), line(0, jpeg(90))],
    "at-once": lambda fields: [b"".join(line(at_ms, jpeg(90)) for at_ms in range(10_000))],
    "true": lambda fields: [line(True, jpeg(90))],
    "blank": lambda fields: itertools.repeat(b"\n" * 65_536, 200),
    "no-time": lambda fields: [line("now", jpeg(90))],
    "png": lambda fields: [line(0, b"\x89PNG\r\n\x1a\n" + bytes(100), "image/png")],
    "not-jpeg": lambda fields: [line(0, b"GIF89a" + bytes(100))],
    "cut-off": lambda fields: [line(0, jpeg(90)[:-2])],
    "not-base64": lambda fields: [line(0, "<jpeg>")],
    "not-ascii": lambda fields: [b'{"at_ms": 0, "mime": "image/jpeg", "data": "\xc3\xbc"}\n'],
    "bomb": lambda fields: [line(0, claiming(65_500, 65_500))],
}


class AvatarPeer(Peer):
    """The ASGI application."""

    def named(self, call: Call) -> str:
        return (
            call.path.strip("/").partition("/v1")[0] if "/v1" in call.path else super().named(call)
        )

    async def answer(self, call: Call, full: str) -> None:
        if not call.path.endswith("/v1/animations"):
            await super().answer(call, full)
            return
        behaviour = full.partition("/")[0]
        asked = {"path": call.path, "client": call.client, "headers": call.headers}
        self.requests[full].append({**asked, **call.fields})
        if await refuse(call, behaviour):
            return
        if behaviour == "html":
            await call.stream("text/html", paused([b"<p>Welcome</p>"]))
        elif behaviour == "gzip":
            await call.start("application/x-ndjson", content_encoding="gzip")
            await call.write(gzip.compress(bytes(1 << 24)), more=False)
        elif behaviour == "json":
            await call.json({"error": {"message": "no such face"}})
        else:
            await call.stream("application/x-ndjson", paused(SCENES[behaviour](call.fields)))
            await asyncio.sleep(0)


if __name__ == "__main__":
    serve(AvatarPeer())
