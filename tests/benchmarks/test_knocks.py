"""The client that measures refusals beside a crowd."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import pytest

from benchmarks import knocks as module
from benchmarks.knocks import EVERY_S, VOLLEY, VOLLEY_S, Heard, Knocks, schedule

ANSWERS = {
    "refuses": b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
    "lets in": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "fails": b"HTTP/1.1 500 Internal Server Error\r\n\r\n",
    "closes": b"",
}


@contextmanager
def door(*answers: bytes) -> Iterator[str]:
    """A server that gives these answers, one to each connection, and then listens no more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                client, _ = listener.accept()
                with client:
                    asked = client.recv(4096)
                    assert asked.startswith(b"GET /ws/knock. HTTP/1.1\r\n")
                    client.sendall(answer)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/ws"
        serving.join(30)
        assert not serving.is_alive()


def knocked(url: str, monkeypatch: pytest.MonkeyPatch, *, until: int) -> Heard:
    """What is heard until so many knocks have had their answer."""
    monkeypatch.setattr(module, "EVERY_S", 0.001)
    reading, writing = os.pipe()
    knocks = Knocks(url)
    listen = knocks._listen
    heard = knocks.heard

    def listening(within_s: float, stdin: int) -> bool:
        over = listen(within_s, stdin)
        answered = len(heard.refusals_ms) + heard.let_in + sum(heard.others.values())
        if answered >= until:
            os.close(writing)
            return listen(1.0, stdin) or over
        return over

    monkeypatch.setattr(knocks, "_listen", listening)
    knocks.run(reading)
    os.close(reading)
    return heard


def test_there_is_one_knock_at_a_time_and_now_and_then_a_volley() -> None:
    per_volley = round(VOLLEY_S / EVERY_S)
    planned = list(islice(schedule(), per_volley + 2))
    assert [count for _, count in planned] == [1] * per_volley + [VOLLEY, 1]
    assert planned[per_volley][0] == pytest.approx(VOLLEY_S)


def test_each_answer_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    with door(*ANSWERS.values(), ANSWERS["refuses"]) as url:
        heard = knocked(url, monkeypatch, until=5)
    assert len(heard.refusals_ms) == 2
    assert all(0 < took_ms < 30_000 for took_ms in heard.refusals_ms)
    assert heard.let_in == 1
    assert heard.others == {"500": 1, "closed": 1}


def test_a_client_that_was_late_itself_is_not_believed() -> None:
    late = Heard(refusals_ms=[1.0], lag_ms=[30.0] * 10)
    assert late.report()["distrust"] == ["the knocking client ran 30 ms late (p99)"]
    assert Heard(refusals_ms=[1.0], lag_ms=[2.0]).report()["distrust"] == []
    assert Heard().report()["refusal"] is None


def test_a_knock_without_an_answer_counts_with_the_time_it_was_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        knocks = Knocks(f"ws://127.0.0.1:{silent.getsockname()[1]}/ws", lambda: now[0])
        knocks._knock()
        knocks._give_up()
        assert knocks.heard.unanswered == 0
        now[0] = module.UNANSWERED_S
        knocks._give_up()
    assert (knocks.heard.unanswered, knocks.heard.refusals_ms) == (1, [10_000.0])
