"""`GET /metrics` of a gateway that serves."""

import re
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus

from tests.support.paths import DOCS

OPERATION = (DOCS / "operations.md").read_text(encoding="utf-8")


def test_the_page_of_a_gateway_has_what_the_table_lists_and_nothing_else(gateway: Any) -> None:
    table = OPERATION.split("## Metrics\n", 1)[1].split("\n## ", 1)[0]
    listed = set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))

    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(type="hello", version=1)
            await caller.until("reply.done", turn=0)
            await caller.speak()
            await caller.until("turn.metrics", turn=1)
            async with httpx.AsyncClient(trust_env=False) as client:
                answer = await client.get(f"{gateway.url}/metrics")
                elsewhere = await client.get(
                    f"{gateway.url}/metrics", headers={"host": "parley.example.org"}
                )
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert elsewhere.status_code == 403
        families = {family.name: family for family in text_string_to_metric_families(answer.text)}
        served = {
            f"{family.name}_total" if family.type == "counter" else family.name
            for family in families.values()
            if not family.name.startswith("process_")
        }
        assert listed == served
        samples = [(s.name, s.labels, s.value) for f in families.values() for s in f.samples]
        assert ("parley_turns_total", {"outcome": "answered"}, 2.0) in samples
        assert ("parley_sessions", {"transport": "websocket"}, 1.0) in samples
        closed = {"stage": "llm", "provider": "scripted", "state": "closed"}
        assert ("parley_breaker_state", closed, 1.0) in samples
        (lag,) = [v for n, _, v in samples if n == "parley_event_loop_lag_seconds_count"]
        assert lag > 0

    gateway.run(story)


def test_a_client_that_finds_no_place_is_counted(gateway: Any) -> None:
    gateway.settings["max_sessions"] = 1

    async def story() -> None:
        async with gateway.call("first") as caller:
            await caller.say(type="hello", version=1)
            await caller.until("ready")
            with pytest.raises(InvalidStatus):
                async with gateway.call("second"):
                    pass
            async with httpx.AsyncClient(trust_env=False) as client:
                page = (await client.get(f"{gateway.url}/metrics")).text
        assert 'parley_admissions_refused_total{transport="websocket"} 1.0' in page

    gateway.run(story)
