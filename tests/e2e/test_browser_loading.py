"""What the page costs before it is there: requests, bytes, time, and nothing that moves."""

import pytest

from tests.support.chromium import FIREFOX, Browser
from tests.support.visit import REPLIES, assert_clean, browser_tests

pytestmark = browser_tests

WATCH = """
globalThis.shifts = 0;
if (PerformanceObserver.supportedEntryTypes.includes("layout-shift")) {
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) shifts += entry.value;
  }).observe({ type: "layout-shift", buffered: true });
}
globalThis.faceAt = null;
const look = () => {
  const shown = document.querySelector("#face")?.shadowRoot?.querySelector("svg");
  if (!shown) return requestAnimationFrame(look);
  requestAnimationFrame(() => { faceAt = performance.now(); });
};
requestAnimationFrame(look);
"""
"""What moves by itself, and when the first picture of the face is drawn."""

LOADED = """(() => {
  const all = [...performance.getEntriesByType("navigation"),
    ...performance.getEntriesByType("resource")];
  return [all.length, all.reduce((sum, entry) => sum + entry.transferSize, 0)];
})()"""


@pytest.mark.skipif(FIREFOX, reason="Firefox tells nothing about layout shifts")
def test_the_page_is_small_and_nothing_in_it_moves_while_it_loads(url: str, deaf: Browser) -> None:
    with deaf.page() as page:
        page.size(1280, 800)
        page.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        page.open(url)
        page.until("globalThis.parley?.face && faceAt !== null")
        page.look("new Promise((resolve) => setTimeout(resolve, 500))")
        requests, size = page.look(LOADED)
        assert requests <= 25
        assert size <= 150_000
        assert page.look("shifts") < 0.02
        assert_clean(page, url)


@pytest.mark.realtime
def test_the_first_picture_of_the_face_is_there_at_once(url: str, deaf: Browser) -> None:
    times = []
    for _ in range(3):
        with deaf.page() as page:
            page.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
            page.open(url)
            times.append(page.until("globalThis.faceAt"))
    assert min(times) < 400, times


@pytest.mark.firefox
def test_a_whole_interview_moves_nothing_and_says_nothing_on_the_console(
    url: str, deaf: Browser
) -> None:
    with deaf.page() as page:
        page.size(1280, 800)
        page.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        page.open(url)
        page.until("globalThis.parley?.face")
        page.look(
            "((e) => { e.value = 1; e.dispatchEvent(new Event('input', { bubbles: true })); })"
            "(document.querySelector('#questions'))"
        )
        page.look("document.querySelector('#way').value = 'websocket'")
        page.click("#start")
        page.until(f"{REPLIES}.length === 1 && parley.speaker.cursor()?.ms > 1500")
        page.until("parley.speaker.cursor() === null")
        page.look("document.querySelector('#answer').focus()")
        page.type("I measured both designs, and we took the faster one.")
        page.press("Enter", 13)
        page.until("!document.querySelector('#report').hidden", 60)
        assert page.look("document.querySelector('#after-title').textContent") == (
            "That was the interview."
        )
        assert page.look("document.querySelector('#result').checkVisibility()")
        assert_clean(page, url)
