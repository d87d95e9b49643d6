"""Two servers at one port, both in this process, with scripted stages.

`tests/e2e/test_workers.py` has the same with real processes.
"""

import asyncio
import socket
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.commands.serve import listen
from gateway.commands.worker import WorkerServer
from gateway.commands.workers import WorkerOrder, share
from gateway.settings import Settings
from gateway.workers.board import LoadBoard
from gateway.workers.forwarding import Forwarding
from tests.support.gateway import PATIENCE_S, Caller, Gateway

pytestmark = pytest.mark.slow

KEY = "0123456789abcdef"
OPERATOR = {"authorization": f"Bearer {KEY}"}

Story = Callable[["Pair"], Coroutine[Any, Any, None]]


class Pair:
    """The servers, and a parent that passes on what they tell one another."""

    def __init__(self, port: int, servers: list[WorkerServer]) -> None:
        self.port = port
        self.servers = servers
        self.url = f"http://127.0.0.1:{port}"

    def loads(self) -> list[int]:
        return [server.siblings.runtime.live.connections for server in self.servers]  # type: ignore[union-attr]

    @asynccontextmanager
    async def calls(self, names: list[str], below: str = "") -> AsyncIterator[list[Caller]]:
        async with AsyncExitStack() as stack:

            async def begun(name: str) -> Caller:
                url = f"ws://127.0.0.1:{self.port}{below}/ws/{name}"
                caller = Caller(await stack.enter_async_context(connect(url, compression=None)))
                await caller.say(type="hello", version=1)
                await caller.until("ready")
                return caller

            yield await asyncio.gather(*map(begun, names))

    async def asked(self, method: str, path: str) -> list[httpx.Response]:
        """The answers of both, each asked by a connection that came to it."""
        found = []
        for server in self.servers:
            path_of = str(server.siblings.http_path(server.siblings.index))
            transport = httpx.AsyncHTTPTransport(uds=path_of)
            async with httpx.AsyncClient(transport=transport, headers=OPERATOR) as client:
                found.append(await client.request(method, f"http://localhost{path}"))
        return found

    async def asked_together(self, method: str, path: str) -> httpx.Response:
        """The answer of the port."""
        async with httpx.AsyncClient(trust_env=False, headers=OPERATOR, timeout=30) as client:
            return await client.request(method, self.url + path)


async def passed_on(lines: list[asyncio.StreamReader], ends: list[asyncio.StreamWriter]) -> None:
    async def one(index: int) -> None:
        while line := await lines[index].readline():
            kind, _, rest = line.partition(b" ")
            if kind in (b"tell", b"ready"):
                told = b"from %d " % index + rest if kind == b"tell" else b"there %d\n" % index
                ends[1 - index].write(told)

    await asyncio.gather(*map(one, range(len(lines))))


def run(folder: Path, story: Story, **settings: Any) -> None:
    async def both(place: Path) -> None:
        wanted = Settings(
            data_dir=folder,
            admin_key=KEY,
            admission="places",
            avatar_video="off",
            workers=2,
            **settings,
        )
        listeners = listen("127.0.0.1", 0)
        port = listeners[0].getsockname()[1]
        board = LoadBoard.create(place / "board", 2)
        servers, tasks, readers, writers = [], [], [], []
        for index in range(2):
            near, far = socket.socketpair()
            order = WorkerOrder(index, share(wanted, index), (), place, 2)
            servers.append(WorkerServer.made(order, far, Gateway(folder).scripted()))
            reader, writer = await asyncio.open_connection(sock=near)
            readers.append(reader)
            writers.append(writer)
        hub = asyncio.create_task(passed_on(readers, writers))
        for server in servers:
            sockets = [listener.dup() for listener in listeners]
            tasks.append(asyncio.create_task(server._serve(sockets)))
        try:
            async with asyncio.timeout(2 * PATIENCE_S):
                while not all(board.state(index) for index in range(2)):
                    assert not any(task.done() for task in tasks)
                    await asyncio.sleep(0.01)
                await story(Pair(port, servers))
        finally:
            for server in servers:
                server.should_exit = True
            await asyncio.gather(*tasks)
            hub.cancel()
            for each in (*writers, *listeners):
                each.close()
            board.close()

    with tempfile.TemporaryDirectory() as place:  # a short name: a socket's path has 107 bytes
        asyncio.run(both(Path(place)))


def test_calls_are_halved_wherever_they_came(tmp_path: Path) -> None:
    async def story(pair: Pair) -> None:
        async with pair.calls([f"call-{number}" for number in range(10)]):
            assert sum(pair.loads()) == 10
            assert max(pair.loads()) <= 6
            told = (await pair.asked_together("GET", "/admin/sessions")).json()["sessions"]
            where = Counter(one["worker"] for one in told)
            assert [where[0], where[1]] == pair.loads()
            health = (await pair.asked_together("GET", "/health")).json()["gateway"]
            assert (health["taken"], health["places"], health["workers"]) == (10, 100, 2)

    run(tmp_path, story)


def test_a_client_is_refused_only_where_both_are_full(tmp_path: Path) -> None:
    async def story(pair: Pair) -> None:
        async with pair.calls([f"call-{number}" for number in range(5)]):
            assert sorted(pair.loads()) == [2, 3]
            with pytest.raises(InvalidStatus) as refused:
                async with connect(f"ws://127.0.0.1:{pair.port}/ws/sixth", compression=None):
                    pass
            assert refused.value.response.status_code == 503
            assert (await pair.asked_together("GET", "/health/ready")).json()["status"] == "full"

    run(tmp_path, story, max_sessions=5)


def test_the_limit_for_an_address_is_that_of_both(tmp_path: Path) -> None:
    async def story(pair: Pair) -> None:
        async with pair.calls(["one", "two", "three"]), asyncio.timeout(PATIENCE_S):
            where = [server.siblings.at("127.0.0.1") for server in pair.servers]
            while sum(where) < 3:  # each has heard of the other's
                await asyncio.sleep(0.01)
                where = [server.siblings.at("127.0.0.1") for server in pair.servers]
            for _ in range(3):
                with pytest.raises(InvalidStatus) as refused:
                    async with connect(f"ws://127.0.0.1:{pair.port}/ws/more", compression=None):
                        pass
                assert refused.value.response.status_code == 503

    run(tmp_path, story, per_address=3)


def test_the_deletion_of_a_session_reaches_the_server_that_has_it(tmp_path: Path) -> None:
    async def story(pair: Pair) -> None:
        async with pair.calls(["one", "two"]) as calls:
            assert pair.loads() == [1, 1]
            for name in ("one", "two"):
                answer = await pair.asked_together("DELETE", f"/api/sessions/{name}")
                assert answer.status_code == 204
            for call in calls:
                assert (await call.closed())[1] == "the session was deleted"

    run(tmp_path, story)


@pytest.mark.parametrize("below", ["", "/tool"], ids=["of its own host", "below a path"])
def test_a_client_that_lost_its_line_comes_back_to_the_server_that_kept_its_session(
    tmp_path: Path, below: str
) -> None:
    async def story(pair: Pair) -> None:
        names = [f"call-{number}" for number in range(6)]
        async with pair.calls(names, below) as calls:
            for call in calls:
                call.socket.transport.abort()
            for call, name in zip(calls, names, strict=True):
                token = (await call.until("ready"))["resume"]
                url = f"ws://127.0.0.1:{pair.port}{below}/ws/{name}"
                async with connect(url, compression=None) as socket:
                    back = Caller(socket)
                    resume = {"token": token, "seq": call.messages[-1]["seq"]}
                    await back.say(type="hello", version=1, resume=resume)
                    assert (await back.until("ready"))["resumed"]["kept"]
                    socket.transport.abort()

    run(tmp_path, story, public_url=f"https://host.example{below}")


def test_below_a_path_of_another_host_all_processes_answer_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = 'parley_sessions{transport="websocket"} '

    async def story(pair: Pair) -> None:
        async with pair.calls(["one", "two"], "/tool"):
            for asked in ("", "/tool"):  # the proxy may leave the path out
                whole = await pair.asked_together("GET", f"{asked}/metrics")
                assert f"{sample}2.0" in whole.text
                health = (await pair.asked_together("GET", f"{asked}/health")).json()["gateway"]
                assert (health["taken"], health["workers"]) == (2, 2)
        for server in pair.servers:
            assert server.siblings.runtime is not None
            server.siblings.runtime.metrics.refused("websocket")
        refused = 'parley_admissions_refused_total{transport="websocket"} '
        assert f"{refused}2.0" in (await pair.asked_together("GET", "/tool/metrics")).text
        asked_of = Forwarding._one

        async def answers(forwarding: Forwarding, worker: int, *request: Any) -> Any:
            own = worker == forwarding._siblings.index
            return await asked_of(forwarding, worker, *request) if own else None

        monkeypatch.setattr(Forwarding, "_one", answers)
        # What the other one told last was kept, though it was asked below the path.
        assert f"{refused}2.0" in (await pair.asked_together("GET", "/tool/metrics")).text

    run(tmp_path, story, public_url="https://host.example/tool")


def test_figures_are_those_of_both(tmp_path: Path) -> None:
    async def story(pair: Pair) -> None:
        async with pair.calls([f"call-{number}" for number in range(4)]):
            sample = 'parley_sessions{transport="websocket"} '
            own = [page.text for page in await pair.asked("GET", "/metrics")]
            assert [f"{sample}2.0" in page for page in own] == [True, True]
            whole = await pair.asked_together("GET", "/metrics")
            assert f"{sample}4.0" in whole.text
            assert whole.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"

    run(tmp_path, story)


def test_figures_do_not_fall_where_one_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = 'parley_admissions_refused_total{transport="websocket"} '

    async def story(pair: Pair) -> None:
        for server in pair.servers:
            assert server.siblings.runtime is not None
            server.siblings.runtime.metrics.refused("websocket")
        assert f"{sample}2.0" in (await pair.asked_together("GET", "/metrics")).text
        asked = Forwarding._one

        async def answers(forwarding: Forwarding, worker: int, *request: Any) -> Any:
            own = worker == forwarding._siblings.index
            return await asked(forwarding, worker, *request) if own else None

        monkeypatch.setattr(Forwarding, "_one", answers)
        assert f"{sample}2.0" in (await pair.asked_together("GET", "/metrics")).text

    run(tmp_path, story)


def test_a_change_by_the_operator_holds_in_both(tmp_path: Path) -> None:
    async def story(pair: Pair) -> None:
        path = "/admin/breakers/llm.scripted/force-open"
        assert (await pair.asked_together("POST", path)).status_code == 200
        for answer in await pair.asked("GET", "/admin/breakers"):
            states = {one["name"]: one["state"] for one in answer.json()["breakers"]}
            assert states["llm.scripted"] == "forced-open"
        refused = await pair.asked_together("POST", "/admin/breakers/llm.nobody/reset")
        assert (refused.status_code, refused.json()["code"]) == (404, "no_such_breaker")

    run(tmp_path, story)


def test_the_lease_of_a_dead_process_is_ended_by_the_others(tmp_path: Path) -> None:
    async def story(pair: Pair) -> None:
        from gateway.interviews.keys import lease_key
        from gateway.store import put_if_absent

        runtime = pair.servers[0].siblings.runtime
        assert runtime is not None
        key = lease_key("dead")
        await put_if_absent(runtime.store, key, b"", ttl_s=600.0)
        pair.servers[0].siblings.gone(1, "dead")
        async with asyncio.timeout(PATIENCE_S):
            while await runtime.store.get(key) is not None:
                await asyncio.sleep(0.01)

    run(tmp_path, story)
