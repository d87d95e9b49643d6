"""Clients that read notifications, and clients that make the sessions."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from gateway.security.roles import ClientRole
from gateway.security.stored_keys import create_key
from tests.support.gateway import Gateway

ANSWER = "I profiled it first, and found one query that ran four hundred times in a loop."
NEW = {"role": "Data Analyst", "totalQuestions": 1}
PATH = "/api/notifications"
PATIENCE_S = 30

Story = Callable[[httpx.AsyncClient], Awaitable[None]]


def told(gateway: Gateway, story: Story) -> None:
    """Run a client's story with the gateway, whose notifications are on."""
    gateway.settings |= {"notifications": "on"}

    async def main() -> None:
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=20) as client:
            await story(client)

    gateway.run(main)


def bearer(value: str) -> dict[str, str]:
    return {"authorization": f"Bearer {value}"} if value else {}


async def key(gateway: Gateway, role: str) -> str:
    """A new key of this role; the gateway's `access` is required."""
    store = gateway.app.state.runtime.store
    made, _ = await create_key(store, role, ClientRole(role), now=time.time())
    return made


async def made(client: httpx.AsyncClient, credential: str = "") -> tuple[str, str]:
    """A new session, and the pass for it where there is one."""
    answer = await client.post("/api/sessions", json=NEW, headers=bearer(credential))
    assert answer.status_code == 201, answer.text
    client.cookies.clear()
    access = answer.json().get("access")
    return answer.json()["session_id"], access["value"] if access else ""


async def held(client: httpx.AsyncClient, session_id: str, credential: str = "") -> list[str]:
    """Hold a session's interview to its report; the types of its events but the first."""
    headers, path, kinds = bearer(credential), f"/api/sessions/{session_id}", []
    (await client.post(f"{path}/start", headers=headers)).raise_for_status()
    intent = ""
    while intent != "close":
        given = await client.post(f"{path}/submit-answer", json={"text": ANSWER}, headers=headers)
        given.raise_for_status()
        intent = given.json()["intent"]
        kinds.append("answer.accepted")
    (await client.get(f"{path}/report", headers=headers)).raise_for_status()
    return [*kinds, "interview.completed", "report.ready"]


class Notified:
    """One stream of server-sent events."""

    def __init__(self, answer: httpx.Response) -> None:
        self.lines = answer.aiter_lines()
        self.id = ""

    async def silent(self) -> list[str | None]:
        """The sessions of all events until the next heartbeat."""
        found = []
        async with asyncio.timeout(PATIENCE_S):
            async for line in self.lines:
                if line.startswith(":"):
                    break
                if line.startswith("data: "):
                    found.append(json.loads(line.removeprefix("data: "))["session_id"])
        return found

    async def next(self) -> dict[str, Any]:
        """The data of the next event, whose type and id are as they should be."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE_S):
            async for line in self.lines:
                if line and not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    fields[name] = value
                    self.id = fields.get("id", self.id)
                elif "data" in fields:
                    break
                elif not line:
                    fields.clear()
        data: dict[str, Any] = json.loads(fields["data"])
        assert (fields["event"], fields["id"]) == (data["type"], str(data["position"]))
        return data

    async def kinds(self, count: int) -> list[tuple[str, str]]:
        """The session and the type of that many events."""
        found = [await self.next() for _ in range(count)]
        return [(one["session_id"], one["type"]) for one in found]


@asynccontextmanager
async def notified(
    client: httpx.AsyncClient, credential: str = "", path: str = PATH, **headers: str
) -> AsyncIterator[Notified]:
    """A client's stream, from now on or as the path and its headers say."""
    sent = bearer(credential) | headers
    async with client.stream("GET", path, headers=sent) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        stream = Notified(answer)
        ready = await stream.next()
        assert ready == {"type": "ready", "position": int(stream.id)}
        yield stream
