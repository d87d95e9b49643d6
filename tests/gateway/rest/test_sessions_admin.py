"""`/admin/sessions` of a gateway that serves: who talks, and the operator's end of a session."""

import asyncio
from typing import Any

import httpx
from pydantic import SecretStr

KEY = "operators-key-0001"


def operator(gateway: Any) -> httpx.AsyncClient:
    gateway.settings["admin_key"] = SecretStr(KEY)
    headers = {"authorization": f"Bearer {KEY}"}
    return httpx.AsyncClient(base_url=gateway.url, headers=headers, trust_env=False)


def test_a_live_session_is_listed_with_its_turns(gateway: Any) -> None:
    gateway.settings["admin_key"] = SecretStr(KEY)

    async def story() -> None:
        async with operator(gateway) as client:
            assert (await client.get("/admin/sessions")).json() == {"sessions": []}
            async with gateway.call("s-1") as caller:
                await caller.say(type="hello", version=1)
                await caller.until("turn.metrics", turn=0)
                (session,) = (await client.get("/admin/sessions")).json()["sessions"]
        assert session["voice_to_voice_ms"] >= 0
        assert session["began"].endswith("Z")
        shown = ("session_id", "transport", "kind", "turns", "degraded")
        assert [session[name] for name in shown] == ["s-1", "websocket", "interview", 1, 0]
        assert session["steps"] == {}

    gateway.run(story)


def test_the_operator_ends_a_live_session_as_its_client_would(gateway: Any) -> None:
    gateway.settings["admin_key"] = SecretStr(KEY)

    async def story() -> None:
        async with (
            operator(gateway) as client,
            gateway.call("s-1") as ended,
            gateway.call("s-2") as other,
        ):
            for caller in (ended, other):
                await caller.say(type="hello", version=1)
                await caller.until("reply.done", turn=0)
            await ended.say(type="text", text="I built a queue.")
            await ended.until("reply.started", turn=1)
            refused = await client.delete(
                "/admin/sessions/s-1", headers={"authorization": "Bearer wrong"}
            )
            assert refused.status_code == 401
            twice = [await client.delete("/admin/sessions/s-1") for _ in range(2)]
            assert twice[0].status_code == 204
            assert twice[1].status_code in (204, 404)  # it may be over by then
            assert await ended.closed() == (1000, "")
            async with asyncio.timeout(10):
                while (await client.get("/api/sessions/s-1")).json()["live"]:
                    await asyncio.sleep(0.05)
            kept = (await client.get("/api/sessions/s-1/transcript")).json()
            assert "I built a queue." in [line["text"] for line in kept["lines"]]
            gone = await client.delete("/admin/sessions/s-1")
            assert (gone.status_code, gone.json()["code"]) == (404, "not_live")
            (left,) = (await client.get("/admin/sessions")).json()["sessions"]
            assert left["session_id"] == "s-2"
            await other.say(type="text", text="I built another queue.")
            await other.until("reply.done", turn=1)

    gateway.run(story)
