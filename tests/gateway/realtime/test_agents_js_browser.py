"""`@openai/agents-realtime` in Chromium, on a page of another site, over WebRTC."""

import asyncio
import functools
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stages.fakes import FakeSynthesizer
from tests.support.agents import HERE, IN_CI, MISSING
from tests.support.chromium import PROGRAM, chromium
from tests.support.openai_peer import STORY
from tests.support.realtime import RealtimeGateway
from tests.support.visit import spoken

NEEDED = [*MISSING, *([] if PROGRAM else ["chromium"])]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("patience"),
    pytest.mark.skipif(bool(NEEDED) and not IN_CI, reason=f"needs {', '.join(NEEDED)}"),
]

SAID = "I like to build things that last"


@pytest.fixture
def site() -> Iterator[str]:
    """The page and the client's code, as another site than the gateway's: its origin."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=HERE)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def test_a_page_speaks_is_answered_and_interrupts(
    realtime: RealtimeGateway, site: str, tmp_path: Path
) -> None:
    realtime.chat("story")
    realtime.synthesizer = FakeSynthesizer(ms_per_word=1000)  # it lasts until the person speaks
    realtime.settings |= {"cors_origins": site, "api_keys": "a-key-of-ours"}
    realtime.key = "a-key-of-ours"

    def visit(key: str) -> None:
        with chromium(tmp_path, *spoken(tmp_path / "mic.wav", ["software-engineer-1"])) as page:
            page.open(f"{site}/page.html")
            url = json.dumps(f"{realtime.url}/v1/realtime/calls")
            assert page.look(f"connect({url}, {json.dumps(key)})").startswith("rtc_")
            page.look("session.sendMessage('Tell me a story')")
            page.until("ofType('output_audio_buffer.started').length")
            # The microphone interrupts: it speaks after 5 s.
            page.until("ofType('output_audio_buffer.cleared').length", 60)
            page.until("ofType('conversation.item.truncated').length")
            page.until(f"seen.history.some((item) => item[1] === {json.dumps(SAID)})", 60)
            [heard] = page.look(
                "seen.history.filter((item) => item[0] === 'assistant').slice(0, 1)"
            )
            assert STORY.startswith(heard[1])
            assert heard[1] != STORY
            page.look("session.close()")
            assert page.look("ofType('error')") == []
            assert page.troubles == []

    async def story() -> None:
        async with realtime.client() as client:
            session: Any = {"type": "realtime", "model": "mine"}
            secret = await client.realtime.client_secrets.create(session=session)
        await asyncio.to_thread(visit, secret.value)
        asked, heard, said = realtime.asked()[-1]
        assert asked["content"] == "Tell me a story"
        assert STORY.startswith(heard["content"])
        assert said["content"] == SAID

    realtime.run(story)
