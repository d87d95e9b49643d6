"""Who is refused before the upgrade, and told when to come again."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from gateway.live.pressure import FEWEST_TO_JUDGE, LoadSample
from tests.support.gateway import Gateway


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    made = Gateway(tmp_path)
    made.settings["admission"] = "pressure"
    return made


async def refused(gateway: Gateway) -> str:
    """The reason."""
    with pytest.raises(InvalidStatus) as caught:
        async with gateway.call("another"):
            pass
    response = caught.value.response
    assert response.status_code == 503
    assert "retry-after" in response.headers
    return (response.body or b"").decode()


def test_an_overloaded_process_says_so_everywhere(gateway: Gateway) -> None:
    async def story() -> None:
        live = gateway.app.state.runtime.live
        live.pressure.observe(LoadSample(memory=0.95), time.monotonic())
        with live.connected():
            await refuses_everybody()

    async def refuses_everybody() -> None:
        why = "overloaded: 95% of the memory is in use"
        assert await refused(gateway) == why
        async with httpx.AsyncClient(trust_env=False, base_url=gateway.url) as client:
            for mode in ("voice", "text"):
                wanted = {"role": "Data Analyst", "mode": mode}
                made = await client.post("/api/sessions", json=wanted)
                assert made.status_code == 503
                assert made.headers["retry-after"]
                assert (made.json()["code"], made.json()["detail"]) == ("no_place", why)
            ready = await client.get("/health/ready")
            assert ready.status_code == 503
            assert ready.json() == {"status": "overloaded", "reasons": [why]}
            told: dict[str, Any] = (await client.get("/health")).json()["gateway"]
            assert told["status"] == "degraded"
            assert told["pressure"]["refuses"] == ["voice", "text"]
            assert told["pressure"]["why"] == [why]
            assert told["pressure"]["memory"] == 0.95

    gateway.run(story)


def test_a_session_in_writing_gives_way_to_live_ones(gateway: Gateway) -> None:
    async def story() -> None:
        live = gateway.app.state.runtime.live
        live.pressure.observe(LoadSample(recognition_s=2.2), time.monotonic())
        live.connections += FEWEST_TO_JUDGE
        async with httpx.AsyncClient(trust_env=False, base_url=gateway.url) as client:
            wanted = {"role": "Data Analyst", "mode": "text"}
            assert (await client.post("/api/sessions", json=wanted)).status_code == 503
        async with gateway.call() as caller:
            await caller.until("ready")
        live.connections -= FEWEST_TO_JUDGE

    gateway.run(story)


def test_a_process_may_go_by_its_places_alone(gateway: Gateway) -> None:
    gateway.settings["admission"] = "places"

    async def story() -> None:
        runtime = gateway.app.state.runtime
        assert (runtime.live.pressure, runtime.load) == (None, None)
        assert runtime.readiness() == "ready"
        assert runtime.pressure().refuses == []

    gateway.run(story)


def test_an_address_has_only_so_many_places(gateway: Gateway) -> None:
    gateway.settings["per_address"] = 1

    async def story() -> None:
        async with gateway.call() as caller:
            await caller.until("ready")
            assert await refused(gateway) == "this address has all of its 1 places"

    gateway.run(story)
