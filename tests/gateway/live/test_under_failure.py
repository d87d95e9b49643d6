"""A real server that never answers, behind a real gateway: when the person hears something."""

import math
import time
from typing import Any

import pytest

BUDGET_MS = 1000
TURNS = 10
"""In each of two sessions."""


@pytest.fixture
def failing(gateway: Any, peer: Any) -> Any:
    """A gateway with espeak-ng and the scripted interviewer behind servers that are broken."""
    gateway.configured = True
    gateway.settings |= {
        "budget_ms": BUDGET_MS,
        "vad": "energy",
        "llm": "scripted",
        "tts_engine": "espeak-ng",
    }
    return gateway


def p95(values: list[float]) -> float:
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


async def talk(gateway: Any, session: str) -> tuple[list[float], list[float]]:
    """Ten typed turns, each interrupted with the reply's first words: milliseconds from the answer
    to the first sound, as the gateway tells them, and to the reply's own first words."""
    replies: list[float] = []
    async with gateway.call(session) as caller:
        began = time.perf_counter()
        interview = {"role": "Data Analyst", "totalQuestions": 15}
        await caller.say(type="hello", version=1, interview=interview)
        for turn in range(TURNS):
            if turn:
                began = time.perf_counter()
                await caller.say(type="text", text="I like to build things that last.")
            await caller.until("reply.started", turn=turn)
            fillers = 0
            while True:
                texts = [m for m in caller.messages if m["type"] == "reply.text"]
                said = [m for m in texts if m["turn"] == turn]
                fillers = sum(
                    m["type"] == "degraded" and m["to"] == "filler" and m["turn"] == turn
                    for m in caller.messages
                )
                if len(said) > fillers:
                    break
                await caller.another()
            replies.append((time.perf_counter() - began) * 1000)
            await caller.say(type="interrupt")
            await caller.until("turn.metrics", turn=turn)
        metrics = [m for m in caller.messages if m["type"] == "turn.metrics"]
    return [m["voice_to_voice_ms"] for m in metrics], replies


@pytest.mark.realtime
@pytest.mark.parametrize("model", ["silent", "stall", "broken"])
def test_a_chat_server_that_fails_is_hardly_heard(failing: Any, peer: Any, model: str) -> None:
    failing.settings |= {"llm": "openai", "llm_url": peer.url, "llm_model": f"{model}/failing"}

    async def story() -> None:
        heard: list[float] = []
        replies: list[float] = []
        for session in ("one", "two"):
            first, own = await talk(failing, session)
            heard += first
            replies += own
        assert max(heard) <= 1.2 * BUDGET_MS, heard
        assert p95(replies) <= 1.5 * BUDGET_MS, replies

    failing.run(story)


@pytest.mark.realtime
@pytest.mark.parametrize("model", ["silent", "broken"])
def test_a_speech_server_that_fails_is_hardly_heard(failing: Any, peer: Any, model: str) -> None:
    failing.settings |= {
        "tts_engine": "openai",
        "tts_url": peer.url,
        "tts_model": f"{model}/failing",
        "tts_voice": "anna",
    }

    async def story() -> None:
        heard, _ = await talk(failing, "one")
        assert max(heard) <= 1.2 * BUDGET_MS, heard

    failing.run(story)
