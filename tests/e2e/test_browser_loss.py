"""Nothing that a person did is lost, done twice, or carried into the next interview unasked."""

import json
from typing import Any

from tests.support.chromium import Browser, Page
from tests.support.visit import ANSWERS, REPLIES, assert_clean, browser_tests, start

pytestmark = browser_tests

FIELD = "document.querySelector('#answer').value"
STATE = "document.querySelector('#line').dataset.state"
NOTES = f"{ANSWERS}.map((li) => li.querySelector('small').textContent)"
WORDS = "document.querySelector('#after-words').textContent"
KEPT = "JSON.parse(localStorage.getItem('parley.interview'))"

PATCHED = """
const really = fetch;
globalThis.asked = [];
globalThis.fetch = async (where, ...rest) => {
  const path = String(where);
  if (path.endsWith(globalThis.failing)) {
    asked.push(path);
    if (globalThis.failures-- > 0) throw new TypeError("nobody answers");
  }
  return really(where, ...rest);
};
globalThis.failing = "nothing";
globalThis.failures = 0;
"""
"""A server that does not answer some requests, as many times as `failures` says."""


def before(page: Page, script: str) -> None:
    page.call("Page.addScriptToEvaluateOnNewDocument", source=script)


def tell(page: Page, **message: Any) -> None:
    """As if the server said it."""
    page.look(f"parley.call.handlers.message({json.dumps(message)})")


def answer(page: Page, text: str) -> None:
    page.look("document.querySelector('#answer').focus()")
    page.type(text)
    page.press("Enter", 13)


def test_a_typed_answer_that_is_refused_stands_before_what_was_begun_meanwhile(
    url: str, deaf: Browser
) -> None:
    with deaf.page() as page:
        start(page, url, way="websocket")
        page.look("parley.call.transport.send = () => {}")
        answer(page, "The first answer.")
        page.type("And then")
        tell(page, type="error", code="not_stored", message="", fatal=False)
        assert page.look(FIELD) == "The first answer.\nAnd then"
        assert page.look(f"{ANSWERS}.length") == 0
        assert page.look(f"{KEPT}.draft") == "The first answer.\nAnd then", "a reload finds it"


def test_what_is_typed_is_not_sent_again_before_it_is_known_what_has_arrived(
    url: str, deaf: Browser
) -> None:
    with deaf.page() as page:
        before(page, PATCHED)
        start(page, url, way="websocket")
        page.until(f"{REPLIES}.length === 1 && parley.speaker.cursor()?.ms > 300")
        page.look("globalThis.failing = '/transcript'; globalThis.failures = 4")
        page.look(
            "globalThis.deaf = parley.call.transport.socket; deaf.onmessage = null;"
            "parley.call.resumption = null"  # else the server tells again what it has said
        )
        answer(page, "It has arrived.")
        page.look("new Promise((resolve) => setTimeout(resolve, 300))")
        page.look("deaf.close(4000)")
        page.until(f"{STATE} === 'live'")
        page.until(f"{NOTES}.at(-1) === 'typed'")
        page.until("globalThis.failures < 0")
        lines = page.look(
            "fetch(`/api/sessions/${parley.call.session}/transcript`).then((r) => r.json())"
            ".then(({ lines }) => lines.filter((l) => l.speaker === 'candidate').length)"
        )
        assert lines == 1


def test_the_report_is_asked_for_again_where_nobody_answers(url: str, deaf: Browser) -> None:
    with deaf.page() as page:
        before(page, PATCHED)
        start(page, url, way="websocket")
        page.until(f"{REPLIES}.length === 1 && parley.speaker.cursor() === null")
        answer(page, "I measured both designs, and we took the faster one.")
        page.until(f"{REPLIES}.length === 2 && parley.speaker.cursor()?.ms > 300")
        page.look("globalThis.failing = '/end'; globalThis.failures = 2")
        page.click("#end")
        page.until("!document.querySelector('#report').hidden", 30)
        assert page.look("asked.length") >= 3
        assert page.look(KEPT) is None
        assert_clean(page, url)


def test_an_interview_whose_report_nobody_makes_is_kept(url: str, deaf: Browser) -> None:
    with deaf.page() as page:
        before(page, PATCHED)
        start(page, url, way="websocket")
        page.until(f"{REPLIES}.length === 1")
        session = page.look("parley.call.session")
        page.look("globalThis.failing = '/end'; globalThis.failures = 100")
        page.look(
            "globalThis.real = setTimeout; globalThis.setTimeout = (f, ms) => real(f, ms / 4)"
        )
        page.click("#end")
        page.until(f"{WORDS}.includes('What you said is kept')")
        assert page.look(f"{KEPT}.session") == session


def test_who_clicks_while_the_page_finds_its_interview_enters_once(url: str, deaf: Browser) -> None:
    slow = """
    const add = AudioWorklet.prototype.addModule;
    AudioWorklet.prototype.addModule = async function (module) {
      await new Promise((resolve) => setTimeout(resolve, globalThis.late ?? 0));
      return add.call(this, module);
    };
    globalThis.late = 800;
    globalThis.contexts = 0;
    globalThis.AudioContext = class extends AudioContext {
      constructor(...given) {
        super(...given);
        contexts += 1;
      }
    };
    const really = fetch;
    globalThis.fetch = async (where, ...rest) => {
      if (String(where).includes("/api/sessions/")) {
        await new Promise((resolve) => setTimeout(resolve, 1500));
      }
      return really(where, ...rest);
    };
    Object.defineProperty(navigator, "getAutoplayPolicy", { value: () => "allowed" });
    """
    with deaf.page() as page:
        start(page, url, way="websocket")
        page.until(f"{REPLIES}.length === 1")
        page.look("parley.call.over = true; parley.call.transport.close()")
        before(page, slow)
        page.open(url)
        page.until("globalThis.parley?.picker")
        # Over WebRTC Firefox has a second one by itself.
        page.look("document.querySelector('#way').value = 'websocket'")
        page.look("document.querySelector('#setup').requestSubmit()")
        page.until("document.body.dataset.view === 'live'")
        assert page.look("contexts") == 1


def test_who_was_muted_is_heard_in_the_next_interview(url: str, beeping: Browser) -> None:
    with beeping.page() as page:
        start(page, url, way="websocket")
        page.until("!document.querySelector('#mute').disabled")
        page.click("#mute")
        page.click("#end")
        page.until("document.body.dataset.view === 'ended'")
        page.until("!document.querySelector('#start').disabled")
        page.click("#again")
        page.click("#start")
        page.until("document.body.dataset.view === 'live'")
        assert page.look("parley.picker.track.enabled") is True
        pressed = "document.querySelector('#mute').getAttribute('aria-pressed')"
        assert page.look(pressed) == "false"


def test_escape_in_a_search_or_a_list_interrupts_nobody(url: str, deaf: Browser) -> None:
    pressed = """document.querySelector('{}').dispatchEvent(
      new KeyboardEvent('keydown', {{ key: 'Escape', bubbles: true }}))"""
    said = "document.querySelector('#turns').textContent"
    with deaf.page() as page:
        start(page, url, way="websocket")
        page.until("parley.speaker.cursor()?.ms > 500")
        for field in ("#log-words", "#log-kind"):
            page.look(pressed.format(field))
        page.look("new Promise((resolve) => setTimeout(resolve, 500))")
        assert "interrupted" not in page.look(said)
        assert page.look("parley.speaker.cursor()?.sounding")
        page.look(pressed.format("#answer"))
        page.until(f"{said}.includes('interrupted')")


def test_german_sentences_are_marked_as_such_and_the_pages_own_are_not(
    url: str, deaf: Browser
) -> None:
    said = "((e) => [e.textContent, e.lang])(document.querySelector('{}'))"
    with deaf.page() as page:
        start(page, url, way="websocket")
        page.until("parley.speaker.cursor()?.ms > 300")
        page.press("Escape", 27)
        page.until(f"{REPLIES}[0].textContent.includes('interrupted')")
        found = {"currentQuestion": 1, "totalQuestions": 3, "isComplete": False}
        tell(page, type="ready", language="de", notices=[], interview=found)
        tell(page, type="reply.started", turn=90)
        tell(page, type="reply.text", turn=90, text="Warum gerade das?")
        for where in ("#caption", "#announced"):
            page.until(f"document.querySelector('{where}').textContent === 'Warum gerade das?'")
            assert page.look(said.format(where)) == ["Warum gerade das?", "de"]
        assert page.look(f"{REPLIES}.at(-1).querySelector('b').lang") == "en"
        tell(page, type="error", code="not_stored", message="", fatal=False)
        assert page.look(said.format("#caption"))[1] == "en"
        assert page.look(said.format("#announced"))[1] == "en"


def test_a_health_that_hangs_is_told_as_such(url: str, deaf: Browser) -> None:
    hanging = """
    const really = fetch;
    const elsewhere = (where) => !String(where).endsWith("/health");
    globalThis.fetch = (where, options) => elsewhere(where) ? really(where, options)
      : new Promise((_, refuse) => {
        options.signal?.addEventListener("abort", () => refuse(options.signal.reason));
      });
    const within = AbortSignal.timeout;
    AbortSignal.timeout = (ms) => within.call(AbortSignal, Math.min(ms, 200));"""
    with deaf.page() as page:
        page.open(url)
        page.until("globalThis.parley?.face")
        page.click("#panel summary")
        facts = "document.querySelector('#facts').textContent"
        page.until(f"{facts}.includes('places taken')")
        page.look(hanging)
        page.until(f"{facts}.includes('does not answer')")


def test_the_wave_of_a_microphone_that_has_gone_is_flat(url: str, beeping: Browser) -> None:
    with beeping.page() as page:
        start(page, url, way="websocket")
        page.until("parley.picker.wave.bars.some((bar) => bar > 0.2)")
        page.look("parley.picker.release()")
        assert page.look("Math.max(...parley.picker.wave.bars)") == 0


def test_other_events_are_counted_for_the_eye_only(url: str, deaf: Browser) -> None:
    with deaf.page() as page:
        start(page, url, way="websocket")
        page.click("#panel summary")
        page.look(
            "globalThis.told = 0; new MutationObserver(() => { told += 1; })"
            ".observe(document.querySelector('#log-told'), { childList: true })"
        )
        count = "document.querySelector('#log-count').textContent"
        seen = page.look(count)
        for turn in range(60, 65):
            tell(page, type="speech.started", turn=turn)
        assert page.look(count) != seen
        assert page.look("told") == 0, "a screen reader is not told each one"
        page.look(
            "((e) => { e.value = 'words'; e.dispatchEvent(new Event('input')); })"
            "(document.querySelector('#log-kind'))"
        )
        page.until("document.querySelector('#log-told').textContent.endsWith(' shown')")


def test_who_looked_under_the_hood_without_a_server_can_begin_once_there_is_one(
    url: str, deaf: Browser
) -> None:
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    with deaf.page() as page:
        page.open(url)
        page.until("globalThis.parley?.face")
        page.call("Network.emulateNetworkConditions", offline=True, **offline)
        page.click("#panel summary")
        page.look("new Promise((resolve) => setTimeout(resolve, 500))")
        page.call("Network.emulateNetworkConditions", offline=False, **offline)
        page.click("#start")
        page.until("document.body.dataset.view === 'live'")
