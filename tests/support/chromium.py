"""Chromium without a window, driven through its DevTools protocol: as much as the tests need.

With `TEST_BROWSER=firefox` in the environment the same tests get a Firefox instead.
"""

import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

FIREFOX = os.environ.get("TEST_BROWSER") == "firefox"
PROGRAM = shutil.which("firefox-esr" if FIREFOX else "chromium")

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests run as root in containers, where it cannot start
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--allow-loopback-in-peer-connection",  # the gateway of the tests is nowhere else
    "--remote-debugging-port=0",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
ANSWER_S = 45.0
START_S = 60.0

WIRE: dict[str, Any] = {
    "proxy": None,
    "max_size": None,
    # What a page tells while a test does something else is kept. With a bound the wire would not be
    # read any further, nor the answer to a ping, and end for that in the middle of the tests.
    "max_queue": None,
    "ping_interval": None,
    "open_timeout": START_S,
}
"""Options of the connection to a browser."""


class Page:
    """One tab. What goes wrong in it is collected: `troubles`, and `hosts` that were asked."""

    def __init__(self, wire: ClientConnection, ids: Iterator[int]) -> None:
        self._wire = wire
        self._ids = ids
        self._session: str | None = None
        self.troubles: list[str] = []
        self.hosts: set[str] = set()
        self._profile = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call(
            "Target.createTarget", url="about:blank", browserContextId=self._profile
        )["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command; its result. Raises `RuntimeError` with what Chromium says instead."""
        number = next(self._ids)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._wire.send(json.dumps(message))
        while True:
            answer = json.loads(self._wire.recv(timeout=ANSWER_S))
            if answer.get("id") == number:
                break
            self._notice(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def browser(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command to the browser as a whole."""
        session, self._session = self._session, None
        try:
            return self.call(method, **parameters)
        finally:
            self._session = session

    def close(self) -> None:
        """With all that it kept: the next tab is a stranger's."""
        self._session = None
        self.call("Target.disposeBrowserContext", browserContextId=self._profile)

    def _notice(self, event: dict[str, Any]) -> None:
        if event.get("sessionId") != self._session:
            return  # another tab's
        about = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled" if about["type"] in ("error", "warning", "assert"):
                said = [str(a.get("value", a.get("description"))) for a in about["args"]]
                self.troubles.append(f"console.{about['type']}: {' '.join(said)}")
            case "Runtime.exceptionThrown":
                details = about["exceptionDetails"]
                thrown = details.get("exception", {}).get("description", details["text"])
                self.troubles.append(f"exception: {thrown}")
            case "Log.entryAdded" if about["entry"]["level"] in ("error", "warning"):
                entry = about["entry"]  # violations of the content security policy are among these
                self.troubles.append(f"{entry['source']}: {entry['text']} {entry.get('url', '')}")
            case "Network.requestWillBeSent":
                self._ask(about["request"]["url"])
            case "Network.webSocketCreated":
                self._ask(about["url"])

    def _ask(self, url: str) -> None:
        if not url.startswith(("data:", "about:", "blob:")):
            self.hosts.add(url.split("/")[2])

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def look(self, script: str) -> Any:
        """The value of an expression, which may be a promise. No user gesture goes with it."""
        result = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"]["description"])
        return result["result"].get("value")

    def until(self, script: str, seconds: float = 30.0) -> Any:
        """The first true value of an expression. Raises `TimeoutError`."""
        deadline = time.monotonic() + seconds
        while not (value := self.look(script)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"never true in {seconds:g} s: {script}; {self.troubles}")
            time.sleep(0.05)
        return value

    def click(self, selector: str) -> None:
        """With the mouse, as a person does: only that is a gesture to the page."""
        self.look(f"document.querySelector('{selector}').scrollIntoView({{block: 'center'}})")
        box = self.look(
            "(({x, y, width, height}) => [x + width / 2, y + height / 2])"
            f"(document.querySelector('{selector}').getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=box[0],
                y=box[1],
                button="left",
                clickCount=1,
            )

    def type(self, text: str) -> None:
        """Into whatever has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key: str, code: int) -> None:
        texts = {"Enter": "\r", " ": " "}
        text = {"text": texts[key]} if key in texts else {}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                **(text if kind == "keyDown" else {}),
            )

    def refuse(self, permission: str) -> None:
        """The person says no when a page asks for it."""
        self.call(
            "Browser.setPermission",
            permission={"name": permission},
            setting="denied",
            browserContextId=self._profile,
        )

    def tree(self) -> list[dict[str, Any]]:
        """What a screen reader is told of the page: its nodes, those that are left out not."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [node for node in nodes if not node["ignored"]]

    def prefer(self, **features: str) -> None:
        """What the person wants of every page: `prefers_reduced_motion="reduce"`."""
        wanted = [
            {"name": name.replace("_", "-"), "value": value} for name, value in features.items()
        ]
        self.call("Emulation.setEmulatedMedia", features=wanted)

    def size(self, width: int, height: int, *, dark: bool = False) -> None:
        """How large the window is, and which colours the person prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.prefer(prefers_color_scheme="dark" if dark else "light")


class Browser:
    """A Chromium whose tabs know nothing of each other. Only one of them is spoken to at a time:
    what happens in the others meanwhile is not collected."""

    def __init__(self, wire: ClientConnection) -> None:
        self._wire = wire
        self._ids = itertools.count(1)

    @contextmanager
    def page(self) -> Iterator[Page]:
        page = Page(self._wire, self._ids)
        try:
            yield page
        finally:
            page.close()


@contextmanager
def chromium(folder: Path, *flags: str) -> Iterator[Page]:
    """A page in a Chromium of its own, whose profile is in `folder`."""
    with browser(folder, *flags) as opened, opened.page() as page:
        yield page


@contextmanager
def browser(folder: Path, *flags: str) -> Iterator[Browser]:
    """A Chromium whose profile is in `folder`; where the environment says so, a Firefox."""
    if FIREFOX:
        from tests.support.firefox import firefox

        with firefox(folder, *flags) as opened:
            yield opened
        return
    assert PROGRAM is not None
    profile = folder / "profile"
    command = [PROGRAM, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"]
    with (folder / "chromium.log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        port, path = _address(profile / "DevToolsActivePort", process)
        with connect(f"ws://127.0.0.1:{port}{path}", **WIRE) as wire:
            yield Browser(wire)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(file: Path, process: "subprocess.Popen[bytes]") -> tuple[str, str]:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        if file.exists() and len(lines := file.read_text().splitlines()) == 2:
            return lines[0], lines[1]
        time.sleep(0.05)
    log = (file.parents[1] / "chromium.log").read_text()
    raise RuntimeError(f"chromium did not start:\n{log[-2000:]}")
