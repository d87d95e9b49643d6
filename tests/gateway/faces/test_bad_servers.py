"""An avatar server in live calls, good and bad: what people see, and that all is heard.

The server is a real process, so these calls are held in real time, but without a gateway's server.
That speech does not wait for it is proved in virtual time, see `test_speech.py`.
"""

import asyncio
import base64
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from av import CodecContext, Packet

from pipeline.breaker import Breaker, BreakerPolicy, BreakerState, Outcome
from pipeline.guard import Candidate, Guard, Limits
from stages.avatar.remote import RemoteAnimator
from stages.fakes import FakeResponder, FakeSynthesizer
from tests.support.breakers import Recorder
from tests.support.calls import LocalCalls, faces_of_servers
from tests.support.faces import drawn_here

pytestmark = pytest.mark.slow  # its servers keep their callers waiting

FAILURE, NEUTRAL = Outcome.FAILURE, Outcome.NEUTRAL
PATIENT = Limits(first_s=10, slow_first_s=10, stall_s=0.5, total_s=20)
STERN = Limits(first_s=0.3, slow_first_s=0.2, stall_s=0.3, total_s=2)

WORD_MS = 60
REPLY = "One reply of sixteen words, which take as long as a picture server needs to fail."


class Bench:
    """Calls whose faces a server animates."""

    def __init__(self, local: LocalCalls, peer: Any) -> None:
        self.local = local
        local.faces = drawn_here
        self.peer = peer
        self.breaker = Recorder(BreakerPolicy(consecutive_failures=4, open_s=3))
        local.settings |= {"speculate": "off"}
        self.speak_at(WORD_MS)

    def speak_at(self, ms_per_word: int) -> None:
        self.local.synthesizer = FakeSynthesizer(ms_per_word=ms_per_word)

    def put(self, behaviour: str, limits: Limits = PATIENT, url: str = "") -> None:
        self.stage = RemoteAnimator(url or f"{self.peer.url}/{behaviour}/v1")
        candidate = Candidate(self.stage.provider, self.stage, self.breaker, limits)
        scripted = self.local.scripted

        def animated() -> Any:
            responder = FakeResponder(text=REPLY)
            return replace(
                scripted(),
                responders=Guard("llm", [Candidate(responder.provider, responder, Breaker())]),
                animators=Guard("avatar", [candidate]),
            )

        self.local.stages = animated

    def talk(self, *, turns: int = 1, pause_s: float = 0.0) -> Any:
        """The opening and some answers, each heard out to the end of its reply."""
        collected: list[Any] = []

        async def story() -> None:
            try:
                async with self.local.call() as caller:
                    collected.append(caller)
                    await caller.say(type="hello", version=1, avatar="frames")
                    assert (await caller.until("ready"))["providers"]["avatar"] == "remote"
                    await caller.until("reply.done", turn=0)
                    for turn in range(1, turns):
                        await asyncio.sleep(pause_s)
                        await caller.say(type="text", text=f"this is what I think, {turn}")
                        await caller.until("reply.done", turn=turn)
            finally:
                await self.stage.aclose()

        self.local.run_in_real_time(story)
        return collected[0]


@pytest.fixture
def bench(avatar_peer: Any) -> Bench:
    return Bench(LocalCalls(), avatar_peer)


def spoken(caller: Any, turn: int = 0) -> list[dict[str, Any]]:
    return [
        m
        for m in caller.messages
        if m["type"] == "avatar.frame" and m["turn"] == turn and m["at_ms"] is not None
    ]


def greys(found: list[dict[str, Any]]) -> list[int]:
    """The shade of each picture that the server made; -1 for the built-in face."""
    shades = []
    for message in found:
        decoder: Any = CodecContext.create("mjpeg", "r")
        [frame] = decoder.decode(Packet(base64.b64decode(message["data"])))
        picture = frame.to_ndarray(format="gray")
        shades.append(int(picture.mean()) if np.ptp(picture) < 8 else -1)
    return shades


def degraded(caller: Any) -> list[tuple[int, str, str, str]]:
    return [
        (m["turn"], m["from"], m["to"], m["reason"])
        for m in caller.messages
        if m["type"] == "degraded" and m["stage"] == "avatar"
    ]


def all_was_heard(caller: Any, ms_per_word: int = WORD_MS) -> bool:
    done = [m for m in caller.messages if m["type"] == "reply.done"]
    words = sum(len(m["heard"].split()) for m in done)
    return len(caller.audio) == words * ms_per_word * 32 and not any(m["interrupted"] for m in done)


def test_the_servers_pictures_are_shown_with_the_speech_they_were_made_for(bench: Bench) -> None:
    bench.put("hello")
    caller = bench.talk(turns=2)
    assert degraded(caller) == []
    assert all_was_heard(caller)
    for turn in (0, 1):
        found = spoken(caller, turn)
        times = [frame["at_ms"] for frame in found]
        assert times == sorted(set(times))
        assert len(times) >= 8
        assert {shade for shade in greys(found) if shade < 190} == set()
    silent = [m for m in caller.messages if m["type"] == "avatar.frame" and m["at_ms"] is None]
    assert set(greys(silent)) == {40}


@pytest.mark.slow
def test_a_slow_server_is_shown_as_far_as_it_keeps_up(bench: Bench) -> None:
    bench.put("late")
    bench.speak_at(200)
    caller = bench.talk()
    times = [frame["at_ms"] for frame in spoken(caller)]
    assert times
    assert times[0] >= 800
    assert degraded(caller) == []
    assert all_was_heard(caller, 200)


@pytest.mark.parametrize(
    ("behaviour", "limits", "outcome", "reason"),
    [
        ("garbage", PATIENT, FAILURE, "protocol"),
        ("html", PATIENT, FAILURE, "protocol"),
        ("png", PATIENT, FAILURE, "protocol"),
        ("huge", PATIENT, FAILURE, "protocol"),
        ("fat", PATIENT, FAILURE, "protocol"),
        ("bomb", PATIENT, FAILURE, "protocol"),
        ("cut-off", PATIENT, FAILURE, "protocol"),
        ("empty", PATIENT, FAILURE, "empty"),
        ("broken", PATIENT, FAILURE, "HTTP 500"),
        ("busy", PATIENT, FAILURE, "slow down"),
        ("missing", PATIENT, NEUTRAL, "HTTP 404"),
        ("stall", PATIENT, FAILURE, "stall"),
        ("reset", PATIENT, FAILURE, "stream"),
        ("silent", STERN, FAILURE, "first"),
        ("crawls", STERN, FAILURE, "first"),
    ],
)
def test_a_bad_server_costs_its_pictures_and_the_built_in_face_takes_over(
    bench: Bench, behaviour: str, limits: Limits, outcome: Outcome, reason: str
) -> None:
    bench.put(behaviour, limits)
    caller = bench.talk()
    assert all_was_heard(caller)
    [(turn, source, target, why)] = degraded(caller)
    assert (turn, source, target) == (0, "remote", "face")
    assert reason in why
    assert greys(spoken(caller))[-1:] == [-1]
    assert set(bench.breaker.settled) == {outcome}


def test_a_server_that_is_not_there_costs_no_more_than_that(bench: Bench) -> None:
    bench.put("", url="http://127.0.0.1:9")
    caller = bench.talk(turns=2)
    assert all_was_heard(caller)
    assert [(turn, target) for turn, _, target, _ in degraded(caller)] == [(0, "face"), (1, "face")]


@pytest.mark.slow
def test_its_breaker_opens_and_the_server_comes_back_when_it_is_well(bench: Bench) -> None:
    bench.put("broken/again")
    well = RemoteAnimator(f"{bench.peer.url}/hello/again/v1")

    async def story() -> None:
        async with bench.local.call() as caller:

            async def answer(turn: int) -> None:
                await caller.say(type="text", text=f"this is what I think, {turn}")
                await caller.until("reply.done", turn=turn)

            await caller.say(type="hello", version=1, avatar="frames")
            await caller.until("reply.done", turn=0)
            turn = 0
            while bench.breaker.state is not BreakerState.OPEN:
                turn += 1
                await answer(turn)
            asked = len(bench.peer.requests("broken/again"))
            await answer(turn + 1)
            assert "circuit" in degraded(caller)[-1][3]
            assert len(bench.peer.requests("broken/again")) == asked
            bench.stage.animate = well.animate
            await asyncio.sleep(3.1)
            await answer(turn + 2)
            await answer(turn + 3)
            assert bench.breaker.state is BreakerState.CLOSED
            assert -1 not in greys(spoken(caller, turn + 3))
            assert degraded(caller)[-1][0] == turn + 1
            assert all_was_heard(caller)
        await bench.stage.aclose()
        await well.aclose()

    bench.local.run_in_real_time(story)


def test_where_nobody_else_draws_the_client_is_left_with_the_visemes(bench: Bench) -> None:
    bench.local.faces = faces_of_servers
    bench.put("broken")
    caller = bench.talk()
    assert [event[:3] for event in degraded(caller)] == [(0, "remote", "visemes")]
    assert all_was_heard(caller)
    assert "visemes" in caller.types()
    assert [m for m in caller.messages if m["type"] == "avatar.frame"] == []


def test_an_interruption_is_seen_by_the_server_and_nothing_of_it_is_shown(bench: Bench) -> None:
    bench.put("slow/interrupted")
    bench.speak_at(200)

    async def story() -> None:
        async with bench.local.call() as caller:
            await caller.say(type="hello", version=1, avatar="frames")
            await caller.until("reply.text", turn=0)
            await asyncio.sleep(0.5)
            await caller.say(type="interrupt")
            await caller.until("clear", turn=0)
            await bench.peer.disconnected("slow/interrupted")
            await asyncio.sleep(0.3)
        after = caller.messages[caller.types().index("clear") :]
        assert {m["at_ms"] for m in after if m["type"] == "avatar.frame"} <= {None}
        await bench.stage.aclose()

    bench.local.run_in_real_time(story)
