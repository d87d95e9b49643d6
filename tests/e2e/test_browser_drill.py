"""The operator breaks a stage on the page, and sees what takes its place."""

from pathlib import Path

from tests.support.chromium import Browser
from tests.support.served import free_port, gateway
from tests.support.visit import LOOPBACK, assert_clean, browser_tests, start

pytestmark = browser_tests

KEY = "the-operators-key-of-the-test"
WORDS = "document.querySelector('#drill-words').textContent"
BUTTONS = "[...document.querySelectorAll('#drills button')].map((e) => e.ariaLabel)"


def test_a_stage_is_broken_on_the_page_and_the_ladder_is_seen(
    tmp_path: Path, deaf: Browser
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    settings = {"PARLEY_ADMIN_KEY": KEY, "PARLEY_DRILLS": "allowed", **LOOPBACK}
    with gateway(tmp_path, port, **settings), deaf.page() as page:
        start(page, url, way="websocket")
        page.until("parley.speaker.cursor()?.ms > 300")
        page.look("document.querySelector('#panel').open = true")
        page.look("document.querySelector('.drill').open = true")
        page.look("document.querySelector('#admin-key').focus()")
        page.type(KEY)
        page.press("Enter", 13)
        names = page.until(f"{BUTTONS}.length > 0 && {BUTTONS}")
        voice = next(name for name in names if name.startswith("tts.") and "fails" in name)
        page.click(f'#drills button[aria-label="{voice}"]')
        page.until(f"{WORDS}.endsWith('fails for 20 s.')")
        page.look("document.querySelector('#answer').focus()")
        page.type("I measured both designs, and we took the faster one.")
        page.press("Enter", 13)
        provider = voice.split()[0].removeprefix("tts.")
        page.until(f"document.querySelector('#degraded').innerText.includes('tts {provider} →')")
        assert_clean(page, url)


def test_where_the_operator_has_not_allowed_it_that_is_said(url: str, deaf: Browser) -> None:
    with deaf.page() as page:
        page.open(url)
        page.until("globalThis.parley?.face")
        page.click("#panel summary")
        page.until("document.querySelectorAll('#stages tr').length > 0")
        page.look("document.querySelector('.drill').open = true")
        page.look("document.querySelector('#admin-key').focus()")
        page.type("any")
        page.press("Enter", 13)
        page.until(f"{WORDS}.startsWith('The operator has not allowed it')")
        assert page.look(BUTTONS) == []
