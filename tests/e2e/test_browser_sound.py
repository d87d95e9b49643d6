"""What the page hears and says: how exact its clock is, and that mute is mute."""

import base64
import json
import re
import statistics
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from websockets.sync.client import connect

from tests.support.chromium import FIREFOX, Browser, Page, chromium
from tests.support.visit import browser_tests, spoken, start

pytestmark = [*browser_tests, pytest.mark.realtime]

RATE_HZ = 24_000
KNOWN_S = 4.5
"""Of the opening, which is always the same."""

HEARD_S = 0.3
"""Of what sounds, at a time."""

CLEAR_ENOUGH = 0.6
"""Correlation from which a place is certain; the synthesizer's noise is another one each time."""

QUIET = 1e-5
"""A beep has a thousand times that, of energy as of loudness."""

TAP = """
globalThis.heard = parley.speaker.remote ? parley.speaker.spare ?? parley.speaker : parley.speaker;
globalThis.tap = new AnalyserNode(heard.context, { fftSize: 16384 });
heard.node.connect(tap);
"""
LISTEN = """(() => {
  const samples = new Float32Array(16384);
  tap.getFloatTimeDomainData(samples);
  const cursor = parley.speaker.cursor();
  const { outputLatency, sampleRate } = heard.context;
  const bytes = new Uint8Array(samples.slice(-HEARD_S * sampleRate).buffer);
  return [cursor?.ms, outputLatency * 1000, sampleRate, btoa(String.fromCharCode(...bytes))];
})()"""


@pytest.fixture(scope="module")
def opening(port: int) -> NDArray[np.float64]:
    """The beginning of the interviewer's first words, at `RATE_HZ`."""
    hello = {
        "type": "hello",
        "version": 1,
        "audio_out": {"encoding": "pcm_s16le", "rate": RATE_HZ},
    }
    said = b""
    with connect(f"ws://127.0.0.1:{port}/ws/known", proxy=None, max_queue=None) as wire:
        wire.send(json.dumps(hello))
        while len(said) < 2 * RATE_HZ * KNOWN_S:
            message = wire.recv(timeout=10)
            said += message if isinstance(message, bytes) else b""
    return np.frombuffer(said, "<i2").astype(float)


def place(known: NDArray[np.float64], heard: NDArray[np.float64]) -> float | None:
    """Where in the known speech the end of what was heard lies, in ms; None where it is unclear."""
    size = len(known) + len(heard)
    both = np.fft.rfft(known, size) * np.conj(np.fft.rfft(heard, size))
    shifts = np.fft.irfft(both, size)[: len(known) - len(heard) + 1]
    summed = np.cumsum(np.concatenate([[0.0], known**2]))
    power = summed[len(heard) :] - summed[: -len(heard)]
    likeness = shifts / np.sqrt(np.maximum(power, 1) * np.maximum((heard**2).sum(), 1e-9))
    best = int(np.argmax(likeness))
    return (best + len(heard)) * 1000 / RATE_HZ if likeness[best] > CLEAR_ENOUGH else None


@pytest.mark.firefox
@pytest.mark.parametrize("way", ["webrtc", "websocket"])
def test_the_cursor_is_where_the_sound_is(
    way: str, port: int, opening: NDArray[np.float64], deaf: Browser
) -> None:
    listened = []
    with deaf.page() as page:
        start(page, f"http://127.0.0.1:{port}/", way=way)
        page.until("parley.speaker.cursor()?.ms > 300")
        page.look(TAP)
        for _ in range(14):
            time.sleep(0.2)
            listened.append(page.look(LISTEN.replace("HEARD_S", str(HEARD_S))))
    off = []
    for cursor, latency, rate_hz, data in listened:
        samples = np.frombuffer(base64.b64decode(data), "<f4").astype(float)
        known_at = np.arange(0, len(samples) - 1, rate_hz / RATE_HZ)
        heard = np.interp(known_at, np.arange(len(samples)), samples)
        found = place(opening, heard) if cursor and cursor < KNOWN_S * 1000 - 100 else None
        if found is not None:
            off.append(cursor + latency - found)
    assert len(off) >= 5
    assert abs(statistics.median(off)) < 40, off


LEAVE = """(async () => {
  const { speaker } = parley;
  const other = speaker.spare?.context;
  const port = speaker.spare?.node.port;
  await speaker.listen(null);
  port?.onmessage({ data: { level: 1 } }); // one more of its messages was on its way
  return [speaker.remote, speaker.spare, other?.state ?? "none"];
})()"""
HANG = """(async () => {
  const { Speaker } = await import("/static/client/speaker.js");
  const { addModule } = AudioWorklet.prototype;
  const later = setTimeout;
  AudioWorklet.prototype.addModule = () => new Promise(() => {});
  globalThis.setTimeout = (call, ms, ...given) => later(call, ms / 100, ...given);
  try {
    return await Speaker.open(() => {}).then(() => "open", ({ message }) => message);
  } finally {
    globalThis.setTimeout = later;
    AudioWorklet.prototype.addModule = addModule;
  }
})()"""


@pytest.mark.firefox
def test_what_plays_a_voice_ends_with_it_and_says_where_it_cannot_begin(
    port: int, deaf: Browser
) -> None:
    with deaf.page() as page:
        start(page, f"http://127.0.0.1:{port}/", way="webrtc")
        page.until("parley.speaker.remote !== null")
        assert page.look(LEAVE) == [None, None, "closed" if FIREFOX else "none"]
        assert page.look(HANG) == "the browser's audio did not start within 10 s"


ENERGY = """parley.call.transport.pc.getStats().then((reports) =>
  [...reports.values()].find((r) => r.type === "media-source" && r.kind === "audio")
    .totalAudioEnergy)"""
SENT = """
globalThis.loudness = 0;
const { transport } = parley.call;
const { sendAudio } = transport;
transport.sendAudio = (buffer) => {
  loudness += new Int16Array(buffer).reduce((sum, sample) => sum + Math.abs(sample), 0);
  sendAudio.call(transport, buffer);
};"""


@pytest.mark.firefox
def test_mute_silences_the_track_and_what_is_sent_over_the_websocket(
    url: str, beeping: Browser
) -> None:
    with beeping.page() as over_webrtc, beeping.page() as over_websocket:
        start(over_webrtc, url, way="webrtc")
        start(over_websocket, url, way="websocket")
        over_websocket.look(SENT)
        measured = [(over_websocket, "loudness")]
        if not FIREFOX:  # whose statistics do not tell how loud a track is
            measured.append((over_webrtc, ENERGY))

        def heard(seconds: float) -> list[float]:
            before = [page.look(loudness) for page, loudness in measured]
            time.sleep(seconds)
            after = [page.look(loudness) for page, loudness in measured]
            return [late - early for early, late in zip(before, after, strict=True)]

        def mute() -> None:
            for page in (over_webrtc, over_websocket):
                page.call("Page.bringToFront")
                page.click("#mute")

        assert min(heard(1.5)) > 100 * QUIET
        mute()
        time.sleep(0.5)  # the browser's meter falls slowly
        assert max(heard(2.2)) < QUIET
        enabled = "parley.call.transport.sender.track.enabled"
        assert over_webrtc.look(enabled) is False
        mute()
        assert over_webrtc.look(enabled) is True
        assert min(heard(1.5)) > 100 * QUIET


@pytest.mark.skipif(FIREFOX, reason="it has one microphone that stands in for a real one, not two")
def test_another_microphone_may_be_chosen_in_the_middle(port: int, beeping: Browser) -> None:
    sent = "parley.call.transport.sender.track.getSettings().deviceId"
    level = "Number(document.querySelector('#mic-level').value)"
    with beeping.page() as page:
        start(page, f"http://127.0.0.1:{port}/", way="webrtc")
        first = page.look(sent)
        choice = "document.querySelector('#mic-choice')"
        others = page.look(f"[...{choice}.options].map((o) => o.value).filter((v) => v)")
        other = next(device for device in others if device != first)
        page.look(f"{choice}.value = '{other}'; {choice}.dispatchEvent(new Event('change'))")
        page.until(f"{sent} === '{other}'")
        page.until(f"{level} > 0.3")  # it beeps, too
        assert page.look("parley.call.transport.kind") == "webrtc"


RECORDER = """
class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.kept = [];
    this.port.onmessage = () => this.port.postMessage(this.kept);
  }
  process([[samples]]) {
    if (samples === undefined) return true;
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    this.kept.push([Date.now(), currentTime * 1000, power]);
    return true;
  }
}
registerProcessor("recorder", Recorder);
"""
"""Of each 128 samples the time on both clocks, in ms, and the power."""

SOURCES = """
const make = AudioContext.prototype.createMediaStreamSource;
AudioContext.prototype.createMediaStreamSource = function (stream) {
  const node = make.call(this, stream);
  if (this.sampleRate === 16000) globalThis.microphone = node;
  return node;
};
"""
RECORD = """(async () => {
  const source = `data:text/javascript,${encodeURIComponent(RECORDER)}`;
  const tap = async (node) => {
    await node.context.audioWorklet.addModule(source);
    const recorder = new AudioWorkletNode(node.context, "recorder");
    node.connect(recorder).connect(node.context.destination);
    return recorder;
  };
  globalThis.taps = { said: await tap(microphone), heard: await tap(parley.speaker.node) };
  globalThis.stops = {};
  const { handlers } = parley.call;
  const { message } = handlers;
  handlers.message = (told) => {
    if (told.type === "speech.stopped") stops[told.turn] = Date.now();
    message.call(handlers, told);
  };
})()"""
RECORDED = """new Promise((resolve) => {
  taps.WHICH.port.onmessage = ({ data }) => resolve(data);
  taps.WHICH.port.postMessage("");
})"""
CAPTIONS = "[...document.querySelectorAll('.waterfall figcaption')].map((c) => c.textContent)"
UTTERANCE_MS = 15_000
"""The page calls quiet what has 0.06 of the loudest that it heard in this time."""
HEARD_HERE = re.compile(r"Turn (\d+): (\d+) ms as heard here")


def levels(page: Page, which: str, rate_hz: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a tap heard: times on the wall's clock in ms, and how loud the 20 ms until then were."""
    rows = np.array(page.look(RECORDED.replace("WHICH", which)))
    ahead = np.pad(rows[:, 0] - rows[:, 1], (39, 0), mode="edge")
    fastest = np.lib.stride_tricks.sliding_window_view(ahead, 40).min(axis=1)
    steps = round(rate_hz * 0.02 / 128)
    power = np.convolve(rows[:, 2], np.ones(steps) / steps)[: len(rows)]
    return rows[:, 1] + 128_000 / rate_hz + fastest, np.sqrt(power)


@pytest.mark.parametrize("way", ["webrtc", "websocket"])
def test_the_panel_says_how_long_the_person_waited_as_an_audio_tap_hears_it(
    way: str, port: int, tmp_path: Path
) -> None:
    clips = ("data-analyst-3", "product-manager-3", "software-engineer-3")
    with chromium(tmp_path, *spoken(tmp_path / "microphone.wav", clips)) as page:
        page.call("Page.setBypassCSP", enabled=True)
        page.call("Page.addScriptToEvaluateOnNewDocument", source=SOURCES)
        start(page, f"http://127.0.0.1:{port}/", way=way)
        page.until("parley.speaker.cursor()?.ms > 300")
        page.look(RECORD.replace("RECORDER", json.dumps(RECORDER)))
        page.press("Escape", 27)
        page.until(f"{CAPTIONS}.filter((told) => told.includes('as heard here')).length === 3", 70)
        told = dict(HEARD_HERE.findall(" ".join(page.look(CAPTIONS))))
        stops = page.look("stops")
        to_the_ear_ms = page.look("parley.speaker.context.outputLatency * 1000")
        said_at, said = levels(page, "said", 16_000)
        heard_at, heard = levels(page, "heard", RATE_HZ)
    off = {}
    for turn, stop in stops.items():
        before = (said_at < stop) & (said_at > stop - UTTERANCE_MS)
        end = said_at[before & (said > 0.06 * said[before].max())][-1]
        first = heard_at[(heard_at > end) & (heard > 0.003)][0]
        off[turn] = int(told[turn]) - (first + to_the_ear_ms - end)
    assert abs(statistics.median(off.values())) < 60, (off, told)
