"""Pictures of the page in every state, at four sizes, light and dark, to be looked at:
`python -m tests.e2e.screenshots FOLDER`. Needs Chromium, and takes a minute or two."""

import base64
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
def visited(folder: Path) -> Iterator[tuple[Page, str]]:
    """A page whose microphone gives two answers, and where it is served."""
    port = free_port()
    with (
        gateway(folder, port, PARLEY_ADMIN_KEY=KEY, **LOOPBACK),
        chromium(folder, *spoken(folder / "microphone.wav", CLIPS)) as page,
    ):
        page.size(1280, 800)
        yield page, f"http://127.0.0.1:{port}/"


def visit(page: Page, url: str, album: Album) -> None:
    """An interview from the first look to the report."""
    page.open(url)
    page.until("globalThis.parley?.face")
    album.take(page, "1-landing")
    page.look("document.querySelector('.options').open = true")
    album.take(page, "2-options", whole=True)
    start(page, url)
    page.until(HEARD)
    album.take(page, "3-speaking")
    page.press("Escape", 27)
    page.until(f"{MOOD} === 'Your turn'", 10)
    album.take(page, "4-your-turn")
    page.until(PARTIAL, 30)
    album.take(page, "5-listening")
    page.until(f"{FINAL}.length === 1", 30)
    page.until(f"{REPLIES}.length === 2")
    page.until("document.querySelectorAll('.waterfall').length > 1", 30)
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
    page.until(HEARD)
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


def main() -> None:
    album = Album(Path(sys.argv[1] if len(sys.argv) > 1 else "var/screenshots"))
    with tempfile.TemporaryDirectory() as folder, visited(Path(folder)) as (page, url):
        visit(page, url, album)
    sys.stdout.write(f"pictures in {album.folder}\n")


if __name__ == "__main__":
    main()
