"""Pictures of the page in every state, at four sizes, light and dark, to be looked at:
`python -m tests.e2e.screenshots FOLDER`. Needs Chromium, and takes a minute or two."""

import base64
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.chromium import Page, chromium
from tests.support.served import free_port, gateway
from tests.support.visit import CLIPS, FINAL, LOOPBACK, PARTIAL, REPLIES, spoken, start

SIZES = ((390, 844), (844, 390), (768, 1024), (1280, 800))
SCHEMES = {"light": False, "dark": True}
KEY = "the-operators-key-of-the-album"
HEARD = "parley.speaker.cursor()?.ms > 1500"
GOOD = "When orders fell by 12 percent, I compared 3 sources, and we mended the import."
MOOD = "document.querySelector('#mood').textContent"


class Album:
    """Where the pictures go: `STATE-WIDTHxHEIGHT-SCHEME.png`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, page: Page, state: str, *, whole: bool = False) -> None:
        """The state at each size, in each scheme; `whole` is the page to its end."""
        for width, height in SIZES:
            for scheme, dark in SCHEMES.items():
                page.size(width, height, dark=dark)
                page.look(
                    "new Promise((done) => requestAnimationFrame(() => setTimeout(done, 260)))"
                )
                shot = page.call("Page.captureScreenshot", captureBeyondViewport=whole)
                name = f"{state}-{width}x{height}-{scheme}.png"
                (self.folder / name).write_bytes(base64.b64decode(shot["data"]))
        page.size(1280, 800)
        sys.stdout.write(f"{state}\n")


@contextmanager
def visited(folder: Path) -> Iterator[tuple[Page, str, "subprocess.Popen[bytes]"]]:
    """A page whose microphone gives two answers, where it is served, and the server's process."""
    port = free_port()
    with (
        gateway(folder, port, PARLEY_ADMIN_KEY=KEY, **LOOPBACK) as server,
        chromium(folder, *spoken(folder / "microphone.wav", CLIPS)) as page,
    ):
        page.size(1280, 800)
        yield page, f"http://127.0.0.1:{port}/", server


def visit(page: Page, url: str, album: Album) -> None:
    """An interview from the first look to the report."""
    page.open(url)
    page.until("globalThis.parley?.face")
    album.take(page, "1-landing")
    page.look("document.querySelector('.options').open = true")
    album.take(page, "2-options", whole=True)
    refusal = "Response.json({ code: 'access_required' }, { status: 401 })"
    page.look(f"globalThis.fetch = async () => {refusal}")
    page.click("#start")
    page.until("document.querySelector('#access').checkVisibility()")
    album.take(page, "2-ticket-wanted", whole=True)
    start(page, url)
    page.until(HEARD)
    album.take(page, "3-speaking")
    page.press("Escape", 27)
    # Which comes first is a matter of how long the pictures have taken.
    states = {
        "4-your-turn": f"{MOOD} === 'Your turn'",
        "5-listening": f"{MOOD} === 'Listening to you' && {PARTIAL}",
    }
    while states:
        page.until(" || ".join(states.values()), 60)
        for state in [state for state, there in states.items() if page.look(there)]:
            album.take(page, state)
            del states[state]
    page.until(f"{FINAL}.length >= 1", 90)
    page.until(f"{REPLIES}.length >= 2", 60)
    page.until("document.querySelectorAll('.waterfall').length > 1", 60)
    page.look("document.querySelector('#panel').open = true")
    page.until("document.querySelectorAll('#stages tr').length > 0")
    page.look("document.querySelector('#panel').scrollIntoView()")
    album.take(page, "6-under-the-hood")
    page.look("document.querySelector('.events').scrollIntoView()")
    album.take(page, "7-events")
    page.look("document.querySelector('#panel').open = false; scrollTo(0, 0)")
    page.click("#mute")
    album.take(page, "8-muted")
    page.click("#mute")
    page.look("parley.call.transport.chosen?.pc.close() ?? 0")
    page.call("Page.reload")
    time.sleep(0.5)
    page.until("document.querySelector('#go-on')?.checkVisibility()")
    album.take(page, "9-reloaded")
    page.click("#go-on")
    page.until("document.body.dataset.view === 'live'")
    page.click("#mute")  # the recording begins anew
    page.until(HEARD)
    page.until("parley.speaker.cursor() === null", 60)  # an answer to a question unheard is none
    replies = page.look(f"{REPLIES}.length")
    write(page, GOOD)
    page.until(f"{REPLIES}.length > {replies}")
    page.click("#end")
    page.until("!document.querySelector('#report').hidden", 20)
    album.take(page, "10-ended")
    page.open(page.look("document.querySelector('#report').href"))
    album.take(page, "11-report")
    page.open(f"{url}admin")
    page.until("document.activeElement.id === 'key'")
    album.take(page, "12-operator-locked")
    page.type(KEY)
    page.press("Enter", 13)
    page.until("document.querySelectorAll('#breakers tbody tr').length > 0")
    album.take(page, "13-operator", whole=True)


def write(page: Page, answer: str) -> None:
    page.look("document.querySelector('#answer').focus()")
    page.type(answer)
    page.press("Enter", 13)


def lose(page: Page, url: str, server: "subprocess.Popen[bytes]", album: Album) -> None:
    """Another interview, whose server stalls and then is gone for good."""
    start(page, url, way="websocket")
    page.until(HEARD)
    os.kill(server.pid, signal.SIGSTOP)
    write(page, GOOD)
    page.until(f"{MOOD} === 'The line is silent'")
    album.take(page, "14-line-silent")
    server.kill()
    page.until("document.querySelector('#line').dataset.state === 'reconnecting'")
    page.look("parley.call.attempt = 1000")  # as after three minutes
    page.until("document.body.dataset.view === 'ended'")
    album.take(page, "15-line-lost")
    page.click("#again")
    page.until("!document.querySelector('#start').disabled")
    page.click("#start")
    page.until("document.querySelector('#setup-notice').textContent")
    album.take(page, "16-no-server", whole=True)


def main() -> None:
    album = Album(Path(sys.argv[1] if len(sys.argv) > 1 else "var/screenshots"))
    with tempfile.TemporaryDirectory() as folder, visited(Path(folder)) as (page, url, server):
        visit(page, url, album)
        lose(page, url, server, album)
    sys.stdout.write(f"pictures in {album.folder}\n")


if __name__ == "__main__":
    main()
