"""What goes wrong around the page: people in a hurry, lines that die, devices that come late."""

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.chromium import FIREFOX, Browser, Page
from tests.support.visit import LINE, REPLIES, STATES, assert_clean, browser_tests, start

pytestmark = browser_tests

OPENED = """
globalThis.opened = { streams: [], contexts: [], connections: [] };
const ask = MediaDevices.prototype.getUserMedia;
MediaDevices.prototype.getUserMedia = async function (wanted) {
  const stream = await ask.call(this, wanted);
  opened.streams.push(stream);
  await new Promise((resolve) => setTimeout(resolve, globalThis.late ?? 0));
  return stream;
};
for (const [name, list] of [["AudioContext", "contexts"], ["RTCPeerConnection", "connections"]]) {
  const Real = globalThis[name];
  globalThis[name] = class extends Real {
    constructor(...given) {
      super(...given);
      opened[list].push(this);
    }
  };
}
"""
"""What the page has opened, and a microphone that comes `late`, in ms."""

LISTENING = """opened.streams.flatMap((s) => s.getTracks()).filter((t) => t.readyState === "live")
  .length"""
PLAYING = "opened.contexts.filter((context) => context.state !== 'closed').length"
CONNECTED = "opened.connections.filter((pc) => pc.connectionState !== 'closed').length"
STATE = "document.querySelector('#line').dataset.state"
NOTICE = "document.querySelector('#setup-notice').textContent"
MICROPHONE = "document.querySelector('#mic-notice').textContent"
DROP = """
globalThis.make = parley.call.makeTransport;
parley.call.makeTransport = () => ({
  kind: "websocket",
  ready: false,
  open({ closed }) { globalThis.goOn = () => closed(1006, ""); },
  send() {},
  sendAudio() {},
  microphone() {},
  measured: async () => ({}),
  close() {},
});
parley.call.transport.socket.close();
"""
"""The line is lost, and the next one comes to nothing until the test says so."""


def before(page: Page, script: str) -> None:
    page.call("Page.addScriptToEvaluateOnNewDocument", source=script)


@pytest.mark.firefox
def test_after_the_end_nothing_listens_plays_or_is_connected(url: str, beeping: Browser) -> None:
    with beeping.page() as page:
        before(page, OPENED)
        start(page, url, way="webrtc")
        contexts = 3 if FIREFOX else 2  # in Firefox the voice has one of its own
        page.until(f"{PLAYING} >= {contexts}")  # the voice's is opened a moment later
        assert page.look(f"[{LISTENING}, {PLAYING}, {CONNECTED}]") == [1, contexts, 1]
        page.click("#end")
        page.until("document.body.dataset.view === 'ended'")
        page.until(f"{LISTENING} + {PLAYING} + {CONNECTED} === 0")
        # Nor what was asked for just before the end.
        page.click("#again")
        page.until("!document.querySelector('#start').disabled")
        page.click("#start")
        page.until("document.body.dataset.view === 'live'")
        page.look(
            "globalThis.late = 1500; document.querySelector('#mic-choice')"
            ".dispatchEvent(new Event('change'))"
        )
        page.click("#end")
        page.until("document.body.dataset.view === 'ended'")
        page.until("opened.streams.length === 3")
        page.until(f"{LISTENING} + {PLAYING} + {CONNECTED} === 0")
        assert_clean(page, url)


def test_of_two_microphones_asked_for_at_once_one_is_used(url: str, beeping: Browser) -> None:
    with beeping.page() as page:
        before(page, OPENED)
        page.open(url)
        page.until("globalThis.parley?.face")
        page.look("globalThis.late = 400")
        page.click("#mic-try")
        page.click("#mic-try")
        page.until("opened.streams.length === 2 && parley.picker.track !== null")
        page.until(f"{LISTENING} === 1")
        assert page.look("parley.picker.track.readyState") == "live"
        assert page.look(PLAYING) == 1


def test_a_server_that_has_gone_is_told_from_a_browser_that_cannot(
    url: str, beeping: Browser
) -> None:
    failing = """
    const add = AudioWorklet.prototype.addModule;
    AudioWorklet.prototype.addModule = function (module) {
      if (String(module).includes(globalThis.gone)) throw new DOMException("gone", "AbortError");
      return add.call(this, module);
    };"""
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    with beeping.page() as page:
        before(page, OPENED + failing)
        page.open(url)
        page.until("globalThis.parley?.face")
        page.look("globalThis.gone = 'playback'")
        page.click("#start")
        assert page.until(NOTICE) == "This browser cannot play the interviewer's voice."
        page.call("Network.emulateNetworkConditions", offline=True, **offline)
        page.click("#start")
        page.until(f"{NOTICE} === 'The server does not answer. Is it running, and are you online?'")
        page.look("globalThis.gone = 'capture'")
        page.click("#mic-try")
        page.until(f"{MICROPHONE}.startsWith('The microphone does not work')")
        page.until(f"{LISTENING} + {PLAYING} === 0")
        page.call("Network.emulateNetworkConditions", offline=False, **offline)
        page.look("globalThis.gone = 'nothing'")
        page.click("#start")
        page.until("document.body.dataset.view === 'live'")


REFUSALS = [
    (503, '{"code": "store_unavailable"}', "The server cannot store interviews at the moment."),
    (502, "<h1>Bad Gateway</h1>", "The server is being restarted."),
    (422, '{"code": "invalid", "detail": "Too many questions"}', "Too many questions"),
]


def test_a_refused_interview_says_why(url: str, deaf: Browser) -> None:
    with deaf.page() as page:
        page.open(url)
        page.until("globalThis.parley?.face")
        page.look("globalThis.really = fetch")
        for status, body, words in REFUSALS:
            page.look(
                "globalThis.fetch = (where, ...rest) => where.endsWith('/api/sessions')"
                f" ? Promise.resolve(new Response({json.dumps(body)}, {{ status: {status} }}))"
                " : really(where, ...rest)"
            )
            page.click("#start")
            page.until(f"{NOTICE}.startsWith('{words}')")


def test_a_line_that_dies_silently_is_noticed_and_made_again(url: str, deaf: Browser) -> None:
    with deaf.page() as page:
        start(page, url, way="websocket")
        session = page.look("parley.call.session")
        page.until("parley.speaker.cursor()?.ms > 300")
        replies = page.look(f"{REPLIES}.length")
        page.look(f"{STATES}; parley.call.transport.socket.onmessage = null")
        page.until(f"states.length > 2 && {STATE} === 'live'")
        assert page.look("states.slice(0, 3)") == ["silent", "reconnecting", "live"]
        assert page.look("parley.call.session") == session
        page.click("#answer")
        page.type("We measured it first.")
        page.press("Enter", 13)
        page.until(f"{REPLIES}.length > {replies}")
        # The conversation went on, so nobody was welcomed back.
        assert "Welcome back" not in page.look("document.querySelector('#turns').textContent")


def test_what_is_typed_while_the_line_is_down_is_kept_and_so_is_the_place(
    url: str, beeping: Browser
) -> None:
    with beeping.page() as page:
        start(page, url, way="websocket")
        page.click("#answer")
        page.type("We measured it")
        page.look(DROP)
        page.until("globalThis.goOn !== undefined")
        page.press("Enter", 13)
        kept = "document.querySelector('#answer').value"
        down = page.look(f"[{STATE}, {kept}, document.querySelectorAll('#turns .you').length]")
        assert down == ["reconnecting", "We measured it", 0]
        told = page.look("document.querySelector('#announced').textContent")
        assert told == "You are not connected. What you typed waits here until you are."
        page.look("parley.call.makeTransport = make; goOn()")
        page.until(f"{STATE} === 'live'")
        page.type(" first.")
        assert page.look(kept) == "We measured it first."
        page.press("Enter", 13)
        page.until("document.querySelectorAll('#turns .you').length > 0")


def test_who_is_muted_is_told_with_each_microphone(url: str, beeping: Browser) -> None:
    with beeping.page() as page:
        start(page, url, way="websocket")
        page.click("#mute")
        first = "parley.picker.track"
        page.look(f"globalThis.before = {first}; parley.picker.open()")
        page.until(f"{first} !== null && {first} !== before")
        assert page.look(MICROPHONE) == "You are muted. Nobody hears you."
        assert page.look(f"{first}.enabled") is False


LATE_REPORT = """
const really = fetch;
globalThis.fetch = async (where, ...rest) => {
  if (String(where).endsWith("/end")) {
    await new Promise((resolve) => { globalThis.letGo = resolve; });
    return Response.json({ report: { answered: 1 }, summary: { text: "of before" } });
  }
  return really(where, ...rest);
};
"""


def test_the_report_of_the_interview_before_stays_away_from_the_next_one(
    url: str, deaf: Browser
) -> None:
    with deaf.page() as page:
        before(page, LATE_REPORT)
        start(page, url, way="websocket")
        page.click("#end")
        page.until("globalThis.letGo !== undefined")
        page.click("#again")
        page.click("#start")
        page.until("document.body.dataset.view === 'live'")
        page.look("letGo(); new Promise((resolve) => setTimeout(resolve, 50))")
        assert page.look("document.querySelector('#report').hidden") is True
        assert "of before" not in page.look("document.querySelector('#after-words').textContent")


def test_of_two_faces_chosen_quickly_the_last_one_is_drawn(url: str, deaf: Browser) -> None:
    slow = """
    const really = fetch;
    globalThis.fetch = async (where, ...rest) => {
      if (String(where).includes(globalThis.slow)) await new Promise((r) => setTimeout(r, 400));
      return really(where, ...rest);
    };"""
    with deaf.page() as page:
        before(page, slow)
        page.open(url)
        page.until("globalThis.parley?.face")
        first, other, *_ = page.look(
            "[...document.querySelectorAll('#faces input')].map((input) => input.value)"
        )
        drawn = "document.querySelector('#face').getAttribute('aria-label')"
        mine = page.look(drawn)
        pick = "document.querySelector('#faces [value={}]').click()"
        page.look(f"globalThis.slow = '/{other}/'; {pick.format(other)}; {pick.format(first)}")
        page.look("new Promise((resolve) => setTimeout(resolve, 900))")
        assert page.look(drawn) == mine
        page.look(pick.format(other))
        page.until(f"{drawn} !== {json.dumps(mine)}")


def test_a_picture_that_is_decoded_after_it_was_cleared_is_not_shown(
    url: str, deaf: Browser
) -> None:
    script = """(async () => {
      const canvas = new OffscreenCanvas(8, 8);
      canvas.getContext("2d").fillRect(0, 0, 8, 8);
      const blob = await canvas.convertToBlob({ type: "image/jpeg" });
      const data = btoa(String.fromCharCode(...new Uint8Array(await blob.arrayBuffer())));
      const frame = { turn: 5, at_ms: 900, mime: "image/jpeg", data };
      const late = parley.picture.frame(frame);
      parley.picture.clear();
      await late;
      const stale = parley.picture.frames.length;
      await parley.picture.frame({ ...frame, data: btoa("no picture") });
      await parley.picture.frame(frame);
      return [stale, parley.picture.frames.length];
    })()"""
    with deaf.page() as page:
        page.open(url)
        page.until("globalThis.parley?.face")
        assert page.look(script) == [0, 1]
        assert_clean(page, url)


LINKS = (
    '<stun:s.example:3478>; rel="ice-server", '
    '<turn:t.example?transport=udp>; rel=ice-server; username="a\\"b"; credential="c, <d>";'
    ' credential-type="password", </next>; rel="next"'
)


def test_ice_servers_are_read_from_link_headers(url: str, deaf: Browser) -> None:
    read = f"import('/static/client/webrtc.js').then((m) => m.iceServers({json.dumps(LINKS)}))"
    with deaf.page() as page:
        page.open(url)
        assert page.look(read) == [
            {"urls": "stun:s.example:3478"},
            {"urls": "turn:t.example?transport=udp", "username": 'a"b', "credential": "c, <d>"},
        ]
        assert page.look("import('/static/client/webrtc.js').then((m) => m.iceServers(null))") == []


ALLOCATE, REFUSED, COOKIE = 0x0003, 0x0113, 0x2112A442
USERNAME, ERROR_CODE, REALM, NONCE = 0x0006, 0x0009, 0x0014, 0x0015


class Relay(threading.Thread):
    """As much of a TURN server as asks for a name (RFC 8656, section 7; RFC 8489, section 14)."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.names: set[str] = set()
        self.asked = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self.port: int = self._socket.getsockname()[1]
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            try:
                asked, address = self._socket.recvfrom(2048)
            except TimeoutError:
                continue
            kind, _, cookie = struct.unpack_from("!HHI", asked)
            if (kind, cookie) != (ALLOCATE, COOKIE):
                continue
            attributes = self._attributes(asked)
            if USERNAME in attributes:
                self.names.add(attributes[USERNAME].decode())
                self.asked.set()
            told = b"".join(
                struct.pack("!HH", kind, len(value)) + value.ljust(-len(value) % 4 + len(value))
                for kind, value in (
                    (ERROR_CODE, b"\0\0\4\1Unauthorized"),
                    (REALM, b"test"),
                    (NONCE, b"once"),
                )
            )
            head = struct.pack("!HHI", REFUSED, len(told), COOKIE) + asked[8:20]
            self._socket.sendto(head + told, address)

    @staticmethod
    def _attributes(asked: bytes) -> dict[int, bytes]:
        found, at = {}, 20
        while at + 4 <= len(asked):
            kind, size = struct.unpack_from("!HH", asked, at)
            found[kind] = asked[at + 4 : at + 4 + size]
            at += 4 + size + -size % 4
        return found

    def close(self) -> None:
        self._over.set()
        self.join(2)
        self._socket.close()


@contextmanager
def relay() -> Iterator[Relay]:
    opened = Relay()
    opened.start()
    try:
        yield opened
    finally:
        opened.close()


RELAYED = """
const really = fetch;
globalThis.fetch = async (where, ...rest) => {
  const answer = await really(where, ...rest);
  if (rest[0]?.method !== "POST" || !String(where).includes("/webrtc/")) return answer;
  const headers = new Headers(answer.headers);
  headers.set("link", LINK);
  return new Response(await answer.text(), { status: answer.status, headers });
};
const set = RTCPeerConnection.prototype.setConfiguration;
RTCPeerConnection.prototype.setConfiguration = function (wanted) {
  return set.call(this, { ...wanted, iceTransportPolicy: "relay" });
};
"""
"""An answer with a `Link` header, and no way but through it: nearer ones would be found first."""


def test_a_turn_server_of_a_link_header_is_asked_with_its_name(url: str, deaf: Browser) -> None:
    with relay() as turn, deaf.page() as page:
        link = (
            f'<turn:127.0.0.1:{turn.port}?transport=udp>; rel="ice-server";'
            ' username="parley"; credential="secret"; credential-type="password"'
        )
        before(page, RELAYED.replace("LINK", json.dumps(link)))
        page.open(url)
        page.until("globalThis.parley?.face")
        page.click("#start")
        assert turn.asked.wait(10)
        assert turn.names == {"parley"}
        # This one lets nobody in.
        page.until("document.body.dataset.view === 'live'")
        assert page.look(LINE) == "Connected over WebSocket, because UDP does not get through"
        assert_clean(page, url)
