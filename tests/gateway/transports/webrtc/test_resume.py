"""A client goes on over the other transport, with its token."""

import asyncio

import pytest

from tests.support.webrtc import Doorway, emptied

pytestmark = pytest.mark.slow  # spoken in real time


def test_a_call_goes_on_over_a_websocket(doorway: Doorway) -> None:
    doorway.settings |= {"max_sessions": 1, "per_address": 1}

    async def story() -> None:
        async with doorway.browser() as browser:
            token = (await browser.until("ready"))["resume"]
            await browser.until("reply.done", turn=0)
            resume = {"token": token, "seq": browser.messages[-1]["seq"]}
            async with doorway.call() as caller:
                await caller.say(type="hello", version=1, resume=resume)
                ready = await caller.until("ready")
                assert ready["resumed"] == {"kept": True, "complete": True, "texts": 0}
                assert ready["audio_in"]["encoding"] == "pcm_s16le"
                browser.microphone.speak(500)  # it is no longer listened to
                await caller.speak()
                assert (await caller.until("transcript", final=True))["turn"] == 1
                await caller.until("reply.done", turn=1)
                assert len(caller.audio) > 0
                await caller.say(type="bye")
                assert (await caller.closed())[0] == 1000
        await emptied(doorway)

    doorway.run(story)


def test_a_call_goes_on_over_webrtc(doorway: Doorway) -> None:
    doorway.settings |= {"max_sessions": 1, "per_address": 1}

    async def story() -> None:
        async with doorway.call() as caller:
            await caller.say(type="hello", version=1)
            token = (await caller.until("ready"))["resume"]
            await caller.until("reply.done", turn=0)
            resume = {"token": token, "seq": caller.messages[-1]["seq"]}
            async with doorway.browser(resume=resume) as browser:
                ready = await browser.until("ready")
                assert ready["resumed"] == {"kept": True, "complete": True, "texts": 0}
                assert ready["audio_in"]["encoding"] == "opus"
                assert (await caller.closed())[0] == 1008
                browser.microphone.speak(500)
                assert (await browser.until("transcript", final=True))["turn"] == 1
                await browser.until("reply.done", turn=1)
                assert max(peak for _, peak in browser.loudness) > 1000
                browser.say(type="bye")
                await asyncio.wait_for(browser.closed.wait(), 10)
        await emptied(doorway)

    doorway.run(story)
