"""Sessions share the breakers of their voices: what one says must not silence another."""

from typing import Any

import httpx

from stages.fakes import FakeResponder

SESSIONS = 10


def test_after_ten_sessions_whose_replies_end_in_an_emoji_another_one_has_a_voice(
    gateway: Any,
) -> None:
    async def reply(session: str) -> tuple[int, list[dict[str, Any]]]:
        """Bytes of sound that the first reply has, and what was degraded meanwhile."""
        async with gateway.call(session) as caller:
            await caller.say(type="hello", version=1, interview={"role": "Data Analyst"})
            await caller.until("reply.done", turn=0)
            return len(caller.audio), [m for m in caller.messages if m["type"] == "degraded"]

    async def story() -> None:
        for number in range(SESSIONS):
            assert (await reply(f"cheers-{number}"))[1] == []
        sound, degraded = await reply("after")
        assert (sound > 0, degraded) == (True, [])
        async with httpx.AsyncClient() as client:
            told = (await client.get(f"{gateway.url}/health")).json()["providers"]
        assert [(one["breaker"], one.get("problem")) for one in told if one["slot"] == "tts"] == [
            ("closed", None)
        ]

    gateway.responder = FakeResponder(text="Great answer! 🎉 🎉")
    gateway.run(story)
