"""Coming back over real sockets: what counts as a lost line, and a restarted server."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.support.gateway import Caller, Gateway

pytestmark = pytest.mark.slow  # lines break in real time


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


async def begun(caller: Caller) -> dict[str, Any]:
    """What a client says that comes back after its first reply."""
    await caller.say(type="hello", version=1)
    token = (await caller.until("ready"))["resume"]
    await caller.until("reply.done", turn=0)
    return {"token": token, "seq": caller.messages[-1]["seq"]}


async def live(gateway: Gateway, *, is_live: bool) -> None:
    """Wait until the session is live, or is no longer."""
    async with httpx.AsyncClient(trust_env=False, base_url=gateway.url, timeout=30) as client:
        while (await client.get("/api/sessions/test")).json()["live"] != is_live:
            await asyncio.sleep(0.01)


def test_a_connection_that_breaks_off_is_a_lost_line(gateway: Gateway) -> None:
    async def story() -> None:
        async with gateway.call() as first:
            resume = await begun(first)
            first.socket.transport.abort()
            await first.closed()
        await live(gateway, is_live=True)
        async with gateway.call() as second:
            await second.say(type="hello", version=1, resume=resume)
            assert (await second.until("ready"))["resumed"]["kept"] is True
            await second.speak()
            assert (await second.until("transcript", final=True))["turn"] == 1
            await second.say(type="bye")
            assert await second.closed() == (1000, "")
        await live(gateway, is_live=False)

    gateway.run(story)


@pytest.mark.parametrize("code", [1000, 1001])
def test_a_client_that_closes_has_left_and_a_page_that_goes_may_come_back(
    gateway: Gateway, code: int
) -> None:
    async def story() -> None:
        async with gateway.call() as first:
            resume = await begun(first)
            await first.socket.close(code)
        if code == 1000:
            await live(gateway, is_live=False)
        async with gateway.call() as second:
            await second.say(type="hello", version=1, resume=resume)
            if code == 1001:
                assert (await second.until("ready"))["resumed"]["kept"] is True
            else:
                assert (await second.until("error", fatal=True))["code"] == "cannot_resume"

    gateway.run(story)


def test_a_server_that_is_restarted_on_the_same_store_knows_the_token(gateway: Gateway) -> None:
    resume: dict[str, Any] = {}

    async def before() -> None:
        async with gateway.call() as first:
            resume.update(await begun(first))
            gateway.app.state.runtime.refuse()
            first.socket.transport.abort()
            await first.closed()

    async def after() -> None:
        async with gateway.call() as second:
            await second.say(type="hello", version=1, resume=resume)
            ready = await second.until("ready")
            assert ready["resumed"] == {"kept": False, "complete": False}
            assert ready["interview"]["currentQuestion"] == 1

    gateway.run(before)
    gateway.run(after)


def test_a_place_is_kept_for_a_client_that_comes_back(gateway: Gateway) -> None:
    gateway.settings["max_sessions"] = 1

    async def story() -> None:
        async with gateway.call() as first:
            resume = await begun(first)
            first.socket.transport.abort()
            await first.closed()
        with pytest.raises(InvalidStatus) as refused:
            async with gateway.call("another"):
                pass
        assert refused.value.response.status_code == 503
        async with gateway.call() as second:
            await second.say(type="hello", version=1, resume=resume)
            assert (await second.until("ready"))["resumed"]["kept"] is True

    gateway.run(story)
