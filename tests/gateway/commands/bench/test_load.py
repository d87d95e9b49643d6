"""A load run against a server in this process, in time that jumps."""

import asyncio
import gc
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.commands.bench import load as generator
from gateway.commands.bench.caller import Caller, Sounds
from gateway.commands.bench.dialect import ParleyDialect, Wishes
from gateway.commands.bench.load import Load, Plan
from gateway.commands.bench.run import told_by
from gateway.commands.bench.scenario import Scenario
from gateway.commands.bench.wire import CLOSE
from pipeline.testing import run_virtual
from tests.support.paths import ROOT

CLIP = [b"speech"] * 50
ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """A run stops collecting garbage: it has a process of its own."""
    yield
    gc.unfreeze()
    gc.enable()


class Server:
    """Answers each clip of every caller; `decides_s` after its end, at once with a reply."""

    def __init__(self, decides_s: float = 0.8, opens: bool = True) -> None:
        self.decides_s = decides_s
        self.opens = opens
        self.lines: list[Line] = []

    async def connect(self, caller: Caller, host: str, port: int) -> None:
        await asyncio.sleep(0.01)
        self.lines.append(Line(self, caller))

    def open(self) -> int:
        return sum(not line.closed for line in self.lines)


class Line:
    """The server's side of one connection."""

    def __init__(self, server: Server, caller: Caller) -> None:
        self.server = server
        self.caller = caller
        self.closed = False
        self.spoken = 0
        self.loop = asyncio.get_running_loop()
        wire: Any = self
        caller.connection_made(wire)
        self.loop.call_soon(caller.data_received, ACCEPTED)
        self.says('{"type":"ready"}')
        if server.opens:
            self.replies(200)

    def write(self, data: bytes) -> None:
        self.spoken = self.spoken + 1 if data == b"speech" else 0
        if self.spoken == len(CLIP):
            self.loop.call_later(self.server.decides_s, self.decides)

    def decides(self) -> None:
        self.says('{"type":"speech.stopped","turn":1,"at_ms":0}')
        self.replies(200)

    def replies(self, ms: int) -> None:
        self.sends(2, bytes(32 * ms))

    def says(self, message: str) -> None:
        self.sends(1, message.encode())

    def sends(self, opcode: int, payload: bytes) -> None:
        size = len(payload).to_bytes(2, "big")
        frame = bytes((0x80 | opcode, 126)) + size + payload
        self.loop.call_soon(self.caller.data_received, frame)

    def ends(self, code: int) -> None:
        self.sends(CLOSE, code.to_bytes(2, "big"))

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.loop.call_soon(self.caller.connection_lost, None)


Meanwhile = Callable[[Load, Server], None]


def held(
    server: Server,
    *,
    sessions: int = 2,
    seconds: float = 10.0,
    scenario: Scenario = "turns",
    meanwhile: Meanwhile = lambda load, server: None,
) -> dict[str, Any]:
    """The report of a run; `meanwhile` is called 5 s after its begin."""

    async def story() -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        plan = Plan("ws://127.0.0.1:1", "parley", scenario, sessions, seconds, ROOT, 1.0, Wishes())
        load = Load(
            plan,
            ParleyDialect(),
            connect=server.connect,
            clock=loop.time,
            sounds=Sounds([CLIP], [b"room"]),
        )
        loop.call_later(5.0, meanwhile, load, server)
        report = await load.run()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return report

    return run_virtual(story())


def test_all_turns_of_the_measured_stretch_are_answered(capsys: pytest.CaptureFixture[str]) -> None:
    server = Server()
    report = held(server)
    assert (report["open"], report["lost"], report["faults"]) == (2, 0, {})
    assert report["spoken"] == report["answered"] > 4
    assert report["missed"] == 0
    assert report["wall_s"] == pytest.approx(10.0, abs=0.01)
    assert server.open() == 0
    told = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert [told[0], told[1], told[-1]] == ["begin", "steady", "over"]


def test_a_turn_that_is_open_at_the_end_is_still_judged() -> None:
    """A server that falls silent shortly before the end has missed those turns."""

    def stall(load: Load, server: Server) -> None:
        server.decides_s = 60.0

    report = held(Server(), seconds=6.0, meanwhile=stall)
    assert report["missed"] > 0
    assert report["spoken"] == report["answered"] + report["missed"]


def test_an_interview_that_is_complete_is_followed_by_another() -> None:
    def finish(load: Load, server: Server) -> None:
        server.lines[0].ends(1000)

    server = Server()
    report = held(server, meanwhile=finish)
    assert (report["calls"], report["faults"], report["lost"]) == (3, {}, 0)
    assert len(server.lines) == 3
    assert server.open() == 0


def test_a_session_that_is_lost_is_a_fault_and_counted() -> None:
    def fail(load: Load, server: Server) -> None:
        server.lines[0].ends(1011)

    report = held(Server(), meanwhile=fail)
    assert (report["open"], report["lost"]) == (2, 1)
    assert report["faults"] == {"closed with 1011": 1}


def test_a_server_that_ends_every_session_at_once_is_not_called_again() -> None:
    class Ends(Server):
        async def connect(self, caller: Caller, host: str, port: int) -> None:
            await super().connect(caller, host, port)
            self.lines[-1].ends(1000)

    report = held(Ends(opens=False), seconds=5.0)
    assert (report["open"], report["calls"]) == (0, 2)
    assert report["faults"] == {"closed with 1000": 2}


def test_who_cannot_connect_is_not_waited_for() -> None:
    class Full(Server):
        async def connect(self, caller: Caller, host: str, port: int) -> None:
            if self.lines:
                await asyncio.sleep(3600)
            await super().connect(caller, host, port)

    report = held(Full())
    assert report["open"] == 1
    assert report["faults"] == {"no connection: TimeoutError": 1}


def test_an_opening_that_never_comes_is_not_waited_for_without_an_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generator, "OPENING_TIMEOUT_S", 3.0)
    report = held(Server(opens=False), seconds=5.0)
    assert report["open"] == 0


def test_a_generator_that_is_always_late_still_lets_the_sockets_be_read() -> None:
    async def story() -> int:
        now = 0.0

        def clock() -> float:
            nonlocal now
            now += 0.002  # each look at the clock takes longer than a slot
            return now

        plan = Plan("ws://127.0.0.1:1", "parley", "silence", 2, 5.0, ROOT)
        load = Load(plan, ParleyDialect(), clock=clock, sounds=Sounds([CLIP], [b"room"]))
        sending = asyncio.create_task(load._clock())
        for _ in range(10):
            await asyncio.sleep(0)
        sending.cancel()
        return round(now * 1000)

    assert run_virtual(story()) < 100


def test_a_generator_that_says_nothing_more_is_ended() -> None:
    began = time.monotonic()
    command = ["sh", "-c", 'echo "{\\"event\\":\\"begin\\"}"; exec sleep 60']
    assert [event for event, _ in told_by(command, within_s=0.5)] == ["begin"]
    assert time.monotonic() - began < 30
