"""A server that leaves out the mark which opens its model's reasoning."""

import asyncio
import json

from pipeline.frames import TextDelta
from pipeline.stage import Brief, ReplyRequest
from stages.llm.openai import OpenAIResponder
from tests.support.service_peer import Raw, ServicePeer


def test_such_reasoning_is_said_once_and_then_kept_back() -> None:
    texts = ["Hm, caching. </think>Why?", "Hm, locks. </think>Why not?", "No reasoning."]
    expected = ["Hm, caching. Why?", "Why not?", "No reasoning."]

    def answer(text: str) -> Raw:
        events = [
            {"choices": [{"delta": {"content": text[:8]}, "finish_reason": None}]},
            {"choices": [{"delta": {"content": text[8:]}, "finish_reason": "stop"}]},
        ]
        lines = [f"data: {json.dumps(event)}\n\n".encode() for event in events]
        return Raw((*lines, b"data: [DONE]\n\n"), kind="text/event-stream")

    async def main() -> list[str]:
        peer = ServicePeer({"/v1/chat/completions": lambda _: answer(texts.pop(0))})
        async with peer.running():
            responder = OpenAIResponder(peer.url, "m")
            said = []
            for turn in range(3):
                items = responder.reply(ReplyRequest(turn, "", Brief(())))
                deltas = [item.text async for item in items if isinstance(item, TextDelta)]
                said.append("".join(deltas))
            await responder.aclose()
            return said

    assert asyncio.run(main()) == expected
