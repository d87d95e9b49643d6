"""The page that has lost its line, its server or itself comes back to the same interview."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.chromium import Browser, Page
from tests.support.served import free_port, gateway
from tests.support.visit import ANSWERS, LINE, LOOPBACK, REPLIES, STATES, browser_tests, start

pytestmark = browser_tests

WAYS = ("webrtc", "websocket")
STATE = "document.querySelector('#line').dataset.state"
LOST = "Connection lost. Trying again…"
SILENT = "The line is silent"
BACK = "Back in your interview"
SAID = f"{ANSWERS}.map((li) => li.querySelector('p').textContent)"
NOTES = f"{ANSWERS}.map((li) => li.querySelector('small').textContent)"
MAY_SOUND = "navigator.getAutoplayPolicy?.('audiocontext') === 'allowed'"
"""Firefox lets a page sound again that the person has used before."""

GO_BACK = "document.querySelector('#go-on')"
NOTICE = "document.querySelector('#mic-notice').textContent"
SOON_MS = 2000
"""Within which a dead or silent line has to be told; a browser by itself takes ten seconds."""

WATCH = """(() => {
  const places = ["line-words", "mood"].map((id) => document.getElementById(id));
  globalThis.told = {};
  const look = () => {
    for (const { textContent: words } of places) told[words] ??= Date.now();
  };
  for (const place of places) new MutationObserver(look).observe(place, { childList: true });
})()"""
"""When the words at the top of the page and under the face were there first, in `told`: on the
clock of the machine, which the test reads, too."""

ANSWER = "I measured both designs, and we took the faster one."


def answer(page: Page, text: str) -> None:
    page.look("document.querySelector('#answer').focus()")
    page.type(text)
    page.press("Enter", 13)


def lost_ms(page: Page, since: float) -> float:
    """From a moment of this process's clock until the page said that its line is lost."""
    page.until(f"told['{LOST}'] && told['{SILENT}']")
    told: float = page.look(f"Math.max(told['{LOST}'], told['{SILENT}'])")
    return told - since * 1000


def begun(page: Page, url: str, way: str, *, counted: bool = False) -> str:
    """An interview whose first answer has been accepted, and is `counted`; its session."""
    start(page, url, way=way)
    heard = "parley.speaker.cursor() === null" if counted else "parley.speaker.cursor()?.ms > 1500"
    page.until(f"{REPLIES}.length === 1 && {heard}")
    answer(page, ANSWER)
    page.until(f"{NOTES}.at(-1) === 'typed'")
    session: str = page.look("parley.call.session")
    return session


def reload(page: Page) -> None:
    page.look("globalThis.old = true")
    page.call("Page.reload")
    page.until("globalThis.old === undefined && document.readyState === 'complete'")


@pytest.mark.firefox
@pytest.mark.parametrize("way", WAYS)
def test_a_page_that_is_loaded_again_goes_on_with_its_interview(
    way: str, url: str, deaf: Browser
) -> None:
    with deaf.page() as page:
        session = begun(page, url, way, counted=True)
        page.until(f"{REPLIES}.length === 2 && parley.speaker.cursor()?.ms > 500")
        page.look("document.querySelector('#answer').focus()")
        page.type("And then")
        reload(page)
        if not page.look(MAY_SOUND):
            # Nobody would hear a word before the next click: the page waits for it, and says so.
            page.until(f"{GO_BACK}.checkVisibility()")
            assert page.look(LINE) == "Your interview waits"
            assert page.look(f"document.activeElement === {GO_BACK}")
            assert page.look(SAID) == [ANSWER]
            page.press("Enter", 13)
        page.until(f"{STATE} === 'live'")
        assert page.look("parley.call.session") == session
        assert page.look(LINE) == BACK
        assert page.look(SAID) == [ANSWER]
        assert page.look("document.querySelector('#answer').value") == "And then"
        page.until(f"{REPLIES}.at(-1).textContent.includes('Welcome back')")
        assert page.look(f"{REPLIES}[0].textContent").startswith("ParleyHello")
        page.until("parley.speaker.cursor()?.ms > 300 && parley.speaker.loudest > 0.02")
        assert "The sound is paused." not in page.look(NOTICE)
        page.until(f"{LINE}.startsWith('Connected over')")
        # When it is over, nothing is left to go on with.
        page.click("#end")
        page.until("!document.querySelector('#report').hidden")
        reload(page)
        page.until("globalThis.parley?.face")
        assert page.look("[localStorage.length, document.body.dataset.view]") == [0, "setup"]


@pytest.mark.realtime
@pytest.mark.parametrize("way", WAYS)
def test_a_killed_server_is_noticed_and_what_was_typed_reaches_the_next_one(
    way: str, deaf: Browser, tmp_path: Path
) -> None:
    port = free_port()
    with deaf.page() as page:
        with gateway(tmp_path, port, **LOOPBACK) as server:
            session = begun(page, f"http://127.0.0.1:{port}/", way)
            page.until(f"{REPLIES}.length === 2")
            page.look(WATCH)
            killed = time.time()
            server.kill()
            answer(page, "Nobody has read this yet.")
            assert lost_ms(page, killed) < SOON_MS
        assert page.look(NOTES)[-1] in ("not sent yet", "typed")
        with gateway(tmp_path, port, **LOOPBACK):
            page.until(f"{STATE} === 'live'", 30)
            assert page.look("parley.call.session") == session
            page.until(f"{NOTES}.at(-1) === 'typed'")
            said = page.look(SAID)
            kept = page.look("document.querySelector('#answer').value")
            assert said == [ANSWER, "Nobody has read this yet."] or (
                said == [ANSWER] and kept == "Nobody has read this yet."
            )


@pytest.mark.realtime
@pytest.mark.parametrize("way", [pytest.param("webrtc", marks=pytest.mark.firefox), "websocket"])
def test_a_server_that_stalls_for_ten_seconds_finds_the_same_interview(
    way: str, deaf: Browser, tmp_path: Path
) -> None:
    port = free_port()
    with gateway(tmp_path, port, **LOOPBACK) as server, deaf.page() as page:
        session = begun(page, f"http://127.0.0.1:{port}/", way)
        page.until(f"{REPLIES}.length === 2")
        page.look(WATCH)
        stopped = time.time()
        os.kill(server.pid, signal.SIGSTOP)
        try:
            answer(page, "Nobody has read this yet.")
            assert lost_ms(page, stopped) < SOON_MS
            assert page.look(NOTES)[-1] == "not sent yet"
            time.sleep(10)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        page.until(f"{STATE} === 'live'", 30)
        assert page.look("parley.call.session") == session
        page.until(f"{NOTES}.at(-1) === 'typed'")
        assert page.look(SAID) == [ANSWER, "Nobody has read this yet."]


@pytest.mark.realtime
def test_a_line_that_is_silent_for_seconds_goes_on_and_nothing_is_sent_twice(
    deaf: Browser, tmp_path: Path
) -> None:
    port = free_port()
    with gateway(tmp_path, port, **LOOPBACK) as server, deaf.page() as page:
        begun(page, f"http://127.0.0.1:{port}/", "websocket")
        page.until(f"{REPLIES}.length === 2")
        page.look("globalThis.before = parley.call.transport")
        page.look(WATCH)
        stopped = time.time()
        os.kill(server.pid, signal.SIGSTOP)
        try:
            answer(page, "It was on its way.")
            assert lost_ms(page, stopped) < SOON_MS
            time.sleep(1)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        page.until(f"{LINE} === '{BACK}'")
        page.until(f"{NOTES}.at(-1) === 'typed'")
        page.until(f"{REPLIES}.length === 3")
        assert page.look("parley.call.transport === before")
        assert page.look(SAID) == [ANSWER, "It was on its way."]


BUSY = """(() => {
  const { pulse } = parley.call;
  const { ask } = pulse;
  pulse.ask = () => {
    ask();
    pulse.ask = ask;
    const began = performance.now();
    while (performance.now() < began + 1100);
    globalThis.looked = pulse.lookedAt;
  };
})()"""
"""Once, from the moment at which it asks the server, the page does nothing else for 1.1 s. Firefox
runs a timer that is late before it reads an answer that came earlier."""


@pytest.mark.realtime
@pytest.mark.firefox
def test_a_busy_page_reads_what_has_come_before_it_calls_the_line_silent(
    url: str, deaf: Browser
) -> None:
    with deaf.page() as page:
        start(page, url, way="websocket")
        page.until("parley.speaker.cursor()?.ms > 300")
        page.press("Escape", 27)
        page.until("parley.speaker.cursor() === null")
        page.look("new Promise((resolve) => setTimeout(resolve, 1000))")  # it says no more
        page.look(f"{STATES}; {BUSY}")
        page.until("globalThis.looked && parley.call.pulse.lookedAt > looked + 1200")
        assert page.look("states") == []


GO_ON = "document.querySelector('#offer-go')"
TAKEN = "This interview is open somewhere else: in another tab, window or browser."


def test_a_second_tab_is_told_plainly_that_the_interview_is_open_in_the_first(
    url: str, deaf: Browser
) -> None:
    with deaf.page() as other:  # of another person's browser: it knows no more than the id
        with deaf.page() as page:
            start(page, url, way="websocket")
            session = page.look("parley.call.session")
            kept = f'{{"session": "{session}", "chosen": {{"way": "websocket"}}, "unsent": []}}'
            other.open(url)
            other.look(f"localStorage.setItem('parley.interview', '{kept}')")
            reload(other)
            other.until(f"{GO_ON}.checkVisibility()")
            other.look("globalThis.real = setTimeout; globalThis.setTimeout = (f) => real(f, 100)")
            other.click("#offer-go")
            told = "document.querySelector('#setup-notice').textContent"
            assert other.until(told).startswith(TAKEN)
            assert session not in other.look("document.body.innerText")
            assert other.look(f"{GO_ON}.checkVisibility() && !{GO_ON}.disabled")
        # Once the first has left, the other goes on.
        other.look("globalThis.setTimeout = real")
        other.click("#offer-go")
        other.until(f"{STATE} === 'live'")


def test_of_two_tabs_of_one_browser_only_one_goes_on(url: str, deaf: Browser) -> None:
    hold = """new Promise((resolve) => navigator.locks.request("parley.interview.SESSION", () => {
      resolve(true);
      return new Promise((letGo) => { globalThis.letGo = letGo; });
    }))"""
    with deaf.page() as page:
        session = begun(page, url, "websocket", counted=True)
        page.look("sessionStorage.clear(); parley.call.over = true; parley.call.transport.close()")
        reload(page)
        page.until(f"{GO_ON}.checkVisibility()")
        assert page.look(hold.replace("SESSION", session)), "as the other tab does"
        page.click("#offer-go")
        assert page.until("document.querySelector('#setup-notice').textContent").startswith(TAKEN)
        page.look("letGo()")
        page.click("#offer-go")
        page.until(f"{STATE} === 'live'")
        assert page.look("parley.call.session") == session


def test_an_interview_that_is_over_meanwhile_shows_its_report_after_a_reload(
    url: str, deaf: Browser
) -> None:
    with deaf.page() as page:
        session = begun(page, url, "websocket", counted=True)
        page.look("parley.call.over = true; parley.call.transport.close()")
        page.until(f"fetch('/api/sessions/{session}').then((r) => r.json()).then((s) => !s.live)")
        page.look(f"fetch('/api/sessions/{session}/end', {{ method: 'POST' }})")
        reload(page)
        page.until("!document.querySelector('#report').hidden")
        assert page.look(SAID) == [ANSWER]
        assert page.look("document.activeElement.id") == "report"
        assert page.look("localStorage.length") == 0


def break_off(page: Page) -> str:
    """The interview breaks off, and the page begins again; in which words it is offered."""
    page.look("parley.call.handlers.state('failed', 'The server does not answer.', '')")
    page.until(
        "document.body.dataset.view === 'ended' && !document.querySelector('#start').disabled"
    )
    page.click("#again")
    assert page.look(f"{GO_ON}.checkVisibility()")
    words: str = page.look("document.querySelector('#offer-words').textContent")
    return words


def test_who_wants_another_interview_is_not_asked_again(url: str, deaf: Browser) -> None:
    with deaf.page() as page:
        begun(page, url, "websocket", counted=True)
        page.look("sessionStorage.clear(); parley.call.over = true; parley.call.transport.close()")
        reload(page)
        page.until(f"{GO_ON}.checkVisibility()")
        words = page.look("document.querySelector('#offer-words').textContent")
        assert (
            words
            == "You have an interview for Software Engineer that is not over, at question 2 of 3."
        )
        # Once the interview has gone on, it may be at another question.
        page.click("#offer-go")
        page.until(f"{STATE} === 'live'")
        assert break_off(page) == "You have an interview that is not over."
        page.click("#offer-forget")
        assert page.look(f"{GO_ON}.checkVisibility()") is False
        reload(page)
        page.until("globalThis.parley?.face")
        assert page.look(f"{GO_ON}.checkVisibility()") is False


def test_an_interview_that_broke_off_is_offered_until_it_is_over(url: str, deaf: Browser) -> None:
    shown = f"{GO_ON}.checkVisibility()"
    with deaf.page() as page:
        session = begun(page, url, "websocket", counted=True)
        assert break_off(page) == "You have an interview that is not over."
        page.click("#offer-go")
        page.until(f"{STATE} === 'live'")
        assert page.look("parley.call.session") == session
        page.click("#end")
        page.until("!document.querySelector('#report').hidden")
        page.click("#again")
        assert page.look(shown) is False


SENT = """
globalThis.sent = [];
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) {
  if (typeof data === "string") sent.push(JSON.parse(data));
  return send.call(this, data);
};
"""


def test_a_token_of_the_server_is_sent_back_with_what_was_read_last(
    url: str, deaf: Browser
) -> None:
    with deaf.page() as page:
        page.call("Page.addScriptToEvaluateOnNewDocument", source=SENT)
        start(page, url, way="websocket")
        page.until("parley.speaker.cursor()?.ms > 300")
        # One that no server knows: where it is refused, the session is joined afresh.
        seq = page.look("parley.call.resumption = 'unknown'; parley.call.seq")
        page.look(f"{STATES}; parley.call.transport.socket.close(4000)")
        page.until("states.includes('live')")
        assert page.look("states[0]") == "reconnecting"
        resume = page.look("sent.filter(({ type }) => type === 'hello')[1].resume")
        assert resume["token"] == "unknown"
        assert resume["seq"] >= seq > 0


def test_a_conversation_that_the_server_has_kept_goes_on_in_the_same_bubbles(
    url: str, deaf: Browser
) -> None:
    ready = """parley.call.handlers.message({ type: "ready", notices: [],
      resumed: { kept: true, complete: true },
      interview: { currentQuestion: 1, totalQuestions: 3, isComplete: false } });
    parley.call.handlers.message({ type: "reply.text", turn: 0, text: "And more." });"""
    with deaf.page() as page:
        start(page, url, way="websocket")
        page.until(f"{REPLIES}.length === 1 && parley.speaker.cursor()?.ms > 300")
        page.look(ready)
        said = page.look(f"{REPLIES}.map((li) => li.querySelector('p').textContent)")
        assert len(said) == 1
        assert said[0].endswith("And more.")
