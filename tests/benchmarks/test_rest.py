import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.rest import Answered, Connection, measure, respond, submit
from tests.support.service_peer import Raw, ServicePeer


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            await scenario()

    asyncio.run(main())


def answer(body: Any, status: int = 200) -> Answered:
    return Answered(status, json.dumps(body).encode())


def test_a_connection_is_kept_for_all_requests() -> None:
    async def scenario() -> None:
        async with ServicePeer({"/x": lambda body: {"got": body}}).running() as peer:
            _, host, port = peer.url.split(":")
            reader, writer = await asyncio.open_connection(host.strip("/"), int(port))
            connection = Connection(reader, writer)
            for number in range(3):
                answered = await connection.ask("POST", "/x", {"n": number})
                assert (answered.status, answered.json()) == (200, {"got": {"n": number}})
            writer.close()

    run(scenario)


def test_a_whole_interview_is_held_and_only_its_answers_count() -> None:
    async def scenario() -> None:
        requests = respond()
        method, path, _, counts = await anext(requests)
        assert (method, path, counts) == ("POST", "/api/v1/interviews/start", False)
        session = {"isComplete": False}
        for _ in range(3):
            _, path, body, counts = await requests.asend(answer(session))
            assert (path, counts) == ("/api/v1/interviews/respond", True)
            assert body["session"] == session
        _, path, _, _ = await requests.asend(answer({"isComplete": True}))
        assert path == "/api/v1/interviews/start"
        await requests.aclose()

    run(scenario)


def test_a_stored_interview_goes_by_its_id() -> None:
    async def scenario() -> None:
        requests = submit()
        await anext(requests)
        _, path, _, counts = await requests.asend(answer({"session_id": "s-1"}, 201))
        assert (path, counts) == ("/api/sessions/s-1/start", False)
        _, path, _, counts = await requests.asend(answer({}))
        assert (path, counts) == ("/api/sessions/s-1/submit-answer", True)
        await requests.aclose()

    run(scenario)


def test_failures_are_reported_and_not_measured() -> None:
    async def scenario() -> None:
        async with ServicePeer({"/health": Raw((b"{}",), 503)}).running() as peer:
            report = await measure(peer.url, "health", 0.1, 2, warm_up_s=0.05)
            assert report["latency"] is None
            assert report["rate"] == 0.0
            assert [*report["faults"]] == ["GET health: HTTP 503"]

    run(scenario)
