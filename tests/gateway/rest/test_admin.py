"""`/admin` of a gateway that serves: what the operator sees, and what a change does to turns."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

KEY = "operators-key-0001"


def operator(gateway: Any) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {KEY}"}
    return httpx.AsyncClient(base_url=gateway.url, headers=headers, trust_env=False)


def test_the_stages_are_shown_as_in_health(gateway: Any) -> None:
    gateway.settings["admin_key"] = SecretStr(KEY)

    async def story() -> None:
        async with operator(gateway) as client:
            stages = (await client.get("/admin/stages")).json()
            health = (await client.get("/health")).json()
        assert stages == {name: health[name] for name in ("stages", "providers", "queues")}

    gateway.run(story)


def test_a_forced_open_breaker_degrades_turns_until_it_is_reset(gateway: Any) -> None:
    gateway.settings["admin_key"] = SecretStr(KEY)

    async def story() -> None:
        async with operator(gateway) as client, gateway.call() as caller:
            await caller.say(type="hello", version=1)
            await caller.until("reply.done", turn=0)
            forced = await client.post("/admin/breakers/llm.scripted/force-open")
            assert forced.json()["breaker"] == {
                "name": "llm.scripted",
                "slot": "llm",
                "provider": "scripted",
                "state": "forced-open",
                "transitions": 0,
                "retry_after_s": 0.0,
            }
            providers = (await client.get("/health")).json()["providers"]
            assert {one["slot"]: one["breaker"] for one in providers} == {
                "stt": "closed",
                "llm": "forced-open",
                "tts": "closed",
            }
            await caller.say(type="text", text="I built a queue.")
            degraded = await caller.until("degraded", turn=1)
            assert (degraded["stage"], degraded["to"]) == ("llm", "canned line")
            await caller.until("reply.done", turn=1)
            reset = await client.post("/admin/breakers/llm.scripted/reset")
            assert reset.json()["breaker"]["state"] == "closed"
            await caller.say(type="text", text="I built another queue.")
            await caller.until("reply.done", turn=2)
            assert [m["turn"] for m in caller.messages if m["type"] == "degraded"] == [1]
            disabled = await client.post("/admin/breakers/llm.scripted/disable")
            (shown,) = [
                breaker
                for breaker in (await client.get("/admin/breakers")).json()["breakers"]
                if breaker["slot"] == "llm"
            ]
            assert shown == disabled.json()["breaker"]
            assert shown["state"] == "disabled"

    gateway.run(story)


@pytest.mark.parametrize("name", ["llm.nobody", "nobody.scripted", "llm", "%20"])
def test_a_breaker_that_does_not_exist_is_an_error_that_names_those_that_do(
    gateway: Any, name: str
) -> None:
    gateway.settings["admin_key"] = SecretStr(KEY)

    async def story() -> None:
        async with operator(gateway) as client:
            answer = await client.post(f"/admin/breakers/{name}/reset")
        assert answer.status_code == 404
        assert answer.json()["code"] == "no_such_breaker"
        assert answer.json()["detail"] == "There are stt.fake-stt, llm.scripted, tts.fake-tts"

    gateway.run(story)


@pytest.mark.parametrize(
    ("key", "header", "status", "code"),
    [
        (None, f"Bearer {KEY}", 403, "admin_off"),
        (KEY, "", 401, "admin_key_required"),
        (KEY, "Bearer wrong", 401, "admin_key_required"),
    ],
)
def test_nothing_is_shown_or_changed_without_the_key(
    gateway: Any, key: str | None, header: str, status: int, code: str
) -> None:
    gateway.settings["admin_key"] = None if key is None else SecretStr(key)

    async def story() -> None:
        async with operator(gateway) as client:
            client.headers["authorization"] = header
            answers = [
                await client.get("/admin/stages"),
                await client.get("/admin/sessions"),
                await client.get("/admin/breakers"),
                await client.post("/admin/breakers/llm.scripted/force-open"),
                await client.post("/admin/breakers/llm.scripted/disable"),
                await client.post("/admin/breakers/llm.scripted/reset"),
            ]
        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {
            (status, code)
        }
        assert gateway.app.state.runtime.breakers()[1].state == "closed"

    gateway.run(story)


def test_a_drill_breaks_a_stage_of_live_sessions_and_ends(gateway: Any) -> None:
    gateway.settings |= {"admin_key": SecretStr(KEY), "drills": "allowed"}

    async def story() -> None:
        async with operator(gateway) as client, gateway.call() as caller:
            await caller.say(type="hello", version=1)
            await caller.until("reply.done", turn=0)
            wanted = {"stage": "llm", "fault": "error", "seconds": 60}
            begun = await client.post("/admin/drills", json=wanted)
            assert begun.status_code == 201
            (drill,) = begun.json()["drills"]
            assert (drill["name"], drill["fault"]) == ("llm.scripted", "error")
            again = await client.post("/admin/drills", json=wanted)
            assert (again.status_code, again.json()["code"]) == (409, "drill_under_way")
            await caller.say(type="text", text="I built a queue.")
            degraded = await caller.until("degraded", turn=1)
            assert (degraded["stage"], degraded["to"]) == ("llm", "canned line")
            await caller.until("reply.done", turn=1)
            assert (await client.delete("/admin/drills/llm.scripted")).status_code == 204
            gone = await client.delete("/admin/drills/llm.scripted")
            assert (gone.status_code, gone.json()["code"]) == (404, "no_such_drill")
            assert (await client.get("/admin/drills")).json() == {"drills": []}
            await caller.say(type="text", text="I built another queue.")
            await caller.until("reply.done", turn=2)
            assert [m["turn"] for m in caller.messages if m["type"] == "degraded"] == [1]
            unknown = await client.post("/admin/drills", json=wanted | {"stage": "vad"})
            assert (unknown.status_code, unknown.json()["code"]) == (404, "no_such_stage")

    gateway.run(story)


def test_drills_are_refused_unless_the_settings_allow_them(gateway: Any) -> None:
    gateway.settings["admin_key"] = SecretStr(KEY)

    async def story() -> None:
        async with operator(gateway) as client:
            assert (await client.get("/admin/drills")).json() == {"drills": []}
            wanted = {"stage": "llm", "fault": "hang", "seconds": 60}
            for answer in (
                await client.post("/admin/drills", json=wanted),
                await client.delete("/admin/drills/llm.scripted"),
            ):
                assert (answer.status_code, answer.json()["code"]) == (403, "drills_off")

    gateway.run(story)


def test_a_deleted_session_leaves_no_journal(gateway: Any, tmp_path: Path) -> None:
    folder = tmp_path / "journals"
    gateway.settings |= {"journal_dir": folder, "journal_texts": True}

    async def story() -> None:
        async with gateway.call("s-1") as caller:
            await caller.say(type="hello", version=1)
            await caller.until("reply.done", turn=0)
        async with asyncio.timeout(10), operator(gateway) as client:
            assert [path.name.startswith("s-1-") for path in folder.iterdir()] == [True]
            while (await client.delete("/api/sessions/s-1")).status_code == 409:
                await asyncio.sleep(0.05)

    gateway.run(story)
    assert [*folder.iterdir()] == []
