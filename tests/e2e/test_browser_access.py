"""The page for people who use keys, a screen reader, a small screen, or who want less motion."""

from typing import Any

import pytest

from tests.support.chromium import Browser, Page
from tests.support.visit import REPLIES, assert_clean, browser_tests, start

pytestmark = browser_tests

USED = {
    "button", "checkbox", "combobox", "link", "meter", "progressbar", "radio", "slider", "textbox",
    "DisclosureTriangle", "image", "list", "region", "form", "spinbutton", "group",
}  # fmt: skip
"""Roles that say nothing without a name."""

MAY_BE_NAMELESS = {"group", "form", "image"}


FAINT = """(() => {
  const paint = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const mixed = (layers) => {  // colours on one another, the last one on top
    paint.clearRect(0, 0, 1, 1);
    for (const layer of layers) { paint.fillStyle = layer; paint.fillRect(0, 0, 1, 1); }
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const hidden = element.closest(".visually-hidden, .skip, option, noscript, :disabled");
    if (!text || hidden || !element.checkVisibility()) continue;
    const behind = [];
    for (let at = element; at !== null; at = at.parentElement) {
      behind.unshift(getComputedStyle(at).backgroundColor);
    }
    const { color, fontSize, fontWeight } = getComputedStyle(element);
    const [ink, paper] = [light(mixed([...behind, color])), light(mixed(behind))];
    const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    const large = parseFloat(fontSize) >= (Number(fontWeight) >= 700 ? 18.66 : 24);
    const words = element.textContent.trim().slice(0, 30);
    if (contrast < (large ? 3 : 4.5)) faint.push(`${contrast.toFixed(2)}: ${words}`);
  }
  return faint;
})()"""
"""Texts with less contrast than WCAG 2.2 asks for (1.4.3, AA)."""


LONG = "((list) => list.scrollHeight > list.clientHeight + 10)(document.querySelector('#turns'))"


def told(page: Page) -> list[tuple[str, str]]:
    """Roles and names that a screen reader gets."""
    named: list[tuple[str, str]] = []
    for node in page.tree():
        role, name = node["role"]["value"], node.get("name", {}).get("value", "")
        named.append((role, name.strip()))
    return named


def nameless(page: Page) -> list[tuple[str, Any]]:
    return [
        (node["role"]["value"], node.get("properties"))
        for node in page.tree()
        if node["role"]["value"] in USED - MAY_BE_NAMELESS
        and not node.get("name", {}).get("value", "").strip()
    ]


def tabbed(page: Page, count: int) -> list[str]:
    """Where Tab leads from the top of the page."""
    page.look("document.activeElement.blur(); getSelection().collapse(document.body, 0)")
    seen = []
    for _ in range(count):
        page.press("Tab", 9)
        seen.append(
            page.look(
                "((at) => at.id || at.name || (at.querySelector('span') ?? at).innerText.trim())"
                "(document.activeElement)"
            )
        )
    return seen


def test_a_screen_reader_finds_a_name_on_everything_and_no_chatter(
    url: str, beeping: Browser
) -> None:
    with beeping.page() as page:
        page.open(url)
        page.until("globalThis.parley?.face")
        assert nameless(page) == []
        before = told(page)
        for expected in (
            ("heading", "Practise an interview, out\N{NO-BREAK SPACE}loud."),
            ("radio", "Software Engineer Systems, debugging, teamwork"),
            ("radio", "Mira"),
            ("slider", "Questions"),
            ("combobox", "Microphone"),
            ("meter", "Microphone level"),
            ("button", "Start interview"),
            ("DisclosureTriangle", "Options"),
        ):
            assert expected in before
        [portrait] = [name for role, name in before if role == "image" and "drawn" in name]
        assert portrait.startswith("Parley, drawn: ")

        # What is live: the line, the interviewer's sentences one by one, what is wrong.
        page.look(
            "globalThis.told = [];"
            "const announced = document.querySelector('#announced');"
            "new MutationObserver(() => told.push(announced.textContent))"
            ".observe(announced, { childList: true })"
        )
        page.click("#start")
        page.until("parley.speaker?.cursor()?.ms > 1500")
        assert nameless(page) == []
        live = page.look("[...document.querySelectorAll('[aria-live], [role=log]')].length")
        assert live == 0
        polite = page.look(
            "[...document.querySelectorAll('[role=status], [role=alert]')].map((e) => e.id)"
        )
        assert polite == [
            *("line", "announced", "mic-trial", "mic-notice", "setup-notice"),
            *("drill-words", "log-told"),
        ]
        said = page.look("told")  # a slow machine has come to the second one by now
        assert said[0].startswith("Hello, I'm Parley, and I will be your interviewer today")
        assert said[0].endswith("role.")  # the whole sentence at once
        assert len(said) <= 2
        during = told(page)
        for expected in (
            ("button", "Mute"),
            ("button", "Interrupt"),
            ("button", "End"),
            ("list", "What was said"),
            ("textbox", "Type an answer instead of speaking"),
            ("button", "Send the typed answer"),
            ("progressbar", "Question 1 of 3"),
        ):
            assert expected in during
        assert_clean(page, url)


def test_everything_is_reached_and_done_with_keys(url: str, beeping: Browser) -> None:
    with beeping.page() as page:
        page.open(url)
        page.until("globalThis.parley?.face")
        order = tabbed(page, 8)
        assert order == [
            "face",
            "mic-choice",
            "mic-try",
            "role",
            "questions",
            "Options",
            "start",
            "Under the hood",
        ]
        page.look("document.querySelector('#start').focus()")
        page.press("Enter", 13)
        page.until("parley.speaker?.cursor()?.ms > 500")
        assert page.look("document.activeElement.id") == "conversation"

        pressed = "document.querySelector('#mute').getAttribute('aria-pressed')"
        page.press(" ", 32)
        assert page.look(pressed) == "true"
        assert "You are muted" in page.look("document.querySelector('#mic-notice').textContent")
        page.press(" ", 32)
        assert page.look(pressed) == "false"

        # In the field a space is a space, Shift+Enter a line, Enter sends.
        page.look("document.querySelector('#answer').focus()")
        page.type("It is")
        page.press(" ", 32)
        page.type("done.")
        assert page.look("document.querySelector('#answer').value") == "It is done."
        assert page.look(pressed) == "false"
        page.until("parley.speaker.cursor()?.ms > 1500")
        page.press("Escape", 27)
        page.until(f"{REPLIES}[0].textContent.includes('the rest was not heard')", 5)
        page.press("Enter", 13)
        page.until(f"{REPLIES}.length === 2")
        assert page.look("document.querySelector('#turns li.you p').textContent") == "It is done."
        keys = page.look("document.querySelector('.keys').innerText").split()
        assert {"Space", "Esc", "Enter"} <= set(keys)
        assert_clean(page, url)


def test_who_wants_less_motion_gets_a_still_head_and_a_speaking_mouth(
    url: str, beeping: Browser
) -> None:
    still = "parley.face.head.getAttribute('transform')"
    with beeping.page() as page:
        page.prefer(prefers_reduced_motion="reduce")
        start(page, url)
        page.until("parley.speaker.cursor()?.ms > 800")
        assert page.look(still) is None
        assert page.look("parley.face.moves") >= 3
        moving = page.look("document.getAnimations().length")
        assert moving == 0
        page.prefer(prefers_reduced_motion="no-preference")
        page.until(f"{still} !== null", 2)


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800)])
def test_nothing_is_cut_off_on_a_phone_or_a_desk(
    width: int, height: int, url: str, beeping: Browser
) -> None:
    beyond = (
        "[...document.querySelectorAll('main *, header *')].filter((e) => {"
        "  const box = e.getBoundingClientRect();"
        "  return box.width > 1 && (box.right > innerWidth + 1 || box.left < -1)"
        "    && !e.closest('.visually-hidden, svg');"
        "}).map((e) => e.tagName + '#' + e.id)"
    )
    with beeping.page() as page:
        page.size(width, height)
        page.open(url)
        page.until("globalThis.parley?.face")
        page.look("document.querySelector('.options').open = true")
        assert page.look(beyond) == []
        page.look("document.querySelector('.options').open = false")
        page.click("#start")
        page.until("parley.speaker?.cursor()?.ms > 500")
        page.click("#panel summary")
        page.until("document.querySelectorAll('#stages tr').length > 0")
        assert page.look(beyond) == []
        across = "((root) => root.scrollWidth - root.clientWidth)(document.documentElement)"
        assert page.look(across) == 0
        # A long conversation scrolls in its place.
        height = "document.querySelector('main').scrollHeight"
        turns = "document.querySelector('#turns')"
        page.look(f"while (!{LONG}) {turns}.append({turns}.firstElementChild.cloneNode(true))")
        before = page.look(height)
        page.look(
            f"for (let i = 9; i--;) {turns}.append({turns}.firstElementChild.cloneNode(true))"
        )
        assert page.look(height) == before


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_stands_out_from_what_is_behind_it(
    dark: bool, url: str, beeping: Browser
) -> None:
    with beeping.page() as page:
        page.size(1280, 800)
        scheme = "dark" if dark else "light"  # and nothing on its way from one colour to another
        page.prefer(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
        page.open(url)
        page.until("globalThis.parley?.face")
        page.look("document.querySelector('.options').open = true")
        assert page.look(FAINT) == []
        page.click("#start")
        page.until("parley.speaker?.cursor()?.ms > 1500")
        page.press("Escape", 27)
        page.until(f"{REPLIES}[0].textContent.includes('the rest was not heard')", 5)
        page.click("#mute")
        page.click("#panel summary")
        page.until("document.querySelectorAll('#stages tr').length > 0")
        page.until("document.querySelectorAll('.waterfall').length > 0")
        assert page.look(FAINT) == []


OVERLAPS = """(() => {
  const start = document.querySelector("#start").getBoundingClientRect();
  return [...document.querySelectorAll(".roles label")].filter((card) => {
    const box = card.getBoundingClientRect();
    return box.bottom > start.top && box.top < start.bottom;
  }).length;
})()"""

BOX = "(({{ top, bottom, height }}) => [top, bottom, height])(document.querySelector('{}')"
BOX += ".getBoundingClientRect())"


def test_on_a_phone_no_button_covers_a_choice_and_the_answer_field_is_in_view(
    url: str, beeping: Browser
) -> None:
    with beeping.page() as page:
        page.size(390, 844)
        page.open(url)
        page.until("globalThis.parley?.face")
        assert page.look(OVERLAPS) == 0
        page.click("#start")
        page.until("parley.speaker?.cursor()?.ms > 500")
        page.look("scrollTo(0, 0)")
        top, bottom, _ = page.look(BOX.format("#answer"))
        assert 0 < top < bottom <= 844


def test_send_keeps_its_size_beside_a_long_answer(url: str, deaf: Browser) -> None:
    with deaf.page() as page:
        page.size(1280, 800)
        start(page, url, way="websocket")
        before = page.look(BOX.format("#typed button"))[2]
        page.look("document.querySelector('#answer').focus()")
        page.type("One line.\nTwo lines.\nThree lines.\nFour lines.")
        assert page.look(BOX.format("#answer"))[2] > 80
        assert page.look(BOX.format("#typed button"))[2] == before


def test_the_end_is_headed_focused_and_shows_the_last_words_whole(url: str, deaf: Browser) -> None:
    heading = "[...document.querySelectorAll('h1')].filter((h) => h.checkVisibility())"
    heading += ".map((h) => h.textContent)"
    with deaf.page() as page:
        page.size(1280, 800)
        start(page, url, way="websocket")
        assert page.look(heading) == ["Your interview"]
        page.until("parley.speaker.cursor()?.ms > 1500")
        page.look("document.querySelector('#answer').focus()")
        page.type("It is done, and it took a while. " * 30)
        page.press("Enter", 13)
        page.until(f"{REPLIES}.length === 2")
        page.click("#end")
        page.until("document.body.dataset.view === 'ended'")
        assert page.look("document.activeElement.id") == "after-title"
        page.until(
            "document.querySelector('#after-words').textContent.includes('report') === false"
            " || document.querySelector('#after-words').textContent.includes('no report')"
        )
        assert page.look(heading) == ["That was the interview."]
        page.look("new Promise((resolve) => setTimeout(resolve, 100))")
        _, end, _ = page.look(BOX.format("#turns"))
        _, last, _ = page.look(BOX.format("#turns li:last-child"))
        assert last <= end


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_of_the_report_stands_out(dark: bool, url: str, deaf: Browser) -> None:
    answers = """(async () => {
      const post = (path, body) => fetch(path, { method: "POST", body: JSON.stringify(body),
        headers: { "content-type": "application/json" } }).then((answer) => answer.json());
      const made = await post("/api/sessions", { role: "Data Analyst", totalQuestions: 3 });
      const path = `/api/sessions/${made.session_id}`;
      await post(`${path}/start`, {});
      for (const text of [GOOD, "No idea.", "I would look."]) {
        await post(`${path}/submit-answer`, { text });
      }
      return `${path}/report?format=html`;
    })()"""
    good = (
        "When orders fell by 12 percent in March, my task was to find out why. I compared 3 sources"
        ", first by week and then by country, because two reports disagreed. We mended the"
        " import, and the difference went down to 1 percent, for example in Spain."
    )
    with deaf.page() as page:
        page.prefer(prefers_color_scheme="dark" if dark else "light")
        page.open(url)
        report = page.look(answers.replace("GOOD", repr(good)))
        page.open(url.rstrip("/") + report)
        assert page.look("document.querySelectorAll('.badge').length") == 3
        assert page.look(FAINT) == []
