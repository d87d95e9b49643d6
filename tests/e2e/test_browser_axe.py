"""The page and the report before axe, which knows WCAG's rules and more. Its package is among those
of the JavaScript clients: `npm ci --prefix tests/support/agents`."""

import os

import pytest

from tests.support.agents import HERE
from tests.support.chromium import Browser, Page
from tests.support.visit import REPLIES, browser_tests, start

AXE = HERE / "node_modules" / "axe-core" / "axe.min.js"

needs_axe = pytest.mark.skipif(
    not AXE.is_file() and os.environ.get("CI") != "true",
    reason="needs axe-core: npm ci --prefix tests/support/agents",
)
pytestmark = [*browser_tests, needs_axe]

FOUND = """axe.run(document).then(({ violations }) => violations.flatMap(({ id, help, nodes }) =>
  nodes.map(({ target }) => `${id}: ${help}: ${target.join(" ")}`)))"""

GOOD = (
    "When orders fell by 12 percent in March, my task was to find out why. I compared 3 sources,"
    " first by week and then by country, because two reports disagreed. We mended the import, and"
    " the difference went down to 1 percent."
)


def violations(page: Page) -> list[str]:
    page.call("Runtime.evaluate", expression=AXE.read_text("utf-8"))
    found: list[str] = page.look(FOUND)
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_from_the_first_look_to_the_report(
    scheme: str, url: str, beeping: Browser
) -> None:
    with beeping.page() as page:
        page.size(1280, 800)
        # Nothing on its way from one colour to another.
        page.prefer(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
        page.open(url)
        page.until("globalThis.parley?.face")
        page.look("document.querySelector('.options').open = true")
        assert ("landing", violations(page)) == ("landing", [])
        start(page, url, way="websocket")
        page.until("parley.speaker.cursor()?.ms > 1500")
        page.until("parley.speaker.cursor() === null")  # the question has been asked
        page.look("document.querySelector('#panel').open = true")
        page.look("document.querySelector('.drill').open = true")
        page.look("document.querySelector('#answer').focus()")
        page.type(GOOD)
        page.press("Enter", 13)
        page.until(f"{REPLIES}.length === 2 && parley.speaker.cursor()?.ms > 500")
        page.click("#mute")
        page.press("Escape", 27)
        page.until("document.querySelectorAll('.waterfall').length > 1")
        page.until("document.querySelectorAll('#stages tr, #log li').length > 10")
        assert ("live", violations(page)) == ("live", [])
        page.click("#end")
        page.until("document.querySelector('#report').checkVisibility()")
        assert page.look("document.querySelector('#result').checkVisibility()")
        assert ("ended", violations(page)) == ("ended", [])
        page.open(page.look("document.querySelector('#report').href"))
        page.until("document.querySelectorAll('.badge').length === 1")
        assert ("report", violations(page)) == ("report", [])
