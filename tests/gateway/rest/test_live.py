"""A session that is deleted while it is live."""

from typing import Any

import httpx


def test_the_client_of_a_deleted_session_gets_an_error_and_nothing_more_is_stored(
    gateway: Any,
) -> None:
    async def story() -> None:
        url = f"http://127.0.0.1:{gateway.port}"
        async with (
            httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client,
            gateway.call("s") as caller,
        ):
            await caller.until("reply.done")
            assert (await client.get("/api/sessions/s")).json()["live"] is True
            assert (await client.delete("/api/sessions/s")).status_code == 204
            error = await caller.until("error")
            assert (error["code"], error["fatal"]) == ("deleted", True)
            await caller.socket.wait_closed()
            assert caller.socket.close_code == 4404
            assert (await client.get("/api/sessions/s")).status_code == 404
            assert (await client.get("/api/sessions")).json()["sessions"] == []
            assert await gateway.app.state.runtime.store.read("transcript:s") == []

    gateway.run(story)


def test_every_candidate_of_a_slot_is_reported_with_its_breaker(gateway: Any) -> None:
    async def story() -> None:
        url = f"http://127.0.0.1:{gateway.port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
            providers = (await client.get("/health")).json()["providers"]
        assert {"slot": "llm", "provider": "scripted", "breaker": "closed"} in providers
        assert [entry["slot"] for entry in providers] == ["stt", "llm", "tts"]

    gateway.run(story)
