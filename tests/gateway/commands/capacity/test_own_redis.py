"""A real redis-server that is there within the block, and gone after it."""

import shutil
import socket
from pathlib import Path

import pytest

from gateway.commands.bench.server import ServerFailed
from gateway.commands.capacity import own_redis
from gateway.commands.capacity.own_redis import OwnRedis, missing

needs_redis = pytest.mark.skipif(missing() is not None, reason="needs redis-server and its client")


@needs_redis
def test_it_counts_what_others_ask_and_leaves_nothing() -> None:
    from redis import Redis

    with OwnRedis() as server:
        before = server.used()
        with Redis.from_url(server.url) as client:
            for number in range(20):
                client.set(f"key-{number}", "x" * 1000)
        after = server.used()
        folder, port = Path(server._folder.name), server._port
        assert folder.is_dir()
    assert 20 <= after.commands - before.commands <= 23, "and what its client says at first"
    assert after.memory_kb - before.memory_kb > 20
    assert after.at_s > before.at_s
    assert not folder.exists()
    with socket.socket() as knock:
        assert knock.connect_ex(("127.0.0.1", port)) != 0


@needs_redis
def test_looking_costs_no_commands() -> None:
    with OwnRedis() as server:
        first = server.used()
        assert [server.used().commands for _ in range(5)] == [first.commands] * 5


@needs_redis
def test_one_that_is_gone_is_told() -> None:
    with OwnRedis() as server:
        assert server._process is not None
        server._process.kill()
        server._process.wait()
        with pytest.raises(ServerFailed, match="redis-server does not answer"):
            server.used()


@needs_redis
def test_one_that_cannot_start_is_told_with_its_last_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr(own_redis, "free_port", lambda: taken.getsockname()[1])
        server = OwnRedis()
        with pytest.raises(ServerFailed, match="did not become ready"), server:
            pass
    assert not Path(server._folder.name).exists()


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert missing() == "redis-server is not installed here"
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/redis-server")
    monkeypatch.setattr(own_redis, "find_spec", lambda name: None)
    assert "parley-gateway[redis]" in str(missing())
