"""`POST /admin/drain`."""

from typing import Any

import httpx
from pydantic import SecretStr

KEY = "operators-key-0001"


def operator(gateway: Any, key: str = KEY) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=gateway.url, headers=headers, trust_env=False)


def test_the_operator_lets_the_gateway_end_once(gateway: Any) -> None:
    gateway.settings |= {"admin_key": SecretStr(KEY), "drain_s": 7}
    ended: list[int] = []

    async def story() -> None:
        runtime = gateway.app.state.runtime

        def end() -> None:
            ended.append(1)
            runtime.refuse()

        runtime.end_process = end
        async with operator(gateway) as client:
            for _ in range(2):
                answer = await client.post("/admin/drain")
                assert (answer.status_code, answer.json()) == (
                    202,
                    {"status": "draining", "within_s": 7},
                )

    gateway.run(story)
    assert ended == [1]


def test_nobody_else_does(gateway: Any) -> None:
    gateway.settings |= {"admin_key": SecretStr(KEY)}

    async def story() -> None:
        gateway.app.state.runtime.end_process = lambda: 1 / 0
        async with operator(gateway, "another-key-00001") as client:
            answer = await client.post("/admin/drain")
            assert (answer.status_code, answer.json()["code"]) == (401, "admin_key_required")

    gateway.run(story)


def test_a_gateway_in_another_program_does_not_end_that(gateway: Any) -> None:
    gateway.settings |= {"admin_key": SecretStr(KEY)}

    async def story() -> None:
        async with operator(gateway) as client:
            answer = await client.post("/admin/drain")
            assert (answer.status_code, answer.json()["code"]) == (409, "cannot_drain")

    gateway.run(story)
