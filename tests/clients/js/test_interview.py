"""The packed JavaScript client on a page of another site, in Chromium, against a real gateway.

The microphone speaks two clips, the first of them after the interviewer's greeting was interrupted.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.chromium import FIREFOX, Browser, Page, browser, chromium
from tests.support.package_site import package_site
from tests.support.paths import ROOT
from tests.support.served import free_port, gateway
from tests.support.visit import BEEPS, LOOPBACK, browser_tests, spoken

pytestmark = [
    browser_tests[0],
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(FIREFOX, reason="the page itself is tried in Firefox"),
]

TRANSPORTS = ["webrtc", "websocket"]
KEY = "a-key-for-a-browser"
TYPED = "I measured both designs, and we took the faster one."

PLAYED_ON_S = 0.1
"""After an interruption: the fade of 5 ms, a report of 20 ms, and what the message to the audio
thread takes on a busy machine."""

AUDIBLE = 0.003
"""Of full scale."""

CUT = {
    "websocket": "interview.call.transport.socket.close(4000)",
    "webrtc": "interview.call.transport.channel.close()",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def origin(folder: Path) -> Iterator[str]:
    with package_site(folder) as found:
        yield found


@pytest.fixture(scope="module")
def url(origin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    patient = {"PARLEY_BUDGET_MS": "10000", "PARLEY_CORS_ORIGINS": origin, **LOOPBACK}
    with gateway(tmp_path_factory.mktemp("gateway"), port, **patient):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def beeping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser whose microphone beeps, may be used, and whose pages may sound."""
    gesture = "--autoplay-policy=no-user-gesture-required"
    with browser(tmp_path_factory.mktemp("beeping"), *BEEPS, gesture) as opened:
        yield opened


@contextmanager
def locked(folder: Path, port: int, **settings: str) -> Iterator[None]:
    """A gateway that wants keys, ready: a machine that does much else may take long for that."""
    with gateway(folder, port, PARLEY_API_KEYS=KEY, **settings, **LOOPBACK):
        deadline = time.monotonic() + 100
        while not answers(f"http://127.0.0.1:{port}/health/ready"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield


def answers(address: str) -> bool:
    try:
        return httpx.get(address, trust_env=False, timeout=30).is_success
    except httpx.TransportError:
        return False


@contextmanager
def visit(opened: Browser, origin: str, url: str, **options: Any) -> Iterator[Page]:
    """The page in a tab, with an interview that is not connected yet."""
    with opened.page() as page:
        page.open(f"{origin}/page.html")
        page.until("globalThis.make !== undefined")
        page.look(f"make({json.dumps(url)}, {json.dumps(options)})")
        yield page


@pytest.mark.realtime
@pytest.mark.parametrize("way", TRANSPORTS)
def test_two_turns_are_spoken_one_is_typed_and_one_interrupted(
    way: str, origin: str, url: str, tmp_path: Path
) -> None:
    gesture = "--autoplay-policy=no-user-gesture-required"
    with chromium(tmp_path, *spoken(tmp_path / "microphone.wav"), gesture) as page:
        page.open(f"{origin}/page.html")
        page.until("globalThis.make !== undefined")
        page.look(f"make('{url}', {{ role: 'Data Analyst', transport: '{way}' }})")
        assert page.look("connect()") == ""
        assert page.look("[interview.state, interview.way]") == ["live", way]
        assert page.look("of('ready')[0].interview.role") == "Data Analyst"

        # The opening sounds, its words are shown when they do, and the mouth moves.
        page.until("interview.cursor()?.ms > 1000")
        assert page.look("of('caption')[0].text").startswith("Hello")
        assert page.look("document.querySelector('#caption').textContent") != ""
        assert page.look("Math.max(...seen.sounds.map(([, level]) => level))") > 0.02
        assert len(page.look("[...seen.shapes]")) > 4

        # Interrupted, it is silent at once, and stays so until the next reply.
        stopped = page.look("(interview.interrupt(), interview.voice.speaker.context.currentTime)")
        page.until("of('reply.done').length === 1")
        done = page.look("of('reply.done')[0]")
        assert done["interrupted"]
        assert "Hello, I'm Parley".startswith(done["heard"][:10])
        assert page.look("interview.cursor()") is None

        # Two spoken turns.
        page.until("of('transcript').filter(({ final }) => final).length === 1", 60)
        page.until("of('reply.started').length >= 2", 60)
        began = page.look("of('reply.started')[1].at")
        assert page.look(f"loudest({stopped + PLAYED_ON_S}, {began})") < AUDIBLE
        page.until("of('transcript').filter(({ final }) => final).length === 2", 60)
        words = page.look("of('transcript').filter(({ final }) => final).map(({ text }) => text)")
        assert [len(text.split()) > 8 for text in words] == [True, True]
        turn = page.look("of('transcript').at(-1).turn")
        page.until(f"of('caption').some((caption) => caption.turn === {turn})", 60)

        # A typed turn.
        page.look(f"interview.say({json.dumps(TYPED)})")
        page.until("of('typed').map(({ state }) => state).join() === 'sending,accepted'", 30)
        page.until(f"of('caption').some((caption) => caption.turn > {turn})", 60)

        page.look("interview.end()")
        page.until("interview.state === 'ended'", 20)
        page.look("interview.close()")
        assert page.look("interview.cursor()") is None


@pytest.mark.parametrize("way", TRANSPORTS)
def test_a_line_that_breaks_comes_back_and_what_was_typed_meanwhile_arrives_once(
    way: str, origin: str, url: str, beeping: Browser
) -> None:
    with visit(beeping, origin, url, transport=way, microphone=False) as page:
        assert page.look("connect()") == ""
        page.until("of('reply.text').length > 0")
        session = page.look("interview.session")
        page.look(CUT[way])
        page.until("of('line.broke').length === 1")
        page.look(f"interview.say({json.dumps(TYPED)})")
        assert page.look("[interview.state, interview.unsent.length]") == ["reconnecting", 1]
        page.until("of('ready').length === 2", 30)
        if way == "websocket":
            resumed = {"kept": True, "complete": True, "texts": 0}
            assert page.look("of('ready')[1].resumed") == resumed
        page.until("of('typed').at(-1).state === 'accepted'", 30)
        assert page.look("of('typed').map(({ state }) => state)") == [
            "unsent",
            "sending",
            "accepted",
        ]
        lines = page.look("interview.gateway.transcript(interview.session)")
        assert [line["text"] for line in lines if line["speaker"] == "candidate"] == [TYPED]
        assert page.look("[interview.session, interview.unsent]") == [session, []]
        # Left, the session is there for another page, which knows what was said.
        page.look("interview.close()")
        page.look(f"make('{url}', {{ session: '{session}', microphone: false }})")
        assert page.look("connect()") == ""
        said = page.look("interview.history().then((lines) => lines.map(({ text }) => text))")
        assert TYPED in said


def test_a_text_that_the_gateway_would_not_take_is_refused_before_it_is_sent(
    origin: str, url: str, beeping: Browser
) -> None:
    with visit(beeping, origin, url, transport="websocket", microphone=False) as page:
        assert page.look("connect()") == ""
        with pytest.raises(RuntimeError, match="RangeError: an answer has 1 to 8192 bytes"):
            page.look("interview.say('  ')")
        with pytest.raises(RuntimeError, match="RangeError: an answer has 1 to 8192 bytes"):
            page.look("interview.say('é'.repeat(5000))")
        assert page.look("interview.unsent") == []


def test_where_webrtc_does_not_come_up_it_is_a_websocket_that_says_why(
    origin: str, url: str, beeping: Browser
) -> None:
    with visit(beeping, origin, url) as page:
        page.look("delete globalThis.RTCPeerConnection")
        assert page.look("connect()") == ""
        assert page.look("[interview.way, interview.why]") == [
            "websocket",
            "this browser has no WebRTC",
        ]
        assert page.look("[interview.microphone !== null, of('microphone')]") == [True, []]
        page.look("interview.mute()")
        assert page.look("interview.microphone.track.enabled") is False


def test_a_gateway_that_refuses_is_told_from_one_that_is_not_there(
    origin: str, beeping: Browser, tmp_path: Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    quiet = {"transport": "websocket", "microphone": False}
    silent = "The server does not answer. Is it running, and are you online?"
    with visit(beeping, origin, url, **quiet) as page:
        assert page.look("connect()") == ["LineLost", "unreachable", silent]
        settings = {"PARLEY_MAX_SESSIONS": "1", "PARLEY_CORS_ORIGINS": origin}
        with locked(tmp_path, port, **settings):
            page.look(f"make('{url}', {json.dumps({**quiet, 'ticket': 'pt_unknown'})})")
            name, code, words = page.look("connect()")
            assert (name, code) == ("Refused", "access_required")
            assert words == "This server wants a ticket or a key: please enter it above."
            assert page.look("[interview.state, of('state').at(-1).code]") == ["failed", code]
            page.look("interview.close()")

            with visit(beeping, origin, url, **quiet, ticket=ticket(url)) as first:
                assert first.look("connect()") == ""
                page.look(f"make('{url}', {json.dumps({**quiet, 'key': KEY})})")
                name, code, words = page.look("connect()")
                assert (name, code) == ("Refused", "full")
                assert words == "The server is full at the moment. Try again in a minute."
                first.look("interview.end()")
                first.until("interview.state === 'ended'", 20)


def ticket(url: str, **fields: str) -> str:
    """A ticket of the gateway, from whoever has its key."""
    headers = {"x-api-key": KEY}
    made = httpx.post(
        f"{url}/api/tickets", json=fields, headers=headers, trust_env=False, timeout=30
    )
    value: str = made.json()["value"]
    return value


def test_a_ticket_for_a_session_that_was_made_over_rest_opens_it_again_after_a_break(
    origin: str, beeping: Browser, tmp_path: Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {"PARLEY_CORS_ORIGINS": origin, "PARLEY_RESUME_S": "0"}
    with locked(tmp_path, port, **settings):
        headers = {"x-api-key": KEY}
        made = httpx.post(
            f"{url}/api/sessions",
            json={"role": "Data Analyst"},
            headers=headers,
            trust_env=False,
            timeout=30,
        )
        session = made.json()["session_id"]
        own = {"session": session, "ticket": ticket(url, session_id=session)}
        with visit(beeping, origin, url, microphone=False, transport="websocket", **own) as page:
            assert page.look("connect()") == ""
            assert page.look("interview.session") == session
            page.look(CUT["websocket"])
            page.until("of('ready').length === 2", 30)
            page.look("interview.end()")
            page.until("interview.state === 'ended'", 20)


OWN_PAGE = """<!doctype html>
<meta charset="utf-8"><title>README</title><link rel="icon" href="data:,"><button>Start</button>
<script type="importmap">{"imports": {"@parley/client": "./package/src/index.js"}}</script>
<script>globalThis.said = []; console.log = (...words) => said.push(words.join(" "));</script>
<script type="module">%s</script>
"""


def test_the_ten_lines_of_the_readme_hold_an_interview(
    folder: Path, origin: str, url: str, beeping: Browser
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    [lines] = re.findall(r"```js\n(import \{ Interview \}.*?)```", text, re.S)
    assert len(lines.strip().splitlines()) == 10
    script = lines.replace("http://127.0.0.1:8000", url)
    (folder / "readme.html").write_text(OWN_PAGE % script, encoding="utf-8")
    with beeping.page() as page:
        page.open(f"{origin}/readme.html")
        page.click("button")
        page.until('said.some((line) => line.startsWith("Parley: Hello, I\'m Parley"))')
        page.until("said.includes('You: Next question, please.')", 60)
        assert page.troubles == []
