"""What becomes of the sound, the microphone and the screen while an interview lasts."""

import pytest

from tests.support.chromium import FIREFOX, Browser, Page
from tests.support.visit import browser_tests, start

pytestmark = browser_tests

NOTICE = "document.querySelector('#mic-notice')"
TOLD = f"({NOTICE}.hidden ? '' : {NOTICE}.textContent)"
PAUSED = "The sound is paused. Click or press any key, and the interview goes on."
CONTEXTS = "[...parley.device.contexts]"
RUNNING = f"{CONTEXTS}.every((context) => context.state === 'running')"

LOCKS = """
globalThis.locks = [];
Object.defineProperty(navigator, "wakeLock", { value: {
  request: async (kind) => {
    const lock = { kind, released: false, release: async () => { lock.released = true; } };
    locks.push(lock);
    return lock;
  },
} });
"""
HELD = "locks.filter((lock) => !lock.released).length"


def before(page: Page, script: str) -> None:
    page.call("Page.addScriptToEvaluateOnNewDocument", source=script)


@pytest.mark.firefox
def test_sound_that_the_system_suspends_is_resumed(url: str, beeping: Browser) -> None:
    with beeping.page() as page:
        start(page, url, way="websocket")
        assert page.look(f"{CONTEXTS}.length") == 2, "the microphone's and the loudspeaker's"
        page.look(f"Promise.all({CONTEXTS}.map((context) => context.suspend()))")
        page.until(RUNNING)
        page.until(f"{TOLD} === ''")


def test_sound_that_does_not_come_back_is_told_until_the_next_click(
    url: str, beeping: Browser
) -> None:
    refusing = """
    const resume = AudioContext.prototype.resume;
    AudioContext.prototype.resume = function () {
      return globalThis.refusing ? Promise.reject(new DOMException("no")) : resume.call(this);
    };"""
    with beeping.page() as page:
        before(page, refusing)
        start(page, url, way="websocket")
        page.look(f"globalThis.refusing = true; {CONTEXTS}[1].suspend()")
        page.until(f"{TOLD} === '{PAUSED}'")
        role = page.look(f"{NOTICE}.getAttribute('role')")
        assert role == "alert", "screen readers say it at once"
        page.look("globalThis.refusing = false")
        page.click("#conversation")
        page.until(RUNNING)
        page.until(f"{TOLD} === ''")


def test_an_interruption_in_safari_is_a_pause_too(url: str, beeping: Browser) -> None:
    interrupt = f"""((context) => {{
      const state = Object.getOwnPropertyDescriptor(BaseAudioContext.prototype, "state").get;
      globalThis.resumed = 0;
      Object.defineProperty(context, "state", {{
        configurable: true,
        get: () => globalThis.resumed ? state.call(context) : "interrupted",
      }});
      context.resume = async () => {{ globalThis.resumed += 1; }};
      context.dispatchEvent(new Event("statechange"));
    }})({CONTEXTS}[0])"""
    with beeping.page() as page:
        start(page, url, way="websocket")
        page.look(interrupt)
        assert page.until("globalThis.resumed") == 1


@pytest.mark.skipif(FIREFOX, reason="its tracks hear no events that a script sends them")
def test_a_microphone_that_something_mutes_is_told_until_it_hears_again(
    url: str, beeping: Browser
) -> None:
    mute = """((track, muted) => {
      Object.defineProperty(track, "muted", { configurable: true, value: muted });
      track.dispatchEvent(new Event(muted ? "mute" : "unmute"));
    })"""
    with beeping.page() as page:
        start(page, url, way="websocket")
        page.look(f"{mute}(parley.picker.track, true)")
        assert page.look(TOLD).startswith("Nothing is heard from your microphone:")
        alerts = [
            node["name"]["value"] if "name" in node else ""
            for node in page.tree()
            if node["role"]["value"] == "alert"
        ]
        assert alerts, "it is there for screen readers"
        page.look(f"{mute}(parley.picker.track, false)")
        assert page.look(TOLD) == ""


def test_the_enter_that_ends_an_input_methods_word_sends_nothing(url: str, deaf: Browser) -> None:
    pressed = """document.querySelector("#answer").dispatchEvent(new KeyboardEvent("keydown",
      { key: "Enter", keyCode: %d, isComposing: false, bubbles: true, cancelable: true }))"""
    with deaf.page() as page:
        start(page, url, way="websocket")
        page.look("document.querySelector('#answer').focus()")
        page.type("にほん")
        assert page.look(pressed % 229) is True, "the input method gets it"
        kept = page.look("document.querySelector('#answer').value")
        assert (kept, page.look("document.querySelectorAll('#turns .you').length")) == ("にほん", 0)
        assert page.look(pressed % 13) is False
        assert page.look("document.querySelector('#turns .you p').textContent") == "にほん"


def test_the_screen_stays_on_while_the_interview_lasts(url: str, deaf: Browser) -> None:
    hidden = """((hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, value: hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    })"""
    with deaf.page() as page:
        before(page, LOCKS)
        page.open(url)
        assert page.look("locks.length") == 0
        start(page, url, way="websocket")
        assert page.until("locks.map((lock) => lock.kind)") == ["screen"]
        # The browser lets go of it when the page is hidden; it is asked for again.
        page.look(f"locks[0].released = true; {hidden}(true)")
        assert page.look("locks.length") == 1
        page.look(f"{hidden}(false)")
        page.until(f"locks.length === 2 && {HELD} === 1")
        page.click("#end")
        page.until(f"document.body.dataset.view === 'ended' && {HELD} === 0")


TRIED = "document.querySelector('#mic-trial').textContent"
BUTTON = "document.querySelector('#mic-try').textContent"


def test_a_microphone_that_is_tried_says_what_it_hears_and_can_be_stopped(
    url: str, beeping: Browser
) -> None:
    with beeping.page() as page:
        page.open(url)
        page.until("globalThis.parley?.face")
        page.click("#mic-try")
        page.until(f"{TRIED} === 'You are heard.'")
        assert page.look(BUTTON) == "Stop"
        page.click("#mic-try")
        assert page.look(f"[{TRIED}, {BUTTON}, parley.picker.track]") == ["", "Try it", None]
        # Where it hears nothing, that is said.
        page.look("parley.picker.open().then(() => parley.picker.microphone.mute(true))")
        page.until("parley.picker.track !== null")
        page.until("document.querySelector('#mic-level').value === 0")  # all of before has come
        page.look("parley.picker.trial.begin()")
        page.until(f"{TRIED}.startsWith('Nothing is heard yet.')")
