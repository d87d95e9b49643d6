"""Firefox without a window, driven through WebDriver BiDi, which it serves itself.

Its pages do what those of `tests.support.chromium` do, and skip the test where Firefox has no way.
"""

import base64
import io
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from websockets.sync.client import ClientConnection, connect

from tests.support.chromium import START_S, WIRE, Browser, Page

PROGRAM = shutil.which("firefox-esr") or shutil.which("firefox")
ANSWER_S = 45.0

PREFERENCES: dict[str, bool | int | str] = {
    "remote.active-protocols": 1,
    "media.navigator.permission.disabled": True,  # a microphone may be used without a question
    "media.cubeb.force_mock_context": True,  # a loudspeaker, where the machine has none
    "media.autoplay.default": 0,
    "media.block-autoplay-until-in-foreground": False,
    "media.peerconnection.ice.loopback": True,  # the gateway of the tests is nowhere else
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "app.update.auto": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}

KEYS = {"Enter": "\ue007", "Tab": "\ue004", "Escape": "\ue00c"}

MICROPHONE = """() => {
  if (!isSecureContext) return;
  const bytes = Uint8Array.from(atob("SOUND"), (char) => char.charCodeAt(0));
  navigator.mediaDevices.getUserMedia = async () => {
    const context = new AudioContext();
    const source = new AudioBufferSourceNode(context,
      { buffer: await context.decodeAudioData(bytes.buffer.slice(0)) });
    const output = new MediaStreamAudioDestinationNode(context);
    source.connect(output);
    source.start();
    globalThis.fakeMicrophone = source;
    return output.stream;
  };
}"""
"""Firefox takes no recording for its microphone: the page gets one instead of the device."""


NO_MICROPHONE = """() => {
  if (!isSecureContext) return;
  const none = () => Promise.reject(new DOMException("", "NotFoundError"));
  navigator.mediaDevices.getUserMedia = none;
  navigator.mediaDevices.enumerateDevices = async () => [];
}"""
"""The loudspeaker that stands in for one brings a microphone along."""

OWN_WORDS = "WebRTC: ICE failed, add a STUN server"
"""Firefox's advice to developers where UDP is blocked: no page can keep it from that."""


class FirefoxPage(Page):
    """One tab of a Firefox, with nothing kept in it."""

    def __init__(self, wire: ClientConnection, ids: Iterator[int], *, script: str | None) -> None:
        self._wire = wire
        self._ids = ids
        self.troubles: list[str] = []
        self.hosts: set[str] = set()
        self._user = self._bidi("browser.createUserContext")["userContext"]
        made = self._bidi("browsingContext.create", type="tab", userContext=self._user)
        self._tab: str = made["context"]
        events = ["log.entryAdded", "network.beforeRequestSent"]
        self._bidi("session.subscribe", events=events, userContexts=[self._user])
        if script is not None:
            self._before(script)

    def _before(self, function: str) -> None:
        self._bidi("script.addPreloadScript", functionDeclaration=function, contexts=[self._tab])

    def _bidi(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._ids)
        self._wire.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._wire.recv(timeout=ANSWER_S))
            if answer.get("id") == number:
                break
            self._hear(answer)
        if answer["type"] == "error":
            raise RuntimeError(f"{method}: {answer['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _hear(self, event: dict[str, Any]) -> None:
        about = event.get("params", {})
        tab = about.get("context") or about.get("source", {}).get("context")
        if tab != self._tab:
            return
        said = event["method"] == "log.entryAdded" and about["level"] in ("error", "warn")
        if said and not str(about["text"]).startswith(OWN_WORDS):
            self.troubles.append(f"{about['type']}: {about['text']}")
        if event["method"] == "network.beforeRequestSent":
            self._ask(about["request"]["url"])

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The commands of Chromium that the tests use by name, as far as Firefox has them."""
        match method:
            case "Page.addScriptToEvaluateOnNewDocument":
                self._before(f"() => {{ if (!isSecureContext) return; {parameters['source']} }}")
            case "Page.reload":
                self._bidi("browsingContext.reload", context=self._tab, wait="none")
            case "Page.bringToFront":
                self._bidi("browsingContext.activate", context=self._tab)
            case "Runtime.evaluate":
                self.look(f"{parameters['expression']}; 0")
            case _:
                pytest.skip(f"Firefox has no {method}")
        return {}

    def close(self) -> None:
        self._bidi("browser.removeUserContext", userContext=self._user)

    def open(self, url: str) -> None:
        self._bidi("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    def look(self, script: str) -> Any:
        result = self._bidi(
            "script.evaluate", expression=script, target={"context": self._tab}, awaitPromise=True
        )
        if result["type"] == "exception":
            raise RuntimeError(result["exceptionDetails"]["text"])
        return _value(result["result"])

    def _act(self, kind: str, *actions: dict[str, Any]) -> None:
        source = {"type": kind, "id": kind, "actions": list(actions)}
        self._bidi("input.performActions", context=self._tab, actions=[source])

    def click(self, selector: str) -> None:
        self._bidi("browsingContext.activate", context=self._tab)  # nobody clicks behind a tab
        self.look(f"document.querySelector('{selector}').scrollIntoView({{block: 'center'}})")
        x, y = self.look(
            "(({x, y, width, height}) => [Math.round(x + width / 2), Math.round(y + height / 2)])"
            f"(document.querySelector('{selector}').getBoundingClientRect())"
        )
        self._act(
            "pointer",
            {"type": "pointerMove", "x": x, "y": y},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        )

    def type(self, text: str) -> None:
        self.look(f"document.execCommand('insertText', false, {json.dumps(text)})")

    def press(self, key: str, code: int) -> None:
        value = KEYS.get(key, key)
        self._act("key", {"type": "keyDown", "value": value}, {"type": "keyUp", "value": value})

    def refuse(self, permission: str) -> None:
        self._before(
            "() => { if (isSecureContext) navigator.mediaDevices.getUserMedia = async () => {"
            " throw new DOMException('no', 'NotAllowedError'); }; }"
        )

    def tree(self) -> list[dict[str, Any]]:
        pytest.skip("Firefox tells no accessibility tree")

    def prefer(self, **features: str) -> None:
        pytest.skip("Firefox has no preferences of a single page")

    def size(self, width: int, height: int, *, dark: bool = False) -> None:
        if dark:
            self.prefer()
        viewport = {"width": width, "height": height}
        self._bidi("browsingContext.setViewport", context=self._tab, viewport=viewport)


class FirefoxBrowser(Browser):
    """A Firefox whose tabs know nothing of each other."""

    def __init__(self, wire: ClientConnection, script: str | None) -> None:
        self._wire = wire
        self._ids = itertools.count(1)
        self._script = script
        wire.send(json.dumps({"id": 0, "method": "session.new", "params": {"capabilities": {}}}))
        while json.loads(wire.recv(timeout=ANSWER_S)).get("id") != 0:
            pass

    @contextmanager
    def page(self) -> Iterator[Page]:
        page = FirefoxPage(self._wire, self._ids, script=self._script)
        try:
            yield page
        finally:
            page.close()


@contextmanager
def firefox(folder: Path, *flags: str) -> Iterator[Browser]:
    """A Firefox whose profile is in `folder`, as Chromium's flags want it to be."""
    assert PROGRAM is not None
    profile = folder / "firefox"
    profile.mkdir()
    wanted = PREFERENCES | {"media.navigator.streams.fake": any("fake-device" in f for f in flags)}
    if any("disable_non_proxied_udp" in flag for flag in flags):
        wanted["media.peerconnection.ice.proxy_only"] = True
    lines = [f'user_pref("{name}", {json.dumps(value)});\n' for name, value in wanted.items()]
    (profile / "user.js").write_text("".join(lines))
    command = [PROGRAM, "--headless", "--no-remote", "--profile", str(profile)]
    with (folder / "firefox.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--remote-debugging-port=0", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        address = _address(folder / "firefox.log", process)
        with connect(f"{address}/session", **WIRE) as wire:
            yield FirefoxBrowser(wire, _microphone(flags))
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(log: Path, process: "subprocess.Popen[bytes]") -> str:
    """Where it listens."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if "WebDriver BiDi listening on " in line:
                return line.split(" on ")[1].strip()
        time.sleep(0.1)
    raise RuntimeError(f"firefox did not start:\n{log.read_text()[-2000:]}")


def _microphone(flags: tuple[str, ...]) -> str | None:
    """A script for the page: the recording that Chromium takes for its microphone, or none."""
    files = [flag.split("=")[1].split("%")[0] for flag in flags if "audio-capture=" in flag]
    if not files:
        return None if any("fake-device" in flag for flag in flags) else NO_MICROPHONE
    samples, rate = soundfile.read(files[0], dtype="float32")
    last = int(np.flatnonzero(np.abs(samples) > 0)[-1])
    file = io.BytesIO()
    sound = np.concatenate([samples[: last + 1 : 3], np.zeros(rate)])
    soundfile.write(file, sound, rate // 3, format="WAV", subtype="PCM_16")
    return MICROPHONE.replace("SOUND", base64.b64encode(file.getvalue()).decode())


def _value(remote: dict[str, Any]) -> Any:
    """What a script returned, as JSON would have it."""
    match remote["type"]:
        case "undefined" | "null":
            return None
        case kind if "value" not in remote:
            return {"type": kind}  # it is as deep as the tests do not look
        case "array":
            return [_value(one) for one in remote["value"]]
        case "object":
            return {key: _value(one) for key, one in remote["value"]}
        case "number" if isinstance(remote["value"], str):
            return float(remote["value"].replace("Infinity", "inf"))
        case "string" | "number" | "boolean":
            return remote["value"]
        case other:
            return {"type": other}
