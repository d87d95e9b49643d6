"""A call of OpenAI's Realtime API over WebRTC, by aiortc in this process."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from aiortc import RTCSessionDescription

from tests.support.event_log import Event
from tests.support.gateway import PATIENCE_S
from tests.support.realtime import SERVER_EVENT
from tests.support.webrtc import Browser, Reached

CALLS = "/v1/realtime/calls"
SDP = {"content-type": "application/sdp"}


class Call(Browser):
    """One call: events over the data channel `oai-events`, each of them checked strictly.

    `until` finds events in their order: each is found once.
    """

    def __init__(self, gateway: Reached) -> None:
        super().__init__(gateway, channel=False)
        self.heard = 0
        """Events that `until` has passed."""
        self.channel = self.pc.createDataChannel("oai-events")
        self.channel.on("message", self._on_message)
        self.channel.on("close", self.closed.set)

    def _on_message(self, text: str) -> None:
        SERVER_EVENT.validate_python(json.loads(text))
        super()._on_message(text)

    async def answered(self, answer: str) -> None:
        """Take the server's answer; returns when the channel is open."""
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        assert self.channel is not None
        async with asyncio.timeout(PATIENCE_S):
            while self.channel.readyState != "open":
                await asyncio.sleep(0.01)

    async def send(self, kind: str, **fields: Any) -> None:
        self.say(type=kind, **fields)

    async def until(self, kind: str, **fields: Any) -> Event:
        """The next event of a type with these fields, once it is there."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for index in range(self.heard, len(self.messages)):
                    event = self.messages[index]
                    if event["type"] == kind and fields.items() <= event.items():
                        self.heard = index + 1
                        return event
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def call(
    gateway: Reached, key: str = "no key", **query: str
) -> AsyncIterator[tuple[Call, str]]:
    """A call that is made with its bare offer, and its id."""
    made = Call(gateway)
    try:
        headers = {**SDP, "authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(
            base_url=gateway.url, trust_env=False, timeout=PATIENCE_S
        ) as client:
            answer = await client.post(
                CALLS, content=await made.offer(), headers=headers, params=query
            )
        assert answer.status_code == 201, answer.text
        await made.answered(answer.text)
        yield made, answer.headers["location"].rpartition("/")[2]
    finally:
        await made.close()
