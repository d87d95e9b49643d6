"""Pipecat's stock JavaScript client in Chromium, over both of its transports.

The server is a real one. The microphone speaks two clips, the first of them into the interviewer's
greeting.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stages.fakes import FakeSynthesizer
from stages.llm.openai import OpenAIResponder
from tests.support.chromium import Page, chromium
from tests.support.peers import Peer
from tests.support.pipecat import IN_CI, site
from tests.support.pipecat import MISSING as MISSING_CLIENT
from tests.support.realtime import WEATHER
from tests.support.served import free_port, gateway
from tests.support.visit import LOOPBACK, spoken
from tests.support.visit import MISSING as MISSING_ENGINES
from tests.support.webrtc import Doorway

NEEDED = [*MISSING_CLIENT, *MISSING_ENGINES]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(bool(NEEDED) and not IN_CI, reason=f"needs {', '.join(NEEDED)}"),
]

GESTURE = "--autoplay-policy=no-user-gesture-required"
TRANSPORTS = ["websocket", "webrtc"]

PLAYED_ON_MS = 1_500
"""After a reply was cut: how far a browser's playing may lie behind, on a machine that does much
else. The greeting would last longer than that."""

MS_PER_WORD = 500
GREETING_MS = 27 * MS_PER_WORD
"""The greeting and the first question for a data analyst, of 27 words, if nobody cuts them."""

AUDIBLE = 0.01
"""Below it the decoder's silence lies."""

KEY = "a-key-of-at-least-16-letters"


class Visit:
    """A page with the client, and a gateway."""

    def __init__(self, page: Page, url: str, kind: str) -> None:
        self.page = page
        self.url = url
        self.kind = kind

    def start(self, body: dict[str, Any], key: str | None = None) -> Any:
        """What `startBotAndConnect` gives, or what went wrong."""
        headers = {} if key is None else {"headers": {"authorization": f"Bearer {key}"}}
        data = {"transport": self.kind, "body": body}
        request = {"endpoint": f"{self.url}/start", "requestData": data, **headers}
        return self.page.look(f"start({json.dumps(self.kind)}, {json.dumps(request)})")

    def events(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.page.look("seen.events")
        return found

    def until(self, kind: str, count: int = 1, holds: str = "true", seconds: float = 60) -> None:
        """Return when there are so many events of a type for which `holds` is true."""
        self.page.until(
            f"ofType('{kind}').filter(({{data}}) => {holds}).length >= {count}", seconds
        )

    def count(self, kind: str) -> int:
        return sum(event["type"] == kind for event in self.events())

    def loudest(self, since: float, until: float) -> float:
        found: float = self.page.look(f"loudest({since}, {until})")
        return found


@contextmanager
def visit(folder: Path, origin: str, url: str, kind: str) -> Iterator[Visit]:
    """The page in a browser of its own, whose microphone speaks two clips."""
    with chromium(folder, *spoken(folder / "mic.wav"), GESTURE) as page:
        page.open(f"{origin}/page.html")
        yield Visit(page, url, kind)


def at(events: list[dict[str, Any]], kind: str, since: float = 0.0) -> float:
    """When the first event of a type came, from then on."""
    return next(float(e["at"]) for e in events if e["type"] == kind and e["at"] >= since)


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_two_turns_are_spoken_and_one_typed(kind: str, tmp_path: Path) -> None:
    doorway = Doorway(tmp_path)
    doorway.synthesizer = FakeSynthesizer(ms_per_word=MS_PER_WORD)

    async def story() -> None:
        with visit(tmp_path, origin, doorway.url, kind) as visited:
            await asyncio.to_thread(converse, visited)

    with site(tmp_path) as origin:
        doorway.settings["cors_origins"] = origin
        doorway.run(story)


def converse(visited: Visit) -> None:
    page = visited.page
    assert visited.start({"role": "Data Analyst"})["version"] == "2.1.0"
    session = page.until("ofType('server-message')[0]?.data.d")
    assert session["interview"]["role"] == "Data Analyst"
    # The microphone interrupts the greeting.
    visited.until("user-transcription", 1, "data.final")
    visited.until("bot-started-speaking", 2)
    events = visited.events()
    cut = at(events, "user-started-speaking")
    # It may have been held before, and have gone on: what counts is the last time that it spoke.
    spoke = max(e["at"] for e in events if e["type"] == "bot-started-speaking" and e["at"] <= cut)
    greeting = at(events, "bot-started-speaking")
    assert cut + PLAYED_ON_MS < greeting + GREETING_MS
    assert visited.loudest(greeting, at(events, "bot-stopped-speaking", spoke)) > 0.05
    assert visited.loudest(cut + PLAYED_ON_MS, at(events, "bot-started-speaking", cut)) < AUDIBLE
    # The second turn.
    visited.until("user-transcription", 2, "data.final", 60)
    assert at(events, "metrics")
    # A typed turn, and another one into its reply.
    spoke = visited.count("bot-started-speaking")
    page.look("client.sendText('I write my answers, too.')")
    visited.until("bot-started-speaking", spoke + 1)
    page.until(f"loudest(ofType('bot-started-speaking')[{spoke}].at + 100, 1e12) > 0.05")
    page.look("client.sendText('One more thing.')")
    visited.until("bot-started-speaking", spoke + 2)
    events = visited.events()
    began = [e["at"] for e in events if e["type"] == "bot-started-speaking"]
    stopped = at(events, "bot-stopped-speaking", began[spoke])
    assert stopped <= began[spoke + 1]
    # What RTVI does not have here is refused, and the session lives.
    assert page.look("ask('dance')") == "refused: data.t: known are interrupt and commit"
    assert page.look("ask('interrupt')") is None
    # The client comes back to its interview.
    if visited.kind == "websocket":
        page.look("client.disconnect()")
        url = f"{visited.url.replace('http', 'ws')}/ws-client/{session['session_id']}"
        assert page.look(f"join('websocket', {json.dumps({'wsUrl': url})})")["version"] == "2.1.0"
        back = page.until("ofType('server-message').filter(({data}) => data.t === 'session')[1]")
        assert back["data"]["d"]["interview"]["currentQuestion"] > 1
    else:
        spoke = visited.count("bot-started-speaking")
        page.look("client.transport.attemptReconnection(true)")
        visited.until("bot-started-speaking", spoke + 1)
    assert page.look("client.state") == "ready"
    errors = [e["data"] for e in visited.events() if e["type"] == "error"]
    page.look("client.disconnect()")
    assert errors == []


def test_a_page_runs_a_function_that_its_session_has(tmp_path: Path, peer: Peer) -> None:
    doorway = Doorway(tmp_path)
    doorway.responder = OpenAIResponder(peer.url, "weather/of-a-page")

    async def story() -> None:
        try:
            with visit(tmp_path, origin, doorway.url, "webrtc") as visited:
                await asyncio.to_thread(calls, visited)
        finally:
            await doorway.responder.aclose()

    with site(tmp_path) as origin:
        doorway.settings["cors_origins"] = origin
        doorway.run(story)


def calls(visited: Visit) -> None:
    function = {key: WEATHER[key] for key in ("name", "description", "parameters")}
    assert visited.start({"tools": [function]})["version"] == "2.1.0"
    visited.until("bot-tts-text", 1, """data.text === 'It is {"sky":"grey in Leeds"} there.'""")
    events = visited.events()
    assert next(e["data"] for e in events if e["type"] == "function-call") == {"place": "Leeds"}
    stopped = next(e["data"] for e in events if e["type"] == "function-stopped")
    assert (stopped["function_name"], stopped["cancelled"]) == ("weather", False)
    visited.page.look("client.disconnect()")


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_a_session_needs_a_key_and_its_role_must_exist(kind: str, tmp_path: Path) -> None:
    """With `parley serve`, and its own engines."""
    port = free_port()
    with site(tmp_path) as origin:
        settings = {"PARLEY_CORS_ORIGINS": origin, "PARLEY_API_KEYS": KEY, **LOOPBACK}
        with (
            gateway(tmp_path, port, **settings),
            visit(tmp_path, origin, f"http://127.0.0.1:{port}", kind) as visited,
        ):
            assert "Send one that holds as Authorization" in visited.start({})
            assert "Clown" in visited.start({"role": "Clown"}, KEY)
            assert visited.start({"role": "Data Analyst"}, KEY)["version"] == "2.1.0"
            visited.until("bot-started-speaking")
            visited.page.until("loudest(0, 1e12) > 0.05")
            visited.page.look("client.disconnect()")
