"""Ways to a Redis: over TLS, over a line that a firewall has cut, by Sentinels."""

import asyncio
import shutil
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis.exceptions
from redis.asyncio.sentinel import SentinelConnectionPool

from gateway.store import Append, Put, StoreUnavailable
from gateway.store import redis_pool as module
from gateway.store.redis import RedisStore
from gateway.store.redis_pool import RedisPool
from pipeline.testing import run_virtual
from tests.support.paths import ROOT
from tests.support.stores import RedisServer, Sentinel
from tests.support.tcp_line import TcpLine

CERT = ROOT / "tests/gateway/commands/tls/cert.pem"
KEY = CERT.with_name("key.pem")

Scenario = Callable[[RedisStore], Awaitable[None]]


def with_store(url: str, scenario: Scenario, limit_s: float = 30) -> None:
    async def main() -> None:
        async with asyncio.timeout(limit_s):
            store = RedisStore(url)
            try:
                await scenario(store)
            finally:
                await store.aclose()

    asyncio.run(main())


# --- TLS ---------------------------------------------------------------------------------------


@pytest.fixture
def secure_redis(tmp_path: Path, shared_redis: RedisServer) -> Iterator[RedisServer]:
    program = shutil.which("redis-server")
    assert program is not None
    server = RedisServer(program, tmp_path, tls=(CERT, KEY))
    server.start()
    try:
        yield server
    finally:
        server.kill()


def test_a_redis_is_reached_over_tls_and_only_one_that_can_be_trusted(
    secure_redis: RedisServer,
) -> None:
    async def kept(store: RedisStore) -> None:
        version = await store.put("k", b"x", expect=None)
        assert (await asyncio.gather(*(store.get("k") for _ in range(40))))[-1] is not None
        assert await store.put("k", b"y", expect=version) > version

    async def refused(store: RedisStore) -> None:
        with pytest.raises(StoreUnavailable) as caught:
            await store.ping()
        assert str(caught.value) == (
            f"rediss://127.0.0.1:{secure_redis.port}/0 cannot be trusted (self-signed certificate):"
            " check ssl_ca_certs and the host in REDIS_URL"
        )

    with_store(secure_redis.url, kept)
    with_store(secure_redis.url.partition("?")[0], refused)


# --- a line that leads nowhere -------------------------------------------------------------------


def test_an_idle_connection_that_a_firewall_has_cut_is_noticed_at_the_first_request(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with asyncio.timeout(30), TcpLine(redis_server.port) as line:
            store = RedisStore(line.url.replace("ws://", "redis://"))
            try:
                version = await store.put("k", b"x", expect=None)
                await asyncio.gather(*(store.get("k") for _ in range(40)))
                line.swallow()
                monkeypatch.setattr(module, "IDLE_S", 0.0)  # as if that time had passed
                assert await store.put("k", b"y", expect=version) > version
            finally:
                await store.aclose()

    asyncio.run(main())


def test_one_request_finds_out_for_all_connections_that_they_lead_nowhere(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COMMAND_S", 1.0)  # a third of what an operation may take

    async def main() -> None:
        async with asyncio.timeout(30), TcpLine(redis_server.port) as line:
            store = RedisStore(line.url.replace("ws://", "redis://"))
            try:
                await asyncio.gather(*(store.append("log", b"x") for _ in range(40)))
                line.swallow()
                with pytest.raises(StoreUnavailable, match="does not answer in time"):
                    await store.append("log", b"y")
                later = (store.append("log", b"z") for _ in range(module.CONNECTIONS))
                assert sorted(await asyncio.gather(*later)) == [*range(41, 57)]
            finally:
                await store.aclose()

    asyncio.run(main())


# --- other keys ----------------------------------------------------------------------------------


def test_another_applications_keys_are_neither_seen_nor_touched(redis_server: RedisServer) -> None:
    theirs = {"session:a": "theirs", "parley": "theirs", "entry:session:a": "x", "version": "x"}
    for name, value in theirs.items():
        redis_server.ask("SET", name, value)
    redis_server.ask("RPUSH", "log:transcript:a", "theirs")

    async def scenario(store: RedisStore) -> None:
        assert await store.get("session:a") is None
        assert await store.read("transcript:a") == []
        await store.commit(Put("session:a", b"ours", None, 60), Append("transcript:a", b"ours", 60))
        assert [key for key, _ in (await store.page("session", limit=9)).entries] == ["session:a"]
        assert await store.erase("a") == 2

    with_store(redis_server.url, scenario)
    assert {name: redis_server.ask("GET", name).decode() for name in theirs} == theirs
    assert redis_server.ask("LRANGE", "log:transcript:a", 0, -1) == [b"theirs"]


def test_a_name_of_ours_that_another_application_has_taken_is_said(
    redis_server: RedisServer,
) -> None:
    redis_server.ask("SET", "{parley}:log:transcript:a", "theirs")

    async def scenario(store: RedisStore) -> None:
        with pytest.raises(StoreUnavailable, match="wrong kind of value"):
            await store.read("transcript:a")

    with_store(redis_server.url, scenario)


# --- Sentinels -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Watched:
    """A primary, its replica, and a Sentinel; `url` names a Sentinel that is not there first."""

    primary: RedisServer
    replica: RedisServer
    sentinel: Sentinel

    @property
    def url(self) -> str:
        scheme, _, rest = self.sentinel.url.partition("://")
        host, _, options = rest.partition("/0")
        return f"{scheme}+sentinel://127.0.0.1:1,{host}/main/0{options}"


@pytest.fixture
def watched(
    request: pytest.FixtureRequest, tmp_path: Path, shared_redis: RedisServer
) -> Iterator[Watched]:
    program = shutil.which("redis-server")
    assert program is not None
    secured: dict[str, Any] = {"tls": (CERT, KEY)} if request.param == "TLS" else {}
    with ExitStack() as stack:

        def started(server: RedisServer) -> RedisServer:
            stack.callback(server.kill)
            server.start()
            return server

        folders = [tmp_path / name for name in ("primary", "replica", "sentinel")]
        for folder in folders:
            folder.mkdir()
        primary = started(RedisServer(program, folders[0], **secured))
        replicates = f"127.0.0.1 {primary.port}"
        replica = RedisServer(program, folders[1], replicaof=replicates, **secured)
        started(replica)
        sentinel = Sentinel(program, folders[2], primary, **secured)
        started(sentinel)
        yield Watched(primary, replica, sentinel)


async def answered(ask: Callable[[], Awaitable[Any]]) -> list[str]:
    """Ask until it is answered; the refusals until then."""
    refused: list[str] = []
    while True:
        try:
            await ask()
        except StoreUnavailable as error:
            refused.append(str(error))
            await asyncio.sleep(0.1)
        else:
            return refused


@pytest.mark.slow
@pytest.mark.parametrize(
    ("watched", "fault"),
    [("TLS", signal.SIGKILL), ("plain", signal.SIGSTOP)],
    ids=["killed, over TLS", "stopped"],
    indirect=["watched"],
)
def test_the_store_follows_the_sentinels_to_the_next_primary(
    watched: Watched, fault: signal.Signals
) -> None:
    async def scenario(store: RedisStore) -> None:
        version = await store.put("k", b"before", expect=None)
        await asyncio.gather(*(store.get("k") for _ in range(40)))
        await asyncio.to_thread(watched.primary.ask, "WAIT", 1, 5000)
        while not watched.sentinel.ask("SENTINEL", "REPLICAS", "main"):
            await asyncio.sleep(0.1)
        watched.primary.send_signal(fault)
        refused = await answered(lambda: store.put("j", b"meanwhile", expect=None))
        assert refused
        assert {text.partition(" ")[0] for text in refused} == {watched.url.partition("?")[0]}
        entry = await store.get("k")
        assert entry is not None
        assert (entry.value, entry.version) == (b"before", version)
        if fault is signal.SIGSTOP:  # the one before wakes, and is made a replica
            watched.primary.send_signal(signal.SIGCONT)
            while watched.primary.ask("INFO", "replication")["role"] != "slave":
                await asyncio.sleep(0.1)
        assert await store.put("k", b"after", expect=version) > version

    with_store(watched.url, scenario, 60)


@dataclass
class SilentSentinel:
    """Answers a question after so many seconds, if ever; what it was asked, and what was given up.

    One that knows nothing of the primary has no `port`.
    """

    name: str
    journal: list[tuple[str, str, float]]
    port: int | None = None
    silent_s: float = 1_000.0
    refusal: redis.exceptions.RedisError | None = None

    def _note(self, event: str) -> None:
        self.journal.append((self.name, event, round(asyncio.get_running_loop().time(), 3)))

    async def sentinel_masters(self) -> dict[str, dict[str, Any]]:
        self._note("asked")
        try:
            await asyncio.sleep(min(self.silent_s, module.SENTINEL_S))
        except asyncio.CancelledError:
            self._note("given up")
            raise
        if self.silent_s > module.SENTINEL_S:
            raise redis.exceptions.TimeoutError
        if self.refusal is not None:
            raise self.refusal
        if self.port is None:
            return {}
        healthy = {
            "is_master": True,
            "is_sdown": False,
            "is_odown": False,
            "num-other-sentinels": 0,
        }
        return {"main": healthy | {"ip": "10.0.0.9", "port": self.port}}


def discover(sentinels: list[SilentSentinel]) -> Any:
    """Whom a pool finds that has these Sentinels; an error is returned."""

    async def main() -> Any:
        pool = RedisPool("redis+sentinel://127.0.0.1:1/main/0").connections
        assert isinstance(pool, SentinelConnectionPool)
        pool.sentinel_manager.sentinels = sentinels
        try:
            return await pool.get_master_address()  # type: ignore[no-untyped-call]
        except redis.exceptions.RedisError as error:
            return error

    return run_virtual(main())


def test_sentinels_that_hang_are_not_waited_for_one_after_another() -> None:
    journal: list[tuple[str, str, float]] = []
    hanging = [SilentSentinel(f"hanging-{number}", journal) for number in range(3)]
    answering = SilentSentinel("answering", journal, port=6379, silent_s=0.05)
    sentinels = [*hanging, answering, SilentSentinel("spare", journal, port=1)]
    assert discover(sentinels) == ("10.0.0.9", 6379)
    assert journal == [
        ("hanging-0", "asked", 0.0),
        ("hanging-1", "asked", 0.1),
        ("hanging-2", "asked", 0.2),
        ("answering", "asked", 0.3),
        ("hanging-0", "given up", 0.35),
        ("hanging-1", "given up", 0.35),
        ("hanging-2", "given up", 0.35),
    ]
    assert sentinels[0] is answering  # who is asked first from now on


def test_a_sentinel_that_does_not_know_the_primary_is_followed_by_the_next_at_once() -> None:
    journal: list[tuple[str, str, float]] = []
    ignorant = SilentSentinel("ignorant", journal, silent_s=0.0)
    knowing = SilentSentinel("knowing", journal, port=7, silent_s=0.0)
    assert discover([ignorant, knowing]) == ("10.0.0.9", 7)
    assert journal == [("ignorant", "asked", 0.0), ("knowing", "asked", 0.0)]


def test_a_sentinel_that_refuses_does_not_hide_what_a_slower_one_knows() -> None:
    knowing = SilentSentinel("knowing", [], port=7, silent_s=0.15)
    no_permission = redis.exceptions.NoPermissionError("not allowed")
    refusing = SilentSentinel("refusing", [], silent_s=0.0, refusal=no_permission)
    assert discover([knowing, refusing]) == ("10.0.0.9", 7)
    assert discover([SilentSentinel("hanging", []), refusing]) is no_permission


def test_where_no_sentinel_answers_all_have_had_their_time() -> None:
    journal: list[tuple[str, str, float]] = []
    found = discover([SilentSentinel(f"hanging-{number}", journal) for number in range(3)])
    assert str(found) == "no Sentinel that answers knows the primary 'main'"
    assert isinstance(found.__cause__, redis.exceptions.TimeoutError)
    assert [event for _, event, _ in journal] == ["asked"] * 3


@pytest.mark.slow
@pytest.mark.parametrize("watched", ["plain"], indirect=True)
def test_the_primary_is_found_behind_eight_sentinels_that_hang(watched: Watched) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.ping()

    with ExitStack() as stack:
        hanging = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(8)]
        hosts = "".join(f"127.0.0.1:{one.getsockname()[1]}," for one in hanging)
        with_store(watched.url.replace("//", f"//{hosts}"), scenario)


@pytest.mark.slow
@pytest.mark.parametrize("watched", ["plain"], indirect=True)
def test_a_primary_that_no_sentinel_knows_is_said(watched: Watched) -> None:
    async def scenario(store: RedisStore) -> None:
        with pytest.raises(StoreUnavailable) as caught:
            await store.ping()
        assert "has no primary now, as far as the Sentinels that answer know" in str(caught.value)
        assert "check the name" in str(caught.value)

    with_store(watched.url.replace("/main/", "/another/"), scenario)
