"""The page where the gateway wants keys: a ticket in the address, or a key that is typed."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.chromium import Browser, Page
from tests.support.served import free_port, gateway
from tests.support.visit import LOOPBACK, REPLIES, assert_clean, browser_tests, start

pytestmark = browser_tests

KEY = "a-key-for-a-browser"
LIVE = "document.body.dataset.view === 'live'"
ASKED = "!document.querySelector('#access').hidden"
ENDED = "document.querySelector('#after-words').textContent"
NOTICE = "document.querySelector('#setup-notice').textContent"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway that wants keys."""
    port = free_port()
    folder = tmp_path_factory.mktemp("locked")
    with gateway(folder, port, PARLEY_API_KEYS=KEY, **LOOPBACK):
        yield f"http://127.0.0.1:{port}/"


def ticket(url: str) -> str:
    headers = {"x-api-key": KEY}
    made = httpx.post(f"{url}api/tickets", json={}, headers=headers, trust_env=False, timeout=30)
    value: str = made.json()["value"]
    return value


def spoken(page: Page) -> None:
    """The interviewer has said something."""
    page.until(f"{REPLIES}.length > 0")


@pytest.mark.firefox
@pytest.mark.parametrize("way", ["websocket", "webrtc"])
def test_a_ticket_in_the_address_holds_an_interview(locked: str, deaf: Browser, way: str) -> None:
    with deaf.page() as page:
        value = ticket(locked)
        start(page, f"{locked}#ticket={value}", way=way)
        assert page.look("location.href") == locked
        spoken(page)
        page.click("#end")
        page.until(f"{ENDED} === 'No question was answered, so there is no report.'")
        # A link carries no header: the session's cookie opens it, for this browser alone.
        link = page.look("`${location.origin}/api/sessions/${parley.call.session}`")
        assert page.look(f"fetch('{link}').then((answer) => answer.status)") == 200
        assert httpx.get(link, trust_env=False, timeout=30).status_code == 401
        assert_clean(page, locked)


def test_a_page_without_a_ticket_asks_for_one(locked: str, deaf: Browser) -> None:
    with deaf.page() as page:
        page.open(locked)
        page.until("globalThis.parley?.face")
        page.look("document.querySelector('#way').value = 'websocket'")
        assert page.look(ASKED) is False
        page.click("#start")
        page.until(ASKED)
        assert page.look(NOTICE) == "This server wants a ticket or a key: please enter it above."
        page.type("not-the-key")
        page.click("#start")
        page.until("document.activeElement.id === 'ticket' && document.activeElement.value === ''")
        page.type(KEY)
        page.click("#start")
        page.until(LIVE)
        spoken(page)
        kept = page.look("JSON.stringify([localStorage, sessionStorage, document.cookie])")
        assert KEY not in kept, "a key is not kept in the browser"


FORBIDDEN = """
for (const name of ["localStorage", "sessionStorage"])
  Object.defineProperty(window, name, { get() { throw new DOMException("no", "SecurityError"); } });
"""
"""What a browser does that keeps nothing of any page."""


def test_a_browser_that_keeps_nothing_holds_an_interview(locked: str, deaf: Browser) -> None:
    with deaf.page() as page:
        page.call("Page.addScriptToEvaluateOnNewDocument", source=FORBIDDEN)
        start(page, f"{locked}#ticket={ticket(locked)}", way="websocket")
        spoken(page)
        page.click("#end")
        page.until(f"{ENDED} === 'No question was answered, so there is no report.'")
