"""Clients in a process of their own that vanish: their sockets are gone, and nothing says goodbye.

`python -m tests.support.crowd URL COUNT` prints how many left at which stage, as
JSON: before ICE has found a way (`checking`), before DTLS is through (`completed`), and while the
interviewer speaks and its face is shown (`speaking`), a third each.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import aioice.ice

from tests.support.webrtc import Browser, Doorway, emptied, said

AT_ONCE = 10
STAGES = ("checking", "completed", "speaking")


async def each(count: int, one: Callable[[int], Awaitable[None]]) -> None:
    """Numbers up to `count`, `AT_ONCE` of them at any time."""
    places = asyncio.Semaphore(AT_ONCE)

    async def placed(number: int) -> None:
        async with places:
            await one(number)

    await asyncio.gather(*(placed(number) for number in range(count)))


def vanish(browser: Browser) -> None:
    """From now on the client has no sockets."""

    async def nothing(*_: object) -> None:
        pass

    for transceiver in browser.pc.getTransceivers():
        inside: Any = transceiver.receiver.transport.transport
        for protocol in inside._connection._protocols:
            protocol.send_data = nothing
            protocol.send_stun = lambda *_: None
            protocol.transport.close()


async def come_and_vanish(url: str, number: int) -> str:
    """One client; the stage at which it left."""
    gateway: Any = SimpleNamespace(url=url)
    browser = Browser(gateway, video="video/VP8")
    stage = STAGES[number % len(STAGES)]
    vanished = asyncio.Event()

    def leave() -> None:
        if browser.pc.iceConnectionState == stage and not vanished.is_set():
            assert browser.pc.connectionState != "connected"
            vanish(browser)
            vanished.set()

    browser.pc.on("iceconnectionstatechange", leave)
    connecting = asyncio.create_task(browser.connect(f"crowd{os.getpid()}-{number}"))
    if stage == "speaking":
        await connecting
        await browser.until("reply.started", turn=0)
        async with asyncio.timeout(20):
            while not (browser.pictures and any(loud > 1000 for _, loud in browser.loudness)):
                await asyncio.sleep(0.02)
        vanish(browser)
    else:
        await asyncio.wait_for(vanished.wait(), 20)
        connecting.cancel()
        await asyncio.wait([connecting])
    for sense in browser._senses:
        sense.cancel()  # aiortc never ends a track that did not begin
    await browser.close()
    return stage


async def crowd(doorway: Doorway, count: int) -> dict[str, int]:
    """So many clients come and vanish; how many at which stage. Returns when they are forgotten."""
    left: dict[str, int] = await said("crowd", doorway.url, str(count))
    await emptied(doorway)
    return left


async def main(url: str, count: int) -> None:
    left: Counter[str] = Counter()

    async def one(number: int) -> None:
        left[await come_and_vanish(url, number)] += 1

    await each(count, one)
    sys.stdout.write(json.dumps(left))


if __name__ == "__main__":
    inside: Any = aioice.ice
    inside.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
