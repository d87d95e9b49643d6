"""What the page costs while it is drawn, as shares of a core, by state:
`python -m tests.e2e.drawing`. Needs Chromium, and takes a minute."""

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.support.chromium import Page, chromium
from tests.support.served import free_port, gateway
from tests.support.visit import BEEPS, LOOPBACK, start

SECONDS = 6.0
PARTS = {"TaskDuration": "main thread", "ScriptDuration": "scripts", "RecalcStyleDuration": "style"}
SPEAKING = "parley.speaker.cursor()?.ms > 300"
UNSEEN = "document.querySelector('#face').style.display = 'none'"
FORGET = "sessionStorage.clear(); localStorage.clear()"


def spent(page: Page) -> dict[str, float]:
    """Seconds of CPU since their beginnings: of the page's main thread, and of whole processes."""
    told = {one["name"]: one["value"] for one in page.call("Performance.getMetrics")["metrics"]}
    found = {words: told[name] for name, words in PARTS.items()}
    for process in page.browser("SystemInfo.getProcessInfo")["processInfo"]:
        name = {"renderer": "renderer", "GPU": "compositor"}.get(process["type"])
        if name is not None:
            found[name] = found.get(name, 0.0) + process["cpuTime"]
    return found


def measured(page: Page, seconds: float) -> Mapping[str, float]:
    """Shares of a core, in percent, over so many seconds."""
    before, began = spent(page), time.monotonic()
    time.sleep(seconds)
    after, lasted = spent(page), time.monotonic() - began
    return {name: (after[name] - before[name]) / lasted * 100 for name in after}


def told(state: str, page: Page, seconds: float = SECONDS) -> None:
    shares = measured(page, seconds)
    row = "  ".join(f"{name} {share:5.1f} %" for name, share in shares.items())
    sys.stdout.write(f"{state:24}{row}\n")


def visit(page: Page, url: str) -> None:
    page.call("Performance.enable", timeDomain="threadTicks")
    page.open(url)
    page.until("globalThis.parley?.face")
    time.sleep(2.0)
    told("before the interview", page)
    for unseen in (False, True):
        start(page, url, way="websocket")
        page.until(SPEAKING)
        if unseen:
            page.look(UNSEEN)
        told("speaks, no face" if unseen else "speaks", page, 4.0)
        page.until("parley.speaker.cursor() === null")
        told("waits, no face" if unseen else "waits", page)
        page.look(FORGET)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        with gateway(Path(folder), port, **LOOPBACK), chromium(Path(folder), *BEEPS) as page:
            page.size(1280, 800)
            visit(page, f"http://127.0.0.1:{port}/")


if __name__ == "__main__":
    main()
