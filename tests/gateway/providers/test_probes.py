import asyncio
import logging
from dataclasses import dataclass

import pytest

from gateway.providers.probes import PROBE_S, StageProbes, ask, ask_all
from pipeline.testing import run_virtual

PLACE = "llm", "far"


@dataclass
class Server:
    """A stage that takes `delay_s` to say how it is."""

    problem: str | None = None
    delay_s: float = 0.0
    asked: int = 0

    async def probe(self) -> str | None:
        self.asked += 1
        await asyncio.sleep(self.delay_s)
        return self.problem


class Torn:
    async def probe(self) -> str | None:
        raise OSError("no route")


def test_a_stage_says_why_it_would_not_answer() -> None:
    assert run_virtual(ask(Server("gone"))) == "gone"
    assert run_virtual(ask(Server())) is None
    assert run_virtual(ask(object())) is None


def test_a_probe_that_hangs_or_raises_is_a_reason() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        assert await ask(Server(delay_s=60)) == "it does not answer within 1.5 s"
        assert loop.time() - begun == PROBE_S
        assert await ask(Torn()) == "its probe failed: OSError: no route"

    run_virtual(main())


def test_all_are_asked_at_once() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        stages = {("stt", "a"): Server("gone", 1.0), ("tts", "b"): Server(None, 1.0)}
        assert await ask_all(stages) == {("stt", "a"): "gone"}
        assert loop.time() - begun == 1.0

    run_virtual(main())


def test_the_latest_answer_is_given_at_once_and_renewed_in_the_background() -> None:
    async def main() -> None:
        server = Server("gone", delay_s=0.5)
        probes = StageProbes({PLACE: server, ("vad", "near"): object()})
        assert await probes.ask() == {PLACE: "gone"}
        server.problem = None
        await asyncio.sleep(4)
        assert (probes.latest(), server.asked) == ({PLACE: "gone"}, 1)
        await asyncio.sleep(1)
        for _ in range(10):  # however many ask, there is one round
            assert probes.latest() == {PLACE: "gone"}
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)
        assert (probes.latest(), server.asked) == ({}, 2)
        await probes.aclose()

    run_virtual(main())


def test_closing_ends_the_round_under_way() -> None:
    async def main() -> None:
        probes = StageProbes({PLACE: Server("gone", delay_s=1)})
        assert probes.latest() == {}
        await asyncio.sleep(0)
        await probes.aclose()
        assert probes.latest() == {}
        await probes.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())


def test_changes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server = Server()
        probes = StageProbes({PLACE: server})
        for problem in (None, "gone", "gone", None, None):
            server.problem = problem
            await probes.ask()

    caplog.set_level(logging.INFO)
    run_virtual(main())
    assert caplog.messages == [
        "llm: far would not answer now: gone",
        "llm: far answers again",
    ]
