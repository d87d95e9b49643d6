"""The page at `/`, in a real browser with a recording for a microphone, against a real gateway."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.support.chromium import Browser, Page, browser, chromium
from tests.support.served import free_port, gateway
from tests.support.visit import (
    ANSWERS,
    BEEPS,
    CLIPS,
    FINAL,
    LINE,
    LOOPBACK,
    PARTIAL,
    REPLIES,
    STATES,
    assert_clean,
    browser_tests,
    spoken,
    start,
)

pytestmark = browser_tests

LOOK = """
globalThis.looked = { speaking: [], silent: [] };
const eye = new OffscreenCanvas(96, 48).getContext("2d", { willReadFrequently: true });
let before = null;
setInterval(() => {
  eye.drawImage(document.querySelector("#video"), 112, 176, 96, 48, 0, 0, 96, 48);
  const { data } = eye.getImageData(0, 0, 96, 48);
  let far = 0;
  for (let i = 0; before !== null && i < data.length; i += 1) far += Math.abs(data[i] - before[i]);
  before = data;
  looked[parley.speaker?.cursor()?.sounding ? "speaking" : "silent"].push(far / data.length);
}, 80);
"""
"""How far the mouth in the video, 96 × 48 of 320 × 320, is from what it was 80 ms before."""

MOVED = "looked.speaking.filter((far) => far > 3).length"
"""The head's breath alone is below."""

STILL = "looked.silent.length >= 10 && looked.silent.slice(-10).every((far) => far <= 3)"

SAID = (
    "spent last four years building web services large shop most work making check faster test",
    "simple charts manager read seconds knows what next done job",
)
"""Words of the two clips, whose recogniser is of demo quality."""


def understood(text: str, clip: str) -> float:
    """Which share of a clip's words is in a text."""
    wanted = set(clip.split())
    return len(wanted & set(text.lower().split())) / len(wanted)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a gateway with one place, which draws no faces."""
    port = free_port()
    settings = {"PARLEY_MAX_SESSIONS": "1", "PARLEY_AVATAR_VIDEO": "off", **LOOPBACK}
    with gateway(tmp_path_factory.mktemp("small"), port, **settings):
        yield port


@pytest.mark.realtime
@pytest.mark.parametrize(("way", "picture"), [("", "server"), ("websocket", "")])
def test_two_spoken_turns_are_held_heard_seen_and_interrupted(
    way: str, picture: str, url: str, tmp_path: Path
) -> None:
    with chromium(tmp_path, *spoken(tmp_path / "microphone.wav", CLIPS)) as page:
        start(page, url, way=way, picture=picture)
        kind = "websocket" if way else "webrtc"
        assert page.look("parley.call.transport.kind") == kind

        # The opening is shown and sounds, and the mouth moves to it: drawn here, or in the video.
        page.until("document.querySelector('#caption').textContent.startsWith('Hello')")
        if picture:
            page.until("parley.picture.how === 'video'")
            page.look(LOOK)
        page.until("parley.speaker.cursor()?.ms > 1200")
        assert page.look("parley.speaker.loudest") > 0.02
        assert page.look(MOVED if picture else "parley.face.moves") >= 4

        # Escape stops it: what was not heard is shown as such, and the loudspeaker falls silent.
        page.press("Escape", 27)
        page.until(f"{REPLIES}[0].textContent.includes('the rest was not heard')")
        page.until("parley.speaker.level < 1e-4 && parley.face.shape === 'sil'", 5)
        assert page.look("parley.speaker.cursor()") is None
        assert page.look("parley.speaker.queuedMs") == 0

        if picture:
            page.look("looked.silent = []")
            page.until(STILL)

        # The first answer: partials while it is spoken, then the words, then a reply.
        page.until(PARTIAL)
        page.until(f"{FINAL}.length === 1")
        assert understood(page.look(f"{FINAL}[0]"), SAID[0]) > 0.6
        moves = page.look("parley.face.moves")
        page.look("parley.speaker.loudest = 0")
        page.until(f"{REPLIES}.length === 2 && parley.speaker.cursor()?.ms > 800")
        assert page.look("parley.speaker.loudest") > 0.02
        assert page.look("parley.face.moves") > moves

        # The second one, and where its milliseconds went.
        page.until(f"{FINAL}.length === 2", 30)
        assert understood(page.look(f"{FINAL}[1]"), SAID[1]) > 0.6
        page.until("document.querySelectorAll('.waterfall').length >= 2")  # with the opening's
        stages = "[...document.querySelectorAll('.waterfall .slot')].map((slot) => slot.innerText)"
        page.click("#panel summary")
        assert {"endpointing", "stt", "llm", "tts"} <= set(page.look(stages))

        page.click("#end")
        page.until("!document.querySelector('#report').hidden")
        report = page.look(
            "fetch(document.querySelector('#report').href).then((answer) => answer.text())"
        )
        assert understood(report, SAID[0]) > 0.6
        assert_clean(page, url)


def test_who_has_no_microphone_types_and_a_dropped_line_comes_back(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with ExitStack() as tabs:
        opened = tabs.enter_context(browser(tmp_path, BEEPS[0]))
        pages = {way: tabs.enter_context(opened.page()) for way in ("webrtc", "websocket")}
        sessions = {}
        with gateway(tmp_path, port, **LOOPBACK):
            for way, page in pages.items():
                page.refuse("microphone")
                start(page, url, way=way)
                words = page.look("document.querySelector('#mic-notice').textContent")
                assert words.startswith("The microphone was refused.")
                assert page.look("document.activeElement.id") == "answer"
                page.until(f"{REPLIES}.length === 1")  # who types before it would get no opening
                page.type("I measured both designs, and we took the faster one.")
                page.press("Enter", 13)
                page.until(f"{REPLIES}.length === 2")
                said = page.look(f"{ANSWERS}.map((li) => li.textContent)")
                assert said == ["YouI measured both designs, and we took the faster one.typed"]
                assert_clean(page, url)
                sessions[way] = page.look("parley.call.session")
        for page in pages.values():
            page.until("document.querySelector('#line').dataset.state === 'reconnecting'")
            assert page.look(LINE) == "Connection lost. Trying again…"
        with gateway(tmp_path, port, **LOOPBACK):
            for way, page in pages.items():
                page.until("document.querySelector('#line').dataset.state === 'live'")
                page.until(f"{REPLIES}.at(-1).textContent.includes('Welcome back')")
                found = page.look("[parley.call.session, parley.call.transport.kind]")
                assert found == [sessions[way], way]
                page.until("parley.speaker.cursor()?.ms > 300")  # the voice, too


DEAD = """(() => {
  const { pc } = parley.call.transport.chosen;
  Object.defineProperty(pc, "connectionState", { value: "disconnected" });
  pc.onconnectionstatechange();
})()"""
"""What Chromium says when nothing has come for five seconds."""


@pytest.mark.realtime  # a page that is late makes its line twice
def test_a_dead_line_is_given_back_and_made_again_while_the_server_still_holds_it(
    url: str, deaf: Browser
) -> None:
    with deaf.page() as page:
        start(page, url)
        session = page.look("parley.call.session")
        page.look(f"{STATES}; {DEAD}")
        page.until("states.includes('reconnecting')")
        page.until("document.querySelector('#line').dataset.state === 'live'", 5)
        assert page.look("parley.call.session") == session
        page.until(f"{REPLIES}.at(-1).textContent.includes('Welcome back')")
        page.until("parley.speaker.cursor()?.ms > 300")
        page.until(f"{LINE} === 'Connected over WebRTC'")
        assert_clean(page, url)


@pytest.mark.firefox
@pytest.mark.realtime
def test_where_udp_is_blocked_the_page_goes_on_over_websocket(small: int, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{small}/"
    blocked = "--webrtc-ip-handling-policy=disable_non_proxied_udp"
    with chromium(tmp_path, blocked) as page:
        start(page, url)  # the only place must be free again for the second attempt
        assert page.look(LINE) == "Connected over WebSocket, because UDP does not get through"
        assert page.look("performance.now() - parley.call.startedAt") < 6000
        page.until("parley.speaker.cursor()?.ms > 300")
        page.look("document.querySelector('#answer').focus()")
        page.type("We split the service in two.")
        page.press("Enter", 13)
        page.until(f"{REPLIES}.length === 2")
        assert_clean(page, url)
        # Who wants WebRTC and nothing else is told.
        page.click("#end")
        page.until("document.body.dataset.view === 'ended'")
        page.until("!document.querySelector('#start').disabled")
        page.look("document.querySelector('#way').value = 'webrtc'")
        page.click("#again")
        page.click("#start")
        words = page.until("document.querySelector('#setup-notice').textContent")
        assert words.startswith("The connection did not come up: UDP does not get through.")


WITHOUT = {
    "this server has no WebRTC": """
        const real = fetch;
        globalThis.fetch = (where, ...rest) => String(where).includes("/webrtc/")
          ? Promise.resolve(Response.json({ code: "webrtc_not_installed" }, { status: 503 }))
          : real(where, ...rest);""",
    "this browser has no WebRTC": "globalThis.RTCPeerConnection = undefined;",
}


@pytest.mark.parametrize("why", WITHOUT)
def test_without_webrtc_the_page_uses_the_websocket_at_once(
    why: str, url: str, deaf: Browser
) -> None:
    with deaf.page() as page:
        page.call("Page.addScriptToEvaluateOnNewDocument", source=WITHOUT[why])
        start(page, url)
        assert page.look(LINE) == f"Connected over WebSocket, because {why}"
        assert page.look("performance.now() - parley.call.startedAt") < 3000
        page.until("parley.speaker.cursor()?.ms > 300")
        page.click("#end")
        page.until("document.body.dataset.view === 'ended'")
        assert_clean(page, url)


def test_a_full_server_says_so_and_may_be_tried_again(small: int, deaf: Browser) -> None:
    with deaf.page() as page:
        with connect(f"ws://127.0.0.1:{small}/ws/first", proxy=None, max_queue=None) as first:
            first.recv(timeout=10)
            page.open(f"http://127.0.0.1:{small}/")
            page.until("globalThis.parley?.face")
            page.click("#start")
            notice = "document.querySelector('#setup-notice').textContent"
            expected = "The server is full at the moment. Try again in a minute."
            assert page.until(notice) == expected
        # The place is free again, and so is the button.
        page.click("#start")
        page.until("document.body.dataset.view === 'live'")
        words = page.look("document.querySelector('#mic-notice').textContent")
        assert words == "There is no microphone here. You can type your answers."
        page.click("#end")
        told = "document.querySelector('#after-words').textContent"
        page.until(f"{told} === 'No question was answered, so there is no report.'")


@pytest.mark.firefox
def test_the_servers_pictures_give_way_to_the_drawn_face_and_come_back(
    url: str, deaf: Browser
) -> None:
    def degrade(page: Page, source: str, target: str) -> None:
        page.look(
            "parley.call.handlers.message({ type: 'degraded', turn: 0, stage: 'avatar',"
            f" from: '{source}', to: '{target}', reason: 'load' }})"
        )

    for way, how in (("webrtc", "video"), ("websocket", "frames")):
        with deaf.page() as page:  # one that is left in a call would ask whether to
            start(page, url, way=way, picture="server")
            page.until(f"parley.picture.how === '{how}' && parley.speaker.cursor()?.ms > 500")
            seen = page.look("parley.picture.count")
            page.until(f"parley.picture.count > {seen + 3}")
            shown = "getComputedStyle(document.querySelector('#face')).visibility"
            assert page.look(shown) == "hidden"
            degrade(page, "12 fps, small", "visemes")
            page.until("parley.picture.how === ''")
            assert page.look(shown) == "visible"
            moves = page.look("parley.face.moves")
            page.until(f"parley.face.moves > {moves + 1}")  # it follows what is heard
            degrade(page, "visemes", "12 fps, small")
            page.until(f"parley.picture.how === '{how}'")
            listed = page.look("document.querySelector('#degraded').textContent")
            assert "avatar 12 fps, small → visemes. load" in listed
            assert_clean(page, url)


def test_what_gives_way_is_told_as_it_happens(tmp_path: Path, deaf: Browser) -> None:
    port, nobody = free_port(), free_port()
    settings = {
        "PARLEY_LLM": "openai",
        "PARLEY_LLM_URL": f"http://127.0.0.1:{nobody}/v1",
        "PARLEY_LLM_MODEL": "any",
    }
    text = "document.querySelector('{}').innerText"
    with gateway(tmp_path, port, **settings, **LOOPBACK), deaf.page() as page:
        start(page, f"http://127.0.0.1:{port}/")
        page.click("#panel summary")
        for turn in range(1, 6):  # five failures open the breaker, the opening's among them
            page.look("document.querySelector('#answer').focus()")
            page.type("We measured it first, and then we changed the cache.")
            page.press("Enter", 13)
            page.until(f"{text.format('#degraded')}.includes('Turn {turn}: llm openai → scripted')")
        assert "Turn 0: llm openai → scripted. no connection" in page.look(text.format("#degraded"))
        page.until(f"{text.format('#stages')}.includes('openai open')")
        assert "scripted closed" in page.look(text.format("#stages"))
        assert "6 fallbacks" in page.look(text.format("#panel-summary"))
        facts = page.look(text.format("#facts"))
        assert "1 of 100" in facts
        assert "stt pocketsphinx, under way\n0 jobs" in facts
        assert "avatar face, under way\n0 of " in facts


def test_a_server_that_draws_nothing_leaves_it_to_the_page(small: int, deaf: Browser) -> None:
    url = f"http://127.0.0.1:{small}/"
    with deaf.page() as page:
        for way in ("webrtc", "websocket"):
            start(page, url, way=way, picture="server")
            page.until("parley.speaker.cursor()?.ms > 1200")
            assert page.look("parley.picture.how") == ""
            assert page.look("parley.face.moves") > 4
            page.click("#end")
            page.until("document.body.dataset.view === 'ended'")
        assert_clean(page, url)


@pytest.mark.firefox
def test_a_microphone_at_another_rate_is_brought_to_the_wires(url: str, deaf: Browser) -> None:
    # Where a browser does not resample (Firefox), the audio thread does: in pieces of 128 samples.
    script = """import("/static/client/resampler.js").then(({ Resampler }) => {
        const resampler = new Resampler(RATE, 16000);
        const output = [];
        for (let at = 0; at < RATE; at += 128) {
            const tone = (_, i) => Math.sin((2 * Math.PI * TONE * (at + i)) / RATE);
            output.push(...resampler.push(Float32Array.from({ length: 128 }, tone)));
        }
        const steady = output.slice(400, 15600);
        const power = steady.reduce((sum, value) => sum + value * value, 0) / steady.length;
        return [output.length, Math.sqrt(2 * power)];
    })"""
    with deaf.page() as page:
        page.open(url)
        for rate, tone, expected in ((48_000, 1000, 1.0), (44_100, 3000, 1.0), (48_000, 9500, 0.0)):
            count, amplitude = page.look(
                script.replace("RATE", str(rate)).replace("TONE", str(tone))
            )
            assert count == pytest.approx(16_000, abs=60)
            assert amplitude == pytest.approx(expected, abs=0.03)
