"""Behaviour of Redis only: its absence, its limits, its restarts."""

import asyncio
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from gateway.commands.doctor import examine
from gateway.settings import Settings
from gateway.store import Append, Conflict, Entry, Put, StoreUnavailable, redis_pool, store_at
from gateway.store import redis as module
from gateway.store.probe import StoreProbe
from gateway.store.redis import RedisStore
from gateway.store.redis_scripts import PREFIX, SWEEP
from tests.support.paths import DOCS
from tests.support.served import free_port


def with_store(url: str, scenario: Callable[[RedisStore], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(30):
            store = RedisStore(url)
            try:
                await scenario(store)
            finally:
                await store.aclose()

    asyncio.run(main())


@pytest.fixture
def own_redis(tmp_path: Path, shared_redis: Any) -> Iterator[Any]:
    """A running server that the test may kill and start again."""
    server = type(shared_redis)(shutil.which("redis-server"), tmp_path)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def configured(server: Any, **options: str) -> Iterator[None]:
    """A running server with other settings, for a while."""
    before = {name: server.setting(name) for name in options}
    try:
        for name, value in options.items():
            server.ask("CONFIG", "SET", name, value)
        yield
    finally:
        for name, value in before.items():
            server.ask("CONFIG", "SET", name, value)


def test_a_task_that_is_cancelled_in_an_operation_ends_as_cancelled() -> None:
    async def breaks_off() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise redis.ConnectionError("closed while a reply was due") from None

    async def scenario(store: RedisStore) -> None:
        for operation in (store._run, store._read):
            task = asyncio.create_task(operation(breaks_off))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    with_store("redis://127.0.0.1:1", scenario)


def test_the_store_is_redis_where_a_url_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        stores = [store_at(tmp_path / "a", None), store_at(tmp_path / "a", "redis://127.0.0.1:1")]
        assert [store.kind for store in stores] == ["sqlite", "redis"]
        for store in stores:
            await store.aclose()

    asyncio.run(main())
    assert not (tmp_path / "a").exists()


def test_a_missing_client_is_answered_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gateway.store.redis", None)
    with pytest.raises(StoreUnavailable, match=r"pip install 'parley-gateway\[redis\]'"):
        store_at(tmp_path / "a", "redis://127.0.0.1:1")
    settings = Settings(redis_url="redis://127.0.0.1:1")
    (finding,) = [finding for finding in examine(settings) if finding.area == "store"]
    assert (finding.state, finding.advice) == ("problem", "pip install 'parley-gateway[redis]'")


# --- away and back ---------------------------------------------------------------------------


def test_a_redis_that_is_away_is_named_without_its_password() -> None:
    port = free_port()

    async def scenario(store: RedisStore) -> None:
        for asked in (
            store.durability(),
            store.ping(),
            store.get("k"),
            store.append("log", b"x"),
            store.erase("a"),
        ):
            with pytest.raises(StoreUnavailable) as caught:
                await asked
            assert str(caught.value) == (
                f"redis://127.0.0.1:{port}/3 cannot be reached: start it, or check REDIS_URL"
            )

    with_store(f"redis://me:canary@127.0.0.1:{port}/3", scenario)


def test_a_redis_that_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redis_pool, "COMMAND_S", 0.2)
    monkeypatch.setattr(module, "OPERATION_S", 0.5)

    async def scenario(store: RedisStore) -> None:
        asked = [asyncio.ensure_future(store.get("k")) for _ in range(40)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(answer) for answer in answers} == {StoreUnavailable}
        assert any("does not answer in time" in str(answer) for answer in answers)

    with socket.create_server(("127.0.0.1", 0), backlog=128) as silent:
        with_store(f"redis://127.0.0.1:{silent.getsockname()[1]}", scenario)


def test_no_more_connections_are_made_than_the_bound(redis_server: Any) -> None:
    async def scenario(store: RedisStore) -> None:
        await asyncio.gather(*(store.append("log", b"x") for _ in range(300)))
        listed = redis_server.ask("CLIENT", "LIST").splitlines()
        ours = [line for line in listed if b"name=parley" in line]
        assert 1 <= len(ours) <= module.CONNECTIONS

    with_store(redis_server.url, scenario)


def test_more_waiting_operations_than_the_bound_are_refused(
    redis_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PENDING", 3)

    async def scenario(store: RedisStore) -> None:
        asked = [asyncio.ensure_future(store.append("log", b"x")) for _ in range(4)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert sorted(answers[:3]) == [1, 2, 3]
        assert isinstance(answers[3], StoreUnavailable)
        assert "3 operations are waiting already" in str(answers[3])
        assert await store.append("log", b"x") == 4

    with_store(redis_server.url, scenario)


def test_the_url_cannot_take_a_limit_away(redis_server: Any) -> None:
    async def scenario(store: RedisStore) -> None:
        connection = await store._redis.connection_pool.get_connection()
        assert (connection.socket_timeout, connection.socket_connect_timeout) == (2.0, 1.0)
        await store._redis.connection_pool.release(connection)

    with_store(redis_server.url, scenario)
    with pytest.raises(ValueError, match="must be a URL"):
        RedisStore(f"{redis_server.url}?socket_timeout=900&max_connections=9000")


def test_accepted_answers_outlive_a_redis_that_is_killed_and_the_store_goes_on(
    own_redis: Any,
) -> None:
    async def scenario(store: RedisStore) -> None:
        version = None
        for number in range(200):
            version, _ = await store.commit(
                Put("session:a", b"%d" % number, version, 3600),
                Append("transcript:a", b"%d" % number, 3600),
            )
        await asyncio.to_thread(own_redis.kill)
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            await store.get("session:a")
        await asyncio.to_thread(own_redis.start)
        assert await store.get("session:a") == Entry(b"199", version)
        expected = [(n + 1, b"%d" % n) for n in range(200)]
        assert await store.read("transcript:a") == expected
        # The scripts are gone from the new process, and are sent again.
        assert await store.put("session:a", b"goes on", expect=version) > version

    with_store(own_redis.url, scenario)


def test_an_operation_that_a_dying_redis_does_not_answer_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        """Accept connections, and close each at the first command that is ours."""
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(65536):
                    if b"EVALSHA" in data:
                        asked.append(data)
                        break
                    connection.sendall(b"+OK\r\n" * data.count(b"*"))

    async def scenario(store: RedisStore) -> None:
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            await store.append("log", b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            with_store(f"redis://127.0.0.1:{port}", scenario)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
    assert len(asked) == 1


def test_what_redis_repeats_of_a_command_is_not_told() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            while data := await reader.read(65536):
                if b"HMGET" in data:
                    writer.write(
                        b"-ERR unknown command 'HMGET', with args beginning with: 'me'\r\n"
                    )
                else:
                    writer.write(b"+OK\r\n" * data.count(b"*"))

    async def main() -> None:
        async with asyncio.timeout(20), await asyncio.start_server(answer, "127.0.0.1", 0) as peer:
            url = f"redis://127.0.0.1:{peer.sockets[0].getsockname()[1]}"
            store = RedisStore(url)
            with pytest.raises(StoreUnavailable) as caught:
                await store.get("k")
            await store.aclose()
            assert str(caught.value) == f"{url}: unknown command 'HMGET'"

    asyncio.run(main())


# --- what it refuses -------------------------------------------------------------------------


def test_a_wrong_password_is_called_that_and_not_shown(redis_server: Any) -> None:
    async def scenario(store: RedisStore) -> None:
        with pytest.raises(StoreUnavailable, match="refuses the user or the password") as caught:
            await store.ping()
        assert "canary" not in str(caught.value)

    wrong = redis_server.url.replace("redis://", "redis://somebody:canary@")
    with_store(wrong, scenario)


def test_a_redis_whose_memory_is_full_refuses_and_keeps_what_it_has(redis_server: Any) -> None:
    async def scenario(store: RedisStore) -> None:
        version = await store.put("k", b"x", expect=None)
        with configured(redis_server, maxmemory="1mb"):
            with pytest.raises(StoreUnavailable, match="is full: make room"):
                await store.commit(Append("log", b"x"), Put("k", bytes(4_000_000), version))
            assert await store.get("k") == Entry(b"x", version)
        assert await store.read("log") == []

    with_store(redis_server.url, scenario)


def test_a_replica_is_called_one(redis_server: Any) -> None:
    async def scenario(store: RedisStore) -> None:
        redis_server.ask("REPLICAOF", "127.0.0.1", "1")
        try:
            with pytest.raises(StoreUnavailable, match="is a replica: let REDIS_URL name"):
                await store.put("k", b"x", expect=None)
        finally:
            redis_server.ask("REPLICAOF", "NO", "ONE")

    with_store(redis_server.url, scenario)


def test_what_redis_may_lose_is_said(redis_server: Any) -> None:
    async def scenario(store: RedisStore) -> None:
        assert await store.durability() is None
        with configured(redis_server, **{"maxmemory": "1gb", "maxmemory-policy": "allkeys-lru"}):
            risk = await store.durability()
            assert risk is not None
            assert "maxmemory-policy is allkeys-lru: it may drop sessions" in risk
        with configured(redis_server, appendonly="no"):
            risk = await store.durability()
            assert risk is not None
            assert risk.startswith("it keeps no append-only file")

    with_store(redis_server.url, scenario)


def test_a_user_with_the_documented_rights_can_do_everything(redis_server: Any) -> None:
    page = (DOCS / "storage.md").read_text()
    (rule,) = [line for line in page.splitlines() if line.startswith("ACL SETUSER parley")]
    redis_server.ask(*rule.replace(">PASSWORD", ">secret").split())

    async def scenario(store: RedisStore) -> None:
        await store.ping()
        version = await store.put("session:a", b"x", expect=None, ttl_s=60)
        await store.commit(Put("session:a", b"y", version), Append("transcript:a", b"x"))
        assert await store.read("transcript:a") == [(1, b"x")]
        assert len((await store.page("session", limit=5)).entries) == 1
        await store.delete("transcript:a")
        assert await store.erase("a") == 1
        assert await store.durability() is None
        assert abs(await store.clock_s() - time.time()) < 10
        with pytest.raises(StoreUnavailable, match="does not let this user do it"):
            await store._run(store._redis.flushall)
        redis_server.ask("ACL", "SETUSER", "parley", "-info")
        assert await store.durability() is None

    try:
        with_store(redis_server.url.replace("redis://", "redis://parley:secret@"), scenario)
    finally:
        redis_server.ask("ACL", "DELUSER", "parley")


# --- names, versions, lifetimes --------------------------------------------------------------


def test_versions_go_on_where_redis_has_lost_everything(redis_server: Any) -> None:
    async def scenario(store: RedisStore) -> None:
        old = await store.put("k", b"x", expect=None)
        redis_server.ask("FLUSHALL")
        new = await store.put("k", b"another life", expect=None)
        assert new > old
        with pytest.raises(Conflict):
            await store.put("k", b"from the old life", expect=old)

    with_store(redis_server.url, scenario)


def test_versions_grow_also_while_the_clock_stands_still_or_goes_back(redis_server: Any) -> None:
    async def scenario(store: RedisStore) -> None:
        ahead = (int(time.time()) + 3600) * 1_000_000
        redis_server.ask("SET", f"{PREFIX}version", ahead)
        versions = await store.commit(*(Put(f"k{n}", b"x", None) for n in range(3)))
        assert versions == (ahead + 1, ahead + 2, ahead + 3)

    with_store(redis_server.url, scenario)


def test_redis_itself_forgets_what_has_expired(redis_server: Any) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.commit(Put("k", b"x", None, 0.05), Append("log", b"x", 0.05))
        async with asyncio.timeout(10):
            while redis_server.ask("EXISTS", f"{PREFIX}entry:k", f"{PREFIX}log:log"):
                await asyncio.sleep(0.02)
        assert await store.get("k") is None
        assert await store.read("log") == []

    with_store(redis_server.url, scenario)


def test_writes_clear_away_the_names_of_what_has_expired(redis_server: Any) -> None:
    async def scenario(store: RedisStore) -> None:
        for number in range(2 * SWEEP):
            await store.put(f"old:{number}", b"x", expect=None, ttl_s=0.05)
        async with asyncio.timeout(10):
            while redis_server.ask("KEYS", f"{PREFIX}entry:old:*"):  # the last one may be late
                await asyncio.sleep(0.02)
        for number in range(3):
            await store.put(f"new:{number}", b"x", expect=None)

    with_store(redis_server.url, scenario)
    named = {
        f"{PREFIX}{name}".encode()
        for n in range(3)
        for name in ("version", "kind:new", f"entry:new:{n}", f"about:{n}")
    }
    assert set(redis_server.ask("KEYS", "*")) == named


@pytest.mark.parametrize("place", ["redis"], indirect=True)
def test_a_subject_that_nothing_is_about_any_more_leaves_no_name(
    redis_server: Any, place: Any
) -> None:
    async def scenario(store: RedisStore) -> None:
        version = await store.put("request:k", b"x", expect=None, ttl_s=60)
        await store.commit(Put("request:k", b"x", version, 60, about="first"))
        assert b"about:k" not in place.content()
        # It expires, and is made again about another subject before it is swept.
        await place.pass_time(60)
        await store.commit(Put("request:k", b"x", None, None, about="second"))
        await store.append("log", b"a write, which sweeps")
        assert b"first" not in place.content()
        assert await store.erase("second") == 1

    with_store(redis_server.url, scenario)


def test_all_names_are_in_one_slot_of_a_cluster(redis_server: Any) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.commit(
            Put("session:a", b"x", None, 60), Put("k", b"x", None), Append("transcript:b", b"x")
        )

    with_store(redis_server.url, scenario)
    names = redis_server.ask("KEYS", "*")
    assert len(names) == 9
    assert all(name.startswith(PREFIX.encode()) for name in names)
    assert PREFIX.startswith("{")
    assert "}" in PREFIX


# --- parley doctor ---------------------------------------------------------------------------


def store_finding(settings: Settings) -> Any:
    (finding,) = [finding for finding in examine(settings) if finding.area == "store"]
    return finding


def test_doctor_says_which_redis_answers_and_what_it_may_lose(
    redis_server: Any, tmp_path: Path
) -> None:
    settings = Settings(redis_url=redis_server.url, data_dir=tmp_path, port=0)
    finding = store_finding(settings)
    assert (finding.subject, finding.state) == ("Redis", "ok")
    assert finding.detail == f"{redis_server.url} answers"
    with configured(redis_server, appendonly="no"):
        finding = store_finding(settings)
    assert finding.state == "note"
    assert finding.detail.startswith(f"{redis_server.url} answers, but it keeps no append-only")


def test_doctor_calls_a_redis_that_is_away_a_problem(tmp_path: Path) -> None:
    port = free_port()
    url = f"redis://me:canary@127.0.0.1:{port}/0"
    finding = store_finding(Settings(redis_url=url, data_dir=tmp_path, port=0))
    assert (finding.subject, finding.state) == ("Redis", "problem")
    assert finding.detail.startswith(f"redis://127.0.0.1:{port}/0 cannot be reached")
    assert os.listdir(tmp_path) == []


# --- a whole gateway -------------------------------------------------------------------------


def test_a_gateway_says_that_its_redis_is_away_and_goes_on_when_it_is_back(
    gateway: Any, own_redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(StoreProbe.__init__.__kwdefaults__, "cache_s", 0.05)
    gateway.settings["redis_url"] = own_redis.url

    async def story() -> None:
        url = f"http://127.0.0.1:{gateway.port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:

            async def until(status: str) -> None:
                async with asyncio.timeout(20):
                    report = {}
                    while report != {"kind": "redis", "status": status}:
                        await asyncio.sleep(0.05)
                        report = (await client.get("/health")).json()["store"]

            await until("online")
            made = await client.post("/api/sessions", json={"role": "Data Analyst"})
            session = made.raise_for_status().json()["session_id"]
            await asyncio.to_thread(own_redis.kill)
            refused = await client.post("/api/sessions", json={"role": "Data Analyst"})
            assert refused.status_code == 503
            assert refused.json()["code"] == "store_unavailable"
            await until("offline")
            await asyncio.to_thread(own_redis.start)
            await until("online")
            shown = await client.get(f"/api/sessions/{session}")
            assert shown.raise_for_status().json()["role"] == "Data Analyst"

    gateway.run(story)


def test_a_spoken_interview_is_stored_in_redis(gateway: Any, redis_server: Any) -> None:
    gateway.settings["redis_url"] = redis_server.url

    async def story() -> None:
        async with gateway.call("kept") as caller:
            await caller.say(type="text", text="I built a scheduler.")
            await caller.until("reply.done", turn=1)

    gateway.run(story)
    lines = redis_server.ask("LRANGE", f"{PREFIX}log:transcript:kept", 0, -1)
    assert any(b"I built a scheduler." in line for line in lines)
    assert not (gateway.settings["data_dir"] / "parley.sqlite3").exists()
