"""`PARLEY_PUBLIC_URL` with a path: Parley below a path of another host."""

import json
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect


@pytest.fixture
def below(gateway: Any) -> Any:
    gateway.settings["public_url"] = "https://host.example/tool"
    return gateway


@pytest.mark.parametrize("asked", ["", "/tool"], ids=["left out by the proxy", "left in"])
def test_addresses_in_answers_begin_with_the_path(below: Any, asked: str) -> None:
    async def story() -> None:
        async with httpx.AsyncClient(base_url=f"{below.url}{asked}") as client:
            made = await client.post("/api/sessions", json={"role": "Data Analyst"})
            session = made.json()["session_id"]
            assert made.headers["location"] == f"/tool/api/sessions/{session}"
            assert made.json()["ws_url"] == f"ws://127.0.0.1:{below.port}/tool/ws/{session}"
            found = await client.get(f"/api/sessions/{session}")
            assert found.json()["session_id"] == session
        async with connect(f"ws://127.0.0.1:{below.port}{asked}/ws/{session}") as socket:
            await socket.send(json.dumps({"type": "hello", "version": 1}))
            assert json.loads(await socket.recv())["type"] == "ready"
            await socket.send(json.dumps({"type": "bye"}))

    below.run(story)


def test_the_cookie_of_a_pass_is_for_the_session_below_the_path(below: Any) -> None:
    below.settings["api_keys"] = "a-key-of-at-least-16-letters"
    headers = {"authorization": "Bearer a-key-of-at-least-16-letters"}

    async def story() -> None:
        async with httpx.AsyncClient(base_url=below.url, headers=headers) as client:
            made = await client.post("/api/sessions", json={"role": "Data Analyst"})
            session = made.json()["session_id"]
            assert f"; Path=/tool/api/sessions/{session};" in made.headers["set-cookie"]

    below.run(story)


def test_without_its_slash_the_path_leads_to_the_page(below: Any) -> None:
    async def story() -> None:
        async with httpx.AsyncClient(base_url=below.url) as client:
            moved = await client.get("/tool")
            assert (moved.status_code, moved.headers["location"]) == (308, "/tool/")
            assert (await client.get("/tool/")).text == (await client.get("/")).text
            assert (await client.get("/toolbox")).status_code == 404
            assert (await client.get("/tool/tool/")).status_code == 404

    below.run(story)


@pytest.mark.parametrize("address", [None, "https://host.example", "https://host.example/"])
def test_without_a_path_nothing_is_changed(gateway: Any, address: str | None) -> None:
    gateway.settings["public_url"] = address

    async def story() -> None:
        async with httpx.AsyncClient(base_url=gateway.url) as client:
            made = await client.post("/api/sessions", json={"role": "Data Analyst"})
            session = made.json()["session_id"]
            assert made.headers["location"] == f"/api/sessions/{session}"
            assert made.json()["ws_url"] == f"ws://127.0.0.1:{gateway.port}/ws/{session}"

    gateway.run(story)
