"""`avatar: "frames"` over a real WebSocket: clients that read slowly, or vanish.

What is shown, and when, is proved in `tests/gateway/live/test_face.py`.
"""

import asyncio
import itertools
import socket
from typing import Any

import pytest

from gateway.transports.websocket import send_queue
from stages.fakes import FakeSynthesizer
from tests.support.waiting import face_is_there

pytestmark = pytest.mark.realtime

HELLO = {"type": "hello", "version": 1, "avatar": "frames"}


def frames(caller: Any, turn: int | None = None) -> list[dict[str, Any]]:
    """All pictures, or those of a turn's speech."""
    found = [message for message in caller.messages if message["type"] == "avatar.frame"]
    return [f for f in found if turn is None or (f["turn"] == turn and f["at_ms"] is not None)]


async def it_speaks(caller: Any) -> None:
    """Return when it has been seen to speak."""
    async with asyncio.timeout(20):
        while len(frames(caller, 0)) < 4:
            await asyncio.sleep(0.02)


def test_a_slow_client_loses_pictures_and_no_audio(gateway: Any) -> None:
    gateway.synthesizer = FakeSynthesizer(ms_per_word=200)

    async def story() -> None:
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect(("127.0.0.1", gateway.port))
        await face_is_there(gateway)
        async with gateway.call(sock=narrow) as caller:
            await caller.say(**HELLO)
            await it_speaks(caller)
            caller.socket.transport.pause_reading()
            await asyncio.sleep(1.5)
            caller.socket.transport.resume_reading()
            done = await caller.until("reply.done", turn=0)
        assert done["interrupted"] is False
        words = len(done["heard"].split())
        assert len(caller.audio) == words * 200 * 32
        times = [f["at_ms"] for f in frames(caller, 0)]
        gaps = [after - at for at, after in itertools.pairwise(times)]
        assert max(gaps) >= 800
        assert gaps[-5:] == [80] * 5

    gateway.run(story)


def test_where_the_system_does_not_say_what_is_unsent_pictures_are_sent(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*arguments: Any) -> None:
        raise OSError(25, "Inappropriate ioctl for device")

    monkeypatch.setattr(send_queue.fcntl, "ioctl", unsupported)

    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(**HELLO)
            await caller.until("avatar.frame")
            await caller.until("reply.done", turn=0)

    gateway.run(story)


def test_clients_that_vanish_leave_nothing_behind(gateway: Any) -> None:
    gateway.settings["resume_s"] = 0  # no session waits for them

    async def story() -> None:
        async def visit(number: int) -> None:
            async with gateway.call(f"s-{number}") as caller:
                await caller.say(**HELLO)
                await caller.until("avatar.frame")
                caller.socket.transport.abort()

        await visit(0)
        before = len(asyncio.all_tasks())
        await asyncio.gather(*map(visit, range(1, 20)))
        runtime = gateway.app.state.runtime
        async with asyncio.timeout(10):
            while (
                runtime.live.connections
                or len(asyncio.all_tasks()) > before
                or len(runtime.calls().pacer)
            ):
                await asyncio.sleep(0.05)

    gateway.run(story)
