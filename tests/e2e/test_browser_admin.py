"""The operator's page: what it shows of a gateway, and what an operator changes there."""

from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.test_browser_axe import needs_axe, violations
from tests.support.chromium import Browser, Page
from tests.support.served import free_port, gateway
from tests.support.stub_services import services_file
from tests.support.visit import LOOPBACK, assert_clean, browser_tests, start

pytestmark = browser_tests

KEY = "the-operators-key-of-the-test"
TOLD = "document.querySelector('#told').textContent"
VIEW = "document.body.dataset.view"
NOTICE = "document.querySelector('#key-notice').textContent"
ROWS = "[...document.querySelectorAll('#{} tbody tr')].map((row) => row.innerText)"
OPEN = "document.querySelector('#sure').open"
STATE = "document.querySelector('#breakers tr:has([aria-label$=\"llm.scripted\"]) .chip').innerText"


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway with an operator, a service that is gone, and a limit."""
    port, folder = free_port(), tmp_path_factory.mktemp("operated")
    file = services_file(
        folder,
        {"name": "plans", "port": free_port(), "retry_policy": {"max_attempts": 1}},
    )
    settings = {
        "PARLEY_ADMIN_KEY": KEY,
        "PARLEY_SERVICES": str(file),
        "PARLEY_LIMIT_SERVICE": "9/h",
    }
    with gateway(folder, port, **settings, **LOOPBACK):
        yield f"http://127.0.0.1:{port}/"


def enter(page: Page, url: str) -> None:
    """Open the page and give the key, by keys alone."""
    page.open(f"{url}admin")
    page.until("document.activeElement.id === 'key'")
    page.type(KEY)
    page.press("Enter", 13)
    page.until(f"{VIEW} === 'open' && {ROWS.format('breakers')}.length > 0")


def pressed(page: Page, label: str, *, sure: bool | None = None) -> None:
    """Press a button of a row by its name, and answer the question, by keys alone."""
    page.look(f"document.querySelector('[aria-label=\"{label}\"]').focus()")
    page.press("Enter", 13)
    if sure is None:
        return
    page.until(f"{OPEN} && document.activeElement.value === 'no'")
    if sure:
        page.press("Tab", 9)
        page.until("document.activeElement.value === 'yes'")
    page.press("Enter", 13)
    page.until(f"!{OPEN}")


def test_an_operator_sees_the_gateway_and_changes_a_breaker_by_keys(
    operated: str, deaf: Browser
) -> None:
    with deaf.page() as page:
        enter(page, operated)
        assert page.look("document.querySelector('#facts').innerText").startswith("status")
        assert page.look(ROWS.format("limits")) == ["each service\t9 in 1 h\t0"]
        assert page.look(STATE) == "closed"
        label = "Force open llm.scripted"
        pressed(page, label, sure=False)
        assert page.look(STATE) == "closed"
        assert page.look("document.activeElement.ariaLabel") == label
        pressed(page, label, sure=True)
        page.until(f"{STATE} === 'forced-open'")
        page.until(f"{TOLD} === 'Breaker llm.scripted is forced open.'")
        # What is shown anew takes nobody's place.
        assert page.look("document.activeElement.ariaLabel") == label
        pressed(page, "Reset llm.scripted")
        page.until(f"{STATE} === 'closed'")
        for _ in range(5):
            httpx.get(f"{operated}plans/a", trust_env=False, timeout=30)
        page.until(f"{ROWS.format('instances')}.some((row) => row.includes('open'))")
        pressed(page, "Reset the breakers of plans")
        page.until(f"{ROWS.format('instances')}.every((row) => !row.includes('open'))")
        assert_clean(page, operated)


def test_a_question_right_behind_another_one_has_an_answer_of_its_own(
    operated: str, deaf: Browser
) -> None:
    with deaf.page() as page:
        enter(page, operated)
        label = "Disable llm.scripted"
        ask = f"document.querySelector('[aria-label=\"{label}\"]').click()"
        page.look(ask)
        page.until(OPEN)
        # The browser tells that the first is closed when the second one is open.
        page.look(f"document.querySelector('#sure').close('no'); {ask}")
        page.until(OPEN)
        page.look("document.querySelector('#sure [value=yes]').click()")
        page.until(f"{STATE} === 'disabled'")
        pressed(page, "Reset llm.scripted")
        page.until(f"{STATE} === 'closed'")


def test_an_operator_ends_a_session(operated: str, deaf: Browser) -> None:
    with deaf.page() as talking, deaf.page() as page:
        start(talking, operated, way="websocket")
        session = talking.look("parley.call.session")
        page.call("Page.bringToFront")  # in Firefox a hidden page has no focus
        enter(page, operated)
        page.until(f"{ROWS.format('sessions')}.some((row) => row.includes('{session}'))")
        pressed(page, f"End session {session}", sure=True)
        talking.until("document.body.dataset.view === 'ended'")
        page.until("document.querySelector('#sessions .empty')?.checkVisibility()")
        page.until(f"{TOLD} === 'Session {session} ends.'")
        assert page.look("document.activeElement.closest('section').id") == "sessions"
        assert_clean(page, operated)


def test_the_key_is_kept_for_the_tab_and_asked_for_again(operated: str, deaf: Browser) -> None:
    with deaf.page() as page:
        page.open(f"{operated}admin")
        page.until("document.activeElement.id === 'key'")
        page.type("not-the-key-ü☃")
        page.press("Enter", 13)
        page.until(f"{NOTICE} === 'That is not the operator’s key.'")
        page.look("document.querySelector('#key').focus()")
        page.type("not-the-key-either")
        page.press("Enter", 13)
        page.until(f"{NOTICE} !== '' && document.querySelector('#key').value === ''")
        assert page.look("JSON.stringify(sessionStorage)") == "{}"
        page.troubles.clear()  # a browser says of each 401 that it came
        enter(page, operated)
        page.open(f"{operated}admin")
        page.until(f"{VIEW} === 'open'")
        assert KEY not in page.look("JSON.stringify([localStorage, document.cookie])")
        page.click("#forget")
        page.until(f"{VIEW} === 'locked'")
        assert page.look("JSON.stringify(sessionStorage)") == "{}"
        assert page.look(ROWS.format("breakers")) == []
        assert_clean(page, operated)


@needs_axe
def test_axe_finds_nothing_on_the_operators_page(operated: str, deaf: Browser) -> None:
    with deaf.page() as page:
        for width, scheme in ((1280, "light"), (390, "dark")):
            page.size(width, 800)
            page.prefer(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
            page.open(f"{operated}admin")
            page.until(f"{VIEW} === 'locked'")
            assert ("locked", violations(page)) == ("locked", [])
            enter(page, operated)
            assert ("open", violations(page)) == ("open", [])
            page.look("document.querySelector('#drain').click()")
            assert ("asked", violations(page)) == ("asked", [])
            page.click("#sure [value=no]")
            page.click("#forget")
