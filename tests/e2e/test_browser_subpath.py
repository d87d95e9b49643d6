"""The page below a path of another host, whether a proxy leaves the path in or not."""

from pathlib import Path

import pytest

from tests.support.chromium import Browser
from tests.support.served import free_port, gateway
from tests.support.visit import ANSWERS, LOOPBACK, REPLIES, assert_clean, browser_tests, start

pytestmark = browser_tests


@pytest.mark.parametrize("way", ["webrtc", "websocket"])
def test_an_interview_is_held_below_a_path(way: str, tmp_path: Path, deaf: Browser) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}/tool/"
    with (
        gateway(tmp_path, port, **LOOPBACK, PARLEY_PUBLIC_URL=address),
        deaf.page() as page,
    ):
        start(page, address, way=way)
        page.until("parley.speaker.cursor()?.ms > 300")
        assert page.look("parley.call.transport.kind") == way
        page.until("!parley.speaker.cursor()")  # the question has been asked
        page.look("document.querySelector('#answer').focus()")
        page.type("I measured both designs, and we took the faster one.")
        page.press("Enter", 13)
        page.until(f"{ANSWERS}.length === 1 && {REPLIES}.length > 1")
        page.click("#end")
        page.until("document.body.dataset.view === 'ended'")
        link = "document.querySelector('#report').href"
        page.until("!document.querySelector('#report').hidden")
        assert page.look(link).startswith(f"{address}api/sessions/")
        assert page.look(f"fetch({link}).then(({{ status }}) => status)") == 200
        assert_clean(page, address)
